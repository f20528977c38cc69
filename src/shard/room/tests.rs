//! A property test of [`Rooms`] alone, with random joins, messages, leaves, full sockets and answers of the store: every member
//! gets each message once and in order, or a gap that names it.

mod acts;

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
};

use proptest::prelude::*;

use acts::{APART, Act, CONNECTIONS, ROOMS, act, message, numbers, room_name, room_number};

use super::{
    attendance::PageAsk,
    delivery::DeliveryFailure,
    fanout::CatchUp,
    members::Feed,
    replay::ReplayStep,
    rings::{Lag, Missed},
    rooms::Rooms,
};
use crate::{
    chat::{Admission, Conversation, Happening, Joined, Position, Reply, Seq, SessionId, ShardId},
    codec::{Dialects, LagPolicy},
    shard::{
        End,
        bus::directory::{Directory, OwnerKey},
        connection::{connections::Connections, write::Written},
        event::room::RoomEvent,
        ids::RoomSlot,
        parts::Parts,
        settings::ShardSettings,
        store::port::StorePort,
        testing::{FakeSocket, OPEN, TestClock},
        tests::config,
        time::Moment,
    },
};

/// What the owners of the rooms send to this shard, in order.
enum FromOwner {
    Admit(SessionId, Joined, Option<u32>),
    Dismiss(SessionId, usize),
    Event(usize, Seq),
}

#[derive(Default)]
struct Owned {
    seq: Seq,
    members: Vec<SessionId>,
}

/// By room and message: how often a connection must still get the message or a gap for it. Negative: it got too many.
type Counts = BTreeMap<(usize, Seq), i32>;

struct Client {
    id: SessionId,
    socket: Rc<FakeSocket>,
    /// All are zero at the end of the test.
    missing: Counts,
    /// By room: the number after which its membership begins.
    since: [Option<Seq>; ROOMS],
}

struct Run {
    rooms: Rooms,
    connections: Connections<Rc<FakeSocket>>,
    clients: Vec<Client>,
    owned: [Owned; ROOMS],
    queue: VecDeque<FromOwner>,
    asked: VecDeque<(SessionId, PageAsk)>,
    store: StorePort,
    directory: Directory,
    random: fastrand::Rng,
    clock: TestClock,
    is_durable: bool,
}

impl Run {
    fn new(ring_bytes: usize, is_durable: bool) -> Self {
        let settings = ShardSettings {
            ring_bytes,
            ring_budget: 2 * ring_bytes,
            ..ShardSettings::default()
        };
        let mut run = Self {
            rooms: Rooms::new(&settings, 1),
            connections: Connections::for_test(),
            clients: Vec::new(),
            owned: Default::default(),
            queue: VecDeque::new(),
            asked: VecDeque::new(),
            store: StorePort::without_store(ShardId(0)),
            directory: Directory::new(1, OwnerKey::fixed(7), 1),
            random: fastrand::Rng::with_seed(7),
            clock: TestClock::default(),
            is_durable,
        };
        for _ in 0..CONNECTIONS {
            let client = run.connect();
            run.clients.push(client);
        }
        run
    }

    fn connect(&mut self) -> Client {
        let socket = Rc::new(FakeSocket::new(self.clock.clone()));
        let id = self.connections.open_for_test(socket.clone());
        Client {
            id,
            socket,
            missing: Counts::new(),
            since: [None; ROOMS],
        }
    }

    fn split(&mut self) -> (&mut Rooms, Parts<'_, Rc<FakeSocket>>) {
        let parts = Parts {
            connections: &mut self.connections,
            store: &mut self.store,
            directory: &self.directory,
            random: &mut self.random,
            clock: &self.clock,
            now: Moment::default(),
        };
        (&mut self.rooms, parts)
    }

    fn now(&self) -> Moment {
        Moment::of(&self.clock)
    }

