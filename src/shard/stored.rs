//! Between the shards and the store: talks that are numbered and kept before anybody is told, rooms that are opened at
//! the place where their log stands, and what those who come back are given.
//!
//! A shard never waits for the disk. What it submits or asks carries a [`Ticket`]; the outcome comes back through the
//! shard's own lane, and every ticket comes back once.

use std::sync::Arc;

use super::{
    connection::{Replay, Session, Socket, Welcoming},
    engine::{Clock, Engine},
    message::{ToHome, ToShard},
};
use crate::{
    chat::{
        Conversation, ErrorCode, Happening, HistoryPage, Joined, Position, Refusal, Reply, RequestId, RoomName, Seq,
        SessionId, ShardId, Since, Talk, UnreadEntry, UserName, Utterance,
    },
    history::{
        Answer, Append, Ask, ConversationHead, History, LogHead, LogId, LostInterval, Outcome, StoreFault, UserPair,
        Which, Window,
    },
    limits,
};

/// The store, as one shard sees it.
pub(crate) struct Store {
    pub(crate) history: History<Ticket>,
    /// Whether the talks of a room are kept.
    pub(crate) keeps: Arc<dyn Fn(&RoomName) -> bool + Send + Sync>,
    /// Talks of this shard that have not come back.
    pub(crate) talks: usize,
    /// With more of them, new ones get `busy`.
    pub(crate) talks_most: usize,
    /// Questions of this shard that have not come back.
    pub(crate) questions: usize,
    /// Where the logs of this shard's rooms stand, with what they lost.
    pub(crate) heads: foldhash::HashMap<RoomName, LogHead>,
    /// What waits for a room to be opened, in order.
    pub(crate) opening: foldhash::HashMap<RoomName, Vec<ToHome>>,
}

impl Store {
    /// A shard's view of this store, which takes at most `talks_most` talks of this shard at a time.
    pub(crate) fn new(
        history: History<Ticket>,
        keeps: Arc<dyn Fn(&RoomName) -> bool + Send + Sync>,
        talks_most: usize,
    ) -> Self {
        Self {
            history,
            keeps,
            talks: 0,
            talks_most,
            questions: 0,
            heads: Default::default(),
            opening: Default::default(),
        }
    }
}

/// What a shard wants to know again when the store answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ticket {
    /// A talk in a room.
    Talk {
        /// The shard of the room's home.
        home: ShardId,
        /// Who said it.
        session: SessionId,
        /// In which request.
        id: RequestId,
    },
    /// A talk between two users.
    Direct {
        /// The home of the pair.
        home: ShardId,
        /// Who said it.
        session: SessionId,
        /// In which request.
        id: RequestId,
        /// To whom.
        to: UserName,
    },
    /// A room is to be opened.
    Open {
        /// Its home.
        home: ShardId,
        /// Which.
        room: RoomName,
    },
    /// A session comes under a name.
    Hello(SessionId),
    /// A session wants another name.
    Rename {
        /// Which session.
        session: SessionId,
        /// In which request.
        id: RequestId,
    },
    /// A session asked something.
    Question {
        /// Which session.
        session: SessionId,
        /// In which request.
        id: RequestId,
        /// About what.
        conversation: Option<Conversation>,
    },
    /// The read position for the answer to a join.
    ReadOf {
        /// Which session.
        session: SessionId,
        /// For which of its joins.
        number: u32,
    },
    /// A member is given what it missed.
    Replay {
        /// Which session.
        session: SessionId,
        /// In which of its replays.
        number: u32,
    },
    /// The mail of a session that has come.
    Mail {
        /// Which session.
        session: SessionId,
        /// In which of its readings.
        number: u32,
    },
    /// A read position that a session acknowledged without asking.
    Silent(ShardId),
}

impl Ticket {
    /// The shard that it comes back to.
    pub(crate) fn shard(&self) -> ShardId {
        match self {
            Self::Talk { home, .. } | Self::Direct { home, .. } | Self::Open { home, .. } => *home,
            Self::Hello(session)
            | Self::Rename { session, .. }
            | Self::Question { session, .. }
            | Self::ReadOf { session, .. }
            | Self::Replay { session, .. }
            | Self::Mail { session, .. } => session.shard,
            Self::Silent(shard) => *shard,
        }
    }
}

