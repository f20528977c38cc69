//! What the codec of Plaza's own protocol costs: an event encoded once for a room against once per member, and talks read.

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use plaza::{
    chat::{Happening, RoomName, SessionTag, Talk, TalkKind, UserName},
    codec::{
        Codec, Dialect, Frames, Handshake, Message,
        native::{JSON, Native, PROTOBUF},
    },
};

/// Members of the room that an event is encoded for.
const MEMBERS: usize = 1_000;
/// The two views, by their number.
const VIEWS: [&str; 2] = ["protobuf", "json"];

fn talk(text: &str) -> Happening {
    let from = UserName::parse("张三").unwrap_or_else(|_| UserName::guest(1));
    Happening::Talk(Talk {
        epoch: 1_234_567,
        seq: 1_000_001,
        prev: 1_000_000,
        at: 1_700_000_000_000,
        from,
        session: SessionTag(42),
        text: text.into(),
        kind: TalkKind::Text,
    })
}

fn codec(subprotocol: &'static str) -> Box<dyn Codec> {
    Native.open(&Handshake {
        peer: ([127, 0, 0, 1], 1).into(),
        query: Vec::new(),
        login_username: None,
        username: None,
        subprotocol: Some(subprotocol),
    })
}

fn encode(criterion: &mut Criterion) {
    let room = RoomName::lobby();
    let event = talk(&"x".repeat(64));
    for (view, name) in VIEWS.iter().enumerate() {
        let mut group = criterion.benchmark_group(format!("codec/native/encode/{name}"));
        // Deliveries, so that both rows are per member.
        group.throughput(Throughput::Elements(MEMBERS as u64));
        group.bench_function("once", |bencher| {
            bencher.iter(|| {
                let mut frames = Frames::default();
                Native.encode(view, &room, black_box(&event), &mut frames);
                let frame: Bytes = frames.buffer.freeze();
                for _ in 0..MEMBERS {
                    black_box(frame.clone());
                }
            });
        });
        group.bench_function("per member", |bencher| {
            bencher.iter(|| {
                for _ in 0..MEMBERS {
                    let mut frames = Frames::default();
                    Native.encode(view, &room, black_box(&event), &mut frames);
                    black_box(frames.buffer.freeze());
                }
            });
        });
        group.finish();
    }
}

fn decode(criterion: &mut Criterion) {
    for bytes in [64, 4_096] {
        let text = "x".repeat(bytes);
        let json = format!(r#"{{"id":7,"talk":{{"room":"lobby","text":"{text}","key":"k-1"}}}}"#);
        let protobuf = protobuf_talk(&text);
        let mut group = criterion.benchmark_group("codec/native/decode");
        group.throughput(Throughput::Bytes(bytes as u64));
        for (name, subprotocol, message) in [
            ("protobuf", PROTOBUF, Message::Binary(&protobuf)),
            ("json", JSON, Message::Text(json.as_bytes())),
        ] {
            let mut codec = codec(subprotocol);
            let mut requests = Vec::with_capacity(1);
            group.bench_function(BenchmarkId::new(name, bytes), |bencher| {
                bencher.iter(|| {
                    requests.clear();
                    let read = codec.decode(black_box(message), &mut requests);
                    assert!(read.is_ok(), "{read:?}");
                });
            });
        }
        group.finish();
    }
}

fn protobuf_talk(text: &str) -> Vec<u8> {
    use plaza::proto::plaza::{ClientMessage, Talk, client_message::Request};
    let message = ClientMessage {
        id: 7,
        request: Some(Request::Talk(Talk {
            room: "lobby".into(),
            text: text.into(),
            key: "k-1".into(),
            ..Default::default()
        })),
    };
    prost::Message::encode_to_vec(&message)
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = encode, decode
}
criterion_main!(benches);
