//! Faults of the store, with the sentence that tells an operator what to do.
//!
//! [`StoreFault`] is a fault of a running store; [`StartFault`] is the reason why a store did not open. Errors of SQLite and of the
//! operating system become one of these. Damage names its file, and the log and number if they are known.
//!
//! This file does not decide how to react to a fault; the caller does.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

use super::log::LogId;
use crate::{chat::Seq, limits};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreFault {
    /// No space left.
    Full { file: PathBuf },
    /// The file or its file system is read-only.
    ReadOnly { file: PathBuf },
    /// Stored data differs from what was written.
    Damaged {
        file: PathBuf,
        /// `None` if it is not known.
        log: Option<LogId>,
        /// `None` if it is not known.
        seq: Option<Seq>,
        seen: String,
    },
    /// Any other error of the system or SQLite.
    Broken { file: PathBuf, seen: String },
    /// The request exceeds a bound.
    Refused {
        /// What was seen, and the bound.
        seen: String,
    },
    /// The store is stopping.
    Stopping,
}

impl StoreFault {
    pub(crate) fn damaged(file: &Path, seen: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            log: None,
            seq: None,
            seen: seen.into(),
        }
    }

    /// Adds the log to damage that names none.
    pub(crate) fn in_log(mut self, of: &LogId) -> Self {
        if let Self::Damaged { log, .. } = &mut self {
            log.get_or_insert_with(|| of.clone());
        }
        self
    }

    /// Adds the number to damage.
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
    Locked {
        dir: PathBuf,
        /// The other process, if known.
        holder: Option<u32>,
    },
    /// The directory does not exist and cannot be created.
    NoDirectory {
        dir: PathBuf,
        why: io::Error,
    },
    /// The directory belongs to another user, so it cannot be made private or written.
    NotOurs {
        dir: PathBuf,
        /// The user id of the owner.
        owner: u32,
        mode: u32,
    },
    /// Everybody may write to the directory and it contains other files, so it cannot be made private.
    Shared {
        dir: PathBuf,
        mode: u32,
    },
    Newer {
        file: PathBuf,
        seen: i64,
        known: i64,
    },
    /// Files that belong together are not together.
    Torn {
        /// The file that is missing or foreign.
        file: PathBuf,
        seen: String,
    },
    Io {
        file: PathBuf,
        why: io::Error,
    },
    Store(StoreFault),
}

impl StartFault {
    pub(crate) fn no_random(why: io::Error) -> Self {
        Self::Io {
            file: "/dev/urandom".into(),
            why,
        }
    }
}

/// Classifies an error of SQLite by who has to act on it.
pub(crate) fn fault(file: &Path, why: &rusqlite::Error) -> StoreFault {
    let damaged = || StoreFault::damaged(file, why.to_string());
    match why.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreFault::Full { file: file.to_owned() },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreFault::ReadOnly { file: file.to_owned() },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation) => damaged(),
        _ => match why {
            // A value whose type differs from the schema: the page was damaged.
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

/// Classifies an error of the operating system by who has to act on it.
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

/// Explains why a directory could not be created.
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
            // A running store tries again by itself; a start does not.
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
