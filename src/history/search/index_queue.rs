//! The logs with messages that are not indexed yet: a queue from the writer to the indexer.
//!
//! The writer never waits: if the queue is full, the indexer checks every log.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{history::queue::Queue, limits};

#[derive(Debug)]
pub(crate) struct IndexQueue {
    pub(crate) logs: Queue<u32>,
    /// The queue was full: the indexer must check every log.
    pub(crate) all: AtomicBool,
    /// Incremented when the index is rebuilt, so that the searcher opens the new file.
    pub(crate) generation: AtomicU64,
}

impl IndexQueue {
    pub(crate) fn new() -> Self {
        Self {
            logs: Queue::new(limits::HISTORY_QUEUE),
            all: AtomicBool::new(true),
            generation: AtomicU64::new(0),
        }
    }

    pub(crate) fn note(&self, log: u32) {
        if self.logs.push(log).is_err() {
            self.all.store(true, Ordering::Release);
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.logs.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.logs.is_closed()
    }
}