/// What it costs to pass an outcome on, in talks.
pub(crate) fn weight(outcome: &Outcome<Ticket>) -> usize {
    match outcome {
        Outcome::Answered {
            answer: Answer::Page { talks, .. } | Answer::Found { talks, .. },
            ..
        } => 1 + talks.len(),
        Outcome::Answered { .. }
        | Outcome::Unanswered { .. }
        | Outcome::Committed { .. }
        | Outcome::Duplicate { .. }
        | Outcome::KeyConflict { .. }
        | Outcome::Failed { .. } => 1,
    }
}

/// The ticket of an outcome.
pub(crate) fn ticket(outcome: &Outcome<Ticket>) -> &Ticket {
    match outcome {
        Outcome::Committed { append, .. }
        | Outcome::Duplicate { append, .. }
        | Outcome::KeyConflict { append }
        | Outcome::Failed { append, .. } => &append.ticket,
        Outcome::Answered { ticket, .. } | Outcome::Unanswered { ticket, .. } => ticket,
    }
}

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Whether the talks of this room are kept.
    pub(super) fn keeps(&self, room: &RoomName) -> bool {
        self.store.as_ref().is_some_and(|store| (store.keeps)(room))
    }

    /// Parks what is for a room that has to be opened first; gives back what need not wait.
    pub(super) fn park(&mut self, message: ToHome) -> Option<ToHome> {
        let Some(room) = message.room().filter(|room| !self.home.knows(room)).cloned() else {
            return Some(message);
        };
        let Some(store) = self.store.as_mut() else {
            return Some(message);
        };
        if let Some(waiting) = store.opening.get_mut(&room) {
            waiting.push(message);
            return None;
        }
        if !(matches!(message, ToHome::Join { .. }) && self.keeps(&room)) {
            return Some(message);
        }
        let ticket = Ticket::Open {
            home: self.me,
            room: room.clone(),
        };
        let asked = self.ask_store(Ask::Head(LogId::Room(room.clone())), ticket);
        match (asked, self.store.as_mut()) {
            (true, Some(store)) => {
                store.opening.insert(room, vec![message]);
            }
            (false, _) | (true, None) => self.refuse_parked(message, busy_store()),
        }
        None
    }

    /// Asks the store; whether it took the question.
    pub(super) fn ask_store(&mut self, ask: Ask, ticket: Ticket) -> bool {
        let Some(store) = self.store.as_mut() else { return false };
        if store.questions >= limits::STORE_UNDERWAY || store.history.ask(ask, ticket).is_err() {
            return false;
        }
        store.questions += 1;
        true
    }

    /// Gives a talk of a room to the store.
    pub(super) fn store_talk(&mut self, room: RoomName, said: Utterance) {
        let ticket = Ticket::Talk {
            home: self.me,
            session: said.session,
            id: said.id,
        };
        let now = self.now.unix_ms;
        if let Err(said) = self.submit(LogId::Room(room.clone()), said, ticket, now) {
            self.home_settled(&room);
            if self.holding_back {
                self.refused.insert(said.session);
            }
            self.send(
                said.session.shard,
                ToShard::Busy {
                    room,
                    said: Box::new(said),
                },
            );
        }
    }

    /// Gives a direct message to the store.
    pub(super) fn store_direct(&mut self, to: UserName, said: Utterance) {
        let log = LogId::Pair(UserPair::of(&said.from, &to));
        let ticket = Ticket::Direct {
            home: self.me,
            session: said.session,
            id: said.id,
            to,
        };
        let now = self.now.unix_ms;
        if let Err(said) = self.submit(log, said, ticket, now) {
            self.answer(said.session, said.id, Reply::Error(busy_store()));
        }
    }

    fn submit(&mut self, log: LogId, said: Utterance, ticket: Ticket, at: u64) -> Result<(), Utterance> {
        let Some(store) = self.store.as_mut().filter(|store| store.talks < store.talks_most) else {
            return Err(said);
        };
        let Utterance {
            session,
            id,
            from,
            tag,
            text,
            kind,
            key,
        } = said;
        let append = Append {
            log,
            from,
            session: tag,
            text,
            kind,
            key,
            at,
            ticket,
        };
        store
            .history
            .submit(append)
            .map_err(|append| utterance(append, session, id))?;
        store.talks += 1;
        Ok(())
    }

    /// The store says what became of something.
    pub(crate) fn stored(&mut self, outcome: Outcome<Ticket>) {
        if let Some(store) = &mut self.store {
            let underway = match &outcome {
                Outcome::Committed { .. }
                | Outcome::Duplicate { .. }
                | Outcome::KeyConflict { .. }
                | Outcome::Failed { .. } => &mut store.talks,
                Outcome::Answered { .. } | Outcome::Unanswered { .. } => &mut store.questions,
            };
            *underway = underway.saturating_sub(1);
        }
        match outcome {
            Outcome::Committed {
                append,
                position,
                prev,
                at,
            } => self.committed(append, position, prev, at),
            Outcome::Duplicate { append, position, at } => {
                self.not_committed(
                    append,
                    Reply::Ack {
                        position,
                        at,
                        duplicate: true,
                    },
                );
            }
            Outcome::KeyConflict { append } => self.not_committed(append, Reply::Error(crate::chat::key_conflict())),
            Outcome::Failed { append, why } => self.not_committed(append, Reply::Error(store_failed(&why))),
            Outcome::Answered { ticket, answer } => self.store_answered(ticket, answer),
            Outcome::Unanswered { ticket, ask, why } => self.store_unanswered(ticket, &ask, &why),
        }
        while let Some(message) = self.local.pop_front() {
            self.take(message);
        }
    }

    fn committed(&mut self, append: Append<Ticket>, position: Position, prev: Seq, at: u64) {
        match append.ticket.clone() {
            Ticket::Talk { session, id, .. } => {
                let LogId::Room(room) = append.log.clone() else { return };
                if let Some(head) = self.store.as_mut().and_then(|store| store.heads.get_mut(&room)) {
                    head.epoch = position.epoch;
                    head.seq = position.seq;
                    head.first = head.first.max(1);
                }
                let said = utterance(append, session, id);
                let mut effects = std::mem::take(&mut self.effects);
                self.home.stored(&room, said, position, prev, at, &mut effects);
                self.carry_out(&mut effects);
                self.effects = effects;
                self.home_settled(&room);
            }
            Ticket::Direct { session, id, to, .. } => {
                self.tell_direct(to, utterance(append, session, id), position, prev, at);
            }
            Ticket::Open { .. }
            | Ticket::Hello(_)
            | Ticket::Rename { .. }
            | Ticket::Question { .. }
            | Ticket::ReadOf { .. }
            | Ticket::Replay { .. }
            | Ticket::Mail { .. }
            | Ticket::Silent(_) => {}
        }
    }

    fn not_committed(&mut self, append: Append<Ticket>, reply: Reply) {
        match append.ticket {
            Ticket::Talk { session, id, .. } => {
                self.answer(session, id, reply);
                if let LogId::Room(room) = &append.log {
                    self.home_settled(room);
                }
            }
            Ticket::Direct { session, id, .. } => self.answer(session, id, reply),
            Ticket::Open { .. }
            | Ticket::Hello(_)
            | Ticket::Rename { .. }
            | Ticket::Question { .. }
            | Ticket::ReadOf { .. }
            | Ticket::Replay { .. }
            | Ticket::Mail { .. }
            | Ticket::Silent(_) => {}
        }
    }

    /// A talk of this room has come back from the store.
    fn home_settled(&mut self, room: &RoomName) {
        self.home.settled(room);
        self.forget_head(room);
    }

    /// Forgets where the log of a closed room stands: the store is asked again when it is opened.
    pub(super) fn forget_head(&mut self, room: &RoomName) {
        if !self.home.knows(room)
            && let Some(store) = &mut self.store
        {
            store.heads.remove(room);
        }
    }

    fn store_answered(&mut self, ticket: Ticket, answer: Answer) {
        match (ticket, answer) {
            (Ticket::Open { room, .. }, Answer::Head { head, .. }) => self.opened(&room, head),
            (Ticket::Hello(session), Answer::Name { user, claim }) => self.claimed(session, user, claim),
            (Ticket::Rename { session, id }, Answer::Name { user, claim }) => {
                self.rename_claimed(session, id, user, claim)
            }
            (
                Ticket::Question {
                    session,
                    id,
                    conversation,
                },
                answer,
            ) => self.answer_question(session, id, conversation, answer),
            (Ticket::ReadOf { session, number }, Answer::Marked { seq, .. }) => self.read_known(session, number, seq),
            (Ticket::Replay { session, number }, Answer::Page { head, talks, .. }) => {
                self.replay_page(session, number, &head, talks);
            }
            (Ticket::Mail { session, number }, Answer::Conversations { user, conversations }) => {
                if self.reads(session, number) {
                    self.mail_found(session, &user, conversations);
                }
            }
            (
                Ticket::Mail { session, number },
                Answer::Page {
                    log: LogId::Pair(pair),
                    head,
                    talks,
                    more,
                },
            ) => {
                if self.reads(session, number) {
                    self.mail_page(session, &pair, &head, talks, more);
                }
            }
            // A read position that nobody waits for.
            (Ticket::Silent(_), _) => {}
            (ticket, answer) => tracing::error!(?ticket, ?answer, "the store answered another question than was asked"),
        }
    }

    fn store_unanswered(&mut self, ticket: Ticket, ask: &Ask, why: &StoreFault) {
        tracing::warn!(?ask, %why, "the store could not answer");
        let refusal = store_failed(why);
        match ticket {
            Ticket::Open { room, .. } => {
                let parked = self
                    .store
                    .as_mut()
                    .and_then(|store| store.opening.remove(&room))
                    .unwrap_or_default();
                for message in parked {
                    self.refuse_parked(message, refusal.clone());
                }
            }
            Ticket::Hello(session) => self.hello_failed(session, refusal),
            Ticket::Rename { session, id } => {
                self.refuse(session, id, refusal);
                self.renaming_ended(session);
            }
            Ticket::Question { session, id, .. } => {
                self.refuse(session, id, refusal);
                self.question_answered(session);
            }
            Ticket::ReadOf { session, number } => self.read_known(session, number, 0),
            Ticket::Replay { session, number } => self.replay_failed(session, number),
            Ticket::Mail { session, number } => {
                if self.reads(session, number) {
                    self.mail_failed(session, refusal);
                }
            }
            Ticket::Talk { .. } | Ticket::Direct { .. } | Ticket::Silent(_) => {}
        }
    }

    fn opened(&mut self, room: &RoomName, head: LogHead) {
        self.home.open_stored(room, head.position());
        let Some(store) = &mut self.store else { return };
        store.heads.insert(room.clone(), head);
        for message in store.opening.remove(room).unwrap_or_default() {
            self.at_home(message);
        }
    }

    fn refuse_parked(&mut self, message: ToHome, refusal: Refusal) {
        match message {
            ToHome::Join { room, arrival, id, .. } => {
                self.send(
                    arrival.session.shard,
                    ToShard::JoinRefused {
                        session: arrival.session,
                        id,
                        room,
                        refusal,
                    },
                );
            }
            ToHome::Leave { room, session, id, .. } => {
                self.send(session.shard, ToShard::Dismiss { session, id, room });
            }
            ToHome::Talk { said, .. } => self.answer(said.session, said.id, Reply::Error(refusal)),
            ToHome::SetTopic { session, id, .. } | ToHome::Users { session, id, .. } => {
                self.answer(session, id, Reply::Error(refusal));
            }
            ToHome::Rename { .. }
            | ToHome::Typing { .. }
            | ToHome::System { .. }
            | ToHome::Greet { .. }
            | ToHome::Rooms { .. }
            | ToHome::Direct { .. } => {}
        }
    }

    /// Where a session that joins a kept room goes on, and what it will never get.
    pub(super) fn go_on(&self, room: &RoomName, since: Since) -> (Since, Vec<LostInterval>) {
        let head = self.store.as_ref().and_then(|store| store.heads.get(room));
        match (head, since) {
            // What is no longer stored was not asked for, so it is not missing.
            (Some(head), Since::Last(count)) => {
                let seq = head
                    .seq
                    .saturating_sub(u64::from(count))
                    .max(head.first.saturating_sub(1));
                (Since::Position(Position { epoch: head.epoch, seq }), Vec::new())
            }
            (Some(head), Since::Position(position)) => {
                let go_on = head.go_on(position);
                (
                    Since::Position(Position {
                        epoch: head.epoch,
                        seq: go_on.after,
                    }),
                    go_on.lost,
                )
            }
            (_, since) => (since, Vec::new()),
        }
    }

    // ------------------------------------------------------------------------------------------- what was missed

    /// A session has been admitted: it is told, and given what it missed.
    pub(super) fn welcome_member(
        &mut self,
        id: SessionId,
        request: RequestId,
        joined: Joined,
        lost: Vec<LostInterval>,
    ) {
        let resumes = joined.from < joined.head.seq || !lost.is_empty();
        let user = self
            .connection(id)
            .and_then(|c| c.session.as_ref())
            .map(|session| session.name.clone());
        if joined.history
            && resumes
            && let Some(user) = user
        {
            // Nothing of the room may pass before the answer to the join.
            self.hold(id, &joined.room);
            let ask = Ask::MarkOf {
                log: LogId::Room(joined.room.clone()),
                user,
            };
            let number = self.next_reading(id);
            if self.ask_store(ask, Ticket::ReadOf { session: id, number }) {
                if let Some(session) = self.session(id) {
                    session.welcomes.push(Welcoming {
                        number,
                        request,
                        joined: Box::new(joined),
                        lost,
                    });
                }
                return;
            }
        }
        self.tell_joined(id, request, joined, lost);
    }

    fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.connection(id)?.session.as_deref_mut()
    }

    fn is_held(&mut self, id: SessionId, room: &RoomName) -> bool {
        self.member(id, room).is_some_and(|member| member.held)
    }

    /// A number for what this session is to be given from the store next.
    pub(super) fn next_reading(&mut self, id: SessionId) -> u32 {
        self.session(id).map_or(0, |session| {
            session.readings = session.readings.wrapping_add(1);
            session.readings
        })
    }

    /// The read position for an answer to a join is known.
    fn read_known(&mut self, id: SessionId, number: u32, read: Seq) {
        let Some(session) = self.session(id) else { return };
        let Some(at) = session.welcomes.iter().position(|welcome| welcome.number == number) else {
            return;
        };
        let Welcoming {
            request,
            mut joined,
            lost,
            ..
        } = session.welcomes.remove(at);
        joined.read = read;
        self.tell_joined(id, request, *joined, lost);
    }

    /// A member goes: it is told that it had joined, if that is still to be said, and given no more of what it missed.
    pub(super) fn end_replay(&mut self, id: SessionId, room: &RoomName) {
        let Some(session) = self.session(id) else { return };
        let welcome = session
            .welcomes
            .iter()
            .position(|welcome| welcome.joined.room == *room)
            .map(|at| session.welcomes.remove(at));
        let first = session.replays.first().is_some_and(|replay| replay.room == *room);
        session.replays.retain(|replay| replay.room != *room);
        if let Some(Welcoming {
            request, joined, lost, ..
        }) = welcome
        {
            self.say_joined(id, request, *joined, lost);
        }
        if first {
            self.replay_on(id);
        }
    }

    fn say_joined(&mut self, id: SessionId, request: RequestId, joined: Joined, lost: Vec<LostInterval>) {
        let room = joined.room.clone();
        self.reply(id, request, &Reply::Joined(Box::new(joined)));
        for LostInterval { epoch, from, to } in lost {
            let conversation = Conversation::Room(room.clone());
            self.reply(
                id,
                None,
                &Reply::Gap {
                    conversation,
                    epoch,
                    from,
                    to,
                    lost: true,
                },
            );
        }
        self.answered(id);
    }

    fn tell_joined(&mut self, id: SessionId, request: RequestId, joined: Joined, lost: Vec<LostInterval>) {
        let (room, after, head) = (joined.room.clone(), joined.from, joined.head.seq);
        let history = joined.history;
        self.say_joined(id, request, joined, lost);
        if after >= head && !self.is_held(id, &room) {
            return;
        }
        self.hold(id, &room);
        let number = self.next_reading(id);
        if let Some(session) = self.session(id) {
            session.replays.push(Replay {
                number,
                room,
                after,
                target: head,
                history,
                asked: false,
            });
        }
        // One conversation after the other.
        if self
            .connection(id)
            .and_then(|c| c.session.as_ref())
            .is_some_and(|session| session.replays.len() == 1)
        {
            self.replay_on(id);
        }
    }

    /// Goes on with the replay at hand: from the ring where it holds all, else with a page of the store.
    pub(super) fn replay_on(&mut self, id: SessionId) {
        loop {
            let Some(connection) = self.connection(id) else { return };
            if connection.private_bytes() > limits::PRIVATE_BYTES {
                // It goes on when this much has been written: a slow reader costs one page of memory.
                return;
            }
            let connection_waits = connection.outgoing.is_some();
            let Some(replay) = connection
                .session
                .as_ref()
                .and_then(|session| session.replays.first().cloned())
            else {
                return;
            };
            let Some(place) = self.room_places.get(&replay.room).copied() else {
                return self.replay_done(id);
            };
            let Some(room) = self.rooms.get(place as usize) else {
                return self.replay_done(id);
            };
            if replay.after < replay.target {
                let (from, talks) = room.ring.talks_after(replay.after, limits::REPLAY_TALKS);
                if from <= replay.after {
                    let upto = match talks.last().map(|event| &event.happening) {
                        Some(Happening::Talk(last)) if talks.len() == limits::REPLAY_TALKS => {
                            last.seq.min(replay.target)
                        }
                        _ => replay.target,
                    };
                    for event in talks {
                        if let Happening::Talk(talk) = &event.happening
                            && talk.seq <= replay.target
                        {
                            let talk = Arc::new(talk.clone());
                            self.reply(
                                id,
                                None,
                                &Reply::Replayed {
                                    room: replay.room.clone(),
                                    talk,
                                },
                            );
                        }
                    }
                    self.replayed_upto(id, upto);
                    continue;
                }
                if !replay.history {
                    let until = from.min(replay.target);
                    self.tell_gap(id, &replay.room, replay.after + 1, until);
                    self.replayed_upto(id, until);
                    continue;
                }
                if replay.asked {
                    return;
                }
                let ask = Ask::Page {
                    log: LogId::Room(replay.room.clone()),
                    window: Window::After(replay.after),
                    limit: limits::HISTORY_PAGE_TALKS,
                };
                let ticket = Ticket::Replay {
                    session: id,
                    number: replay.number,
                };
                if !self.ask_store(ask, ticket) {
                    self.tell_gap(id, &replay.room, replay.after + 1, replay.target);
                    self.replayed_upto(id, replay.target);
                    continue;
                }
                self.replay_asked(id, true);
                return;
            }
            if connection_waits {
                // Live events would pile up behind what the socket has not taken: it goes on when that is out.
                return;
            }
            // Everything up to where the cursor began: does the ring still go on from there?
            let Some(target) = self.release(id, &replay.room) else {
                // At once, before the ring can move on.
                if self.catch_up(id) {
                    self.wait_writable(id);
                }
                return self.replay_done(id);
            };
            if let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut())
                && let Some(first) = session.replays.first_mut()
            {
                first.target = target;
            }
        }
    }

    fn replay_asked(&mut self, id: SessionId, asked: bool) {
        if let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut())
            && let Some(first) = session.replays.first_mut()
        {
            first.asked = asked;
        }
    }

    fn replayed_upto(&mut self, id: SessionId, seq: Seq) {
        if let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut())
            && let Some(first) = session.replays.first_mut()
        {
            first.after = first.after.max(seq);
        }
    }

    fn tell_gap(&mut self, id: SessionId, room: &RoomName, from: Seq, to: Seq) {
        let epoch = self
            .room_places
            .get(room)
            .and_then(|place| self.rooms.get(*place as usize))
            .map_or(0, |r| r.epoch);
        let lost = !self.keeps(room);
        let conversation = Conversation::Room(room.clone());
        self.reply(
            id,
            None,
            &Reply::Gap {
                conversation,
                epoch,
                from,
                to,
                lost,
            },
        );
    }

    /// Lets a member read on from its cursor if the ring still has it; else where the next replay is to end.
    fn release(&mut self, id: SessionId, name: &RoomName) -> Option<Seq> {
        let place = self.room_places.get(name).copied()?;
        let room = self.rooms.get_mut(place as usize)?;
        let connection = self.connections.get(id.slot as usize)?;
        let membership = connection
            .memberships
            .iter()
            .find(|membership| membership.room == place)?;
        let member = room.members.get_mut(membership.member as usize)?;
        if member.cursor >= room.ring.base() {
            member.held = false;
            return None;
        }
        member.cursor = room.ring.end();
        member.seq = room.ring.head_seq();
        Some(member.seq)
    }

    fn replay_done(&mut self, id: SessionId) {
        let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut()) else {
            return;
        };
        if !session.replays.is_empty() {
            session.replays.remove(0);
        }
        if !session.replays.is_empty() {
            self.replay_on(id);
        }
    }

    /// The replay at hand, if it is the one that asked; it has its answer.
    fn replay_of(&mut self, id: SessionId, number: u32) -> Option<Replay> {
        let replay = self.session(id)?.replays.first_mut()?;
        if replay.number != number {
            return None;
        }
        replay.asked = false;
        Some(replay.clone())
    }

    fn replay_page(&mut self, id: SessionId, number: u32, head: &LogHead, talks: Vec<Talk>) {
        let Some(replay) = self.replay_of(id, number) else {
            return;
        };
        let room = &replay.room;
        // Retention may have been faster than the replay.
        let next = talks
            .first()
            .map_or(replay.target + 1, |talk| talk.seq)
            .min(replay.target + 1);
        if next > replay.after + 1 {
            let conversation = Conversation::Room(room.clone());
            let (from, to) = (replay.after + 1, next - 1);
            self.reply(
                id,
                None,
                &Reply::Gap {
                    conversation,
                    epoch: head.epoch,
                    from,
                    to,
                    lost: true,
                },
            );
        }
        let mut upto = next - 1;
        for talk in talks {
            if talk.seq > replay.target {
                break;
            }
            upto = talk.seq;
            self.reply(
                id,
                None,
                &Reply::Replayed {
                    room: room.clone(),
                    talk: Arc::new(talk),
                },
            );
            if self
                .connection(id)
                .is_none_or(|connection| connection.private_bytes() > limits::PRIVATE_BYTES)
            {
                // The rest is read again when this much has been written.
                break;
            }
        }
        self.replayed_upto(id, upto);
        self.replay_on(id);
    }

    fn replay_failed(&mut self, id: SessionId, number: u32) {
        let Some(replay) = self.replay_of(id, number) else {
            return;
        };
        self.tell_gap(id, &replay.room, replay.after + 1, replay.target);
        self.replayed_upto(id, replay.target);
        self.replay_on(id);
    }

    /// What waited has been written: a replay may go on.
    pub(super) fn replay_after_write(&mut self, id: SessionId) {
        let Some(session) = self.connection(id).and_then(|connection| connection.session.as_ref()) else {
            return;
        };
        if session.replays.first().is_some_and(|replay| !replay.asked) {
            self.replay_on(id);
        }
    }

    // ------------------------------------------------------------------------------------------- questions

    /// History, search, read and unread: asked of the store, if the session may know.
    pub(super) fn question(&mut self, id: SessionId, request: RequestId, question: Question) {
        if self.store.is_none() {
            return self.refuse(
                id,
                request,
                ErrorCode::NoHistory.because("this server keeps no history"),
            );
        }
        let Some(user) = self
            .connection(id)
            .and_then(|c| c.session.as_ref())
            .map(|session| session.name.clone())
        else {
            return;
        };
        let conversation = question.conversation().cloned();
        let log = match conversation
            .as_ref()
            .map(|conversation| self.log_for(id, &user, conversation))
        {
            None => None,
            Some(Ok(log)) => Some(log),
            Some(Err(refusal)) => return self.refuse(id, request, refusal),
        };
        let ask = match (question, log) {
            (
                Question::History {
                    before, after, limit, ..
                },
                Some(log),
            ) => {
                let window = match (before, after) {
                    (Some(before), _) => Window::Before(before),
                    (None, Some(after)) => Window::After(after),
                    (None, None) => Window::Newest,
                };
                Ask::Page { log, window, limit }
            }
            (
                Question::Search {
                    text, before, limit, ..
                },
                Some(log),
            ) => Ask::Search {
                log,
                text,
                before,
                limit,
            },
            (Question::Read { seq, .. }, Some(log)) => Ask::Mark { log, user, seq },
            (Question::Unread, _) => {
                if !self.owns_mail(id) {
                    return self.refuse(id, request, reserved(&user));
                }
                Ask::Conversations {
                    user,
                    which: Which::Unread,
                }
            }
            (Question::History { .. } | Question::Search { .. } | Question::Read { .. }, None) => return,
        };
        if self.ask_store(
            ask,
            Ticket::Question {
                session: id,
                id: request,
                conversation,
            },
        ) {
            if let Some(connection) = self.connection(id) {
                connection.underway += 1;
                connection.questions += 1;
            }
        } else {
            self.refuse(id, request, busy_store());
        }
    }

    fn question_answered(&mut self, id: SessionId) {
        if let Some(connection) = self.connection(id) {
            connection.questions = connection.questions.saturating_sub(1);
        }
        self.answered(id);
    }

    fn log_for(&mut self, id: SessionId, user: &UserName, conversation: &Conversation) -> Result<LogId, Refusal> {
        match conversation {
            Conversation::Room(room) => {
                if !self.keeps(room) {
                    return Err(ErrorCode::NoHistory.because(format!("the talks of the room {room} are not kept")));
                }
                let place = self.room_places.get(room).copied();
                let member = self.connection(id).is_some_and(|connection| {
                    connection
                        .memberships
                        .iter()
                        .any(|membership| Some(membership.room) == place)
                });
                if !member {
                    let text = format!("this session is not in the room {room}; join it first");
                    return Err(ErrorCode::NotMember.because(text));
                }
                Ok(LogId::Room(room.clone()))
            }
            Conversation::Peer(peer) => {
                if !self.owns_mail(id) {
                    return Err(reserved(user));
                }
                Ok(LogId::Pair(UserPair::of(user, peer)))
            }
        }
    }

    fn owns_mail(&mut self, id: SessionId) -> bool {
        self.connection(id)
            .and_then(|connection| connection.session.as_ref())
            .is_some_and(|session| session.owns_mail)
    }

    fn answer_question(
        &mut self,
        id: SessionId,
        request: RequestId,
        conversation: Option<Conversation>,
        answer: Answer,
    ) {
        let reply = match (answer, conversation) {
            (Answer::Page { head, talks, more, .. }, Some(conversation)) => {
                let (epoch, first) = (head.epoch, head.first);
                Reply::History(Box::new(HistoryPage {
                    conversation,
                    epoch,
                    talks,
                    more,
                    first,
                }))
            }
            (Answer::Found { head, talks, next, .. }, Some(conversation)) => {
                let (epoch, first) = (head.epoch, head.first);
                let page = Box::new(HistoryPage {
                    conversation,
                    epoch,
                    talks,
                    more: next.is_some(),
                    first,
                });
                Reply::Search { page, next }
            }
            (Answer::Marked { seq, unread, .. }, Some(conversation)) => Reply::ReadMark {
                conversation,
                seq,
                unread,
            },
            (Answer::Conversations { user, conversations }, _) => Reply::UnreadList(
                conversations
                    .into_iter()
                    .filter_map(|conversation| unread_entry(&user, conversation))
                    .collect(),
            ),
            (answer, _) => {
                tracing::error!(?answer, "the store answered another question than was asked");
                Reply::Error(ErrorCode::StoreFailed.because("the store gave no answer"))
            }
        };
        self.reply(id, request, &reply);
        self.question_answered(id);
    }
}

