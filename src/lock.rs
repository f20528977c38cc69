//! Files that one process at a time holds. The lock is the system's and goes with the process, however that ends; the number of
//! the process in the file is for people.

use std::{
    fs::{File, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Why a file is not ours.
#[derive(Debug)]
pub(crate) enum NotHeld {
    /// Another process holds it; its number, if it says.
    Taken(Option<u32>),
    /// The system refused.
    Io(io::Error),
}

/// Holds the file at this path until what is returned is dropped. It is made, with this mode, if it is not there.
pub(crate) fn hold(path: &Path, mode: u32) -> Result<File, NotHeld> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(mode)
        .open(path)
        .map_err(NotHeld::Io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The text is for people; the lock is what counts.
            let _ = (&file).take(32).read_to_string(&mut holder);
            return Err(NotHeld::Taken(holder.trim().parse().ok()));
        }
        Err(TryLockError::Error(why)) => return Err(NotHeld::Io(why)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(NotHeld::Io)?;
    Ok(file)
}
