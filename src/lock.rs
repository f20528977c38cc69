//! Lock files: each is held by one process at a time.
//!
//! Invariants: the lock belongs to the system, so it ends with the process, however that ends. Dropping the last clone of a
//! [`FileLock`] releases it at once, even if a child process has inherited the descriptor. The process id in the file is for
//! people; nothing reads it to decide who holds the lock.

use std::{
    fs::{File, TryLockError},
    io::{self, Read as _, Write as _},
    ops::ControlFlow,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
    thread,
    time::Instant,
};

use crate::limits::{LOCK_RETRY, LOCK_WAIT};

/// Why the lock was not taken.
#[derive(Debug)]
pub(crate) enum NotHeld {
    /// Another process still holds it after [`LOCK_WAIT`]; its id, if the file has one.
    Taken(Option<u32>),
    /// The system refused.
    Io(io::Error),
}

/// A lock that is held until the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct FileLock {
    _locked: Arc<Locked>,
}

#[derive(Debug)]
struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing alone is not enough: between fork and exec a child shares the open file, and the lock lasts until both have
        // closed it. If this fails, the close releases the lock.
        let _ = self.0.unlock();
    }
}

/// Takes the lock on the file at `path`, which is created with `mode` if it is not there. Waits at most [`LOCK_WAIT`] for
/// another process to release it, so that a server can start while its predecessor ends.
pub(crate) fn hold(path: &Path, mode: u32) -> Result<FileLock, NotHeld> {
    let end = Instant::now() + LOCK_WAIT;
    hold_or(path, mode, || {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return ControlFlow::Break(());
        }
        thread::sleep(left.min(LOCK_RETRY));
        ControlFlow::Continue(())
    })
}

/// The same, but `refused` decides after each refusal whether to try again.
fn hold_or(path: &Path, mode: u32, mut refused: impl FnMut() -> ControlFlow<()>) -> Result<FileLock, NotHeld> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(mode)
        .open(path)
        .map_err(NotHeld::Io)?;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if refused().is_continue() => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Without a readable id the message only leaves it out.
                let _ = (&file).take(32).read_to_string(&mut holder);
                return Err(NotHeld::Taken(holder.trim().parse().ok()));
            }
            Err(TryLockError::Error(why)) => return Err(NotHeld::Io(why)),
        }
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(NotHeld::Io)?;
    Ok(FileLock {
        _locked: Arc::new(Locked(file)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_once(path: &Path) -> Result<FileLock, NotHeld> {
        hold_or(path, 0o600, || ControlFlow::Break(()))
    }

    #[test]
    fn released_lock_is_free_although_a_forked_child_still_has_the_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = at_once(&path).unwrap();
        // What a child has between fork and exec: another descriptor of the same open file.
        let inherited = lock._locked.0.try_clone().unwrap();
        drop(lock);
        at_once(&path).unwrap();
        drop(inherited);
    }

    #[test]
    fn lock_is_held_until_its_last_clone_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = at_once(&path).unwrap();
        let clone = lock.clone();
        drop(lock);
        let taken = at_once(&path).unwrap_err();
        assert!(
            matches!(taken, NotHeld::Taken(Some(id)) if id == std::process::id()),
            "{taken:?}"
        );
        drop(clone);
        at_once(&path).unwrap();
    }

    #[test]
    fn lock_that_is_released_meanwhile_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let mut other = Some(at_once(&path).unwrap());
        hold_or(&path, 0o600, || {
            drop(other.take().unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    }
}
