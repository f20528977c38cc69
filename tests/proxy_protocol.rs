//! The PROXY protocol and `X-Forwarded-For`: which peers the server believes about a client's address.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;

use support::{Heard, Peer, Request, Running, metric, settings, start};

/// What the `tutorial` handshake tells the client of its address, after these bytes; `None`: the connection was closed.
fn told(address: SocketAddr, before: &[u8], forwarded: Option<&str>) -> Option<String> {
    let mut request = Request::upgrade(address, "/ws/tutorial");
    if let Some(forwarded) = forwarded {
        request = request.with("X-Forwarded-For", forwarded);
    }
    let mut peer = Peer::connect(address);
    // In two parts, so that a header is not always whole.
    let (first, second) = before.split_at(before.len() / 2);
    for part in [first, second, &request.bytes()] {
        if !peer.try_send(part) {
            return None;
        }
        std::thread::yield_now();
    }
    let response = peer.try_response()?;
    assert_eq!(response.status, 101, "{response:?}");
    match peer.hear() {
        Heard::Text(text) => Some(text.split_once(r#"{"ip":""#)?.1.split_once('"')?.0.to_owned()),
        other => panic!("{other:?}"),
    }
}

fn behind_proxy() -> Running {
    Running::start(&settings(&[
        ("server.listen", "127.0.0.1:0+proxy"),
        ("http.trusted_proxies", "127.0.0.1"),
    ]))
}

fn version_2(address: [u8; 4]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend(address);
    bytes.extend([127, 0, 0, 1, 0xC3, 0xCB, 0, 80]);
    bytes
}

#[test]
fn both_versions_name_the_client() {
    let server = behind_proxy();
    for (before, named) in [
        (&b"PROXY TCP4 192.0.2.7 198.51.100.1 50123 80\r\n"[..], "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 50123 80\r\n", "[2001:db8::7]"),
        (&version_2([192, 0, 2, 9]), "192.0.2.9"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    ] {
        let told = told(server.address, before, None).unwrap();
        assert!(told.starts_with(named), "{told} and not {named}");
    }
}

#[test]
fn a_client_named_by_the_proxy_cannot_name_itself_otherwise() {
    let server = behind_proxy();
    let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 50123 80\r\n";
    let told = told(server.address, line, Some("203.0.113.5"));
    assert!(told.unwrap().starts_with("192.0.2.7"));
}

#[test]
fn what_does_not_begin_with_the_protocol_is_dropped_and_counted() {
    let server = behind_proxy();
    for bad in [
        &b""[..],
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50123\r\n",
        b"PROXY TCP4 999.0.2.7 198.51.100.1 50123 80\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
        &[b'P'; 200],
    ] {
        assert_eq!(told(server.address, bad, None), None, "{bad:?}");
    }
    let dropped = metric(server.admin, "plaza_handshakes_rejected_total", &[r#"reason="proxy""#]);
    assert_eq!(dropped, 5.0, "{}", server.metrics.render().unwrap());
    // A healthy one is served all the same.
    assert!(told(server.address, &version_2([192, 0, 2, 9]), None).is_some());
}

#[test]
fn a_peer_that_is_not_trusted_may_not_speak_for_others() {
    let server = Running::start(&settings(&[
        ("server.listen", "127.0.0.1:0+proxy"),
        ("http.trusted_proxies", "10.0.0.0/8"),
    ]));
    assert_eq!(told(server.address, &version_2([192, 0, 2, 9]), None), None);
}

#[test]
fn a_header_that_never_ends_is_dropped_in_time() {
    let server = Running::start(&settings(&[
        ("server.listen", "127.0.0.1:0+proxy"),
        ("http.trusted_proxies", "127.0.0.1"),
        ("http.handshake_timeout", "200ms"),
    ]));
    let mut peer = Peer::connect(server.address);
    peer.send(b"PROXY TCP4 192.0.2.7");
    peer.assert_over();
}

#[test]
fn forwarded_addresses_are_believed_of_trusted_proxies_alone() {
    let header = Some("203.0.113.5, 192.0.2.7");
    let open = start();
    assert!(told(open.address, b"", header).unwrap().starts_with("127.0.0.1"));
    let behind = Running::start(&settings(&[("http.trusted_proxies", "127.0.0.1")]));
    assert!(told(behind.address, b"", header).unwrap().starts_with("192.0.2.7"));
    let told = told(behind.address, b"", Some("[2001:db8::7]:4711")).unwrap();
    assert!(told.contains("2001:db8::7"), "{told}");
}
