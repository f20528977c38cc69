//! Which stored direct messages a device is still to be given, and in which order they are read.
//!
//! Two kinds of positions are kept apart. A [`Device`] knows up to where the device has a conversation. [`Left`] knows from where
//! live messages were left to the store because its socket was slow, which says nothing about what the device has. The first
//! kind bounds what is read where it is known, so no message comes twice; the second kind finds it, so none is left out, whatever
//! other devices read.
//!
//! No I/O: [`Reading::next`] says what is to be done, and the caller says what came of it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    chat::{ChatMessage, Direct, Position, Seq, UserName},
    history::{ChangedConversation, ChangedUpTo, ConversationHead, LogId, LostInterval},
    limits,
    shard::direct::{device::Device, event::DirectEvent},
};

/// From where live messages were left to the store.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// By the other user; at most [`limits::INBOX_LIVE_MESSAGES`].
    from: BTreeMap<UserName, LeftFrom>,
    /// The lowest stored time of any message of conversations that did not fit in `from`. Within a conversation times never go
    /// back, so the newest message of each of these is of this time or later, whatever the clock did meanwhile.
    since: Option<u64>,
}

#[derive(Debug)]
struct LeftFrom {
    /// The message before the first that was left.
    before: Seq,
    /// The last that was left.
    last: Position,
}

impl Left {
    fn note(&mut self, direct: &Direct, peer: &UserName) {
        let ChatMessage {
            epoch, seq, prev, at, ..
        } = direct.message;
        let last = Position { epoch, seq };
        if let Some(known) = self.from.get_mut(peer) {
            known.last = last;
        } else if self.from.len() < limits::INBOX_LIVE_MESSAGES {
            self.from.insert(peer.clone(), LeftFrom { before: prev, last });
        } else {
            self.since = Some(self.since.map_or(at, |since| since.min(at)));
        }
    }
}

/// Stored direct messages on their way to a device.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Which reading of the session's this is; answers to an earlier one are passed over.
    number: u32,
    /// Positions that the client brought and the store has not been asked about.
    brought: Vec<(UserName, Position)>,
    listing: Listing,
    /// Conversations to be read.
    pending: VecDeque<Unfinished>,
    /// What was said meanwhile, as far as it fits in memory; all of it before what was `left`.
    live: VecDeque<Arc<DirectEvent>>,
    live_bytes: usize,
    left: Left,
    store: Asking,
}

/// Which conversations are looked for when none is pending.
#[derive(Debug)]
enum Listing {
    /// Those in which something waited when the device came.
    Waiting,
    /// Those in which live messages may have been left to the store that were not noted one by one.
    Changed { since: u64, after: Option<ChangedUpTo> },
    /// None.
    Done,
}

#[derive(Debug)]
struct Unfinished {
    peer: UserName,
    after: Seq,
    /// Where it stood when it was found.
    head: Position,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    No,
    /// The answer will come.
    Asked,
    /// The store had no room for the question: it is asked again.
    Refused,
}

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Something else has to happen first.
    Wait,
    /// Which conversations wait, these among them?
    Waiting(Vec<UserName>),
    /// In which did somebody write since then?
    Changed { since: u64, after: Option<ChangedUpTo> },
    /// What stands in this one behind that?
    Page { peer: UserName, after: Seq },
    /// A live message follows.
    Tell(Arc<DirectEvent>),
    /// The device has everything.
    End,
}

/// What could not be read of an answer that did not come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// What waited when the device came: it is not known where.
    Waiting,
    /// What was left to the store: it is not known where.
    Left,
    /// The rest of one conversation.
    Rest(UserName, LostInterval),
}

impl Reading {
    /// The messages of a device that has come.
    pub(crate) fn arrived(number: u32, brought: Vec<(UserName, Position)>) -> Self {
        Self::new(number, brought, Listing::Waiting)
    }

    /// Those of a device whose socket is slow: from now on they are left to the store.
    pub(crate) fn behind(number: u32) -> Self {
        Self::new(number, Vec::new(), Listing::Done)
    }

