//! The directory of a store: its files, its lock, and the little that is read from the system.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use super::fault::StartFault;
use crate::lock::{self, FileLock, NotHeld};

/// Where everything is.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// The directory.
    pub(crate) dir: PathBuf,
    /// Talks and all that is not derived.
    pub(crate) database: PathBuf,
    /// The head witness.
    pub(crate) head: PathBuf,
    /// The search index, which can always be made again.
    pub(crate) search: PathBuf,
    /// Locked while a server runs; holds its process id.
    pub(crate) lock: PathBuf,
    /// A backup or an import on its way; what is finished is moved out of it.
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

    /// Makes the directory, closes it to others and takes the lock.
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
            // Where everybody may write, as in /tmp, others have things that they could not reach any more.
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

    /// Whether the directory holds a store, or nothing yet.
    fn is_ours(&self) -> io::Result<bool> {
        if [&self.lock, &self.database, &self.head]
            .into_iter()
            .any(|file| file.exists())
        {
            return Ok(true);
        }
        for entry in fs::read_dir(&self.dir)? {
            // A file system of its own is empty with this in it.
            if entry?.file_name() != "lost+found" {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Bytes of the database's write-ahead log.
    pub(crate) fn wal_bytes(&self) -> u64 {
        let [_, wal, _] = with_companions(&self.database);
        fs::metadata(wal).map_or(0, |data| data.len())
    }

    /// Bytes of all files of the store.
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

/// The user that this process runs as.
fn own_user() -> Option<u32> {
    Some(fs::metadata("/proc/self").ok()?.uid())
}

/// A database, its write-ahead log and the log's index.
pub(crate) fn with_companions(database: &Path) -> [PathBuf; 3] {
    let beside = |suffix: &str| {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    [database.to_owned(), beside("-wal"), beside("-shm")]
}

/// Which file this is, under whatever name: a rename keeps it, and a copy gets another one. A copy of the whole file system
/// or machine has it as well, so that one cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    inode: u64,
    /// Birth, in nanoseconds since 1970; 0 where the file system does not say. A number of a deleted file is used again.
    born: u64,
}

impl Identity {
    /// `None` where the file system gives files no numbers.
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

/// Makes names in a directory durable: a file that was made, renamed or removed.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Which run of the operating system this is; all zeroes where it does not say.
pub(crate) fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut id = [0; 16];
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).unwrap_or("0");
        *byte = u8::from_str_radix(pair, 16).unwrap_or(0);
    }
    id
}

/// Bytes nobody can guess.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A new epoch: from 1 to 2^53 - 1, so that JSON numbers hold it.
pub(crate) fn new_epoch() -> io::Result<u64> {
    Ok((u64::from_le_bytes(random()?) >> 11).max(1))
}
