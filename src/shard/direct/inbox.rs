//! What one session reads of its user's inbox of offline messages, and what its device has of it.
//!
//! A session is registered first and its stored messages are read then. What arrives in between waits behind them, so each
//! conversation comes in the order of its numbers and nothing comes twice. When the socket is slow, live messages are left to the
//! store and read from there as fast as the client reads: such a session costs one page of memory.
//!
//! No I/O: [`Inbox::next`] says what to do, and the engine says what came of it.

use std::sync::Arc;

use crate::{
    chat::{Position, Seq, UserName},
    history::{ChangedConversation, ChangedUpTo, ConversationHead, LostInterval},
    shard::direct::{
        device::Device,
        event::DirectEvent,
        reading::{Reading, Step, Unread},
        receipts::Receipts,
    },
};

/// One session's side of the inbox.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// `None`: nothing was given yet.
    device: Option<Box<Device>>,
    /// What is being read from the store; `None`: live messages go out at once.
    reading: Option<Box<Reading>>,
    receipts: Receipts,
    /// Numbers the readings, so that an answer of the store to an earlier one is recognised.
    readings: u32,
}

/// What happens with a live message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Live {
    /// It is sent now.
    Send,
    /// It follows behind what is being read, or is read from the store.
    Wait,
}

impl Inbox {
    /// Begins to read what waited when the session came, given the positions that the client brought.
    pub(crate) fn arrive(&mut self, brought: Vec<(UserName, Position)>) {
        self.readings = self.readings.wrapping_add(1);
        self.reading = Some(Box::new(Reading::arrived(self.readings, brought)));
    }

    /// Whether an answer of the store belongs to what is being read now.
    pub(crate) fn awaits(&self, number: u32) -> bool {
        self.reading.as_ref().is_some_and(|reading| reading.number() == number)
    }

    /// Whether the store had no room for the question at hand.
    pub(crate) fn is_refused(&self) -> bool {
        self.reading.as_ref().is_some_and(|reading| reading.is_refused())
    }

    /// The next step, with the number of the reading it belongs to; `None`: nothing is left to read. A step that asks the store
    /// is followed by [`Inbox::asked`].
    pub(crate) fn next(&mut self) -> Option<(u32, Step)> {
        let reading = self.reading.as_mut()?;
        let number = reading.number();
        match reading.next(self.device.as_deref()) {
            Step::End => {
                self.reading = None;
                None
            }
            step => Some((number, step)),
        }
    }

    /// The store took the question, or had no room for it.
    pub(crate) fn asked(&mut self, taken: bool) {
        if let Some(reading) = &mut self.reading {
            if taken { reading.asked() } else { reading.refused() }
        }
    }

    /// An answer has been used, or the question may be asked again.
    pub(crate) fn answered(&mut self) {
        if let Some(reading) = &mut self.reading {
            reading.answered();
        }
    }

    /// The conversations of `user` in which something waits; with `more` there are others. Returns what the device had of them
    /// that the server lost.
    pub(crate) fn found_waiting(
        &mut self,
        user: &UserName,
        conversations: Vec<ConversationHead>,
        more: bool,
    ) -> Vec<(UserName, LostInterval)> {
        match &mut self.reading {
            Some(reading) => reading.found_waiting(&mut self.device, user, conversations, more),
            None => Vec::new(),
        }
    }

    /// The conversations in which somebody wrote since messages were left to the store.
    pub(crate) fn found_changed(&mut self, conversations: Vec<ChangedConversation>, next: Option<ChangedUpTo>) {
        if let Some(reading) = &mut self.reading {
            reading.found_changed(self.device.as_deref(), conversations, next);
        }
    }

    /// The device was given a page of the conversation with `peer` up to `upto`, of what is stored up to `head`. Whether all
    /// before it may count as read.
    pub(crate) fn given_page(&mut self, peer: &UserName, upto: Seq, head: Seq) -> bool {
        let Some(reading) = &mut self.reading else { return false };
        let device = self.device.get_or_insert_default();
        reading.given(device, upto, head);
        device.is_whole(peer)
    }

    /// The store could not answer the question at hand; what could not be read. The reading goes on behind it.
    pub(crate) fn unanswered(&mut self) -> Option<Unread> {
        let device = self.device.get_or_insert_default();
        self.reading.as_mut().map(|reading| reading.unanswered(device))
    }

    /// Nothing more is read, because the session lost the right to read.
    pub(crate) fn stop_reading(&mut self) {
        self.reading = None;
    }

    /// The session bears another name: it has nothing of that name's messages. The number of readings goes on, so that answers
    /// for the old name are still recognised.
    pub(crate) fn renamed(&mut self) {
        self.device = None;
        self.reading = None;
        self.receipts.forget();
    }

    /// A live message has come. With `left_to_store` it is stored and the session's socket is slow.
    pub(crate) fn live(&mut self, direct: &Arc<DirectEvent>, peer: &UserName, left_to_store: bool) -> Live {
        if self.reading.is_none() {
            if !left_to_store {
                return Live::Send;
            }
            self.readings = self.readings.wrapping_add(1);
        }
        let number = self.readings;
        let reading = self.reading.get_or_insert_with(|| Box::new(Reading::behind(number)));
        reading.wait(direct, peer);
        Live::Wait
    }

    /// Whether the device has this message already: the store may be faster than the way between shards.
    pub(crate) fn has(&self, peer: &UserName, seq: Seq) -> bool {
        self.device.as_ref().is_some_and(|device| device.has(peer, seq))
    }

    /// The device was given a live message. Whether all before it may count as read.
    pub(crate) fn given(&mut self, peer: &UserName, seq: Seq) -> bool {
        let device = self.device.get_or_insert_default();
        device.given(peer, seq);
        device.is_whole(peer)
    }

    /// Direct messages that pongs acknowledge.
    pub(crate) fn receipts(&mut self) -> &mut Receipts {
        &mut self.receipts
    }

    /// Bytes of live messages that wait in memory.
    #[cfg(test)]
    pub(crate) fn live_bytes(&self) -> usize {
        self.reading.as_ref().map_or(0, |reading| reading.live_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_pongs_for_the_name_before_are_no_longer_awaited() {
        let ann = UserName::parse("ann").unwrap();
        let mut inbox = Inbox::default();
        inbox.arrive(Vec::new());
        let (number, step) = inbox.next().unwrap();
        assert!(matches!(step, Step::Waiting(_)), "{step:?}");
        inbox.asked(true);
        assert!(inbox.awaits(number));
        let ping = inbox.receipts().delivered(ann.clone(), 1).unwrap();
        inbox.renamed();
        inbox.arrive(Vec::new());
        assert!(!inbox.awaits(number) && !inbox.has(&ann, 1));
        inbox.receipts().delivered(ann.clone(), 9);
        assert_eq!(inbox.receipts().pong(&ping).0, []);
    }
}
