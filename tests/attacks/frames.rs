//! Frames that RFC 6455 forbids, floods of them, and messages that declare too much.

use std::{io::Write, net::SocketAddr, thread, time::Duration};

use serde_json::json;

use crate::{
    NATIVE,
    support::{BINARY, CLOSE, PING, PONG, Peer, TEXT, frame},
    upgrade,
};

/// Sends frames on a new connection, and checks that the server closes it with this code.
fn closed_with(at: SocketAddr, bytes: &[u8], code: u16) {
    let mut peer = Peer::websocket(at, NATIVE);
    // The server may have closed before all of it is sent.
    let _ = peer.try_send(bytes);
    assert_eq!(peer.close_code(), Some(code));
    peer.assert_over();
}

/// A masked frame with its length in this form.
fn with_length(first: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend_from_slice(length);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

attacks! {
    each closed_with(at) {
        unmasked_frame_is_1002: b"\x81\x02hi" => 1002;
        ping_of_126_bytes_is_1002: &frame(PING, &[0; 126]) => 1002;
        ping_in_fragments_is_1002: &frame(PING & 0x7f, b"a") => 1002;
        terabyte_declared_is_1009_at_once: &with_length(BINARY, &[0xff, 0, 0, 1, 0, 0, 0, 0, 0], b"x") => 1009;
        message_beyond_the_bound_is_1009: &frame(TEXT, &vec![b'x'; 64 * 1024 + 1]) => 1009;
        continuation_of_nothing_is_1002: &frame(0x80, b"hi") => 1002;
        new_message_inside_an_unfinished_one_is_1002: &[frame(0x01, b"one"), frame(TEXT, b"two")].concat() => 1002;
        close_of_one_byte_is_1002: &frame(CLOSE, &[3]) => 1002;
        close_with_a_reason_that_is_not_utf8_is_1007: &frame(CLOSE, b"\x03\xe8\xff\xff") => 1007;
        text_that_is_not_utf8_is_1007: &frame(TEXT, b"\xc3\x28") => 1007;
        surrogates_in_text_are_1007: &frame(TEXT, b"\xed\xa0\x80") => 1007;
        garbage_behind_the_handshake_is_1002: &[0xff; 4096] => 1002;
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

    fn length_in_more_bytes_than_it_needs_is_1002(at) {
        closed_with(at, &with_length(TEXT, &[0x80 | 126, 0, 5], b"12345"), 1002);
        closed_with(at, &with_length(TEXT, &[0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 5], b"12345"), 1002);
    }

    /// A frame of this kind crashed another server.
    fn length_with_its_top_bit_set_is_1002(at) {
        closed_with(at, &with_length(TEXT, &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], b""), 1002);
        closed_with(at, &with_length(TEXT, &[0xff; 9], b""), 1002);
    }

    fn fragments_beyond_the_bound_together_are_1009(at) {
        let mut bytes = frame(0x01, &vec![b'x'; 40_000]);
        bytes.extend(frame(0x80, &vec![b'x'; 40_000]));
        closed_with(at, &bytes, 1009);
    }

    fn flood_of_empty_fragments_is_closed(at) {
        let mut bytes = frame(0x01, b"");
        for _ in 0..plaza::limits::MESSAGE_FRAGMENTS {
            bytes.extend_from_slice(&[0x00, 0x80, 0, 0, 0, 0]);
        }
        closed_with(at, &bytes, 1009);
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

    fn close_codes_nobody_may_send_are_1002(at) {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535_u16] {
            closed_with(at, &frame(CLOSE, &code.to_be_bytes()), 1002);
        }
    }

    fn close_is_answered_once_and_nothing_after_it_is_read(at) {
        let hello = frame(TEXT, json!({"id": 1, "hello": {"name": "too late"}}).to_string().as_bytes());
        let mut peer = Peer::websocket(at, NATIVE);
        peer.send(&[frame(CLOSE, &1000_u16.to_be_bytes()), hello].concat());
        let close = peer.frame().unwrap();
        assert_eq!(close.close_code(), Some(1000));
        peer.assert_over();
    }

    fn text_cut_inside_a_character_is_1007(at) {
        let word = "字".as_bytes();
        closed_with(at, &[frame(0x01, &word[..1]), frame(0x80, &word[1..2])].concat(), 1007);
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
        let mut peer = Peer::websocket(at, "/ws/communication?username=bomb");
        peer.send(&frame(BINARY, &b"\x22\x00".repeat(2000)));
        let code = peer.close_code();
        assert!(matches!(code, Some(1007 | 1008 | 1002 | 1003)), "{code:?}");
    }

    fn talk_before_hello_is_refused(at) {
        let mut peer = Peer::open(at, NATIVE, &[("Sec-WebSocket-Protocol", b"plaza.v1.json")]);
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
            let mut peer = Peer::open(at, NATIVE, &[("Sec-WebSocket-Protocol", b"plaza.v1.json")]);
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
