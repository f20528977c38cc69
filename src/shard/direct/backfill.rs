//! The stored direct messages that a device still needs, and the order in which its session reads them.
//!
//! There are two kinds of positions. [`Skipped`] has the conversations in which the session skipped live messages because its
//! socket was slow. It decides which conversations to read, so that no message is missed, whatever other devices of the user have
//! read. [`Device`] has the position up to which the device has a conversation. It decides where to begin, so that no message
//! comes twice.
//!
//! It does no I/O: [`Backfill::next`] says what to do, and the other methods take the results.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    chat::{ChatMessage, Direct, Position, Seq, UserId},
    history::{ChangedConversation, ChangedUpTo, ConversationHead, LogId, LostInterval},
    limits,
    shard::{direct::device::Device, event::direct::DirectEvent},
};

/// The live messages that the session skipped and must read from the store.
#[derive(Debug, Default)]
pub(crate) struct Skipped {
    /// By the other user; at most [`limits::INBOX_LIVE_MESSAGES`].
    from: BTreeMap<UserId, SkippedFrom>,
    /// The lowest time of any skipped message of a conversation that did not fit in `from`. Within a conversation times never go
    /// back, so the newest message of each such conversation has this time or a later one, whatever the clock did.
    since: Option<u64>,
}

#[derive(Debug)]
struct SkippedFrom {
    /// Number before the first skipped message.
    before: Seq,
    /// The last skipped message.
    last: Position,
}

impl Skipped {
    fn note(&mut self, direct: &Direct, peer: &UserId) {
        let ChatMessage {
            epoch, seq, prev, at, ..
        } = direct.message;
        let last = Position { epoch, seq };
        if let Some(known) = self.from.get_mut(peer) {
            known.last = last;
        } else if self.from.len() < limits::INBOX_LIVE_MESSAGES {
            self.from.insert(peer.clone(), SkippedFrom { before: prev, last });
        } else {
            self.since = Some(self.since.map_or(at, |since| since.min(at)));
        }
    }
}

/// One session's reading of stored direct messages, and the live ones that wait behind it.
#[derive(Debug)]
pub(crate) struct Backfill {
    /// Counts the backfills of the session; answers to an earlier one are ignored.
    number: u32,
    /// The positions of the client's hello, until the store has listed the conversations.
    positions: Vec<(UserId, Position)>,
    lookup: Lookup,
    /// The conversations to read.
    pending: VecDeque<Unfinished>,
    /// Live messages that wait in memory. They are older than all in `skipped`.
    live: VecDeque<Arc<DirectEvent>>,
    live_bytes: usize,
    skipped: Skipped,
    store: Asking,
}

/// The list of conversations to ask for when none is pending.
#[derive(Debug)]
enum Lookup {
    /// Those with unread messages at the session's hello.
    Waiting,
    /// Those with messages since the time [`Skipped::since`].
    Changed { since: u64, after: Option<ChangedUpTo> },
    /// None.
    Done,
}

#[derive(Debug)]
struct Unfinished {
    peer: UserId,
    after: Seq,
    /// Its newest message when it was listed.
    head: Position,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    No,
    /// The store accepted the question and will answer.
    Asked,
    /// The store refused the question, which must be asked again.
    Refused,
}

/// The next step of a backfill.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing: an answer of the store must come first.
    Wait,
    /// Ask for the conversations with unread messages, and for these.
    Waiting(Vec<UserId>),
    /// Ask for the conversations with messages since then.
    Changed { since: u64, after: Option<ChangedUpTo> },
    /// Ask for a page of this conversation.
    Page { peer: UserId, after: Seq },
    /// Send a live message that waited.
    Send(Arc<DirectEvent>),
    /// The backfill is complete.
    End,
}

/// What a session cannot read because the store could not answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The unread messages at its hello, of unknown conversations.
    Waiting,
    /// The skipped live messages, of unknown conversations.
    Skipped,
    /// The rest of one conversation.
    Rest(UserId, LostInterval),
}

