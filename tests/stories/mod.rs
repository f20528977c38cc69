//! What the tests over real sockets share: a server in this process, a WebSocket that hides nothing, and a driver for each
//! dialect. Nothing here sleeps; what is waited for is waited for by reading.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod client;
pub mod drivers;

use std::{net::SocketAddr, sync::Arc};

use plaza::{
    codec::DIALECTS,
    config::{Config, DialectName, Listen, ProxyProtocol},
    observe::Metrics,
    server::Server,
};

/// A server in this process. Dropping it ends it at once.
pub struct Running {
    pub server: Server,
    pub metrics: Arc<Metrics>,
}

/// A server with two shards that keeps everything in memory and listens on a port of the system's choice.
pub fn start() -> Running {
    start_with(|_| {})
}

/// The same with other settings.
pub fn start_with(change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config::default();
    config.server.listen = vec![listen(None)];
    config.server.admin = None;
    config.server.memory = true;
    config.server.shards = 2;
    change(&mut config);
    let names: Vec<&'static str> = DIALECTS.iter().map(|dialect| dialect.name()).collect();
    let metrics = Metrics::new(config.shard_count(1), &names);
    let server = Server::start(&config, &metrics).unwrap();
    Running { server, metrics }
}

/// A listener on a port of the system's choice; `/ws` there means this dialect, if one is given.
pub fn listen(dialect: Option<&str>) -> Listen {
    Listen {
        address: "127.0.0.1:0".parse().unwrap(),
        dialect: dialect.map(|name| DialectName::parse(name).unwrap()),
        proxy: ProxyProtocol::Absent,
    }
}

impl Running {
    pub fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }
}

/// Whether the table of `docs/events.md` says that members of this dialect see this event.
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
