//! The identity of a client program, which stays the same when its user changes the name. Idempotency keys belong to it.

use std::fmt;

use super::UserId;

/// A client's id of 128 random bits. A client that knows another one's id can use up its idempotency keys, so ids appear neither in
/// messages to other clients nor in logs.
///
/// Bytes, because a `u128` would align every session to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId([u8; 16]);

/// The owner of an idempotency key. Two owners never share a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyOwner {
    Client(ClientId),
    User(UserId),
}

impl ClientId {
    /// The length of an id in hexadecimal digits.
    pub const DIGITS: usize = 32;

    /// Parses 32 hexadecimal digits, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let whole = text.len() == Self::DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        whole.then(|| u128::from_str_radix(text, 16).ok().map(|id| Self(id.to_be_bytes())))?
    }

    /// 32 hexadecimal digits in lower case, for the store.
    pub(crate) fn digits(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

impl KeyOwner {
    /// The client if there is one, else the user.
    pub fn of(client: Option<ClientId>, user: &UserId) -> Self {
        client.map_or_else(|| Self::User(user.clone()), Self::Client)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientId(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_32_hexadecimal_digits_and_is_never_shown() {
        let id = ClientId::parse("00c0FFEE00000000000000000000000a");
        assert_eq!(id, ClientId::parse("00c0ffee00000000000000000000000A"));
        assert_eq!(
            id.map(ClientId::digits).as_deref(),
            Some("00c0ffee00000000000000000000000a")
        );
        assert!(!format!("{id:?}").to_lowercase().contains("ffee"));
        for other in [
            "",
            "0",
            "00c0ffee00000000000000000000000",
            "00c0ffee00000000000000000000000a0",
            "+0c0ffee00000000000000000000000a",
            "00c0ffee0000000000000000000000éa",
            "00c0ffee00000000000000000000000g",
        ] {
            assert_eq!(ClientId::parse(other), None, "{other}");
        }
    }
}
