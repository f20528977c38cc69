//! How the store is to behave.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use crate::{
    chat::{RoomName, Seq},
    observe::Clocks,
};

/// When a message counts as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the disk has it: nothing acknowledged is lost, whatever happens.
    #[default]
    Fsync,
    /// When the operating system has it: a crash of the program loses nothing, a power cut may lose the last seconds.
    Os,
    /// As `Os`, and a power cut may also damage the database, which then refuses to start.
    None,
}

/// What of a log is kept. The newest messages that satisfy all three stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Talks older than this go.
    pub age: Option<Duration>,
    /// More messages than this go.
    pub messages: Option<u64>,
    /// More bytes than this (of texts, names and a fixed cost per message) go.
    pub bytes: Option<u64>,
}

/// How long a key makes a repeated message the same message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyWindow {
    /// Not longer than this.
    pub age: Duration,
    /// Not over more messages of the log than this.
    pub messages: u64,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its directory; made when missing.
    pub dir: PathBuf,
    /// When a message counts as stored.
    pub durability: Durability,
    /// What is kept of rooms without a line in `rooms`.
    pub retention: Retention,
    /// What is kept of direct conversations.
    pub directs: Retention,
    /// What is kept of these rooms.
    pub rooms: HashMap<RoomName, Retention>,
    /// How long keys are remembered.
    pub keys: KeyWindow,
    /// Talks and read positions that wait for the writer; with more, messages are given back.
    pub queue: usize,
    /// How long the writer rests between two rounds of retention over all logs.
    pub retention_pause: Duration,
    /// By which messages and keys grow old.
    pub clocks: Clocks,
    /// The number of the next entry of a log, by that of its newest one; larger than that.
    pub numbering: fn(Seq) -> Seq,
}

impl Retention {
    /// Nothing ever goes.
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
    /// A day, and 100,000 messages: a client that retries later than that has been restarted and asks for history first.
    fn default() -> Self {
        Self {
            age: Duration::from_secs(24 * 60 * 60),
            messages: 100_000,
        }
    }
}

impl Settings {
    /// The defaults, in this directory.
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
