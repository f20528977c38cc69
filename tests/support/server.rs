//! A server in this process on ports of the system's choice, and the few things that tests of older dialects do with it.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use plaza::{
    config::{Config, Loaded, Sources},
    observe::Metrics,
    server::Server,
};
use plaza_client::{RawConfig, RawSocket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A running server; it ends when this is dropped.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) metrics: Arc<Metrics>,
}

/// The settings in these words (`group.name`, value), in memory, with two shards and free ports.
pub(crate) fn settings(words: &[(&str, &str)]) -> Config {
    let mut all = vec![
        ("server.listen", "127.0.0.1:0"),
        ("server.admin", "127.0.0.1:0"),
        ("server.memory", "true"),
        ("server.shards", "2"),
        ("server.drain_timeout", "100ms"),
    ];
    all.extend(words);
    let environment = all
        .into_iter()
        .map(|(key, value)| {
            (
                format!("PLAZA_{}", key.replace('.', "_").to_uppercase()),
                value.to_owned(),
            )
        })
        .collect();
    let sources = Sources {
        environment,
        ..Sources::default()
    };
    Loaded::from_sources(&sources).unwrap().config
}

/// Starts a server.
pub(crate) fn start(words: &[(&str, &str)]) -> Running {
    start_with(&settings(words))
}

/// Starts a server.
pub(crate) fn start_with(config: &Config) -> Running {
    let names: Vec<&'static str> = plaza::codec::DIALECTS.iter().map(|dialect| dialect.name()).collect();
    let metrics = Metrics::new(config.shard_count(2), &names);
    Running {
        server: Server::start(config, &metrics).unwrap(),
        metrics,
    }
}

impl Running {
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.server.admin_address().unwrap()
    }

    /// A client of this path.
    pub(crate) fn client(&self, path: &str) -> RawConfig {
        RawConfig::new(format!("ws://{}{path}", self.address()))
    }

    /// Asks the admin API, which is below `/api/`.
    pub(crate) async fn api(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        let head = format!(
            "{method} /api/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let (status, body) = exchange(self.admin(), head.as_bytes()).await;
        (
            status,
            serde_json::from_str(&body).unwrap_or_else(|error| panic!("{body}: {error}")),
        )
    }

    /// Reads a page of the public listener.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        exchange(self.address(), head.as_bytes()).await
    }

    /// A count that `/metrics` tells, `None` while it is not there.
    pub(crate) fn metric(&self, line: &str) -> Option<f64> {
        let text = self.metrics.render().unwrap();
        text.lines()
            .find_map(|said| said.strip_prefix(line)?.trim().parse().ok())
    }
}

/// Sends bytes and reads an HTTP answer until the other side closes: its status and body.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    (status, body)
}

/// The next message, as text.
pub(crate) async fn next(socket: &RawSocket) -> String {
    let payload = timeout(PATIENCE, socket.next_payload())
        .await
        .expect("nothing came")
        .unwrap();
    String::from_utf8(payload.to_vec()).unwrap()
}

/// The next message, as JSON.
pub(crate) async fn next_json(socket: &RawSocket) -> serde_json::Value {
    let text = next(socket).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Longer than anything here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
