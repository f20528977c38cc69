//! What can go wrong with the store, and the sentence that tells an operator what to do about it.
//!
//! [`StoreFault`] is a fault of a running store, [`StartFault`] the reason why a store did not open. Every error of SQLite and of the
//! operating system becomes one of them here. Damage always names its file, and the log and number where these are known.
//!
//! This file never decides what a fault leads to: whoever meets it does.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

use super::log::LogId;
use crate::{chat::Seq, limits};

/// Why the store could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreFault {
    /// No space left.
    Full { file: PathBuf },
    /// The file or its file system cannot be written.
    ReadOnly { file: PathBuf },
    /// What is stored is not what was written.
    Damaged {
        file: PathBuf,
        /// In which log, where that is known.
        log: Option<LogId>,
        /// At which message, where that is known.
        seq: Option<Seq>,
        seen: String,
    },
    /// Anything else that the system or SQLite says.
    Broken { file: PathBuf, seen: String },
    /// The question itself is beyond a bound.
    Refused {
        /// What was seen and what the bound is.
        seen: String,
    },
    /// The store is stopping.
    Stopping,
}

impl StoreFault {
    /// Damage somewhere in this file.
    pub(crate) fn damaged(file: &Path, seen: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            log: None,
            seq: None,
            seen: seen.into(),
        }
    }

    /// Damage says that it is in this log, unless it names one.
    pub(crate) fn in_log(mut self, of: &LogId) -> Self {
        if let Self::Damaged { log, .. } = &mut self {
            log.get_or_insert_with(|| of.clone());
        }
        self
    }

    /// Damage says that it is at this number.
    pub(crate) fn at(mut self, number: Seq) -> Self {
        if let Self::Damaged { seq, .. } = &mut self {
            *seq = Some(number);
        }
        self
    }
}

/// Why a store was not opened.
#[derive(Debug)]
pub enum StartFault {
    /// Another process has it.
    Locked {
        dir: PathBuf,
        /// The other process, if it says.
        holder: Option<u32>,
    },
    /// There is no such directory, and it could not be made.
    NoDirectory {
        dir: PathBuf,
        why: io::Error,
    },
    /// It belongs to another user, so it cannot be closed to others or not be written.
    NotOurs {
        dir: PathBuf,
        /// Its owner's number.
        owner: u32,
        mode: u32,
    },
    /// Everybody may write there and it holds what is not a store's, so it is not closed to them.
    Shared {
        dir: PathBuf,
        mode: u32,
    },
    /// It was written by a newer program.
    Newer {
        file: PathBuf,
        /// Its schema version.
        seen: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// Files that belong together are not there together.
    Torn {
        /// The file that is missing or foreign.
        file: PathBuf,
        seen: String,
    },
    Io {
        file: PathBuf,
        why: io::Error,
    },
    /// The database cannot be used.
    Store(StoreFault),
}

impl StartFault {
    /// The system gave no random bytes.
    pub(crate) fn no_random(why: io::Error) -> Self {
        Self::Io {
            file: "/dev/urandom".into(),
            why,
        }
    }
}

/// What SQLite said, sorted by who must act.
pub(crate) fn fault(file: &Path, why: &rusqlite::Error) -> StoreFault {
    let damaged = || StoreFault::damaged(file, why.to_string());
    match why.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreFault::Full { file: file.to_owned() },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreFault::ReadOnly { file: file.to_owned() },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation) => damaged(),
        _ => match why {
            // A value of another type than the schema has: the page was changed.
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => damaged(),
            other => StoreFault::Broken {
                file: file.to_owned(),
                seen: other.to_string(),
            },
        },
    }
}

/// What the operating system said, sorted by who must act.
pub(crate) fn io_fault(file: &Path, why: &io::Error) -> StoreFault {
    let file = file.to_owned();
    match why.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreFault::Full { file },
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => StoreFault::ReadOnly { file },
        _ => StoreFault::Broken {
            file,
            seen: why.to_string(),
        },
    }
}

/// Why a directory is not there, in words.
pub(crate) fn no_directory(dir: &Path, why: &io::Error) -> String {
    let dir = dir.display();
    match why.kind() {
        io::ErrorKind::AlreadyExists => format!("{dir} is a file, and a directory is needed"),
        io::ErrorKind::NotADirectory => {
            format!("the directory {dir} cannot be made, because what it would stand in is a file")
        }
        io::ErrorKind::PermissionDenied => {
            format!("the directory {dir} cannot be made, because this user may not write where it would stand")
        }
        _ => format!("the directory {dir} cannot be made: {why}"),
    }
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { file } => write!(
                f,
                "no space left to write {}: free some or shorten the retention; the store goes on by itself",
                file.display()
            ),
            Self::ReadOnly { file } => write!(
                f,
                "{} cannot be written: make it and its file system writable; the store goes on by itself",
                file.display()
            ),
            Self::Damaged { file, log, seq, seen } => {
                write!(f, "{} is damaged", file.display())?;
                if let Some(log) = log {
                    write!(f, " in {log}")?;
                }
                if let Some(seq) = seq {
                    write!(f, " at seq {seq}")?;
                }
                write!(
                    f,
                    ": {seen}. `plaza history check` lists all damage, `plaza history export` saves what can be read, \
                     `plaza history import` puts an export or a backup into a fresh directory"
                )
            }
            Self::Broken { file, seen } => write!(f, "{}: {seen}", file.display()),
            Self::Refused { seen } => f.write_str(seen),
            Self::Stopping => f.write_str("the store is stopping"),
        }
    }
}

impl std::error::Error for StoreFault {}

impl fmt::Display for StartFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { dir, holder } => {
                write!(f, "{} is in use by another plaza", dir.display())?;
                if let Some(holder) = holder {
                    write!(f, " (process {holder})")?;
                }
                write!(
                    f,
                    " and was not released within {} s: stop it, or give this one another directory with --data",
                    limits::LOCK_WAIT.as_secs()
                )
            }
            Self::NoDirectory { dir, why } => {
                write!(f, "{}: choose another with --data", no_directory(dir, why))
            }
            Self::NotOurs { dir, owner, mode } => write!(
                f,
                "the directory {} belongs to another user (number {owner}, mode {mode:04o}), and what is stored must be this \
                 server's own: run it as that user, give it the directory with `chown`, or choose another with --data",
                dir.display()
            ),
            Self::Shared { dir, mode } => write!(
                f,
                "the directory {} has mode {mode:04o} and holds other things, and what is stored must be closed to others: choose an \
                 empty directory with --data, or close this one with `chmod 700`",
                dir.display()
            ),
            Self::Newer { file, seen, known } => write!(
                f,
                "{} has schema version {seen}, and this program knows versions up to {known}: use the newer program",
                file.display()
            ),
            Self::Torn { file, seen } => write!(
                f,
                "{}: {seen}. Put the files of one store back together, bring a backup or an export into a fresh directory \
                 with `plaza history import`, or move the directory away to begin anew",
                file.display()
            ),
            Self::Io { file, why } => write!(f, "{}: {why}", file.display()),
            // Who runs the store tries again by itself; who starts it does not.
            Self::Store(StoreFault::Full { file }) => {
                write!(
                    f,
                    "no space left to write {}: free some, then start again",
                    file.display()
                )
            }
            Self::Store(StoreFault::ReadOnly { file }) => write!(
                f,
                "{} cannot be written: make it and its file system writable, then start again",
                file.display()
            ),
            Self::Store(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for StartFault {}
