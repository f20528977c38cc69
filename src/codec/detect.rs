//! placeholder until merge
use super::{Handshake, Message};
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Why {
    Nothing,
}
#[allow(missing_docs)]
pub enum Detection {
    Known {
        dialect: &'static str,
        why: Why,
    },
    ByFirstMessage {
        hold: std::time::Duration,
        if_silent: &'static str,
    },
}
#[allow(missing_docs)]
pub fn from_handshake(_: &Handshake) -> Detection {
    Detection::Known {
        dialect: "tutorial",
        why: Why::Nothing,
    }
}
#[allow(missing_docs)]
pub fn from_first_message(_: &Handshake, _: Message<'_>) -> (&'static str, Why) {
    ("tutorial", Why::Nothing)
}
