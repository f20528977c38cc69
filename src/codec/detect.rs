//! Detects the dialect of a client on plain `/ws` from its handshake and its first message.
//!
//! The path `/ws/<dialect>` or a pinned listener decides without this module. Otherwise [`from_handshake`] decides if the handshake
//! is clear. If it names a user in a way that three formats share, the client is a member at once and its events wait. If it names
//! no user, the server does not greet it yet. In both cases [`from_first_message`] decides. For a silent client with a name the
//! server guesses the dialect of [`Recent`] clients with the same kind of handshake.
//!
//! This module is pure: the caller holds the timers and the waiting events, and passes the first message on to the codec as well.
//! [`Why`] lists every way to determine a dialect, including those outside this module, for one metric.

use std::time::Duration;

use super::{
    Message,
    handshake::{Handshake, header_value},
    json::object,
    legacy::protobuf::{EXIT, LIST, TALK, first_three},
    table::DialectId,
};
use crate::{limits, word_set::word_sets};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detection {
    /// The handshake determines the dialect.
    Known { dialect: DialectId, why: Why },
    /// It names the user in a way that three dialects share. The client becomes a member at once, and its events wait for its first
    /// message, at most this long.
    Named { hold: Duration },
    /// It names no user. The server sends nothing before the first message, at most this long.
    Nameless {
        hold: Duration,
        /// The dialect if the client sends nothing in that time; decided by [`Why::Silence`].
        if_silent: DialectId,
    },
}

/// The dialects of the most recent clients of one listener with one kind of handshake, newest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recent([Option<DialectId>; limits::DETECT_RECENT]);

impl Recent {
    pub fn note(&mut self, dialect: DialectId) {
        self.0.rotate_right(1);
        self.0[0] = Some(dialect);
    }

    /// The most frequent dialect; of several equally frequent ones, the latest.
    pub fn likeliest(self) -> Option<DialectId> {
        let count = |dialect| self.0.iter().filter(|known| **known == dialect).count();
        let known = self.0.into_iter().filter(Option::is_some).rev();
        known.max_by_key(|dialect| count(*dialect)).flatten()
    }
}

word_sets! {
    /// What determined the dialect; also the labels in the log and in metrics.
    Why {
        /// The path `/ws/<dialect>` or `/chat`.
        Path = "path",
        /// The listener is pinned to it.
        Listener = "listener",
        /// The query has `uid`.
        QueryUid = "query_uid",
        /// The query has `username`.
        QueryUsername = "query_username",
        /// There is a header `login-username`.
        HeaderLoginUsername = "header_login_username",
        /// Field 1 of the first message is `1`, `2` or `3`.
        TypeNumber = "type_number",
        /// Field 1 of the first message is a type by name.
        TypeFirst = "type_first",
        /// Field 2 of the first message is a type by name.
        TypeSecond = "type_second",
        /// Fields 1 and 2 leave it open. The field that repeats the handshake's user name decides.
        NameOfHandshake = "name_of_handshake",
        /// The first message is JSON with an `action`.
        JsonAction = "json_action",
        /// The first message is other JSON.
        Json = "json",
        /// The first message matches no dialect, so the client counts as silent.
        Unclear = "unclear",
        /// No message arrived in time.
        Silence = "silence",
        /// No message arrived in time, and recent clients with the same kind of handshake spoke this dialect.
        Recent = "recent",
    }
}

impl Why {
    /// Whether the client itself has shown its dialect.
    pub const fn is_certain(self) -> bool {
        !matches!(self, Self::Unclear | Self::Silence | Self::Recent)
    }
}

/// Decides from the handshake. Presence counts, not content: `?uid=` is a client of document 003 without a name.
pub fn from_handshake(handshake: &Handshake) -> Detection {
    if handshake.query_value("uid").is_some() {
        known(DialectId::Action, Why::QueryUid)
    } else if handshake.query_value("username").is_some() {
        known(DialectId::Communication, Why::QueryUsername)
    } else if handshake.login_username.is_some() {
        known(DialectId::Communication, Why::HeaderLoginUsername)
    } else if handshake.username.is_some() {
        Detection::Named {
            hold: limits::DETECT_NAMED,
        }
    } else {
        Detection::Nameless {
            hold: limits::DETECT_NAMELESS,
            if_silent: DialectId::Tutorial,
        }
    }
}

