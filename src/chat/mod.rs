//! The chat itself: its vocabulary, and the effect of each command.
//!
//! - Vocabulary: [`UserName`] and [`RoomName`], [`Command`], [`Happening`] (what every member of a room sees), [`Reply`] (what one
//!   session sees), [`ErrorCode`], [`Position`]. All dialects share it; codecs translate it to and from bytes.
//! - Rules: `OwnedRooms` takes commands about rooms and returns `Effect`s.
//!
//! Nothing here does I/O, reads a clock (time is a parameter), or depends on shards, sockets or the store.

mod access;
mod address;
mod client;
mod command;
mod effect;
mod error;
mod event;
mod name;
mod owned;
mod positions;
mod settings;
mod user_id;
mod words;
mod world;

pub use access::{Access, Groups};
pub use address::{ConnectionSlot, Generation, NotASessionId, SessionId, ShardId};
pub use client::{ClientId, KeyOwner};
pub use command::{Command, Hello, ListOrder, Page, Request, ResumeFrom};
pub use effect::NewMessage;
pub(crate) use effect::{Admission, Arrival, Backlog, Effect, Effects, Lists, Origin, Retry, SendOutcome, ToSession};
pub use error::{ErrorCode, GoodbyeCode, Refusal};
pub use event::{
    ChatMessage, Departure, Direct, Echo, Happening, HistoryPage, Joined, Reply, RoomEntry, UnreadEntry, UnreadPage,
    UserList, Welcome,
};
pub use name::{NameFault, RoomName, UserName};
pub use positions::{GoOn, LogHead, LostInterval, LostTail, Position, Seq, Since};
pub use settings::RoomSettings;
pub use user_id::{Receiver, UserId};
pub use words::{Conversation, Key, MessageKind, RequestId, SessionTag};
pub use world::{World, is_marked, local};

pub(crate) use owned::{OwnedRooms, RoomDetails, RoomScope, TooManyRooms, key_conflict};
