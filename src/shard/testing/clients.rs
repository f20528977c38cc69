//! Clients connect and send, and their shards read.

use std::{collections::VecDeque, rc::Rc};

use prost::Message as _;
use serde_json::{Value, json};

use super::{Client, FakeSocket, World};
use crate::{
    chat::{ConnectionSlot, Generation, ListOrder, RoomName, SessionId, ShardId},
    codec::{self, DialectId, Handshake, native},
    proto,
    shard::connection::reader::Reading,
    wire::masked::masked_frame,
};

/// The dialect and encoding of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Json,
    Protobuf,
    /// One of the dialects that have the user's name in the handshake.
    Legacy(&'static str),
}

impl World {
    /// A connection after its handshake, which names a legacy client.
    pub(crate) fn connect(&mut self, shard: usize, speaks: Speaks, name: &str) -> usize {
        let (dialect, subprotocol) = match speaks {
            Speaks::Json => (Some(DialectId::Native), Some(native::JSON)),
            Speaks::Protobuf => (Some(DialectId::Native), Some(native::PROTOBUF)),
            Speaks::Legacy(dialect) => (DialectId::named(dialect), None),
        };
        let named = (!matches!(speaks, Speaks::Json | Speaks::Protobuf)).then(|| name.as_bytes().to_vec());
        let handshake = Handshake {
            query: named
                .as_ref()
                .map_or_else(Vec::new, |_| format!("username={name}").into_bytes()),
            username: named,
            client: codec::Client::Page,
            subprotocol,
            ..Handshake::silent()
        };
        self.open(shard, speaks, handshake, dialect)
    }

    pub(crate) fn open(
        &mut self,
        shard: usize,
        speaks: Speaks,
        handshake: Handshake,
        dialect: Option<DialectId>,
    ) -> usize {
        let socket = Rc::new(FakeSocket::new(self.clock.clone()));
        let taken_up = socket.clone();
        let client = self.clients.len();
        // The client must exist before the turn, which may make I/O requests for it.
        self.clients.push(Client {
            id: SessionId::new(ShardId(shard as u16), ConnectionSlot::new(u32::MAX), Generation::FIRST),
            speaks,
            socket,
            parsed: 0,
            received: Vec::new(),
            unread: VecDeque::new(),
            shut: false,
            next_request: 1,
        });
        let engine = &mut self.engines[shard];
        engine.begin_turn();
        self.clients[client].id = engine.open(taken_up, handshake, dialect);
        self.turn(shard, |_| ());
        client
    }

    /// A native client after its hello.
    pub(crate) fn user(&mut self, shard: usize, name: &str) -> usize {
        self.speaker(shard, Speaks::Json, name)
    }

    /// A native client after its hello, or a legacy one, which is in the lobby.
    pub(crate) fn speaker(&mut self, shard: usize, speaks: Speaks, name: &str) -> usize {
        let client = self.connect(shard, speaks, name);
        match speaks {
            Speaks::Json | Speaks::Protobuf => {
                self.request(client, json!({"hello": {"name": name}}));
            }
            Speaks::Legacy(_) => {}
        }
        client
    }

    /// Users of these names, each on the next shard, all in one room. Nothing is in flight, and what they received is taken.
    pub(crate) fn members<const N: usize>(&mut self, room: &str, names: [&str; N]) -> [usize; N] {
        let shards = self.engines.len();
        let mut next = 0;
        let members = names.map(|name| {
            let member = self.user(next % shards, name);
            next += 1;
            self.join(member, room);
            member
        });
        self.run_until_idle();
        for member in members {
            self.received(member);
        }
        members
    }

    /// Sends a native request and returns its id.
    pub(crate) fn request(&mut self, client: usize, request: Value) -> u64 {
        let id = self.clients[client].next_request;
        self.clients[client].next_request += 1;
        let bytes = self.encoded(client, id, request);
        self.send_bytes(client, bytes);
        id
    }

    /// A native request as one masked frame.
    pub(crate) fn encoded(&self, client: usize, id: u64, mut request: Value) -> Vec<u8> {
        request["id"] = id.into();
        let json = request.to_string();
        match self.clients[client].speaks {
            Speaks::Json => masked(1, json.as_bytes()),
            Speaks::Protobuf => masked(2, &native::in_protobuf(&json)),
            Speaks::Legacy(dialect) => panic!("{dialect} is not native"),
        }
    }

