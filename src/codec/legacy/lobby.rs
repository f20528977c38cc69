//! Requests of clients that know only the lobby: hello and join, send a message, list the users.

use super::pending_requests::PendingRequests;
use crate::{
    chat::{Command, Hello, ListOrder, MessageKind, NameFault, Page, Request, RoomName, Since, UserName, World},
    codec::Fault,
    limits,
};

/// The requests that a handshake implies: a hello, and a join of the lobby. With `None` or only white space the server chooses the
/// name.
pub(super) fn introduction<T>(name: Option<Vec<u8>>, pending: &mut PendingRequests<T>) -> Result<Vec<Request>, Fault> {
    let name = match name {
        Some(bytes) => {
            let text = String::from_utf8(bytes).map_err(|_| Fault::Close(1008, "the user name is not UTF-8"))?;
            parse_given(&text)?
        }
        None => None,
    };
    let hello = Command::Hello(Hello {
        name,
        ..Hello::default()
    });
    let join = Command::Join {
        room: RoomName::lobby(),
        since: Since::Now,
    };
    Ok([hello, join]
        .map(|command| Request {
            id: Some(pending.next_id()),
            command,
        })
        .into())
}

/// Parses a client's name, for dialects without errors; `None` if it is only white space.
pub(super) fn parse_given(text: &str) -> Result<Option<UserName>, Fault> {
    match World::Common.user(text) {
        Ok(name) => Ok(Some(name)),
        Err(NameFault::Empty) => Ok(None),
        Err(NameFault::Long { .. }) => {
            const { assert!(limits::NAME_CHARS == 64, "the reason below says 64") };
            Err(Fault::Close(1008, "the user name is longer than 64 characters"))
        }
        Err(NameFault::Forbidden { .. }) => Err(Fault::Close(
            1008,
            "the user name holds a character that cannot be shown",
        )),
        Err(NameFault::Marked) => Err(Fault::Close(
            1008,
            "the user name begins with ⟦, as only names of apps do",
        )),
    }
}

pub(super) fn talk_in_lobby(text: String) -> Command {
    Command::Talk {
        room: RoomName::lobby(),
        text: text.into(),
        kind: MessageKind::Text,
        key: None,
    }
}

/// Requests the users in the lobby on one page, because the legacy clients have no paging.
pub(super) fn whole_list(order: ListOrder) -> Command {
    Command::Users {
        room: RoomName::lobby(),
        page: Page {
            after: None,
            limit: limits::LEGACY_USERS_LISTED,
            order,
        },
    }
}

/// The answer to an empty message.
pub(super) const EMPTY_TALK: &str = "the message is empty and was not sent; write something";

/// The answer to a message that is too long.
pub(super) const LONG_TALK: &str = "the message is longer than 64,512 bytes and was not sent; send it in parts";
const _: () = assert!(limits::TEXT_BYTES == 64_512, "the sentence above says 64,512");

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The name in the hello of an opening.
    pub(in crate::codec) fn hello_name(opening: &[Request]) -> Option<&str> {
        match &opening[0].command {
            Command::Hello(hello) => hello.name.as_ref().map(UserName::as_str),
            other => panic!("{other:?} is no hello"),
        }
    }

    #[test]
    fn a_name_that_breaks_the_rules_closes_with_1008_and_a_short_reason() {
        let mut pending = PendingRequests::<()>::new();
        let long = "x".repeat(300).into_bytes();
        for bad in [
            b"a\0b".to_vec(),
            b"a\nb".to_vec(),
            b"\xff\xfe".to_vec(),
            "\u{202E}nimda".into(),
            "⟦2⟧72".into(),
            long,
        ] {
            match introduction(Some(bad.clone()), &mut pending) {
                Err(Fault::Close(1008, reason)) => assert!(reason.len() <= limits::CONTROL_PAYLOAD_BYTES - 2),
                other => panic!("{bad:?} gave {other:?}"),
            }
        }
        assert_eq!(
            hello_name(&introduction(Some(b" ".to_vec()), &mut pending).unwrap()),
            None
        );
        assert_eq!(hello_name(&introduction(None, &mut pending).unwrap()), None);
    }
}
