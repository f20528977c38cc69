//! The two traits of a wire format: [`Dialect`] for what all connections share, [`Codec`] for one connection.
//!
//! A dialect is stateless after configuration, so shards use it at the same time. A codec belongs to one connection and is called in the
//! order of its messages and replies. Both append complete frames or nothing.

use std::sync::Arc;

use super::{fault::Fault, frames::Frames, handshake::Handshake, legacy::action::ActionSettings};
use crate::{
    chat::{Direct, Echo, Happening, Lists, Reply, Request, RequestId, RoomName, UserName},
    wire::Message,
};

/// A wire format. One value per dialect, listed in `table.rs`.
pub trait Dialect: Sync {
    /// The same dialect with an operator's settings, which live as long as the program; `None` if it has no settings.
    fn configured(&self, settings: &DialectSettings) -> Option<&'static dyn Dialect> {
        let _ = settings;
        None
    }

    fn open(&self, handshake: &Handshake) -> Box<dyn Codec>;

    /// Appends the frames of an event for members with this encoding (its number within the dialect). `at` is the time in Unix
    /// milliseconds, for formats that need a timestamp where the event has none.
    fn encode_at(&self, at: u64, encoding: usize, room: &RoomName, happening: &Happening, out: &mut Frames);

    /// Appends the frames of a direct message, which are the same for every session with this encoding.
    fn encode_direct(&self, encoding: usize, direct: &Direct, out: &mut Frames);

    /// Whether sessions of this user, the sender or the receiver, see the message.
    fn shows_direct(&self, direct: &Direct, user: &UserName) -> bool {
        let _ = (direct, user);
        true
    }
}

/// The wire format of one connection, with the state that it needs.
pub trait Codec {
    /// The requests that the handshake implies: if it names the user, a hello and a join of the lobby.
    fn opening(&mut self) -> Result<Vec<Request>, Fault>;

    /// Decodes one message and pushes its requests in order.
    fn decode(&mut self, message: Message<'_>, requests: &mut Vec<Request>) -> Result<(), Fault>;

    /// Appends the frames of a reply, or nothing if the format cannot express it. `at` as in [`Dialect::encode_at`].
    fn encode_at(&mut self, at: u64, id: RequestId, reply: &Reply, out: &mut Frames);

    /// Parts of the request with this id that receivers of its message see.
    fn echo(&self, id: RequestId) -> Option<Arc<Echo>> {
        let _ = id;
        None
    }

    /// When this member gets the user list without a request.
    fn lists(&self) -> Lists {
        Lists::OnRequest
    }

    /// The member's present encoding: its number within the dialect.
    fn encoding(&self) -> usize {
        0
    }
}

/// The operator's settings for dialects.
#[derive(Debug, Clone, Default)]
pub struct DialectSettings {
    pub action: ActionSettings,
    /// Whether `communication` shows the senders' addresses.
    pub communication_show_ip: bool,
    pub tutorial_show_ip: bool,
}
