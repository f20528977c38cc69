//! What a handshake says about its user: names in the query and in headers, percent-encoded or raw.

use percent_encoding::percent_decode;

use super::{Asked, Fault, Handshake};
use crate::{
    chat::{Command, Hello, NameFault, Request, RoomName, Since, UserName, World},
    limits,
};

impl Handshake {
    /// The first value of a query parameter; see [`query_value`].
    pub fn query_value(&self, key: &str) -> Option<Vec<u8>> {
        query_value(&self.query, key)
    }
}

/// The first value of a parameter, decoded: `+` is a space, `%XX` a byte. Raw UTF-8 stays as it is.
pub fn query_value(query: &[u8], key: &str) -> Option<Vec<u8>> {
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = halves.next()?;
        let value = halves.next().unwrap_or_default();
        (query_decode(name) == key.as_bytes()).then(|| query_decode(value))
    })
}

/// A header's value, decoded: `%XX` is a byte, `+` a plus.
pub(super) fn header_value(raw: &[u8]) -> Vec<u8> {
    percent_decode(raw).collect()
}

/// The requests that a handshake amounts to: a hello, and a join of the lobby. `None` or nothing but white space: the server
/// chooses the name.
pub(super) fn introduction<T>(name: Option<Vec<u8>>, asked: &mut Asked<T>) -> Result<Vec<Request>, Fault> {
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
            id: Some(asked.next_id()),
            command,
        })
        .into())
}

/// A name as a client gives it, in a dialect without errors; `None` for nothing but white space.
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

fn query_decode(raw: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = raw
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::codec::Client;

    /// A handshake that says nothing.
    pub(in crate::codec) fn silent() -> Handshake {
        Handshake {
            peer: "192.0.2.7:50123".parse().unwrap(),
            query: Vec::new(),
            login_username: None,
            username: None,
            client: Client::Program,
            listener: 0,
            subprotocol: None,
        }
    }

    /// A handshake with this query.
    pub(in crate::codec) fn with_query(query: &str) -> Handshake {
        Handshake {
            query: query.as_bytes().to_vec(),
            ..silent()
        }
    }

    /// A handshake with this header `username`.
    pub(in crate::codec) fn with_header(username: &[u8]) -> Handshake {
        Handshake {
            username: Some(username.to_vec()),
            ..silent()
        }
    }

    /// The name in the hello of an opening.
    pub(in crate::codec) fn hello_name(opening: &[Request]) -> Option<&str> {
        match &opening[0].command {
            Command::Hello(hello) => hello.name.as_ref().map(UserName::as_str),
            other => panic!("{other:?} is no hello"),
        }
    }

    #[test]
    fn a_query_is_read_percent_encoded_raw_and_with_plus_for_space() {
        for (query, value) in [
            ("username=bob", Some("bob")),
            ("a=1&username=%E5%BC%A0%E4%B8%89&b=2", Some("张三")),
            ("username=张三", Some("张三")),
            ("username=a+b%2Bc", Some("a b+c")),
            ("user%6Eame=x", Some("x")),
            ("username=100%", Some("100%")),
            ("username=a=b", Some("a=b")),
            ("username", Some("")),
            ("username=first&username=second", Some("first")),
            ("xusername=bob", None),
            ("", None),
        ] {
            assert_eq!(
                with_query(query).query_value("username"),
                value.map(|text| text.as_bytes().to_vec()),
                "{query}"
            );
        }
    }

    #[test]
    fn a_plus_in_a_header_is_a_plus() {
        assert_eq!(header_value(b"a+b%20c"), b"a+b c");
        assert_eq!(header_value("张三".as_bytes()), "张三".as_bytes());
        assert_eq!(header_value(b"%E5%BC%A0"), "张".as_bytes());
    }

    #[test]
    fn a_name_that_breaks_the_rules_closes_with_1008_and_a_short_reason() {
        let mut asked = Asked::<()>::new();
        let long = "x".repeat(300).into_bytes();
        for bad in [
            b"a\0b".to_vec(),
            b"a\nb".to_vec(),
            b"\xff\xfe".to_vec(),
            "\u{202E}nimda".into(),
            "⟦2⟧72".into(),
            long,
        ] {
            match introduction(Some(bad.clone()), &mut asked) {
                Err(Fault::Close(1008, reason)) => assert!(reason.len() <= limits::CONTROL_PAYLOAD_BYTES - 2),
                other => panic!("{bad:?} gave {other:?}"),
            }
        }
        assert_eq!(
            hello_name(&introduction(Some(b" ".to_vec()), &mut asked).unwrap()),
            None
        );
        assert_eq!(hello_name(&introduction(None, &mut asked).unwrap()), None);
    }
}