impl Backfill {
    /// A backfill for a new session.
    pub(crate) fn at_hello(number: u32, positions: Vec<(UserId, Position)>) -> Self {
        Self::new(number, positions, Lookup::Waiting)
    }

    /// A backfill for a session whose socket is slow: it skips live messages from now on.
    pub(crate) fn when_slow(number: u32) -> Self {
        Self::new(number, Vec::new(), Lookup::Done)
    }

    fn new(number: u32, positions: Vec<(UserId, Position)>, lookup: Lookup) -> Self {
        Self {
            number,
            positions,
            lookup,
            pending: VecDeque::new(),
            live: VecDeque::new(),
            live_bytes: 0,
            skipped: Skipped::default(),
            store: Asking::No,
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.store == Asking::Refused
    }

    /// The next step. After one that asks the store, the caller calls [`Backfill::asked`].
    pub(crate) fn next(&mut self, device: Option<&Device>) -> Step {
        if self.store != Asking::No {
            return Step::Wait;
        }
        if self.pending.is_empty()
            && let Lookup::Done = self.lookup
        {
            if let Some(direct) = self.live.pop_front() {
                self.live_bytes -= direct.message.text.len();
                return Step::Send(direct);
            }
            self.read_skipped(device);
        }
        if let Some(Unfinished { peer, after, .. }) = self.pending.front() {
            return Step::Page {
                peer: peer.clone(),
                after: *after,
            };
        }
        match &self.lookup {
            Lookup::Waiting => Step::Waiting(self.positions.iter().map(|(peer, _)| peer.clone()).collect()),
            Lookup::Changed { since, after } => Step::Changed {
                since: *since,
                after: *after,
            },
            Lookup::Done => Step::End,
        }
    }

    /// Plans to read what was skipped so far. The store has it, because a message is committed before it is live.
    fn read_skipped(&mut self, device: Option<&Device>) {
        let Skipped { from, since } = std::mem::take(&mut self.skipped);
        for (peer, SkippedFrom { before, last }) in from {
            let after = device.and_then(|device| device.upto(&peer)).unwrap_or(before);
            self.read_from(peer, after, last);
        }
        if let Some(since) = since {
            self.lookup = Lookup::Changed { since, after: None };
        }
    }

    /// Records whether the store accepted the question.
    pub(crate) fn asked(&mut self, accepted: bool) {
        self.store = if accepted { Asking::Asked } else { Asking::Refused };
    }

    /// Records an answer of the store, or that the question may be asked again.
    pub(crate) fn answered(&mut self) {
        self.store = Asking::No;
    }

    /// Takes a live message that cannot be sent now. It waits in memory while the store answers. If the socket is slow or the
    /// memory is used up, it is skipped.
    pub(crate) fn wait(&mut self, direct: &Arc<DirectEvent>, peer: &UserId) {
        let fits = self.live.len() < limits::INBOX_LIVE_MESSAGES
            && self.live_bytes + direct.message.text.len() <= limits::PRIVATE_BYTES;
        if self.skipped.from.is_empty() && self.store != Asking::No && fits {
            self.live_bytes += direct.message.text.len();
            self.live.push_back(direct.clone());
        } else {
            self.skipped.note(direct, peer);
        }
    }

    /// Takes the conversations of `user` with unread messages. Returns the intervals that the device lacks and the server has
    /// lost.
    pub(crate) fn found_waiting(
        &mut self,
        device: &mut Option<Box<Device>>,
        user: &UserId,
        conversations: Vec<ConversationHead>,
        more: bool,
    ) -> Vec<(UserId, LostInterval)> {
        let mut gaps = Vec::new();
        let positions = std::mem::take(&mut self.positions);
        self.lookup = Lookup::Done;
        if conversations.is_empty() && !more {
            return gaps;
        }
        let device = device.get_or_insert_default();
        device.set_incomplete(more);
        for ConversationHead { log, head, read, .. } in conversations {
            let LogId::Pair(pair) = log else { continue };
            let Some(peer) = pair.peer_of(user).cloned() else {
                continue;
            };
            let after = match positions.iter().find(|(known, _)| *known == peer) {
                Some((_, position)) => {
                    let go_on = head.go_on(*position);
                    gaps.extend(go_on.lost.into_iter().map(|lost| (peer.clone(), lost)));
                    go_on.after
                }
                // Messages that retention deleted before the session began are no gap.
                None => read.max(head.first.saturating_sub(1)),
            };
            device.note_waiting(&peer, after);
            self.read_from(peer, after, head.position());
        }
        gaps
    }

    /// Takes conversations with messages since [`Skipped::since`]. Begins at the device's position if there is one: it is more
    /// precise than the time, which all conversations share.
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
        match &mut self.lookup {
            Lookup::Changed { after, .. } if next.is_some() => *after = next,
            Lookup::Changed { .. } | Lookup::Waiting | Lookup::Done => self.lookup = Lookup::Done,
        }
    }