    fn client(&mut self, id: SessionId) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.id == id)
    }

    fn received(&mut self, id: SessionId, room: usize, messages: impl IntoIterator<Item = Seq>) {
        let client = self.client(id).unwrap();
        for seq in messages {
            *client.missing.entry((room, seq)).or_default() -= 1;
        }
    }

    fn gap(&mut self, id: SessionId, gap: Reply) {
        let Reply::Gap {
            conversation: Conversation::Room(name),
            from,
            to,
            ..
        } = gap
        else {
            panic!("{gap:?} is no gap of a room");
        };
        let missed: Vec<_> = numbers(from - 1, to).collect();
        assert_eq!(missed.last(), Some(&to), "a gap ends with a message");
        self.received(id, room_number(&name), missed);
    }

    fn lag(&mut self, id: SessionId, lag: Option<Lag>) {
        match lag {
            None => {}
            Some(Lag::Gap(gap)) => self.gap(id, gap),
            Some(Lag::TooSlow) => panic!("this dialect has words for a gap"),
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Join(client, room, back) => self.join(*client, *room, *back, None),
            Act::JoinLast(client, room, count) => self.join(*client, *room, 0, Some(*count)),
            Act::Leave(client, room) => {
                let id = self.clients[*client].id;
                if self.rooms.ask_to_leave(id, &room_name(*room)) {
                    self.let_go(*client, *room);
                }
            }
            Act::Say(room) => {
                let owned = &mut self.owned[*room];
                owned.seq += APART;
                if !owned.members.is_empty() {
                    self.queue.push_back(FromOwner::Event(*room, owned.seq));
                }
            }
            Act::Deliver => self.deliver(),
            Act::Flush(most) => self.flush(*most),
            Act::Room(client, bytes) => self.make_room(*client, *bytes),
            Act::Answer(works) => self.answer(*works),
            Act::HangUp(client) => {
                let id = self.clients[*client].id;
                for name in self.rooms.remove(id) {
                    self.owned[room_number(&name)].members.retain(|member| *member != id);
                }
                self.connections.cut(id, End::Reset);
                self.clients[*client] = self.connect();
            }
            Act::Tick => {
                self.clock.pass_us(30_000_000);
                self.rooms.tick(self.now());
            }
        }
    }

    fn join(&mut self, client: usize, room: usize, back: Seq, last: Option<u32>) {
        let id = self.clients[client].id;
        if self.rooms.ask_to_join(id, &room_name(room), ROOMS).is_err() {
            return;
        }
        let owned = &mut self.owned[room];
        owned.members.push(id);
        let joined = Joined {
            room: room_name(room),
            head: Position {
                epoch: 1,
                seq: owned.seq,
            },
            from: owned.seq.saturating_sub(back * APART),
            online: 1,
            topic: "".into(),
            history: self.is_durable,
            read: None,
        };
        self.clients[client].since[room] = Some(joined.from);
        self.queue.push_back(FromOwner::Admit(id, joined, last));
    }

    /// The owner removes a member, which must get all messages since it joined.
    fn let_go(&mut self, client: usize, room: usize) {
        let client = &mut self.clients[client];
        let owned = &mut self.owned[room];
        owned.members.retain(|member| *member != client.id);
        if let Some(since) = client.since[room].take() {
            for seq in numbers(since, owned.seq) {
                *client.missing.entry((room, seq)).or_default() += 1;
            }
            self.queue.push_back(FromOwner::Dismiss(client.id, room));
        }
    }

    fn deliver(&mut self) {
        match self.queue.pop_front() {
            None => {}
            Some(FromOwner::Admit(id, joined, last)) => {
                let is_here = self.client(id).is_some();
                assert_eq!(self.rooms.admit(id, Feed::Live, &joined), is_here);
                if is_here {
                    let joined = self.find_last(id, joined, last);
                    assert!(self.rooms.begin_replay(id, &joined, Vec::new()).is_none());
                    self.replay(id);
                }
            }
            Some(FromOwner::Dismiss(id, room)) => {
                let name = room_name(room);
                let abandoned = self.rooms.abandon_replay(id, &name);
                if let Some(missed) = abandoned.missed {
                    let gap = self.rooms.skip_missed(id, &name, missed, LagPolicy::Gap).unwrap();
                    self.gap(id, gap);
                }
                if abandoned.was_first {
                    self.replay(id);
                }
                let is_here = self.client(id).is_some();
                assert_eq!(self.rooms.dismiss(id, &name, None), is_here);
                if is_here && !self.connections.get(id).unwrap().blocked() {
                    self.catch_up(id);
                }
            }
            Some(FromOwner::Event(room, seq)) => {
                let Some(slot) = self.rooms.find(&room_name(room)) else {
                    return;
                };
                let happening = Happening::Message(message(room, seq));
                let event = RoomEvent::new(room_name(room), happening, None, 0, Dialects::default());
                self.rooms.append(slot, Arc::new(event), self.now());
                for _ in 0..3 {
                    if self.rooms.must_flush(slot) {
                        self.walk(slot, usize::MAX);
                    }
                }
            }
        }
    }

    /// A member that asked for the newest messages must get those that the ring or the store has.
    fn find_last(&mut self, id: SessionId, joined: Joined, last: Option<u32>) -> Joined {
        let mut admission = Admission {
            request: None,
            joined,
            last,
            lost: Vec::new(),
            backlog: None,
        };
        self.rooms.find_last(&mut admission);
        let Admission {
            mut joined,
            last: still,
            ..
        } = admission;
        let (room, head) = (room_number(&joined.room), joined.head.seq);
        if let Some(count) = still {
            assert!(self.is_durable, "nobody else has them");
            joined.from = head.saturating_sub(Seq::from(count) * APART).max((2 * APART).min(head));
        }
        if let Some(count) = last {
            let shown: Vec<_> = numbers(joined.from, head).collect();
            assert!(shown.len() <= count as usize);
            for seq in shown {
                *self.client(id).unwrap().missing.entry((room, seq)).or_default() += 1;
            }
        }
        joined
    }

    fn flush(&mut self, most: usize) {
        self.clock.pass_us(20_000);
        self.rooms.end_waits(self.now().us);
        if let Some(slot) = self.rooms.next_ready() {
            self.walk(slot, most);
        }
    }

    fn walk(&mut self, slot: RoomSlot, most: usize) {
        let (rooms, mut parts) = self.split();
        rooms.walk(slot, most, &mut parts);
        for failure in self.rooms.take_failures() {
            match failure {
                DeliveryFailure::Full(id) => assert!(self.connections.get(id).unwrap().blocked()),
                DeliveryFailure::Dead(_) => panic!("nobody died"),
                DeliveryFailure::Lagged(id, room) => {
                    let lag = self.rooms.skip_lag(id, room, LagPolicy::Gap);
                    self.lag(id, lag);
                }
            }
        }
    }

    fn make_room(&mut self, client: usize, bytes: usize) {
        let Client { id, socket, .. } = &self.clients[client];
        let id = *id;
        socket.room.set(bytes);
        let connection = self.connections.get_mut(id).unwrap();
        if connection.blocked() && connection.drain(0, &mut 0) == Written::All {
            self.catch_up(id);
            self.replay(id);
        }
    }

    fn catch_up(&mut self, id: SessionId) {
        let mut membership = 0;
        loop {
            let (rooms, mut parts) = self.split();
            match rooms.catch_up_from(id, &mut membership, &mut parts) {
                CatchUp::Done | CatchUp::Full => return,
                CatchUp::Dead => panic!("nobody died"),
                CatchUp::Left { .. } => {}
                CatchUp::Lagged(room) => {
                    let lag = self.rooms.skip_lag(id, room, LagPolicy::Gap);
                    self.lag(id, lag);
                }
            }
        }
    }

    fn replay(&mut self, id: SessionId) {
        loop {
            let is_full = self
                .connections
                .get(id)
                .is_some_and(|connection| !connection.outgoing().is_empty());
            match self.rooms.replay_step(id, is_full) {
                ReplayStep::Wait => return,
                ReplayStep::Send { events, upto } => {
                    for event in events {
                        self.received(id, room_number(&event.room), event.seq());
                    }
                    self.rooms.replayed_upto(id, upto);
                }
                ReplayStep::Skip { upto, missed } => {
                    let lag = self.rooms.skip_to(id, upto, missed, LagPolicy::Gap);
                    self.lag(id, lag);
                }
                ReplayStep::Ask { ask, .. } => self.ask(id, ask),
                ReplayStep::Live => self.catch_up(id),
            }
        }
    }

    fn ask(&mut self, id: SessionId, ask: PageAsk) {
        self.rooms.page_asked(id, ask.after);
        self.asked.push_back((id, ask));
    }

    /// Answers the oldest question to the store, with small pages and without the first two messages of each room.
    fn answer(&mut self, works: bool) {
        let Some((id, ask)) = self.asked.pop_front() else {
            return;
        };
        let room = room_number(&ask.room);
        if !works {
            if let Some(upto) = self.rooms.page_failed(id, ask.number, 0) {
                let lag = self.rooms.skip_to(id, upto, Missed::Stored, LagPolicy::Gap);
                self.lag(id, lag);
            }
            return self.replay(id);
        }
        let stored = numbers(ask.after.max(2 * APART), self.owned[room].seq);
        let messages = stored.take(ask.limit.min(3)).map(|seq| message(room, seq)).collect();
        if let Some(page) = self.rooms.take_page(id, ask.number, messages, 0) {
            if let Some(next) = page.next {
                self.ask(id, next);
            }
            if let Some(upto) = page.lost_upto {
                let lag = self.rooms.skip_to(id, upto, Missed::Lost, LagPolicy::Gap);
                self.lag(id, lag);
            }
            let sent: Vec<_> = page.messages.iter().map(|message| message.seq).collect();
            let (last, messages) = (sent.last().copied().unwrap_or(page.before), sent.len());
            self.received(id, room, sent);
            self.rooms.page_sent(id, last, messages, 100 * messages);
        }
        self.replay(id);
    }

    /// Lets everything come to rest, and checks that each connection got what it must, once and in order.
    fn check_all(mut self) {
        for client in 0..CONNECTIONS {
            for room in 0..ROOMS {
                if self.rooms.ask_to_leave(self.clients[client].id, &room_name(room)) {
                    self.let_go(client, room);
                }
            }
        }
        while !self.queue.is_empty() {
            self.deliver();
            self.rooms.check();
        }
        while !self.asked.is_empty() {
            self.answer(true);
        }
        for client in 0..CONNECTIONS {
            self.make_room(client, OPEN);
        }
        while self.rooms.flush_due().is_some() {
            self.flush(usize::MAX);
        }
        self.rooms.check_rest(|_| false);
        assert!(self.rooms.is_empty() && self.owned.iter().all(|owned| owned.members.is_empty()));
        for client in 0..CONNECTIONS {
            let id = self.clients[client].id;
            let taken = self.clients[client].socket.taken.take();
            let text = String::from_utf8_lossy(&taken);
            let mut newest = [0; ROOMS];
            for part in text.split('<').skip(1) {
                let (room, seq) = part.split_once('>').unwrap().0.split_once(':').unwrap();
                let (room, seq) = (room.parse().unwrap(), seq.parse().unwrap());
                assert!(seq > newest[room], "live messages come in order");
                newest[room] = seq;
                self.received(id, room, [seq]);
            }
            let mut missing = self.clients[client].missing.iter();
            assert_eq!(missing.find(|(_, count)| **count != 0), None, "of client {client}");
        }
    }
}

proptest! {
    #![proptest_config(config(256, 7))]

    #[test]
    fn every_member_gets_each_message_once_in_order_or_a_gap_for_it(
        ring_bytes in prop_oneof![Just(3_000_usize), Just(1 << 20)],
        is_durable in any::<bool>(),
        acts in prop::collection::vec(act(), 1..150),
    ) {
        let mut run = Run::new(ring_bytes, is_durable);
        for act in &acts {
            run.act(act);
            run.rooms.check();
        }
        run.check_all();
    }
}
