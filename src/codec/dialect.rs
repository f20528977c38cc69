//! The two traits that a wire format implements.

use std::sync::Arc;

use super::{fault::Fault, frames::Frames, handshake::Handshake, legacy::action::Settings as ActionSettings};
use crate::{
    chat::{Direct, Echo, Happening, Lists, Reply, Request, RequestId, RoomName, UserName},
    wire::Message,
};

/// A wire format. One value per dialect, listed in `table.rs`.
pub trait Dialect: Sync {
    /// The same dialect with an operator's settings, which live as long as the program; `None`: it has none.
    fn configured(&self, settings: &DialectSettings) -> Option<&'static dyn Dialect> {
        let _ = settings;
        None
    }

    /// A codec for one connection.
    fn open(&self, handshake: &Handshake) -> Box<dyn Codec>;

    /// Appends what a member with this encoding, by its number within the dialect, sees of an event: complete frames, or
    /// nothing.
    fn encode(&self, encoding: usize, room: &RoomName, happening: &Happening, out: &mut Frames);

    /// Appends what a session with this encoding sees of a direct message: complete frames, the same for each.
    fn encode_direct(&self, encoding: usize, direct: &Direct, out: &mut Frames);

    /// Whether a session of this user sees a direct message that it sent or is sent.
    fn shows_direct(&self, direct: &Direct, user: &UserName) -> bool {
        let _ = (direct, user);
        true
    }

    /// [`Dialect::encode`] at a time, in Unix milliseconds, for dialects that stamp what has no time of its own. What sends
    /// events calls this one.
    fn encode_at(&self, at: u64, encoding: usize, room: &RoomName, happening: &Happening, out: &mut Frames) {
        let _ = at;
        self.encode(encoding, room, happening, out);
    }
}

/// The wire format of one connection, with the little it must remember.
pub trait Codec {
    /// What the handshake alone amounts to: for dialects that name the user there, a hello and a join of the lobby.
    fn opening(&mut self) -> Result<Vec<Request>, Fault>;

    /// Reads one message; pushes what it asks for, in order.
    fn decode(&mut self, message: Message<'_>, requests: &mut Vec<Request>) -> Result<(), Fault>;

    /// Appends what the client is told, or nothing where its dialect has no words for it.
    fn encode(&mut self, id: RequestId, reply: &Reply, out: &mut Frames);

    /// [`Codec::encode`] at a time, in Unix milliseconds; see [`Dialect::encode_at`].
    fn encode_at(&mut self, at: u64, id: RequestId, reply: &Reply, out: &mut Frames) {
        let _ = at;
        self.encode(id, reply, out);
    }

    /// What clients of this dialect are given back of the request with this id, which says something.
    fn echo(&self, id: RequestId) -> Option<Arc<Echo>> {
        let _ = id;
        None
    }

    /// When this member is sent its room's list of users without asking.
    fn lists(&self) -> Lists {
        Lists::OnRequest
    }

    /// Which of the dialect's encodings this member has now.
    fn encoding(&self) -> usize {
        0
    }
}

/// What an operator may set of dialects.
#[derive(Debug, Clone, Default)]
pub struct DialectSettings {
    /// Of `action`.
    pub action: ActionSettings,
    /// Whether `communication` shows who writes from which address.
    pub communication_show_ip: bool,
    /// The same for `tutorial`.
    pub tutorial_show_ip: bool,
}
