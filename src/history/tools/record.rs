//! The lines of an export.

use serde::{Deserialize, Serialize};

use crate::history::{log::LogId, rows};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    #[serde(alias = "talk")]
    Message {
        /// One name for a room, two for a direct conversation.
        log: Vec<String>,
        epoch: u64,
        seq: u64,
        /// The number of the entry before it, unless that is `seq - 1`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prev: Option<u64>,
        /// Unix milliseconds.
        at: u64,
        from: String,
        /// The sender's id as the store writes it, unless it is that of the name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        session: u32,
        /// 0 text, 1 image, 2 video, 3 voice.
        kind: i64,
        text: String,
    },
    /// An entry that is not a message.
    Entry {
        /// As in `Message`.
        log: Vec<String>,
        epoch: u64,
        seq: u64,
        /// The number of the entry before it, unless that is `seq - 1`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prev: Option<u64>,
        /// Unix milliseconds.
        at: u64,
        /// 64 or more.
        kind: i64,
        content: String,
    },
    Read {
        /// As in `Message`.
        log: Vec<String>,
        user: String,
        /// The last message read.
        seq: u64,
    },
    /// The hash of a name's key.
    Name {
        user: String,
        /// SHA-256, in hexadecimal digits.
        hash: String,
    },
    /// A tail that was lost, or may have been, when an epoch ended.
    Lost {
        /// As in `Message`.
        log: Vec<String>,
        /// The epoch that ended.
        epoch: u64,
        /// The first lost number.
        from: u64,
        /// The last lost number; absent if only clients that saw these messages know it.
        to: Option<u64>,
    },
    /// The last line. Without it the export is incomplete.
    End {
        /// The number of messages.
        #[serde(alias = "talks")]
        messages: u64,
        /// The number of read markers, names and other entries.
        others: u64,
    },
}

/// The number of exported or imported entries.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Moved {
    pub messages: u64,
    /// Read markers, names and other entries.
    pub others: u64,
    /// Descriptions of the damaged rows that were left out.
    pub left_out: Vec<String>,
    /// Logs with holes, which were renumbered in a new epoch.
    pub renumbered: Vec<LogId>,
}

impl Moved {
    pub(super) fn count(&mut self, record: &Record) {
        match record {
            Record::Message { .. } => self.messages += 1,
            Record::Read { .. } | Record::Name { .. } | Record::Entry { .. } => self.others += 1,
            Record::Lost { .. } | Record::End { .. } => {}
        }
    }
}

pub(super) fn log_names(log: &LogId) -> Vec<String> {
    match log {
        LogId::Room(room) => vec![room.as_str().to_owned()],
        LogId::Pair(pair) => pair.ids().map(|user| user.stored().to_owned()).to_vec(),
    }
}

pub(super) fn parse_names(names: &[String]) -> Option<LogId> {
    match names {
        [room] => rows::parse_log(0, room, ""),
        [low, high] => rows::parse_log(1, low, high),
        _ => None,
    }
}