/// Decides from the first message, after [`from_handshake`] could not. Text and binary count alike: clients of documents 001 and
/// 002 put protobuf into text frames.
pub fn from_first_message(handshake: &Handshake, message: Message<'_>) -> (DialectId, Why) {
    if let Detection::Known { dialect, why } = from_handshake(handshake) {
        return (dialect, why);
    }
    let silent = if handshake.username.is_some() {
        DialectId::Chatroom
    } else {
        DialectId::Tutorial
    };
    let bytes = message.bytes();
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        // 0x7B would be a protobuf group, which no client sends. JSON clients usually send no name in a header; one that does is
        // a JSON client nevertheless.
        return match object::<ActionProbe>(bytes) {
            Some(envelope) if envelope.action.is_some() => (DialectId::Action, Why::JsonAction),
            Some(_) => (DialectId::Tutorial, Why::Json),
            None => (silent, Why::Unclear),
        };
    }
    from_protobuf(handshake, bytes).unwrap_or((silent, Why::Unclear))
}

fn from_protobuf(handshake: &Handshake, bytes: &[u8]) -> Option<(DialectId, Why)> {
    let [first, second, third] = first_three(bytes)?;
    let name = handshake.username.as_deref().map(header_value);
    let is_name = |text: &[u8]| !text.is_empty() && name.as_deref() == Some(text);
    let number = matches!(first, b"1" | b"2" | b"3");
    match (is_type(first), is_type(second)) {
        // A user of document 001 may have the name `1`. A client of document 000 that sends `talk` puts its name in field 3.
        (_, true) if number && is_name(first) && !is_name(third) => {
            Some((DialectId::ChatRequest, Why::NameOfHandshake))
        }
        _ if number => Some((DialectId::Communication, Why::TypeNumber)),
        (true, true) if is_name(second) => Some((DialectId::Chatroom, Why::NameOfHandshake)),
        (true, true) if is_name(first) => Some((DialectId::ChatRequest, Why::NameOfHandshake)),
        (true, _) => Some((DialectId::Chatroom, Why::TypeFirst)),
        (false, true) => Some((DialectId::ChatRequest, Why::TypeSecond)),
        // An unknown type, or none: in document 001 that is a message, in 002 it is ignored, in 000 it requests the list.
        (false, false) => {
            let dialect = match (is_name(first), is_name(second), is_name(third)) {
                (true, false, _) => DialectId::ChatRequest,
                (false, true, _) => DialectId::Chatroom,
                (false, false, true) => DialectId::Communication,
                (true, true, _) | (false, false, false) => return None,
            };
            Some((dialect, Why::NameOfHandshake))
        }
    }
}

fn is_type(text: &[u8]) -> bool {
    [TALK, EXIT, LIST].iter().any(|word| word.as_bytes() == text)
}

const fn known(dialect: DialectId, why: Why) -> Detection {
    Detection::Known { dialect, why }
}

/// Distinguishes documents 003 and 004.
#[derive(serde::Deserialize)]
struct ActionProbe {
    #[serde(default)]
    action: Option<serde::de::IgnoredAny>,
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;
    use crate::codec::{
        handshake::tests::{silent, with_header, with_query},
        testing::{fixed_cases, strings},
    };

    #[test]
    fn the_handshake_decides_where_it_can() {
        let hold = |hold, if_silent| Detection::Nameless { hold, if_silent };
        let named = |hold| Detection::Named { hold };
        let mut login_username = silent();
        login_username.login_username = Some(b"bob".to_vec());
        let mut both = with_header(b"bob");
        both.query = b"username=bob".to_vec();
        let mut uid = with_header(b"bob");
        uid.query = b"a=b&uid=1&to_uid=2&username=x".to_vec();
        for (handshake, expected) in [
            (with_query("uid=1&to_uid=2"), known(DialectId::Action, Why::QueryUid)),
            (with_query("uid="), known(DialectId::Action, Why::QueryUid)),
            (uid, known(DialectId::Action, Why::QueryUid)),
            (
                with_query("username=tst_user_1"),
                known(DialectId::Communication, Why::QueryUsername),
            ),
            (both, known(DialectId::Communication, Why::QueryUsername)),
            (
                login_username,
                known(DialectId::Communication, Why::HeaderLoginUsername),
            ),
            (with_header("张三".as_bytes()), named(Duration::from_secs(2))),
            (silent(), hold(Duration::from_millis(300), DialectId::Tutorial)),
            (
                with_query("to_uid=2"),
                hold(Duration::from_millis(300), DialectId::Tutorial),
            ),
        ] {
            assert_eq!(from_handshake(&handshake), expected, "{handshake:?}");
        }
    }

    /// The rows of a table: the header `username` in quotes (or `-` for none), the first message, and the decision. A message is
    /// the first fields of a protobuf message, quoted and separated by commas, or `=` and its bytes.
    fn first_messages(table: &str) -> impl Iterator<Item = (Handshake, Vec<u8>, &str)> {
        table.trim().lines().map(|line| {
            let [username, message, decided] = line.split(" | ").map(str::trim).collect::<Vec<_>>()[..] else {
                panic!("{line} is no line of the table")
            };
            let handshake = match username {
                "-" => silent(),
                name => with_header(name.trim_matches('"').as_bytes()),
            };
            let message = match message.strip_prefix('=') {
                Some(bytes) => bytes.into(),
                None => strings(&serde_json::from_str::<Vec<&str>>(&format!("[{message}]")).unwrap()),
            };
            (handshake, message, decided)
        })
    }

