//! One session's direct messages: which live ones it gets at once, and which wait behind stored ones.
//!
//! The engine registers a session in the directory first, and reads its stored messages then. Live messages in between wait
//! behind them. While the socket is slow, the inbox skips live messages and reads them from the store as fast as the client
//! reads, so such a session costs one page of memory.
//!
//! Invariant: the messages of a conversation come in the order of their numbers, each once.
//!
//! It does no I/O: [`DirectInbox::next`] says what to do, and the other methods take the results.

use std::sync::Arc;

use crate::{
    chat::{Position, Seq, UserId},
    history::{ChangedConversation, ChangedUpTo, ConversationHead, LostInterval},
    shard::{
        direct::{
            backfill::{Backfill, Step, Unread},
            device::Device,
            receipts::Receipts,
        },
        event::direct::DirectEvent,
    },
};

/// The direct messages of one session.
#[derive(Debug, Default)]
pub(crate) struct DirectInbox {
    /// `None` until the session has got a direct message, or has unread ones.
    device: Option<Box<Device>>,
    /// What the session reads from the store; `None` means that live messages go out at once.
    backfill: Option<Box<Backfill>>,
    receipts: Receipts,
    /// Number of the last backfill. Answers of the store to an earlier one are ignored.
    backfills: u32,
}

impl DirectInbox {
    /// Begins to read the stored messages for a new session. `positions` are those of the client's hello.
    pub(crate) fn begin(&mut self, positions: Vec<(UserId, Position)>) {
        self.backfills = self.backfills.wrapping_add(1);
        self.backfill = Some(Box::new(Backfill::at_hello(self.backfills, positions)));
    }

    /// Whether an answer of the store belongs to the present backfill.
    pub(crate) fn awaits(&self, number: u32) -> bool {
        self.backfill
            .as_ref()
            .is_some_and(|backfill| backfill.number() == number)
    }

    /// Whether the store refused the last question because its queue was full.
    pub(crate) fn is_refused(&self) -> bool {
        self.backfill.as_ref().is_some_and(|backfill| backfill.is_refused())
    }

    /// The next step, with the number of its backfill; `None` if nothing is left to read. After a step that asks the store, the
    /// caller calls [`DirectInbox::asked`].
    pub(crate) fn next(&mut self) -> Option<(u32, Step)> {
        let backfill = self.backfill.as_mut()?;
        let number = backfill.number();
        match backfill.next(self.device.as_deref()) {
            Step::End => {
                self.backfill = None;
                None
            }
            step => Some((number, step)),
        }
    }

    /// Records whether the store accepted the question.
    pub(crate) fn asked(&mut self, accepted: bool) {
        if let Some(backfill) = &mut self.backfill {
            backfill.asked(accepted);
        }
    }

    /// Records that an answer was handled, or that the question may be asked again.
    pub(crate) fn answered(&mut self) {
        if let Some(backfill) = &mut self.backfill {
            backfill.answered();
        }
    }

    /// Takes the list of `user`'s conversations with unread messages; with `more` there are others. Returns the intervals that
    /// the device lacks and the server has lost.
    pub(crate) fn found_waiting(
        &mut self,
        user: &UserId,
        conversations: Vec<ConversationHead>,
        more: bool,
    ) -> Vec<(UserId, LostInterval)> {
        match &mut self.backfill {
            Some(backfill) => backfill.found_waiting(&mut self.device, user, conversations, more),
            None => Vec::new(),
        }
    }

    /// Takes a list of conversations with messages since the time of the oldest skipped one.
    pub(crate) fn found_changed(&mut self, conversations: Vec<ChangedConversation>, next: Option<ChangedUpTo>) {
        if let Some(backfill) = &mut self.backfill {
            backfill.found_changed(self.device.as_deref(), conversations, next);
        }
    }

    /// Records that the device got a page of the conversation with `peer` up to `upto`, where the stored messages end at `head`.
    /// Returns whether a receipt may mark all earlier messages as read.
    pub(crate) fn record_page(&mut self, peer: &UserId, upto: Seq, head: Seq) -> bool {
        let Some(backfill) = &mut self.backfill else {
            return false;
        };
        let device = self.device.get_or_insert_default();
        backfill.record(device, upto, head);
        device.is_whole(peer)
    }

    /// Handles a question that the store could not answer: skips it, and returns what the session cannot read.
    pub(crate) fn unanswered(&mut self) -> Option<Unread> {
        let device = self.device.get_or_insert_default();
        self.backfill.as_mut().map(|backfill| backfill.unanswered(device))
    }

    /// Ends the backfill, because the session may no longer read the inbox.
    pub(crate) fn stop_reading(&mut self) {
        self.backfill = None;
    }

    /// Forgets everything, because the session has another name now. The count of backfills continues, so that answers for the
    /// old name are ignored.
    pub(crate) fn renamed(&mut self) {
        self.device = None;
        self.backfill = None;
        self.receipts.forget();
    }

    /// Queues a live message behind the backfill, if there is one. With `skip` (the message is stored, and the session's socket
    /// is slow) it begins a backfill if there is none. Returns false if the message must be sent now.
    pub(crate) fn queue_live(&mut self, direct: &Arc<DirectEvent>, peer: &UserId, skip: bool) -> bool {
        if self.backfill.is_none() {
            if !skip {
                return false;
            }
            self.backfills = self.backfills.wrapping_add(1);
        }
        let number = self.backfills;
        let backfill = self
            .backfill
            .get_or_insert_with(|| Box::new(Backfill::when_slow(number)));
        backfill.wait(direct, peer);
        true
    }

    /// Whether the device has this message already, because the store returned it before the live message came.
    pub(crate) fn has(&self, peer: &UserId, seq: Seq) -> bool {
        self.device.as_ref().is_some_and(|device| device.has(peer, seq))
    }

    /// Records that the device got a live message. Returns whether a receipt may mark all earlier messages as read.
    pub(crate) fn record(&mut self, peer: &UserId, seq: Seq) -> bool {
        let device = self.device.get_or_insert_default();
        device.record(peer, seq);
        device.is_whole(peer)
    }

    pub(crate) fn receipts(&mut self) -> &mut Receipts {
        &mut self.receipts
    }

    /// Bytes of live messages that wait in memory.
    #[cfg(test)]
    pub(crate) fn live_bytes(&self) -> usize {
        self.backfill.as_ref().map_or(0, |backfill| backfill.live_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::testing::values::user;

    #[test]
    fn after_a_rename_answers_and_pongs_for_the_old_name_are_ignored() {
        let ann = user("ann");
        let mut inbox = DirectInbox::default();
        inbox.begin(Vec::new());
        let (number, step) = inbox.next().unwrap();
        assert!(matches!(step, Step::Waiting(_)), "{step:?}");
        inbox.asked(true);
        assert!(inbox.awaits(number));
        let ping = inbox.receipts().delivered(ann.clone(), 1).unwrap();
        inbox.renamed();
        inbox.begin(Vec::new());
        assert!(!inbox.awaits(number) && !inbox.has(&ann, 1));
        inbox.receipts().delivered(ann.clone(), 9);
        assert_eq!(inbox.receipts().pong(&ping).0, []);
    }
}
