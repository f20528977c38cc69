//! Raw-socket attacks on the handshake and the frame reader of the running server. Each gets its exact answer, costs at most
//! its own connection, and takes nothing from the clients beside it.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    io::{ErrorKind, Write},
    net::{Shutdown, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{
    BINARY, CLOSE, Healthy, PING, PONG, Peer, Program, Request, Response, Running, TEXT, config, frame, until,
};

/// Short, so that the slow attacks are over soon.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(300);
const NATIVE: &str = "/chat";

macro_rules! attacks {
    ($($(#[$doc:meta])* fn $name:ident($at:ident) $body:block)*) => {
        $($(#[$doc])* fn $name($at: SocketAddr) $body)*

        /// Every attack with its name.
        const ATTACKS: &[(&str, fn(SocketAddr))] = &[$((stringify!($name), $name),)*];

        /// Each attack by itself, on a server of its own.
        mod alone {
            $(#[test] fn $name() { super::alone(super::$name); })*
        }
    };
}

fn alone(attack: fn(SocketAddr)) {
    let mut config = config();
    config.http.handshake_timeout = HANDSHAKE_TIMEOUT;
    let server = Running::start(&config);
    let mut healthy = Healthy::in_room(server.address, "beside");
    healthy.check();
    attack(server.address);
    healthy.check();
}

#[test]
fn all_attacks_at_once_and_again_leave_the_program_and_its_clients_as_they_were() {
    assert!(ATTACKS.len() >= 41, "only {} attacks", ATTACKS.len());
    let mut program = Program::start(&["--memory", "--shards", "2", "--set", "http.handshake_timeout=300ms"]);
    let address = program.address();
    let mut healthy = Healthy::in_room(address, "beside");
    healthy.check();
    let round = |healthy: &mut Healthy| {
        thread::scope(|scope| {
            let attacks: Vec<_> = ATTACKS
                .iter()
                .map(|(name, attack)| (name, scope.spawn(|| attack(address))))
                .collect();
            while !attacks.iter().all(|(_, attack)| attack.is_finished()) {
                healthy.check();
            }
            for (name, attack) in attacks {
                assert!(attack.join().is_ok(), "{name}");
            }
        });
    };
    round(&mut healthy);
    until("the attackers are gone", || connections(&program) == 2.0);
    let after_one = program.memory("VmRSS:");
    for _ in 0..2 {
        round(&mut healthy);
    }
    until("the attackers are gone", || connections(&program) == 2.0);
    let grown = program.memory("VmRSS:").saturating_sub(after_one);
    assert!(grown < 32 * 1024, "two more rounds left {grown} KiB behind");
    healthy.check();
    assert!(program.child.try_wait().unwrap().is_none());
}

fn connections(program: &Program) -> f64 {
    support::metric(program.admin, "plaza_connections", &[])
}

fn answer(at: SocketAddr, request: &Request) -> Response {
    let mut peer = Peer::connect(at);
    peer.send(&request.bytes());
    peer.response()
}

fn upgrade(at: SocketAddr) -> Request {
    Request::upgrade(at, NATIVE)
}

/// The answer to bytes that are no request at all; `None`: closed without one.
fn answer_to_bytes(at: SocketAddr, bytes: &[u8]) -> Option<u16> {
    let mut peer = Peer::connect(at);
    peer.send(bytes);
    let response = peer.try_response();
    peer.assert_over();
    response.map(|response| response.status)
}

/// Sends frames on a fresh connection; it must be closed with this code and then be over.
fn closed_with(at: SocketAddr, bytes: &[u8], code: u16) {
    let mut peer = Peer::websocket(at, NATIVE);
    // The server may have closed before all of it is sent.
    let _ = peer.try_send(bytes);
    assert_eq!(peer.close_code(), Some(code));
    peer.assert_over();
}

/// A masked frame whose length is written in this form.
fn with_length(first: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend_from_slice(length);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// The connection is dropped, not much before and not long after the handshake timeout.
fn dropped_in_time(peer: &mut Peer, since: Instant) {
    peer.assert_over();
    let after = since.elapsed();
    assert!(
        after > HANDSHAKE_TIMEOUT / 2 && after < HANDSHAKE_TIMEOUT + Duration::from_secs(10),
        "dropped after {after:?}"
    );
}

attacks! {
    // ------------------------------------------------------------------------------------------ the request

    fn upgrade_with_post_is_405(at) {
        let response = answer(at, &upgrade(at).line("POST /chat HTTP/1.1"));
        assert_eq!((response.status, response.header("allow")), (405, Some("GET")));
    }

    fn upgrade_with_an_unknown_method_is_405(at) {
        assert_eq!(answer(at, &upgrade(at).line("BREW /chat HTTP/1.1")).status, 405);
    }

    fn upgrade_over_http_1_0_is_400(at) {
        assert_eq!(answer(at, &upgrade(at).line("GET /chat HTTP/1.0")).status, 400);
    }

    fn no_upgrade_header_is_426(at) {
        let response = answer(at, &upgrade(at).without("Upgrade"));
        assert_eq!((response.status, response.header("upgrade")), (426, Some("websocket")));
    }

    fn upgrade_to_something_else_is_426(at) {
        assert_eq!(answer(at, &upgrade(at).but("Upgrade", "h2c")).status, 426);
    }

    fn no_connection_header_is_400(at) {
        assert_eq!(answer(at, &upgrade(at).without("Connection")).status, 400);
    }

    fn connection_that_only_keeps_alive_is_400(at) {
        assert_eq!(answer(at, &upgrade(at).but("Connection", "keep-alive")).status, 400);
    }

    fn no_version_is_426(at) {
        let response = answer(at, &upgrade(at).without("Sec-WebSocket-Version"));
        assert_eq!((response.status, response.header("sec-websocket-version")), (426, Some("13")));
    }

    fn old_version_is_426(at) {
        let response = answer(at, &upgrade(at).but("Sec-WebSocket-Version", "8"));
        assert_eq!((response.status, response.header("sec-websocket-version")), (426, Some("13")));
    }

    fn two_versions_are_400(at) {
        assert_eq!(answer(at, &upgrade(at).with("Sec-WebSocket-Version", "13")).status, 400);
    }

    fn no_key_is_400(at) {
        assert_eq!(answer(at, &upgrade(at).without("Sec-WebSocket-Key")).status, 400);
    }

    fn key_of_15_bytes_is_400(at) {
        assert_eq!(answer(at, &upgrade(at).but("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAA")).status, 400);
    }

    fn key_that_is_not_base64_is_400(at) {
        assert_eq!(answer(at, &upgrade(at).but("Sec-WebSocket-Key", "!!!!!!!!!!!!!!!!!!!!!!==")).status, 400);
    }

    fn two_keys_are_400(at) {
        assert_eq!(answer(at, &upgrade(at).with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")).status, 400);
    }

    fn two_upgrade_headers_are_400(at) {
        assert_eq!(answer(at, &upgrade(at).with("Upgrade", "websocket")).status, 400);
    }

    fn no_host_is_400(at) {
        assert_eq!(answer(at, &upgrade(at).without("Host")).status, 400);
    }

    fn two_hosts_are_400(at) {
        assert_eq!(answer(at, &upgrade(at).with("Host", "other.example")).status, 400);
    }

    fn host_other_than_that_of_the_request_line_is_400(at) {
        assert_eq!(answer(at, &upgrade(at).line("GET http://other.example/chat HTTP/1.1")).status, 400);
    }

    fn upgrade_with_a_body_is_400(at) {
        let request = upgrade(at).with("Content-Length", "5").followed_by(b"12345");
        assert_eq!(answer(at, &request).status, 400);
    }

    fn upgrade_with_a_chunked_body_is_400(at) {
        let request = upgrade(at).with("Transfer-Encoding", "chunked").followed_by(b"0\r\n\r\n");
        assert_eq!(answer(at, &request).status, 400);
    }

    /// The two lengths would be read differently by a proxy and by the server.
    fn body_with_a_length_and_chunks_is_400(at) {
        let request = upgrade(at)
            .with("Content-Length", "4")
            .with("Transfer-Encoding", "chunked")
            .followed_by(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
        assert_eq!(answer(at, &request).status, 400);
    }

    fn two_different_lengths_are_400(at) {
        let request = upgrade(at).with("Content-Length", "4").with("Content-Length", "5");
        assert_eq!(answer_to_bytes(at, &request.bytes()), Some(400));
    }

    fn length_that_is_no_number_is_400(at) {
        assert_eq!(answer_to_bytes(at, &upgrade(at).with("Content-Length", "+4").bytes()), Some(400));
    }

    fn page_of_another_origin_is_403(at) {
        assert_eq!(answer(at, &upgrade(at).with("Origin", "http://evil.example")).status, 403);
    }

    fn origin_that_only_begins_like_the_host_is_403(at) {
        let origin = format!("http://{at}.evil.example");
        assert_eq!(answer(at, &upgrade(at).with("Origin", &origin)).status, 403);
    }

    fn origin_with_the_host_as_its_user_is_403(at) {
        let origin = format!("http://{at}@evil.example");
        assert_eq!(answer(at, &upgrade(at).with("Origin", &origin)).status, 403);
    }

    fn origin_of_another_port_is_403(at) {
        assert_eq!(answer(at, &upgrade(at).with("Origin", "http://127.0.0.1:1")).status, 403);
    }

    fn origin_null_is_403_for_the_own_protocol(at) {
        assert_eq!(answer(at, &upgrade(at).with("Origin", "null")).status, 403);
    }

    /// Old pages are opened as files.
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

    fn two_origins_are_400(at) {
        let origin = format!("http://{at}");
        assert_eq!(answer(at, &upgrade(at).with("Origin", &origin).with("Origin", "http://evil.example")).status, 400);
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
        let _ = peer.try_send(&upgrade(at).with("X-Long", &"x".repeat(32 * 1024)).bytes());
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

    fn header_with_a_nul_is_400(at) {
        assert_eq!(answer_to_bytes(at, &upgrade(at).with("X-Nul", "a\0b").bytes()), Some(400));
    }

    fn space_before_the_colon_is_400(at) {
        assert_eq!(answer_to_bytes(at, &upgrade(at).with("Content-Length ", "0").bytes()), Some(400));
    }

    fn folded_header_is_400(at) {
        assert_eq!(answer_to_bytes(at, &upgrade(at).with("X-Folded", "a\r\n b").bytes()), Some(400));
    }

    fn garbage_is_400(at) {
        assert_eq!(answer_to_bytes(at, b"\x00\xff\xfe garbage \r\n\r\n"), Some(400));
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

    // ------------------------------------------------------------------------------------------ the frames

    fn frames_right_behind_the_request_are_read(at) {
        let hello = frame(TEXT, json!({"id": 1, "hello": {"name": "hasty"}}).to_string().as_bytes());
        let mut peer = Peer::connect(at);
        peer.send(&upgrade(at).followed_by(&hello).bytes());
        assert_eq!(peer.response().status, 101);
        assert_eq!(peer.event()["welcome"]["name"], "hasty");
    }

    fn second_request_behind_the_upgrade_is_1002(at) {
        let mut peer = Peer::connect(at);
        peer.send(&upgrade(at).followed_by(b"GET /smuggled HTTP/1.1\r\n\r\n").bytes());
        assert_eq!(peer.response().status, 101);
        assert_eq!(peer.close_code(), Some(1002));
    }

    fn unmasked_frame_is_1002(at) {
        closed_with(at, b"\x81\x02hi", 1002);
    }

    fn reserved_bits_are_1002(at) {
        for bit in [0x40, 0x20, 0x10] {
            closed_with(at, &frame(TEXT | bit, b"hi"), 1002);
        }
    }

    fn reserved_opcodes_are_1002(at) {
        for opcode in [3, 7, 0xb, 0xf] {
            closed_with(at, &frame(0x80 | opcode, b"hi"), 1002);
        }
    }

    fn ping_of_126_bytes_is_1002(at) {
        closed_with(at, &frame(PING, &[0; 126]), 1002);
    }

    fn ping_in_fragments_is_1002(at) {
        closed_with(at, &frame(PING & 0x7f, b"a"), 1002);
    }

    fn length_in_more_bytes_than_it_needs_is_1002(at) {
        closed_with(at, &with_length(TEXT, &[0x80 | 126, 0, 5], b"12345"), 1002);
        closed_with(at, &with_length(TEXT, &[0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 5], b"12345"), 1002);
    }

    /// One such frame ended another server.
    fn length_with_its_top_bit_set_is_1002(at) {
        closed_with(at, &with_length(TEXT, &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], b""), 1002);
        closed_with(at, &with_length(TEXT, &[0xff; 9], b""), 1002);
    }

    fn terabyte_declared_is_1009_at_once(at) {
        closed_with(at, &with_length(BINARY, &[0xff, 0, 0, 1, 0, 0, 0, 0, 0], b"x"), 1009);
    }

    fn message_beyond_the_bound_is_1009(at) {
        closed_with(at, &frame(TEXT, &vec![b'x'; 64 * 1024 + 1]), 1009);
    }

    fn fragments_beyond_the_bound_together_are_1009(at) {
        let mut bytes = frame(0x01, &vec![b'x'; 40_000]);
        bytes.extend(frame(0x80, &vec![b'x'; 40_000]));
        closed_with(at, &bytes, 1009);
    }

    fn legacy_message_beyond_4_kib_is_1009(at) {
        let mut peer = Peer::websocket(at, "/ws/tutorial");
        let _ = peer.try_send(&frame(TEXT, &vec![b'x'; 4097]));
        assert_eq!(peer.close_code(), Some(1009));
    }

    fn flood_of_empty_fragments_is_closed(at) {
        let mut bytes = frame(0x01, b"");
        for _ in 0..plaza::limits::MESSAGE_FRAGMENTS {
            bytes.extend_from_slice(&[0x00, 0x80, 0, 0, 0, 0]);
        }
        closed_with(at, &bytes, 1009);
    }

    fn continuation_of_nothing_is_1002(at) {
        closed_with(at, &frame(0x80, b"hi"), 1002);
    }

    fn new_message_inside_an_unfinished_one_is_1002(at) {
        closed_with(at, &[frame(0x01, b"one"), frame(TEXT, b"two")].concat(), 1002);
    }

    fn control_frames_between_fragments_are_answered(at) {
        let mut peer = Peer::websocket(at, NATIVE);
        let hello = json!({"id": 1, "hello": {"name": "in pieces"}}).to_string();
        let (head, tail) = hello.as_bytes().split_at(9);
        peer.send(&[frame(0x01, head), frame(PING, b"between"), frame(0x80, tail)].concat());
        let pong = peer.frame().unwrap();
        assert_eq!((pong.first, pong.payload.as_slice()), (PONG, &b"between"[..]));
        assert_eq!(peer.event()["welcome"]["name"], "in pieces");
    }

    fn close_of_one_byte_is_1002(at) {
        closed_with(at, &frame(CLOSE, &[3]), 1002);
    }

    fn close_codes_nobody_may_send_are_1002(at) {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535_u16] {
            closed_with(at, &frame(CLOSE, &code.to_be_bytes()), 1002);
        }
    }

    fn close_with_a_reason_that_is_not_utf8_is_1007(at) {
        closed_with(at, &frame(CLOSE, b"\x03\xe8\xff\xff"), 1007);
    }

    fn close_is_answered_once_and_nothing_after_it_is_read(at) {
        let hello = frame(TEXT, json!({"id": 1, "hello": {"name": "too late"}}).to_string().as_bytes());
        let mut peer = Peer::websocket(at, NATIVE);
        peer.send(&[frame(CLOSE, &1000_u16.to_be_bytes()), hello].concat());
        let close = peer.frame().unwrap();
        assert_eq!(close.close_code(), Some(1000));
        peer.assert_over();
    }

    fn text_that_is_not_utf8_is_1007(at) {
        closed_with(at, &frame(TEXT, b"\xc3\x28"), 1007);
    }

    fn text_cut_inside_a_character_is_1007(at) {
        let word = "字".as_bytes();
        closed_with(at, &[frame(0x01, &word[..1]), frame(0x80, &word[1..2])].concat(), 1007);
    }

    fn surrogates_in_text_are_1007(at) {
        closed_with(at, &frame(TEXT, b"\xed\xa0\x80"), 1007);
    }

    fn flood_of_pings_is_answered_by_few_pongs_and_ends_nothing(at) {
        let mut peer = Peer::websocket(at, NATIVE);
        let flood: Vec<u8> = (0..20_000_u32).flat_map(|number| frame(PING, &number.to_be_bytes())).collect();
        let mut sender = peer.stream.try_clone().unwrap();
        let sending = thread::spawn(move || sender.write_all(&flood).unwrap());
        let mut pongs = 0;
        loop {
            let pong = peer.frame().unwrap();
            assert_eq!(pong.first, PONG);
            pongs += 1;
            if pong.payload == 19_999_u32.to_be_bytes() {
                break;
            }
        }
        sending.join().unwrap();
        assert!(pongs <= 20_000);
        assert!(peer.ask(json!({"hello": {"name": "after the flood"}}))["welcome"].is_object());
    }

    fn flood_of_pongs_nobody_asked_for_is_ignored(at) {
        let mut peer = Peer::native(at, "ponging");
        let flood: Vec<u8> = std::iter::repeat_n(frame(PONG, b"x"), 20_000).flatten().collect();
        peer.send(&flood);
        assert!(peer.ask(json!({"ping": {}}))["pong"].is_object());
    }

    fn frame_byte_by_byte_is_read(at) {
        let mut peer = Peer::websocket(at, NATIVE);
        for byte in frame(TEXT, json!({"id": 1, "hello": {"name": "slow"}}).to_string().as_bytes()) {
            peer.send(&[byte]);
        }
        assert_eq!(peer.event()["welcome"]["name"], "slow");
    }

    fn reset_inside_a_frame_costs_nothing(at) {
        let mut peer = Peer::native(at, "cut off");
        let bytes = frame(TEXT, &[b'x'; 1000]);
        peer.send(&bytes[..500]);
        socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn garbage_behind_the_handshake_is_1002(at) {
        closed_with(at, &[0xff; 4096], 1002);
    }

    // ------------------------------------------------------------------------------------------ the messages

    fn json_nested_without_end_is_refused_and_ends_nothing(at) {
        let mut peer = Peer::native(at, "deep");
        peer.send_text(&"[".repeat(60_000));
        assert_eq!(peer.event()["error"]["code"], "malformed");
        peer.send_text(&format!("{{\"id\":9,\"talk\":{}", "{\"a\":".repeat(10_000)));
        assert_eq!(peer.event()["error"]["code"], "malformed");
        assert!(peer.ask(json!({"ping": {}}))["pong"].is_object());
    }

    fn protobuf_of_empty_entries_is_refused(at) {
        let mut peer = Peer::websocket_with(at, "/ws/communication?username=bomb", &[]);
        peer.send(&frame(BINARY, &b"\x22\x00".repeat(2000)));
        let code = peer.close_code();
        assert!(matches!(code, Some(1007 | 1008 | 1002 | 1003)), "{code:?}");
    }

    fn talk_before_hello_is_refused(at) {
        let mut peer = Peer::websocket_with(at, NATIVE, &[("Sec-WebSocket-Protocol", "plaza.v1.json")]);
        let error = peer.ask(json!({"talk": {"room": "lobby", "text": "who am I"}}));
        assert_eq!(error["error"]["code"], "no_hello");
    }

    fn sender_claimed_in_a_message_counts_for_nothing(at) {
        let mut victim = Peer::native_in(at, "victim", "claims");
        let mut liar = Peer::native_in(at, "liar", "claims");
        let ack = liar.ask(json!({"talk": {"room": "claims", "text": "I am the victim", "from": "victim", "session": "00000001"}}));
        assert!(ack["ack"].is_object(), "{ack}");
        let message = victim.event_where(|event| event["message"].is_object());
        assert_eq!(message["message"]["from"], "liar");
    }

    fn names_that_could_forge_lists_or_lines_are_refused(at) {
        for name in ["two\nlines", "nul\0", "rtl\u{202e}txt", "", "\u{feff}", &"x".repeat(300)] {
            let mut peer = Peer::websocket_with(at, NATIVE, &[("Sec-WebSocket-Protocol", "plaza.v1.json")]);
            let answer = peer.ask(json!({"hello": {"name": name}}));
            // No name at all is a guest.
            let is_right = if name.is_empty() { answer["welcome"].is_object() } else { answer["error"]["code"] == "bad_name" };
            assert!(is_right, "{name:?}: {answer}");
        }
    }

    fn second_hello_is_refused(at) {
        let mut peer = Peer::native(at, "twice");
        assert_eq!(peer.ask(json!({"hello": {"name": "other"}}))["error"]["code"], "hello_again");
    }
}