    #[test]
    fn the_first_message_decides_the_rest() {
        // Groups of rows: a number in field 1; a type in field 1; a type in field 2; a type in both, decided by the handshake's
        // name; users whose names are types of document 000; no known type, decided by the handshake's name; no name in the
        // handshake, as in the load scripts of documents 001, 002 and 000; JSON; input of no format.
        let table = r#"
            "bob" | "1", "hello" | communication by type_number
            "bob" | "2" | communication by type_number
            "bob" | "3", "talk" | communication by type_number
            "bob" | "4", "hello" | chatroom by unclear
            "bob" | "talk", "", "你好" | chatroom by type_first
            "bob" | "exit" | chatroom by type_first
            "bob" | "userlist", "bob" | chatroom by type_first
            "bob" | "bob", "talk", "hi" | chat-request by type_second
            "bob" | "", "exit" | chat-request by type_second
            "bob" | "", "userlist" | chat-request by type_second
            "exit" | "talk", "exit", "hi" | chatroom by name_of_handshake
            "exit" | "exit", "talk", "hi" | chat-request by name_of_handshake
            "%74alk" | "talk", "userlist" | chat-request by name_of_handshake
            "bob" | "talk", "exit", "hi" | chatroom by type_first
            "1" | "1", "talk", "hi" | chat-request by name_of_handshake
            "1" | "1", "talk", "1" | communication by type_number
            "1" | "talk", "1", "hi" | chatroom by type_first
            "bob" | "bob", "", "hi" | chat-request by name_of_handshake
            "bob" | "bob", "say", "bob" | chat-request by name_of_handshake
            "bob" | "say", "bob", "hi" | chatroom by name_of_handshake
            "bob" | "", "bob", "bob" | chatroom by name_of_handshake
            "bob" | "9", "", "bob" | communication by name_of_handshake
            "bob" | "bob", "bob", "hi" | chatroom by unclear
            "bob" | "tom", "say", "hi" | chatroom by unclear
            "" | "", "", "hi" | chatroom by unclear
            - | "tom", "talk", "hello" | chat-request by type_second
            - | "talk", "tom", "hello" | chatroom by type_first
            - | "1", "hhhhhh" | communication by type_number
            - | = {"type":"login","content":"bob"} | tutorial by json
            - | ={"seq":"1","action":"login","data":{}} | action by json_action
            - | =hello | tutorial by unclear
            - | = | tutorial by unclear
            - | ={ | tutorial by unclear
            "bob" | = | chatroom by unclear
        "#;
        let more = [
            (with_header(b"bob"), b"\x0a\xff".to_vec(), "chatroom by unclear"),
            (with_header(b"bob"), b"\x22\x00".repeat(2000), "chatroom by unclear"),
            // What the handshake decided stays.
            (with_query("uid=1"), strings(&["1", "x"]), "action by query_uid"),
        ];
        for (handshake, message, expected) in first_messages(table).chain(more) {
            for frame in [Message::Text(&message), Message::Binary(&message)] {
                let (dialect, why) = from_first_message(&handshake, frame);
                let decided = format!("{} by {}", dialect.name(), why.name());
                assert_eq!(decided, expected, "{:?} {message:?}", handshake.username);
            }
        }
    }

    #[test]
    fn recent_clients_tell_by_their_majority_and_then_by_the_last() {
        const A: DialectId = DialectId::ChatRequest;
        const B: DialectId = DialectId::Chatroom;
        let after = |seen: &[DialectId]| {
            let mut recent = Recent::default();
            seen.iter().for_each(|dialect| recent.note(*dialect));
            recent.likeliest()
        };
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[A]), Some(A));
        assert_eq!(after(&[A, A, B]), Some(A));
        assert_eq!(after(&[A, B]), Some(B));
        assert_eq!(after(&[A, B, B, B, B, B]), Some(B));
        assert_eq!(after(&[[A; 20].as_slice(), &[B; 20]].concat()), Some(B));
    }

    proptest! {
        #![proptest_config(fixed_cases(512))]

        #[test]
        fn no_bytes_make_it_panic(
            header in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
            query in proptest::collection::vec(any::<u8>(), 0..40),
            message in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let handshake = Handshake { query, username: header, ..silent() };
            let _ = from_first_message(&handshake, Message::Binary(&message));
        }
    }
}
