//! HTTP requests, header by header, and their answers.

use std::net::SocketAddr;

use serde_json::Value;

use super::Peer;

/// An HTTP answer.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Head lines, as received.
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A request, header by header.
#[derive(Clone)]
pub struct Request {
    pub line: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub after: Vec<u8>,
}

impl Request {
    /// The head lines of a correct client.
    pub fn upgrade(address: SocketAddr, path: &str) -> Self {
        Self {
            line: format!("GET {path} HTTP/1.1"),
            headers: Vec::new(),
            after: Vec::new(),
        }
        .with("Host", address.to_string())
        .with("Upgrade", "websocket")
        .with("Connection", "Upgrade")
        .with("Sec-WebSocket-Version", "13")
        .with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self
    }

    pub fn but(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).with(name, value)
    }

    pub fn line(mut self, line: &str) -> Self {
        line.clone_into(&mut self.line);
        self
    }

    pub fn followed_by(mut self, bytes: &[u8]) -> Self {
        self.after = bytes.to_vec();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.line.clone().into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([b"\r\n", name.as_bytes(), b": ", value].concat());
        }
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(&self.after);
        bytes
    }
}

/// `GET` of a path of the admin listener or of a page.
pub fn get(address: SocketAddr, path: &str) -> Response {
    exchange(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )
}

/// Sends a request to the admin API, below `/api/`; returns the status and the JSON of the answer.
pub fn api(admin: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let request = format!(
        "{method} /api/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(admin, request.as_bytes());
    let json = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{answer:?}: {error}"));
    (answer.status, json)
}

/// One request that closes the connection, and its answer.
fn exchange(address: SocketAddr, request: &[u8]) -> Response {
    let mut peer = Peer::connect(address);
    peer.send(request);
    let response = peer.response();
    peer.assert_over();
    response
}

/// The value of one metric, summed over all its lines with these labels.
pub fn metric(admin: SocketAddr, name: &str, labels: &[&str]) -> f64 {
    let text = get(admin, "/metrics").body;
    text.lines()
        .filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        })
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}
