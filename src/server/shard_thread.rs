//! The thread of one shard.
//!
//! If a shard ends by itself, its rooms and connections are lost, and requests to it would wait forever. [`ShardThread::failure`] then
//! returns the reason, and the server ends, so that the process supervisor restarts it.

use std::{io, thread};

use tokio::sync::oneshot;

pub(super) struct ShardThread {
    number: usize,
    stop: oneshot::Sender<()>,
    /// `None` once [`ShardThread::failure`] has taken its result.
    thread: Option<thread::JoinHandle<io::Result<()>>>,
}

impl ShardThread {
    /// Runs `shard` on a separate thread. It must return when the receiver resolves.
    pub(super) fn start(
        number: usize,
        pin: bool,
        shard: impl FnOnce(oneshot::Receiver<()>) -> io::Result<()> + Send + 'static,
    ) -> Result<Self, String> {
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name(format!("shard-{number}"))
            .spawn(move || {
                if pin {
                    pin_to_core(number);
                }
                shard(stopped)
            })
            .map_err(|error| {
                format!("the thread of shard {number} cannot be started: {error}; try fewer with --shards")
            })?;
        Ok(Self {
            number,
            stop,
            thread: Some(thread),
        })
    }

    /// The reason if the shard has ended by itself. Returns it once.
    pub(super) fn failure(&mut self) -> Option<String> {
        let number = self.number;
        match self.thread.take_if(|thread| thread.is_finished())?.join() {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!(
                "shard {number} cannot run: {error}; allow more open files (ulimit -n), or use fewer --shards"
            )),
            // The panic has been printed already.
            Err(_) => Some(format!(
                "shard {number} has ended by a defect (see the log); start the server again, and report it"
            )),
        }
    }

    /// Ends the shard and waits for its thread.
    pub(super) fn stop(self) {
        drop(self.stop);
        if let Some(thread) = self.thread {
            // The server is stopping, so the result does not matter.
            let _ = thread.join();
        }
    }
}

fn pin_to_core(number: usize) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    match cores.get(number % cores.len().max(1)) {
        Some(core) if core_affinity::set_for_current(*core) => {}
        Some(_) | None => tracing::warn!(shard = number, "cannot pin the shard to a core; it runs on any"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(shard: impl FnOnce() -> io::Result<()> + Send + 'static) -> Option<String> {
        let mut thread = ShardThread::start(3, false, |_| shard()).unwrap();
        while thread.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            thread::yield_now();
        }
        let failure = thread.failure();
        assert_eq!(thread.failure(), None, "the reason is returned once");
        thread.stop();
        failure
    }

    #[test]
    fn a_shard_that_ends_by_itself_has_a_reason_and_one_that_is_stopped_has_none() {
        assert_eq!(failure(|| Ok(())), None);
        let failed = failure(|| Err(io::ErrorKind::OutOfMemory.into()));
        assert!(failed.is_some_and(|why| why.starts_with("shard 3 cannot run: ")));
        let panicked = failure(|| panic!("this panic belongs to the test"));
        assert!(panicked.is_some_and(|why| why.starts_with("shard 3 has ended ")));
        let mut running = ShardThread::start(3, false, |stopped| {
            let _ = stopped.blocking_recv();
            Ok(())
        })
        .unwrap();
        assert_eq!(running.failure(), None);
        running.stop();
    }
}
