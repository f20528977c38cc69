//! The files of a store, its lock, and random numbers.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use super::fault::StartFault;
use crate::lock::{self, FileLock, NotHeld};

/// The paths of a store's files.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) dir: PathBuf,
    /// The messages and everything that cannot be rebuilt.
    pub(crate) database: PathBuf,
    /// The commit marker.
    pub(crate) head: PathBuf,
    /// The search index, which can be rebuilt.
    pub(crate) search: PathBuf,
    /// Locked while a server runs; contains its process id.
    pub(crate) lock: PathBuf,
    /// The directory of a running backup or import, which moves its files out when they are complete.
    pub(crate) unfinished: PathBuf,
}

impl Files {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            database: dir.join("history.db"),
            head: dir.join("history.head"),
            search: dir.join("search.db"),
            lock: dir.join("lock"),
            unfinished: dir.join("unfinished"),
        }
    }

    /// Creates the directory, makes it private and takes the lock.
    pub(crate) fn claim(&self) -> Result<FileLock, StartFault> {
        let failed = |file: &Path| {
            let file = file.to_owned();
            move |why: io::Error| StartFault::Io { file, why }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(|why| StartFault::NoDirectory {
                dir: self.dir.clone(),
                why,
            })?;
        let found = fs::metadata(&self.dir).map_err(failed(&self.dir))?;
        let mode = found.permissions().mode();
        let refused = |file: &Path| {
            let (file, dir, owner) = (file.to_owned(), self.dir.clone(), found.uid());
            move |why: io::Error| {
                if why.kind() == io::ErrorKind::PermissionDenied && own_user().is_some_and(|own| own != owner) {
                    let mode = mode & 0o7777;
                    StartFault::NotOurs { dir, owner, mode }
                } else {
                    StartFault::Io { file, why }
                }
            }
        };
        if mode & 0o077 != 0 {
            // In a shared directory such as /tmp, this would lock others out of their own files.
            if mode & 0o002 != 0 && !self.is_ours().map_err(failed(&self.dir))? {
                let dir = self.dir.clone();
                return Err(StartFault::Shared {
                    dir,
                    mode: mode & 0o7777,
                });
            }
            fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o700)).map_err(refused(&self.dir))?;
        }
        lock::hold(&self.lock, 0o600).map_err(|why| match why {
            NotHeld::Taken(holder) => StartFault::Locked {
                dir: self.dir.clone(),
                holder,
            },
            NotHeld::Io(why) => refused(&self.lock)(why),
        })
    }

    /// Whether the directory contains a store, or nothing.
    fn is_ours(&self) -> io::Result<bool> {
        if [&self.lock, &self.database, &self.head]
            .into_iter()
            .any(|file| file.exists())
        {
            return Ok(true);
        }
        for entry in fs::read_dir(&self.dir)? {
            // An empty file system contains this.
            if entry?.file_name() != "lost+found" {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn wal_bytes(&self) -> u64 {
        let [_, wal, _] = with_companions(&self.database);
        fs::metadata(wal).map_or(0, |data| data.len())
    }

    pub(crate) fn bytes(&self) -> u64 {
        let own = |path: &Path| fs::metadata(path).map_or(0, |data| data.len());
        let mut sum = own(&self.head);
        for database in [&self.database, &self.search] {
            for file in with_companions(database) {
                sum += own(&file);
            }
        }
        sum
    }
}

fn own_user() -> Option<u32> {
    Some(fs::metadata("/proc/self").ok()?.uid())
}

/// A database, its write-ahead log and the shared-memory file of that log.
pub(crate) fn with_companions(database: &Path) -> [PathBuf; 3] {
    let beside = |suffix: &str| {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    [database.to_owned(), beside("-wal"), beside("-shm")]
}

/// Identifies a file under any name. A rename keeps the identity, and a copy has a new one. A copy of a whole file system or machine
/// keeps it as well, so Plaza does not notice such a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    inode: u64,
    /// Birth time, nanoseconds since 1970; 0 if the file system has none. Distinguishes files that use the same inode one after the
    /// other.
    born: u64,
}

impl FileIdentity {
    /// `None` if the file system has no inode numbers.
    pub(crate) fn of(data: &fs::Metadata) -> Option<Self> {
        let born = data
            .created()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .and_then(|since| u64::try_from(since.as_nanos()).ok())
            .unwrap_or(0);
        Self::known(data.ino(), born)
    }

    pub(crate) fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (inode, born) = bytes.split_at_mut(8);
        inode.copy_from_slice(&self.inode.to_le_bytes());
        born.copy_from_slice(&self.born.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: [u8; 16]) -> Option<Self> {
        let (inode, born) = bytes.split_at(8);
        Self::known(
            u64::from_le_bytes(inode.try_into().ok()?),
            u64::from_le_bytes(born.try_into().ok()?),
        )
    }

    fn known(inode: u64, born: u64) -> Option<Self> {
        (inode != 0).then_some(Self { inode, born })
    }
}

/// Makes the creation, renaming and removal of files in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Identifies the run of the operating system; zeroes if it is unknown.
pub(crate) fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&text.trim().replace('-', ""), 16)
        .unwrap_or(0)
        .to_be_bytes()
}

/// Cryptographically random bytes.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A random epoch from 1 to 2^53 - 1, so that a JSON number can represent it.
pub(crate) fn new_epoch() -> io::Result<u64> {
    Ok((u64::from_le_bytes(random()?) >> 11).max(1))
}
