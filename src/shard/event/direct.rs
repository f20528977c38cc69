//! A direct message with its cached frames, shared by all shards and sessions that get it.

use std::{ops::Deref, sync::Arc};

use crate::{
    chat::{Direct, UserName},
    codec::{Dialects, Encoding},
    shard::event::frames::{Encoded, FrameCache},
};

/// A direct message in delivery.
#[derive(Debug)]
pub(crate) struct DirectEvent {
    direct: Arc<Direct>,
    frames: FrameCache,
}

impl DirectEvent {
    pub(crate) fn new(direct: Direct, dialects: Dialects) -> Self {
        Self {
            direct: Arc::new(direct),
            frames: FrameCache::new(dialects),
        }
    }

    pub(crate) fn message(&self) -> &Arc<Direct> {
        &self.direct
    }

    /// The frames for a session of this user with this encoding; `None` if its dialect does not show the message.
    pub(crate) fn frames(&self, encoding: Encoding, user: &UserName) -> Option<&Encoded> {
        let shown = self.frames.dialect(encoding).shows_direct(&self.direct, user);
        shown.then(|| {
            self.frames.get(encoding, |dialect, within, out| {
                dialect.encode_direct(within, &self.direct, out);
            })
        })
    }
}

impl Deref for DirectEvent {
    type Target = Direct;

    fn deref(&self) -> &Direct {
        &self.direct
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::DialectId,
        shard::testing::values::{message, name, user},
    };

    #[test]
    fn sessions_of_one_encoding_share_frames_and_document_003_shows_senders_nothing() {
        let direct = Direct {
            to: user("张三").receiver().unwrap(),
            message: message("ada", 0, 1),
        };
        let event = DirectEvent::new(direct, Dialects::default());
        let native = Encoding::new(DialectId::Native, 0);
        let to_sender = event.frames(native, &name("ada")).unwrap();
        let to_receiver = event.frames(native, &name("张三")).unwrap();
        assert!(std::ptr::eq(to_sender, to_receiver) && to_sender.common_bytes() > 0);
        let action = Encoding::new(DialectId::Action, 0);
        assert!(event.frames(action, &name("ada")).is_none());
        assert!(event.frames(action, &name("张三")).is_some());
    }
}
