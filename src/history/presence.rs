//! Checks that the store's paths still lead to the files that it has open.
//!
//! A process can still write to a file that was deleted or replaced, but the file vanishes with the process. Invariant: after the
//! commit of an acknowledged message, its file still had its path. The writer checks after each commit. It also checks before, so
//! that it does not store messages which it then has to refuse. A check is two calls of `stat`.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{
    fault::{StoreFault, io_fault},
    files::{Files, with_companions},
};

/// The files at the time when the store was opened.
#[derive(Debug)]
pub(crate) struct Presence {
    database: Named,
    /// The write-ahead log appears with the first write.
    wal: Named,
}

#[derive(Debug)]
struct Named {
    path: PathBuf,
    known: Option<Inode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inode {
    device: u64,
    inode: u64,
}

impl Presence {
    pub(crate) fn of(files: &Files) -> Self {
        let [database, wal, _] = with_companions(&files.database);
        Self {
            database: Named::now(database),
            wal: Named::now(wal),
        }
    }

    /// Fails if a file is missing or was replaced.
    pub(crate) fn check(&mut self) -> Result<(), StoreFault> {
        self.database.check()?;
        self.wal.check()
    }
}

impl Named {
    fn now(path: PathBuf) -> Self {
        let known = inode_of(&path).unwrap_or_default();
        Self { path, known }
    }

    fn check(&mut self) -> Result<(), StoreFault> {
        let now = inode_of(&self.path).map_err(|why| io_fault(&self.path, &why))?;
        let seen = match (self.known, now) {
            (None, now) => {
                self.known = now;
                return Ok(());
            }
            (Some(known), Some(now)) if known == now => return Ok(()),
            (Some(_), Some(_)) => "it is another file than the one that the running server has open",
            (Some(_), None) => "it is not there any more, though the running server has it open",
        };
        let file = self.path.clone();
        Err(StoreFault::Broken {
            file,
            seen: format!(
                "{seen}; nothing is stored, since it would be gone with the process: put the file back if it was moved, else \
                 stop the server and put a backup in its place"
            ),
        })
    }
}

fn inode_of(path: &Path) -> io::Result<Option<Inode>> {
    match fs::metadata(path) {
        Ok(data) => Ok(Some(Inode {
            device: data.dev(),
            inode: data.ino(),
        })),
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_gone_or_another_one_is_noticed_and_one_that_comes_back_is_well() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        fs::write(&files.database, "").unwrap();
        let mut presence = Presence::of(&files);
        presence.check().unwrap();
        let wal = dir.path().join("history.db-wal");
        fs::write(&wal, "").unwrap();
        presence.check().unwrap();

        let aside = dir.path().join("aside");
        for file in [&files.database, &wal] {
            fs::rename(file, &aside).unwrap();
            let fault = presence.check().unwrap_err().to_string();
            assert!(fault.contains("it is not there any more"), "{fault}");
            fs::write(file, "").unwrap();
            let fault = presence.check().unwrap_err().to_string();
            assert!(fault.contains("it is another file"), "{fault}");
            fs::rename(&aside, file).unwrap();
            presence.check().unwrap();
        }
    }
}