    /// Sends bytes to the shard.
    pub(crate) fn send_bytes(&mut self, client: usize, bytes: Vec<u8>) {
        self.clients[client].unread.push_back(bytes);
        self.feed(client);
    }

    /// Lets the shard read until it pauses.
    pub(crate) fn feed(&mut self, client: usize) {
        let id = self.clients[client].id;
        let shard = usize::from(id.shard().0);
        loop {
            match self.engines[shard].reading(id) {
                Reading::Paused => return,
                Reading::Over => return self.clients[client].unread.clear(),
                Reading::On | Reading::Discard => {}
            }
            let Some(mut bytes) = self.clients[client].unread.pop_front() else {
                return;
            };
            self.turn(shard, |engine| engine.receive(id, &mut bytes));
        }
    }

    /// Whether the shard has paused reading this client.
    pub(crate) fn is_throttled(&mut self, client: usize) -> bool {
        let id = self.id(client);
        !self.clients[client].unread.is_empty() || self.engine(client).reading(id) == Reading::Paused
    }

    pub(crate) fn join(&mut self, client: usize, room: &str) -> u64 {
        self.request(client, json!({"join": {"room": room}}))
    }

    pub(crate) fn leave(&mut self, client: usize, room: &str) -> u64 {
        self.request(client, json!({"leave": {"room": room}}))
    }

    /// Joins and resumes after this number, in the epoch of the first message in the log of all rooms.
    pub(crate) fn resume(&mut self, client: usize, room: &str, seq: u64) -> u64 {
        let epoch = self.logged.borrow()[0].1.epoch;
        self.request(
            client,
            json!({"join": {"room": room, "epoch": epoch, "seq": seq, "last": 0}}),
        )
    }

    /// Sends a message; a legacy client sends it to the lobby, and without an id.
    pub(crate) fn talk(&mut self, client: usize, room: &str, text: &str) -> u64 {
        if let Speaks::Legacy(dialect) = self.clients[client].speaks {
            self.send_bytes(client, legacy(dialect, ["talk", "1"], text));
            return 0;
        }
        self.request(client, json!({"talk": {"room": room, "text": text}}))
    }

    pub(crate) fn direct(&mut self, client: usize, to: &str, text: &str) -> u64 {
        self.request(client, json!({"direct": {"to": to, "text": text}}))
    }

    pub(crate) fn rename(&mut self, client: usize, name: &str) -> u64 {
        self.request(client, json!({"rename": {"name": name}}))
    }

    /// Renames with a key, so that the shard asks the store.
    pub(crate) fn rename_with_key(&mut self, client: usize, name: &str) -> u64 {
        self.request(
            client,
            json!({"rename": {"name": name, "key": format!("a key for {name}, of 32 bytes or more")}}),
        )
    }

    pub(crate) fn exit(&mut self, client: usize) -> u64 {
        if let Speaks::Legacy(dialect) = self.clients[client].speaks {
            self.send_bytes(client, legacy(dialect, ["exit", "2"], ""));
            return 0;
        }
        self.request(client, json!({"exit": {}}))
    }

    pub(crate) fn ping(&mut self, client: usize) -> u64 {
        self.request(client, json!({"ping": {}}))
    }

    /// The sorted names in a room and their count, as its owner has them.
    pub(crate) fn users(&mut self, room: &str) -> (Vec<String>, u32) {
        let room = RoomName::parse(room).unwrap();
        let owner = usize::from(self.directory.owner_of(room.as_str()).0);
        let list = self.engines[owner]
            .owner_mut()
            .rooms()
            .roster(&room, ListOrder::Name, 0);
        (
            list.names.iter().map(|name| name.as_str().to_owned()).collect(),
            list.online,
        )
    }
}

/// A request of document 002, or else of document 000, with its kind in each.
fn legacy(dialect: &str, [chatroom, communication]: [&str; 2], text: &str) -> Vec<u8> {
    let payload = match dialect {
        "chatroom" => proto::chatroom::ChatRoomRequest {
            r#type: chatroom.into(),
            content: text.into(),
            ..Default::default()
        }
        .encode_to_vec(),
        _ => proto::communication::Communication {
            r#type: communication.into(),
            msg: text.into(),
            ..Default::default()
        }
        .encode_to_vec(),
    };
    masked(2, &payload)
}

/// A complete, masked frame of a client.
pub(crate) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    masked_frame(0x80 | opcode, [0x5A, 0x01, 0xC3, 0x7E], payload)
}