    fn new(number: u32, brought: Vec<(UserName, Position)>, listing: Listing) -> Self {
        Self {
            number,
            brought,
            listing,
            pending: VecDeque::new(),
            live: VecDeque::new(),
            live_bytes: 0,
            left: Left::default(),
            store: Asking::No,
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.store == Asking::Refused
    }

    /// The step to be taken now. One that asks the store is followed by [`Reading::asked`] or [`Reading::refused`].
    pub(crate) fn next(&mut self, device: Option<&Device>) -> Step {
        if self.store != Asking::No {
            return Step::Wait;
        }
        if self.pending.is_empty()
            && let Listing::Done = self.listing
        {
            if let Some(direct) = self.live.pop_front() {
                self.live_bytes -= direct.message.text.len();
                return Step::Tell(direct);
            }
            self.read_left(device);
        }
        if let Some(Unfinished { peer, after, .. }) = self.pending.front() {
            return Step::Page {
                peer: peer.clone(),
                after: *after,
            };
        }
        match &self.listing {
            Listing::Waiting => Step::Waiting(self.brought.iter().map(|(peer, _)| peer.clone()).collect()),
            Listing::Changed { since, after } => Step::Changed {
                since: *since,
                after: *after,
            },
            Listing::Done => Step::End,
        }
    }

    /// What was left to the store so far is to be read: it was committed before anybody was told of it.
    fn read_left(&mut self, device: Option<&Device>) {
        let Left { from, since } = std::mem::take(&mut self.left);
        for (peer, LeftFrom { before, last }) in from {
            let after = device.and_then(|device| device.upto(&peer)).unwrap_or(before);
            self.read_from(peer, after, last);
        }
        if let Some(since) = since {
            self.listing = Listing::Changed { since, after: None };
        }
    }

    pub(crate) fn asked(&mut self) {
        self.store = Asking::Asked;
    }

    pub(crate) fn refused(&mut self) {
        self.store = Asking::Refused;
    }

    /// The store has answered, or may be asked again.
    pub(crate) fn answered(&mut self) {
        self.store = Asking::No;
    }

    /// A live message that has to wait: in memory while the store answers, in the store while the socket is full or memory is.
    pub(crate) fn wait(&mut self, direct: &Arc<DirectEvent>, peer: &UserName) {
        let fits = self.live.len() < limits::INBOX_LIVE_MESSAGES
            && self.live_bytes + direct.message.text.len() <= limits::PRIVATE_BYTES;
        if self.left.from.is_empty() && self.store != Asking::No && fits {
            self.live_bytes += direct.message.text.len();
            self.live.push_back(direct.clone());
        } else {
            self.left.note(direct, peer);
        }
    }

    /// The conversations of `user` that waited are known; what the device had of them and the server has not any more.
    pub(crate) fn found_waiting(
        &mut self,
        device: &mut Option<Box<Device>>,
        user: &UserName,
        conversations: Vec<ConversationHead>,
        more: bool,
    ) -> Vec<(UserName, LostInterval)> {
        let mut gaps = Vec::new();
        let brought = std::mem::take(&mut self.brought);
        self.listing = Listing::Done;
        if conversations.is_empty() && !more {
            return gaps;
        }
        let device = device.get_or_insert_default();
        device.set_incomplete(more);
        for ConversationHead { log, head, read, .. } in conversations {
            let LogId::Pair(pair) = log else { continue };
            let Some(peer) = pair.peer_name(user) else { continue };
            let after = match brought.iter().find(|(known, _)| *known == peer) {
                Some((_, position)) => {
                    let go_on = head.go_on(*position);
                    gaps.extend(go_on.lost.into_iter().map(|lost| (peer.clone(), lost)));
                    go_on.after
                }
                // What retention deleted before the device came was not missed by it.
                None => read.max(head.first.saturating_sub(1)),
            };
            device.note_waiting(&peer, after);
            self.read_from(peer, after, head.position());
        }
        gaps
    }

    /// Conversations in which somebody wrote since live messages were left to the store are known. What the device has counts
    /// before the time, which is the same for all of them.
    pub(crate) fn found_changed(
        &mut self,
        device: Option<&Device>,
        conversations: Vec<ChangedConversation>,
        next: Option<ChangedUpTo>,
    ) {
        for ChangedConversation { peer, head, before } in conversations {
            let after = device.and_then(|device| device.upto(&peer)).unwrap_or(before);
            self.read_from(peer, after, head.position());
        }
        match &mut self.listing {
            Listing::Changed { after, .. } if next.is_some() => *after = next,
            Listing::Changed { .. } | Listing::Waiting | Listing::Done => self.listing = Listing::Done,
        }
    }

    fn read_from(&mut self, peer: UserName, after: Seq, head: Position) {
        if after < head.seq {
            self.pending.push_back(Unfinished { peer, after, head });
        }
    }

    /// The device was given the conversation at hand up to here, of what is stored up to `head`.
    pub(crate) fn given(&mut self, device: &mut Device, upto: Seq, head: Seq) {
        let Some(first) = self.pending.front_mut() else { return };
        first.after = first.after.max(upto);
        device.given(&first.peer, first.after);
        if first.after >= head {
            self.pending.pop_front();
        }
    }

    /// The store could not answer the question at hand: the reading goes on without what it was for.
    pub(crate) fn unanswered(&mut self, device: &mut Device) -> Unread {
        if let Some(Unfinished { peer, after, head }) = self.pending.pop_front() {
            device.given(&peer, head.seq);
            let rest = LostInterval {
                epoch: head.epoch,
                from: after + 1,
                to: head.seq,
            };
            return Unread::Rest(peer, rest);
        }
        match std::mem::replace(&mut self.listing, Listing::Done) {
            Listing::Waiting | Listing::Done => {
                self.brought.clear();
                device.set_incomplete(true);
                Unread::Waiting
            }
            Listing::Changed { .. } => Unread::Left,
        }
    }

    /// Bytes of live messages that wait in memory.
    #[cfg(test)]
    pub(crate) fn live_bytes(&self) -> usize {
        self.live_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chat::{MessageKind, SessionTag},
        codec::Dialects,
        history::{LogHead, UserPair},
    };

    const EPOCH: u64 = 7;

    fn name(name: &str) -> UserName {
        UserName::parse(name).unwrap()
    }

    fn direct(from: &str, seq: Seq, at: u64) -> Arc<DirectEvent> {
        direct_behind(from, seq - 1, seq, at)
    }

    fn direct_behind(from: &str, prev: Seq, seq: Seq, at: u64) -> Arc<DirectEvent> {
        let direct = Direct {
            to: name("bob"),
            message: ChatMessage {
                epoch: EPOCH,
                seq,
                prev,
                at,
                from: name(from),
                session: SessionTag(1),
                kind: MessageKind::Text,
                text: "x".into(),
                echo: None,
            },
        };
        Arc::new(DirectEvent::new(direct, Dialects::default()))
    }

    fn head(seq: Seq, first: Seq) -> LogHead {
        LogHead {
            epoch: EPOCH,
            seq,
            first,
            ..LogHead::default()
        }
    }

    fn waits(peer: &str, read: Seq, head: LogHead) -> ConversationHead {
        ConversationHead {
            log: LogId::Pair(UserPair::of(&name("bob"), &name(peer))),
            head,
            read,
            unread: 1,
        }
    }

    /// The pages that are asked for, each answered in full, up to another step.
    fn pages(reading: &mut Reading, device: &mut Option<Box<Device>>) -> (Vec<(String, Seq)>, Step) {
        let mut pages = Vec::new();
        loop {
            match reading.next(device.as_deref()) {
                Step::Page { peer, after } => {
                    pages.push((peer.as_str().to_owned(), after));
                    let head = reading.pending.front().unwrap().head.seq;
                    reading.given(device.get_or_insert_default(), head, head);
                }
                step => return (pages, step),
            }
        }
    }

    #[test]
    fn where_live_messages_were_left_says_nothing_about_what_the_device_has() {
        let (mut reading, mut device) = (Reading::arrived(1, Vec::new()), None);
        // Before it is known what waits: message 265 of 300.
        reading.wait(&direct("ann", 265, 5), &name("ann"));
        let found = vec![waits("ann", 10, head(300, 1))];
        assert_eq!(reading.found_waiting(&mut device, &name("bob"), found, false), []);
        let (asked, step) = pages(&mut reading, &mut device);
        assert_eq!(asked, [("ann".to_owned(), 10)]);
        assert!(matches!(step, Step::End), "{step:?}");
        assert!(device.unwrap().has(&name("ann"), 300));
    }

    #[test]
    fn what_was_left_to_the_store_is_read_from_the_message_before_it_also_where_numbers_have_holes() {
        let (mut reading, mut device) = (Reading::behind(1), None);
        reading.wait(&direct_behind("ann", 265, 300, 5), &name("ann"));
        reading.wait(&direct_behind("ann", 300, 412, 6), &name("ann"));
        let (asked, step) = pages(&mut reading, &mut device);
        assert_eq!(asked, [("ann".to_owned(), 265)]);
        assert!(matches!(step, Step::End), "{step:?}");
        assert!(device.unwrap().has(&name("ann"), 412));
    }

    #[test]
    fn a_position_that_was_brought_is_compared_with_the_log_and_what_retention_took_before_is_no_gap() {
        let position = Position { epoch: EPOCH, seq: 2 };
        let (mut reading, mut device) = (Reading::arrived(1, vec![(name("ann"), position)]), None);
        let found = vec![waits("ann", 9, head(9, 5)), waits("eve", 1, head(9, 5))];
        let gaps = reading.found_waiting(&mut device, &name("bob"), found, false);
        let lost = LostInterval {
            epoch: EPOCH,
            from: 3,
            to: 4,
        };
        assert_eq!(gaps, [(name("ann"), lost)]);
        let (asked, _) = pages(&mut reading, &mut device);
        assert_eq!(asked, [("ann".to_owned(), 4), ("eve".to_owned(), 4)]);
    }

    #[test]
    fn of_more_conversations_than_are_noted_the_oldest_time_is_looked_for() {
        let (mut reading, mut device) = (Reading::behind(1), None);
        for n in 0..limits::INBOX_LIVE_MESSAGES {
            let peer = format!("{n:03}");
            reading.wait(&direct(&peer, 4, 100), &name(&peer));
        }
        // The clock went back between them.
        for (peer, at) in [("x", 90), ("y", 80), ("z", 95), ("000", 20)] {
            reading.wait(&direct(peer, 4, at), &name(peer));
        }
        let (asked, step) = pages(&mut reading, &mut device);
        assert_eq!(
            (asked.len(), &asked[0]),
            (limits::INBOX_LIVE_MESSAGES, &("000".to_owned(), 3))
        );
        assert!(matches!(step, Step::Changed { since: 80, after: None }), "{step:?}");
        let changed = |peer: &str, before| ChangedConversation {
            peer: name(peer),
            head: head(9, 1),
            before,
        };
        reading.found_changed(device.as_deref(), vec![changed("y", 3), changed("001", 0)], None);
        let (asked, step) = pages(&mut reading, &mut device);
        assert_eq!(asked, [("y".to_owned(), 3), ("001".to_owned(), 4)], "it has 4 of 001");
        assert!(matches!(step, Step::End), "{step:?}");
    }

    #[test]
    fn conversations_that_were_left_out_are_not_whole_until_they_are_listed() {
        let (mut reading, mut device) = (Reading::arrived(1, Vec::new()), None);
        let found = vec![waits("ann", 0, head(3, 1))];
        reading.found_waiting(&mut device, &name("bob"), found, true);
        let mut device = *device.unwrap();
        device.given(&name("eve"), 8);
        assert!(device.has(&name("eve"), 8) && !device.is_whole(&name("eve")));
        assert!(device.is_whole(&name("ann")) && !device.has(&name("ann"), 1));
    }
}