/// What a session may ask of the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Question {
    /// Stored talks.
    History {
        /// Of what.
        conversation: Conversation,
        /// Below this.
        before: Option<Seq>,
        /// Above this.
        after: Option<Seq>,
        /// At most this many.
        limit: usize,
    },
    /// Talks that hold a text.
    Search {
        /// In what.
        conversation: Conversation,
        /// The text.
        text: Arc<str>,
        /// Below this.
        before: Option<Seq>,
        /// At most this many.
        limit: usize,
    },
    /// A read position moves.
    Read {
        /// Where.
        conversation: Conversation,
        /// Up to here.
        seq: Seq,
    },
    /// Conversations with something unread.
    Unread,
}

impl Question {
    fn conversation(&self) -> Option<&Conversation> {
        match self {
            Self::History { conversation, .. }
            | Self::Search { conversation, .. }
            | Self::Read { conversation, .. } => Some(conversation),
            Self::Unread => None,
        }
    }
}

pub(super) fn reserved(name: &UserName) -> Refusal {
    ErrorCode::NameReserved.because(format!(
        "{name} has stored messages that only the holder of the name's key may read; give the key that welcome once gave, or take another name"
    ))
}

fn busy_store() -> Refusal {
    ErrorCode::Busy
        .because("the store has as much to do as it may hold; try again in a moment")
        .retry_after(limits::BUSY_RETRY)
}

