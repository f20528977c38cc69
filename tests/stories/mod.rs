//! Shared parts of the tests over real sockets: a server in this process, a WebSocket that hides nothing, and a driver for each dialect.
//! Nothing sleeps; tests wait by reading.
#![allow(dead_code, unreachable_pub, unused_imports, clippy::unwrap_used)]

pub mod drivers;
#[path = "../support/mod.rs"]
pub mod support;

use plaza::config::{DialectName, Listen, ProxyProtocol};

pub use support::{BINARY, CLOSE, Heard, PING, Peer, Running, TEXT, frame, start, start_with, stored, strings, until};

/// A listener on a free port; plain `/ws` means this dialect, if one is given.
pub fn listen(dialect: Option<&str>) -> Listen {
    Listen {
        address: "127.0.0.1:0".parse().unwrap(),
        dialect: dialect.map(|name| DialectName::parse(name).unwrap()),
        proxy: ProxyProtocol::Absent,
    }
}

/// Whether members of this dialect see this event, according to the table in `docs/events.md`.
pub fn table_shows(event: &str, dialect: &str) -> bool {
    let document = include_str!("../../docs/events.md");
    let mut rows = document
        .lines()
        .skip_while(|line| !line.starts_with("| event |"))
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let head = rows.next().unwrap();
    let column = head.iter().position(|name| *name == dialect).unwrap();
    let row = rows
        .find(|row| row[0] == event)
        .unwrap_or_else(|| panic!("no row {event:?}"));
    match row[column] {
        "yes" => true,
        "no" => false,
        other => panic!("{event} × {dialect} is {other:?}"),
    }
}
