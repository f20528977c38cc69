//! The data of a client's handshake: names in the query and in headers, percent-encoded or raw UTF-8, as old clients send them.

use std::net::SocketAddr;

use percent_encoding::percent_decode;

/// What the server knows about a client before its first message.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// The client's address, from `X-Forwarded-For` or the PROXY protocol if the server trusts them.
    pub peer: SocketAddr,
    /// The raw query without `?`; percent-encoded or raw UTF-8.
    pub query: Vec<u8>,
    /// The raw bytes of the header `login-username`.
    pub login_username: Option<Vec<u8>>,
    /// The raw bytes of the header `username`.
    pub username: Option<Vec<u8>>,
    pub client: Client,
    pub listener: usize,
    /// The agreed subprotocol.
    pub subprotocol: Option<&'static str>,
}

/// What kind of program made a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    /// A page: browsers send the header `Origin`.
    Page,
    Program,
}

impl Handshake {
    /// An empty handshake.
    #[cfg(any(test, feature = "bench"))]
    pub fn silent() -> Self {
        Self {
            peer: ([192, 0, 2, 7], 50_123).into(),
            query: Vec::new(),
            login_username: None,
            username: None,
            client: Client::Program,
            listener: 0,
            subprotocol: None,
        }
    }

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

fn query_decode(raw: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = raw
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::codec) fn silent() -> Handshake {
        Handshake::silent()
    }

    pub(in crate::codec) fn with_query(query: &str) -> Handshake {
        Handshake {
            query: query.as_bytes().to_vec(),
            ..silent()
        }
    }

    pub(in crate::codec) fn with_header(username: &[u8]) -> Handshake {
        Handshake {
            username: Some(username.to_vec()),
            ..silent()
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
}