fn store_failed(why: &StoreFault) -> Refusal {
    ErrorCode::StoreFailed.because(match why {
        StoreFault::Full { .. } => "the disk is full; nothing was sent, try again later".to_owned(),
        StoreFault::ReadOnly { .. } => "the store cannot be written; nothing was sent, try again later".to_owned(),
        StoreFault::Damaged { .. } | StoreFault::Broken { .. } => {
            "the store has a fault that its operator has to look at; nothing was sent".to_owned()
        }
        StoreFault::Refused { seen } => seen.clone(),
        StoreFault::Stopping => "the server is going down; nothing was sent".to_owned(),
    })
}

fn utterance(append: Append<Ticket>, session: SessionId, id: RequestId) -> Utterance {
    let Append {
        from,
        session: tag,
        text,
        kind,
        key,
        ..
    } = append;
    Utterance {
        session,
        id,
        from,
        tag,
        text,
        kind,
        key,
    }
}

fn unread_entry(user: &UserName, conversation: ConversationHead) -> Option<UnreadEntry> {
    let ConversationHead {
        log,
        head,
        read,
        unread,
    } = conversation;
    let conversation = match log {
        LogId::Room(room) => Conversation::Room(room),
        LogId::Pair(pair) => Conversation::Peer(pair.peer_of(user)?.clone()),
    };
    Some(UnreadEntry {
        conversation,
        epoch: head.epoch,
        read,
        head: head.seq,
        unread,
    })
}
