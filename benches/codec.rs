//! The cost of each codec: encoding an event once for a room against once per member, and decoding and acknowledging a message.
//!
//! `cargo bench --bench codec`

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use plaza::{
    chat::{
        ChatMessage, Command, Happening, Joined, MessageKind, Position, Reply, Request, RoomName, SessionTag, UserId,
        UserName, Welcome,
    },
    codec::{Codec, DIALECTS, Dialect, DialectId, Frames, Handshake, Message, native},
};

/// Members of the room for which an event is encoded.
const MEMBERS: usize = 1_000;
/// Lengths of texts: what people usually write, and the longest that the older formats take.
const TEXT_BYTES: [usize; 2] = [64, 4_000];
const AT: u64 = 1_700_000_000_000;

/// A wire format, and one of its encodings.
struct Form {
    name: &'static str,
    dialect: &'static dyn Dialect,
    view: usize,
    subprotocol: Option<&'static str>,
}

/// The two forms of the native protocol, and every other dialect.
fn forms() -> Vec<Form> {
    let mut forms = Vec::new();
    for id in DIALECTS {
        let dialect = id.reference();
        let mut form = |name, view, subprotocol| {
            forms.push(Form {
                name,
                dialect,
                view,
                subprotocol,
            });
        };
        if id == DialectId::Native {
            form("native, protobuf", 0, Some(native::PROTOBUF));
            form("native, json", 1, Some(native::JSON));
        } else {
            form(id.name(), 0, None);
        }
    }
    forms
}

fn event(text: &str) -> Happening {
    let from = UserName::parse("张三").unwrap_or_else(|_| UserName::guest(1));
    Happening::Message(ChatMessage {
        epoch: 1_234_567,
        seq: 1_000_001,
        prev: 1_000_000,
        at: AT,
        user: UserId::of_name(&from),
        from,
        session: SessionTag(42),
        text: text.into(),
        kind: MessageKind::Text,
        echo: None,
    })
}

fn encode(criterion: &mut Criterion) {
    let room = RoomName::lobby();
    let event = event(&"x".repeat(64));
    for form in forms() {
        let frames = || {
            let mut frames = Frames::default();
            form.dialect
                .encode_at(AT, form.view, &room, black_box(&event), &mut frames);
            let frame: Bytes = frames.buffer.freeze();
            assert!(frame.len() > 64, "{}: a talk is not shown", form.name);
            frame
        };
        let mut group = criterion.benchmark_group(format!("codec/{}/encode", form.name));
        // Deliveries, so that both rows are per member.
        group.throughput(Throughput::Elements(MEMBERS as u64));
        group.bench_function("once", |bencher| {
            bencher.iter(|| {
                let frame = frames();
                for _ in 0..MEMBERS {
                    black_box(frame.clone());
                }
            });
        });
        group.bench_function("per member", |bencher| {
            bencher.iter(|| {
                for _ in 0..MEMBERS {
                    black_box(frames());
                }
            });
        });
        group.finish();
    }
}

fn decode(criterion: &mut Criterion) {
    for form in forms() {
        let mut group = criterion.benchmark_group(format!("codec/{}/decode", form.name));
        for bytes in TEXT_BYTES {
            let talk = talk(&form, &"x".repeat(bytes));
            let mut codec = speaking(&form);
            let (mut requests, mut frames) = (Vec::with_capacity(1), Frames::default());
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(BenchmarkId::new("talk", bytes), |bencher| {
                bencher.iter(|| {
                    read(codec.as_mut(), black_box(&talk), &mut requests);
                    let Some(Request { id, command }) = requests.pop() else {
                        panic!("{}: a talk is not read", form.name)
                    };
                    assert!(matches!(command, Command::Talk { .. }), "{command:?}");
                    // Some dialects remember unanswered requests, so each message gets its answer.
                    codec.encode_at(AT, id, &acknowledged(), &mut frames);
                    frames.buffer.clear();
                });
            });
        }
        group.finish();
    }
}

/// A message of a client: its bytes, and whether it is a text message.
struct Sent(Vec<u8>, bool);

