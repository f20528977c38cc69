//! The settings of a store.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use crate::{
    chat::{RoomName, Seq},
    observe::Clocks,
};

/// When a message counts as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When it is on the disk. No crash or power cut loses an acknowledged message.
    #[default]
    Fsync,
    /// When the operating system has it. A crash of the program loses nothing; a power cut may lose the last seconds.
    Os,
    /// As `Os`, and a power cut may also damage the database, which then refuses to open.
    None,
}

/// How much of a log to keep. Messages that exceed any of the three bounds are deleted, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub age: Option<Duration>,
    pub messages: Option<u64>,
    /// Bytes of texts, names and a fixed cost per message.
    pub bytes: Option<u64>,
}

/// How long an idempotency key counts: until either bound is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyWindow {
    pub age: Duration,
    /// Messages of the log after the one with the key.
    pub messages: u64,
}

#[derive(Debug, Clone)]
pub struct HistorySettings {
    /// Created if missing.
    pub dir: PathBuf,
    pub durability: Durability,
    /// The retention of rooms that are not in `rooms`.
    pub retention: Retention,
    /// The retention of direct conversations.
    pub directs: Retention,
    pub rooms: HashMap<RoomName, Retention>,
    pub keys: KeyWindow,
    /// The capacity of the writer's queue, in requests.
    pub queue: usize,
    /// The pause of the writer between two rounds of retention.
    pub retention_pause: Duration,
    /// The clocks that age messages and keys.
    pub clocks: Clocks,
    /// Computes the number of the next entry of a log from its head. The result must be larger.
    pub numbering: fn(Seq) -> Seq,
}

impl Retention {
    pub const FOREVER: Self = Self {
        age: None,
        messages: None,
        bytes: None,
    };
}

impl Default for Retention {
    /// 30 days and 1 GiB.
    fn default() -> Self {
        Self {
            age: Some(Duration::from_secs(30 * 24 * 60 * 60)),
            messages: None,
            bytes: Some(1 << 30),
        }
    }
}

impl Default for KeyWindow {
    /// A day and 100,000 messages. A client that retries later than that has restarted, and asks for history first.
    fn default() -> Self {
        Self {
            age: Duration::from_secs(24 * 60 * 60),
            messages: 100_000,
        }
    }
}

impl HistorySettings {
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            durability: Durability::Fsync,
            retention: Retention::default(),
            directs: Retention::default(),
            rooms: HashMap::new(),
            keys: KeyWindow::default(),
            queue: crate::limits::HISTORY_QUEUE,
            retention_pause: Duration::from_secs(10),
            clocks: Clocks::system(),
            numbering: |head| head + 1,
        }
    }
}
