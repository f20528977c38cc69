//! The PROXY protocol and `X-Forwarded-For`: whose word is believed about where a client comes from.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
mod support;

use std::net::SocketAddr;

use support::{PATIENCE, Running, next_json, start};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const UPGRADE: &str = "GET /ws/tutorial HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n";

/// What the `tutorial` handshake tells the client of its address, after these bytes; `None`: the connection was closed.
async fn told(address: SocketAddr, before: &[u8], headers: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // In two parts, so that a header is not always whole.
    let (first, second) = before.split_at(before.len() / 2);
    for part in [first, second, format!("{UPGRADE}{headers}\r\n").as_bytes()] {
        if stream.write_all(part).await.is_err() {
            return None;
        }
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap() {
            Ok(0) | Err(_) => return None,
            Ok(read) => seen.extend_from_slice(&buffer[..read]),
        }
        let text = String::from_utf8_lossy(&seen);
        if let Some((_, rest)) = text.split_once(r#"{"ip":""#)
            && let Some((ip, _)) = rest.split_once('"')
        {
            return Some(ip.to_owned());
        }
    }
}

fn behind_proxy() -> Running {
    start(&[
        ("server.listen", "127.0.0.1:0+proxy"),
        ("http.trusted_proxies", "127.0.0.1"),
    ])
}

fn version_2(address: [u8; 4]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend(address);
    bytes.extend([127, 0, 0, 1, 0xC3, 0xCB, 0, 80]);
    bytes
}

#[tokio::test]
async fn both_versions_name_the_client() {
    let server = behind_proxy();
    let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 50123 80\r\n";
    assert!(told(server.address(), line, "").await.unwrap().starts_with("192.0.2.7"));
    let line = b"PROXY TCP6 2001:db8::7 2001:db8::1 50123 80\r\n";
    assert!(told(server.address(), line, "").await.unwrap().contains("2001:db8::7"));
    assert!(
        told(server.address(), &version_2([192, 0, 2, 9]), "")
            .await
            .unwrap()
            .starts_with("192.0.2.9")
    );
    assert!(
        told(server.address(), b"PROXY UNKNOWN\r\n", "")
            .await
            .unwrap()
            .starts_with("127.0.0.1")
    );
}

#[tokio::test]
async fn a_client_named_by_the_proxy_cannot_name_itself_otherwise() {
    let server = behind_proxy();
    let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 50123 80\r\n";
    let told = told(server.address(), line, "X-Forwarded-For: 203.0.113.5\r\n").await;
    assert!(told.unwrap().starts_with("192.0.2.7"));
}

#[tokio::test]
async fn what_does_not_begin_with_the_protocol_is_dropped_and_counted() {
    let server = behind_proxy();
    for bad in [
        &b""[..],
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50123\r\n",
        b"PROXY TCP4 999.0.2.7 198.51.100.1 50123 80\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
        &[b'P'; 200],
    ] {
        assert_eq!(told(server.address(), bad, "").await, None, "{bad:?}");
    }
    assert_eq!(
        server.metric(r#"plaza_handshakes_rejected_total{reason="proxy"}"#),
        Some(5.0),
        "{}",
        rejects(&server)
    );
    // A healthy one is served all the same.
    assert!(told(server.address(), &version_2([192, 0, 2, 9]), "").await.is_some());
}

#[tokio::test]
async fn a_peer_that_is_not_trusted_may_not_speak_for_others() {
    let server = start(&[
        ("server.listen", "127.0.0.1:0+proxy"),
        ("http.trusted_proxies", "10.0.0.0/8"),
    ]);
    assert_eq!(told(server.address(), &version_2([192, 0, 2, 9]), "").await, None);
}

#[tokio::test]
async fn a_header_that_never_ends_is_dropped_in_time() {
    let server = start(&[
        ("server.listen", "127.0.0.1:0+proxy"),
        ("http.trusted_proxies", "127.0.0.1"),
        ("http.handshake_timeout", "200ms"),
    ]);
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"PROXY TCP4 192.0.2.7").await.unwrap();
    let mut rest = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
    assert!(ended.is_err() || rest.is_empty());
}

#[tokio::test]
async fn forwarded_addresses_are_believed_of_trusted_proxies_alone() {
    let header = "X-Forwarded-For: 203.0.113.5, 192.0.2.7\r\n";
    let open = start(&[]);
    assert!(
        told(open.address(), b"", header)
            .await
            .unwrap()
            .starts_with("127.0.0.1")
    );
    let behind = start(&[("http.trusted_proxies", "127.0.0.1")]);
    assert!(
        told(behind.address(), b"", header)
            .await
            .unwrap()
            .starts_with("192.0.2.7")
    );
    let socket = behind
        .client("/ws/tutorial")
        .header("X-Forwarded-For", "[2001:db8::7]:4711")
        .connect()
        .await
        .unwrap();
    assert!(next_json(&socket).await["ip"].as_str().unwrap().contains("2001:db8::7"));
}

fn rejects(server: &Running) -> String {
    server
        .metrics
        .render()
        .unwrap()
        .lines()
        .filter(|line| line.contains("reject"))
        .collect::<Vec<_>>()
        .join("\n")
}