fn read(codec: &mut dyn Codec, sent: &Sent, requests: &mut Vec<Request>) {
    let message = if sent.1 {
        Message::Text(&sent.0)
    } else {
        Message::Binary(&sent.0)
    };
    let read = codec.decode(message, requests);
    assert!(read.is_ok(), "{read:?}");
}

/// The codec of a client that is in the lobby.
fn speaking(form: &Form) -> Box<dyn Codec> {
    let mut codec = form.dialect.open(&Handshake {
        query: if form.subprotocol.is_some() {
            Vec::new()
        } else {
            b"username=ann".to_vec()
        },
        username: form.subprotocol.is_none().then(|| b"ann".to_vec()),
        client: plaza::codec::Client::Page,
        subprotocol: form.subprotocol,
        ..Handshake::silent()
    });
    let mut requests = codec.opening().unwrap_or_default();
    let login = match form.name {
        "action" => Some(r#"{"seq":"1","action":"login","data":{"appId":1,"userId":"ann","groupsId":"1"}}"#),
        "tutorial" => Some(r#"{"type":"login","content":"ann"}"#),
        _ => None,
    };
    if let Some(login) = login {
        read(codec.as_mut(), &Sent(login.into(), true), &mut requests);
    }
    for Request { id, command } in requests {
        match command {
            Command::Hello(_) => codec.encode_at(AT, id, &welcome(), &mut Frames::default()),
            Command::Join { .. } => codec.encode_at(AT, id, &joined(), &mut Frames::default()),
            _ => {}
        }
    }
    codec
}

/// A message as a client of this dialect sends it.
fn talk(form: &Form, text: &str) -> Sent {
    let strings = |values: &[(u8, &str)]| {
        let mut message = Vec::new();
        for (field, value) in values {
            message.push(field << 3 | 2);
            prost::encode_length_delimiter(value.len(), &mut message).unwrap_or_default();
            message.extend_from_slice(value.as_bytes());
        }
        Sent(message, false)
    };
    match form.name {
        "native, protobuf" => {
            use plaza::proto::plaza::{ClientMessage, Talk, client_message::Request};
            let talk = Request::Talk(Talk {
                room: "lobby".into(),
                text: text.into(),
                key: "k-1".into(),
                ..Default::default()
            });
            let message = ClientMessage {
                id: 7,
                request: Some(talk),
            };
            Sent(prost::Message::encode_to_vec(&message), false)
        }
        "native, json" => {
            let talk = format!(r#"{{"id":7,"talk":{{"room":"lobby","text":"{text}","key":"k-1"}}}}"#);
            Sent(talk.into(), true)
        }
        "communication" => strings(&[(1, "1"), (2, text)]),
        "chat-request" => strings(&[(1, "ann"), (2, "talk"), (3, text)]),
        "chatroom" => strings(&[(1, "talk"), (2, "ann"), (3, text)]),
        "action" => {
            let data = format!(r#"{{"msgType":"text","message":"{text}"}}"#);
            Sent(
                format!(r#"{{"seq":"2","action":"sendmsg","data":{data}}}"#).into(),
                true,
            )
        }
        "tutorial" => Sent(format!(r#"{{"type":"user","content":"{text}"}}"#).into(), true),
        unknown => panic!("{unknown}: a new dialect, and nobody has said here how it talks"),
    }
}

fn welcome() -> Reply {
    Reply::Welcome(Box::new(Welcome {
        session: SessionTag(42),
        name: UserName::parse("ann").unwrap_or_else(|_| UserName::guest(1)),
        key: None,
        heartbeat: Duration::from_secs(25),
        at: AT,
        peer: ([127, 0, 0, 1], 1).into(),
    }))
}

fn joined() -> Reply {
    Reply::Joined(Box::new(Joined {
        room: RoomName::lobby(),
        head: Position::default(),
        from: 0,
        online: 1,
        topic: "".into(),
        history: false,
        read: None,
    }))
}

fn acknowledged() -> Reply {
    Reply::Ack {
        position: Position { epoch: 1, seq: 1 },
        at: AT,
        duplicate: false,
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    targets = encode, decode
}
criterion_main!(benches);
