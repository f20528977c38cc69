//! Types of settings that belong to no other module.

use std::{collections::BTreeSet, net::SocketAddr};

use crate::{
    chat::{RoomName, UserName},
    codec::DIALECTS,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(pub u64);

/// An address to listen on, and how its connections begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Port 0 lets the system choose.
    pub address: SocketAddr,
    /// The dialect of plain `/ws` on it; `None`: it is detected.
    pub dialect: Option<DialectName>,
    /// Whether connections begin with the PROXY protocol.
    pub proxy: ProxyProtocol,
}

/// Whether connections begin with the PROXY protocol, which names the client in front of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// The peer of the socket is the client.
    Absent,
    /// The server refuses a connection without the header, and any peer that is not a trusted proxy.
    Required,
}

/// The name of a dialect that this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialectName(pub(super) &'static str);

/// Users, separated by spaces in text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserNames(pub BTreeSet<UserName>);

/// Room names; `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomPattern(pub(super) String);

/// Selects log lines: a level, or `target=level` pairs as in `info,plaza::history=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(pub(super) String);

impl DialectName {
    /// The name of a known dialect.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::among(text, DIALECTS.iter().map(|dialect| dialect.name()))
    }

    /// As in `/ws/<dialect>`.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    pub(super) fn among(text: &str, known: impl Iterator<Item = &'static str> + Clone) -> Result<Self, String> {
        known.clone().find(|name| *name == text).map(Self).ok_or_else(|| {
            let names = known.collect::<Vec<_>>().join(", ");
            format!("whose dialect {text:?} is not known (known are: {names})")
        })
    }
}

impl RoomPattern {
    /// Whether the room matches. Takes time in the product of both lengths, which are bounded.
    pub fn matches(&self, room: &RoomName) -> bool {
        let (mut rest, mut first) = (room.as_str(), true);
        let mut parts = self.0.split('*').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            rest = match (first, last) {
                (true, true) => return rest == part,
                (true, false) => match rest.strip_prefix(part) {
                    Some(rest) => rest,
                    None => return false,
                },
                (false, true) => return rest.ends_with(part),
                (false, false) => match rest.split_once(part) {
                    Some((_, rest)) => rest,
                    None => return false,
                },
            };
            first = false;
        }
        true
    }
}

impl LogFilter {
    /// In the syntax of `RUST_LOG`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