    fn read_from(&mut self, peer: UserId, after: Seq, head: Position) {
        if after < head.seq {
            self.pending.push_back(Unfinished { peer, after, head });
        }
    }

    /// Records that the device got the first pending conversation up to `upto`, where the stored messages end at `head`.
    pub(crate) fn record(&mut self, device: &mut Device, upto: Seq, head: Seq) {
        let Some(first) = self.pending.front_mut() else { return };
        first.after = first.after.max(upto);
        device.record(&first.peer, first.after);
        if first.after >= head {
            self.pending.pop_front();
        }
    }

    /// Handles a question that the store could not answer: continues without its answer.
    pub(crate) fn unanswered(&mut self, device: &mut Device) -> Unread {
        if let Some(Unfinished { peer, after, head }) = self.pending.pop_front() {
            device.record(&peer, head.seq);
            let rest = LostInterval {
                epoch: head.epoch,
                from: after + 1,
                to: head.seq,
            };
            return Unread::Rest(peer, rest);
        }
        match std::mem::replace(&mut self.lookup, Lookup::Done) {
            Lookup::Waiting | Lookup::Done => {
                self.positions.clear();
                device.set_incomplete(true);
                Unread::Waiting
            }
            Lookup::Changed { .. } => Unread::Skipped,
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
        codec::Dialects,
        history::{LogHead, UserPair},
        shard::testing::values::{message, user},
    };

    const EPOCH: u64 = 1;

    fn direct(from: &str, seq: Seq, at: u64) -> Arc<DirectEvent> {
        direct_behind(from, seq - 1, seq, at)
    }

    fn direct_behind(from: &str, prev: Seq, seq: Seq, at: u64) -> Arc<DirectEvent> {
        let direct = Direct {
            to: user("bob").receiver().unwrap(),
            message: ChatMessage {
                at,
                ..message(from, prev, seq)
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
            log: LogId::Pair(UserPair::of(user("bob"), user(peer))),
            head,
            read,
            unread: 1,
        }
    }

    /// Answers each question for a page in full. Returns the pages, and the first step that is no page.
    fn pages(backfill: &mut Backfill, device: &mut Option<Box<Device>>) -> (Vec<(String, Seq)>, Step) {
        let mut pages = Vec::new();
        loop {
            match backfill.next(device.as_deref()) {
                Step::Page { peer, after } => {
                    pages.push((peer.stored().to_owned(), after));
                    let head = backfill.pending.front().unwrap().head.seq;
                    backfill.record(device.get_or_insert_default(), head, head);
                }
                step => return (pages, step),
            }
        }
    }

    #[test]
    fn skipped_live_messages_say_nothing_about_what_the_device_has() {
        let (mut backfill, mut device) = (Backfill::at_hello(1, Vec::new()), None);
        // Message 265 of 300, before the conversations are listed.
        backfill.wait(&direct("ann", 265, 5), &user("ann"));
        let found = vec![waits("ann", 10, head(300, 1))];
        assert_eq!(backfill.found_waiting(&mut device, &user("bob"), found, false), []);
        let (asked, step) = pages(&mut backfill, &mut device);
        assert_eq!(asked, [("ann".to_owned(), 10)]);
        assert!(matches!(step, Step::End), "{step:?}");
        assert!(device.unwrap().has(&user("ann"), 300));
    }

    #[test]
    fn skipped_messages_are_read_from_the_number_before_the_first_even_if_numbers_have_holes() {
        let (mut backfill, mut device) = (Backfill::when_slow(1), None);
        backfill.wait(&direct_behind("ann", 265, 300, 5), &user("ann"));
        backfill.wait(&direct_behind("ann", 300, 412, 6), &user("ann"));
        let (asked, step) = pages(&mut backfill, &mut device);
        assert_eq!(asked, [("ann".to_owned(), 265)]);
        assert!(matches!(step, Step::End), "{step:?}");
        assert!(device.unwrap().has(&user("ann"), 412));
    }

    #[test]
    fn a_position_of_the_hello_is_compared_with_the_log_and_earlier_retention_is_no_gap() {
        let position = Position { epoch: EPOCH, seq: 2 };
        let (mut backfill, mut device) = (Backfill::at_hello(1, vec![(user("ann"), position)]), None);
        let found = vec![waits("ann", 9, head(9, 5)), waits("eve", 1, head(9, 5))];
        let gaps = backfill.found_waiting(&mut device, &user("bob"), found, false);
        let lost = LostInterval {
            epoch: EPOCH,
            from: 3,
            to: 4,
        };
        assert_eq!(gaps, [(user("ann"), lost)]);
        let (asked, _) = pages(&mut backfill, &mut device);
        assert_eq!(asked, [("ann".to_owned(), 4), ("eve".to_owned(), 4)]);
    }

    #[test]
    fn beyond_the_bound_skipped_conversations_are_found_by_the_oldest_time() {
        let (mut backfill, mut device) = (Backfill::when_slow(1), None);
        for n in 0..limits::INBOX_LIVE_MESSAGES {
            let peer = format!("{n:03}");
            backfill.wait(&direct(&peer, 4, 100), &user(&peer));
        }
        // The clock goes back between them.
        for (peer, at) in [("x", 90), ("y", 80), ("z", 95), ("000", 20)] {
            backfill.wait(&direct(peer, 4, at), &user(peer));
        }
        let (asked, step) = pages(&mut backfill, &mut device);
        assert_eq!(
            (asked.len(), &asked[0]),
            (limits::INBOX_LIVE_MESSAGES, &("000".to_owned(), 3))
        );
        assert!(matches!(step, Step::Changed { since: 80, after: None }), "{step:?}");
        let changed = |peer: &str, before| ChangedConversation {
            peer: user(peer),
            head: head(9, 1),
            before,
        };
        backfill.found_changed(device.as_deref(), vec![changed("y", 3), changed("001", 0)], None);
        let (asked, step) = pages(&mut backfill, &mut device);
        assert_eq!(asked, [("y".to_owned(), 3), ("001".to_owned(), 4)], "it has 4 of 001");
        assert!(matches!(step, Step::End), "{step:?}");
    }

    #[test]
    fn conversations_that_were_not_listed_are_not_whole() {
        let (mut backfill, mut device) = (Backfill::at_hello(1, Vec::new()), None);
        let found = vec![waits("ann", 0, head(3, 1))];
        backfill.found_waiting(&mut device, &user("bob"), found, true);
        let mut device = *device.unwrap();
        device.record(&user("eve"), 8);
        assert!(device.has(&user("eve"), 8) && !device.is_whole(&user("eve")));
        assert!(device.is_whole(&user("ann")) && !device.has(&user("ann"), 1));
    }
}
