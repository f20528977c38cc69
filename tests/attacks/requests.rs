//! Requests that are wrong, too long, too slow or not allowed.

use std::{
    io::{ErrorKind, Write},
    net::{Shutdown, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use crate::{
    HANDSHAKE_TIMEOUT,
    support::{Peer, Request, Response, until},
    upgrade,
};

fn answer(at: SocketAddr, request: &Request) -> Response {
    let mut peer = Peer::connect(at);
    peer.send(&request.bytes());
    peer.response()
}

/// The answer to bytes that are not a request; `None`: closed without one.
fn answer_to_bytes(at: SocketAddr, bytes: &[u8]) -> Option<u16> {
    let mut peer = Peer::connect(at);
    peer.send(bytes);
    let response = peer.try_response();
    peer.assert_over();
    response.map(|response| response.status)
}

fn answered(at: SocketAddr, request: Request, status: u16) {
    assert_eq!(answer(at, &request).status, status);
}

fn answered_and_closed(at: SocketAddr, bytes: impl AsRef<[u8]>, status: u16) {
    assert_eq!(answer_to_bytes(at, bytes.as_ref()), Some(status));
}

/// The server drops the connection at about the handshake timeout.
fn dropped_in_time(peer: &mut Peer, since: Instant) {
    peer.assert_over();
    let after = since.elapsed();
    assert!(
        after > HANDSHAKE_TIMEOUT / 2 && after < HANDSHAKE_TIMEOUT + Duration::from_secs(10),
        "dropped after {after:?}"
    );
}

attacks! {
    each answered(at) {
        upgrade_with_an_unknown_method_is_405: upgrade(at).line("BREW /chat HTTP/1.1") => 405;
        upgrade_over_http_1_0_is_400: upgrade(at).line("GET /chat HTTP/1.0") => 400;
        upgrade_to_something_else_is_426: upgrade(at).but("Upgrade", "h2c") => 426;
        no_connection_header_is_400: upgrade(at).without("Connection") => 400;
        connection_that_only_keeps_alive_is_400: upgrade(at).but("Connection", "keep-alive") => 400;
        two_versions_are_400: upgrade(at).with("Sec-WebSocket-Version", "13") => 400;
        no_key_is_400: upgrade(at).without("Sec-WebSocket-Key") => 400;
        key_of_15_bytes_is_400: upgrade(at).but("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAA") => 400;
        key_that_is_not_base64_is_400: upgrade(at).but("Sec-WebSocket-Key", "!!!!!!!!!!!!!!!!!!!!!!==") => 400;
        two_keys_are_400: upgrade(at).with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==") => 400;
        no_host_is_400: upgrade(at).without("Host") => 400;
        two_hosts_are_400: upgrade(at).with("Host", "other.example") => 400;
        host_other_than_that_of_the_request_line_is_400:
            upgrade(at).line("GET http://other.example/chat HTTP/1.1") => 400;
        page_of_another_origin_is_403: upgrade(at).with("Origin", "http://evil.example") => 403;
        origin_of_another_port_is_403: upgrade(at).with("Origin", "http://127.0.0.1:1") => 403;
        origin_null_is_403_for_the_own_protocol: upgrade(at).with("Origin", "null") => 403;
        upgrade_and_connection_in_several_lines_are_one_list: upgrade(at)
            .but("Upgrade", "h2c")
            .with("Upgrade", "websocket")
            .but("Connection", "keep-alive")
            .with("Connection", "Upgrade") => 101;
        upgrade_with_a_body_is_400: upgrade(at).with("Content-Length", "5").followed_by(b"12345") => 400;
        upgrade_with_a_chunked_body_is_400:
            upgrade(at).with("Transfer-Encoding", "chunked").followed_by(b"0\r\n\r\n") => 400;
        /// A proxy and the server could read the two lengths differently.
        body_with_a_length_and_chunks_is_400: upgrade(at)
            .with("Content-Length", "4")
            .with("Transfer-Encoding", "chunked")
            .followed_by(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n") => 400;
        origin_that_only_begins_like_the_host_is_403:
            upgrade(at).with("Origin", format!("http://{at}.evil.example")) => 403;
        origin_with_the_host_as_its_user_is_403:
            upgrade(at).with("Origin", format!("http://{at}@evil.example")) => 403;
        two_origins_are_400:
            upgrade(at).with("Origin", format!("http://{at}")).with("Origin", "http://evil.example") => 400;
    }
    each answered_and_closed(at) {
        length_that_is_no_number_is_400: upgrade(at).with("Content-Length", "+4").bytes() => 400;
        header_with_a_nul_is_400: upgrade(at).with("X-Nul", "a\0b").bytes() => 400;
        space_before_the_colon_is_400: upgrade(at).with("Content-Length ", "0").bytes() => 400;
        folded_header_is_400: upgrade(at).with("X-Folded", "a\r\n b").bytes() => 400;
        garbage_is_400: b"\x00\xff\xfe garbage \r\n\r\n" => 400;
        two_different_lengths_are_400:
            upgrade(at).with("Content-Length", "4").with("Content-Length", "5").bytes() => 400;
    }

    // ------------------------------------------------------------------------------------------ the request

    fn upgrade_with_post_is_405(at) {
        let response = answer(at, &upgrade(at).line("POST /chat HTTP/1.1"));
        assert_eq!((response.status, response.header("allow")), (405, Some("GET")));
    }

    fn no_upgrade_header_is_426(at) {
        let response = answer(at, &upgrade(at).without("Upgrade"));
        assert_eq!((response.status, response.header("upgrade")), (426, Some("websocket")));
    }

    fn no_version_is_426(at) {
        let response = answer(at, &upgrade(at).without("Sec-WebSocket-Version"));
        assert_eq!((response.status, response.header("sec-websocket-version")), (426, Some("13")));
    }

    fn old_version_is_426(at) {
        let response = answer(at, &upgrade(at).but("Sec-WebSocket-Version", "8"));
        assert_eq!((response.status, response.header("sec-websocket-version")), (426, Some("13")));
    }

    /// Users open old pages from files.
    fn origin_null_is_let_in_on_legacy_paths_of_loopback_alone(at) {
        for path in ["/ws", "/ws/tutorial", "/ws/communication"] {
            assert_eq!(answer(at, &Request::upgrade(at, path).with("Origin", "null")).status, 101, "{path}");
        }
        let own = Request::upgrade(at, "/ws/plaza").with("Origin", "null");
        assert_eq!(answer(at, &own).status, 403);
    }

    fn origin_null_that_came_through_a_proxy_is_403(at) {
        // A proxy on this machine reaches a loopback listener for everybody.
        let request = Request::upgrade(at, "/ws/tutorial").with("Origin", "null");
        let forwarded = request.with("X-Forwarded-For", "192.0.2.7");
        assert_eq!(answer(at, &forwarded).status, 403);
    }

    fn unknown_dialect_is_404_and_lists_the_known(at) {
        let response = answer(at, &Request::upgrade(at, "/ws/morse"));
        assert_eq!(response.status, 404);
        for known in ["/ws/plaza", "/ws/communication", "/ws/chat-request", "/ws/chatroom", "/ws/tutorial", "/ws/action"] {
            assert!(response.body.contains(known), "{known} is not in: {}", response.body);
        }
    }

    fn path_out_of_the_pages_is_404(at) {
        for path in ["/../Cargo.toml", "/..%2f..%2fetc/passwd", "//etc/passwd", "/.git/config"] {
            let request = Request::upgrade(at, path).without("Upgrade").but("Connection", "close");
            assert_eq!(answer(at, &request).status, 404, "{path}");
        }
    }

    fn page_with_another_method_is_405(at) {
        let response = answer(at, &upgrade(at).line("DELETE / HTTP/1.1").without("Upgrade"));
        assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD")));
    }

    fn head_of_32_kib_is_431(at) {
        let mut peer = Peer::connect(at);
        let _ = peer.try_send(&upgrade(at).with("X-Long", "x".repeat(32 * 1024)).bytes());
        assert_eq!(peer.response().status, 431);
        peer.assert_over();
    }

    fn head_without_end_is_431(at) {
        let mut peer = Peer::connect(at);
        peer.send(b"GET /chat HTTP/1.1\r\nX-Endless: ");
        while peer.try_send(&[b'x'; 4096]) {
            if !peer.buffer.is_empty() || peer.stream.take_error().unwrap().is_some() {
                break;
            }
        }
        // The answer may have been overtaken by the reset that unread bytes cause.
        if let Some(response) = peer.try_response() {
            assert_eq!(response.status, 431);
        }
        peer.assert_over();
    }

    fn a_hundred_headers_are_431(at) {
        let mut request = upgrade(at);
        for number in 0..100 {
            request = request.with(&format!("X-{number}"), "x");
        }
        assert_eq!(answer_to_bytes(at, &request.bytes()), Some(431));
    }

    fn address_of_20_kib_is_refused(at) {
        let mut peer = Peer::connect(at);
        let _ = peer.try_send(&upgrade(at).line(&format!("GET /chat?{} HTTP/1.1", "x".repeat(20 * 1024))).bytes());
        let status = peer.response().status;
        assert!(matches!(status, 414 | 431), "{status}");
        peer.assert_over();
    }

    fn tls_hello_is_400(at) {
        let hello = [
            &[0x16, 0x03, 0x01, 0x00, 0x2e, 0x01, 0x00, 0x00, 0x2a, 0x03, 0x03][..], &[7; 32], &[0, 0, 2, 0x13, 0x01, 1, 0],
        ]
        .concat();
        assert_eq!(answer_to_bytes(at, &hello), Some(400));
    }

    fn http_2_preface_is_400(at) {
        let status = answer_to_bytes(at, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
        assert!(matches!(status, Some(400) | None), "{status:?}");
    }

    fn half_a_request_is_dropped_after_the_timeout(at) {
        let since = Instant::now();
        let mut peer = Peer::connect(at);
        peer.send(b"GET /chat HTTP/1.1\r\nHost: half");
        dropped_in_time(&mut peer, since);
    }

    fn silence_is_dropped_after_the_timeout(at) {
        let since = Instant::now();
        dropped_in_time(&mut Peer::connect(at), since);
    }

    fn head_byte_by_byte_is_dropped_after_the_timeout(at) {
        let since = Instant::now();
        let mut peer = Peer::connect(at);
        for byte in upgrade(at).bytes().iter().cycle().take(10_000) {
            if !peer.try_send(&[*byte]) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
            assert!(since.elapsed() < Duration::from_secs(10), "it is still read");
        }
        dropped_in_time(&mut peer, since);
    }

    fn idle_kept_connection_is_dropped_after_the_timeout(at) {
        let mut peer = Peer::connect(at);
        peer.send(format!("GET / HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes());
        assert_eq!(peer.response().status, 200);
        let since = Instant::now();
        dropped_in_time(&mut peer, since);
    }

    fn answers_that_nobody_reads_are_dropped(at) {
        let mut peer = Peer::connect(at);
        let page = format!("GET /style.css HTTP/1.1\r\nHost: {at}\r\n\r\n");
        peer.stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        // More answers than sockets hold: the server cannot write, then does not read, and at last the socket is reset.
        until("the connection is dropped", || match peer.stream.write(page.as_bytes()) {
            Ok(_) => false,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        });
    }

    fn request_whose_sender_left_costs_nothing(at) {
        let mut peer = Peer::connect(at);
        peer.send(&upgrade(at).bytes());
        peer.stream.shutdown(Shutdown::Both).unwrap();
    }

    fn deflate_is_not_agreed_to(at) {
        let response = answer(at, &upgrade(at).with("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"));
        assert_eq!((response.status, response.header("sec-websocket-extensions")), (101, None));
    }

    fn unknown_subprotocol_is_not_agreed_to(at) {
        let response = answer(at, &upgrade(at).with("Sec-WebSocket-Protocol", "soap, plaza.v2"));
        assert_eq!((response.status, response.header("sec-websocket-protocol")), (101, None));
    }
}
