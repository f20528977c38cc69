//! The steps of the model test, and their random choice.

use proptest::prelude::*;

use crate::shard::testing::Speaks;

#[derive(Debug, Clone)]
pub(super) enum Act {
    Connect { shard: usize, speaks: usize, name: usize },
    Join { client: usize, room: usize, since: Since },
    Leave { client: usize, room: usize },
    Talk { client: usize, room: usize, long: bool },
    Direct { client: usize, to: usize },
    Rename { client: usize, name: usize },
    Ping { client: usize },
    Room { client: usize, bytes: usize },
    Open { client: usize },
    Exit { client: usize },
    HangUp { client: usize },
    Break { client: usize },
    Steps { count: usize },
    Idle,
    Pass { ms: u64 },
}

/// From where a join resumes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Since {
    Now,
    Last(u32),
    /// The position of a message, counted back from the newest one of all epochs.
    Position(usize),
}

/// The same, with the values of the request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    Now,
    Last(u64),
    Position { epoch: u64, seq: u64 },
}

impl Asked {
    /// The number after which the replay begins, in a room with this head and these numbers.
    pub(super) fn from(self, epoch: u64, head: u64, numbers: &[u64]) -> u64 {
        match self {
            Self::Last(count) => {
                let upto = numbers.partition_point(|seq| *seq <= head);
                let before = upto.saturating_sub(count as usize);
                before.checked_sub(1).map_or(0, |last| numbers[last])
            }
            Self::Position { epoch: known, seq } if known == epoch => seq,
            Self::Now | Self::Position { .. } => head,
        }
    }
}

pub(super) const NAMES: [&str; 4] = ["ada", "bob", "eve", "tom"];
pub(super) const ROOMS: [&str; 3] = ["lobby", "tea", "chess"];
pub(super) const FORMS: [Speaks; 5] = [
    Speaks::Json,
    Speaks::Protobuf,
    Speaks::Json,
    Speaks::Legacy("chatroom"),
    Speaks::Legacy("communication"),
];

pub(super) fn act() -> impl Strategy<Value = Act> {
    let client = 0..12_usize;
    let room = 0..ROOMS.len();
    prop_oneof![
        3 => (0..3_usize, 0..FORMS.len(), 0..NAMES.len())
            .prop_map(|(shard, speaks, name)| Act::Connect { shard, speaks, name }),
        8 => (client.clone(), room.clone(), since()).prop_map(|(client, room, since)| Act::Join { client, room, since }),
        2 => (client.clone(), room.clone()).prop_map(|(client, room)| Act::Leave { client, room }),
        14 => (client.clone(), room, any::<bool>()).prop_map(|(client, room, long)| Act::Talk { client, room, long }),
        3 => (client.clone(), 0..NAMES.len()).prop_map(|(client, to)| Act::Direct { client, to }),
        1 => (client.clone(), 0..NAMES.len()).prop_map(|(client, name)| Act::Rename { client, name }),
        2 => client.clone().prop_map(|client| Act::Ping { client }),
        7 => (client.clone(), 0..400_usize).prop_map(|(client, bytes)| Act::Room { client, bytes }),
        3 => client.clone().prop_map(|client| Act::Open { client }),
        1 => client.clone().prop_map(|client| Act::Exit { client }),
        1 => client.clone().prop_map(|client| Act::HangUp { client }),
        1 => client.prop_map(|client| Act::Break { client }),
        8 => (1..12_usize).prop_map(|count| Act::Steps { count }),
        1 => Just(Act::Idle),
        1 => (1..400_u64).prop_map(|ms| Act::Pass { ms }),
    ]
}

fn since() -> impl Strategy<Value = Since> {
    prop_oneof![
        2 => Just(Since::Now),
        1 => (1..8_u32).prop_map(Since::Last),
        2 => (0..8_usize).prop_map(Since::Position),
    ]
}
