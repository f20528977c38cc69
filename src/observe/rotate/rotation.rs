//! The rules for rotating log files.

use std::time::Duration;

use crate::observe::clock::millis;

/// When a new log file begins, and which old ones stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotation {
    /// A new file begins at each multiple of this since 1970, UTC.
    pub every: Option<Duration>,
    /// A new file begins before one grows beyond this many bytes.
    pub bytes: Option<u64>,
    /// At most this many files, the one being written included.
    pub keep_files: Option<u32>,
    /// No file whose last line is older than this.
    pub keep_age: Option<Duration>,
}

impl Rotation {
    pub(super) fn period(&self, at: u64) -> u64 {
        self.every.map_or(0, |every| at / millis(every).max(1))
    }
}
