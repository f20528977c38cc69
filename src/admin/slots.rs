//! Bounds the connections of the admin listener; a new connection replaces a silent one.
//!
//! A health probe that gets no answer makes a supervisor restart the server. So neither stuck scrapers nor a program that leaks
//! connections may block a probe. Invariant: a request that is being answered is never dropped for another connection.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::yield_now,
    time::{Instant, sleep_until},
};

use crate::limits;

pub(super) struct ConnectionSlots {
    free: Arc<Semaphore>,
    /// Oldest first.
    taken: VecDeque<Weak<Slot>>,
}

/// The slot of one connection; dropping it frees the slot.
pub(super) struct Slot {
    since: Instant,
    /// Whether the server is answering its request.
    busy: AtomicBool,
    evict: Notify,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlots {
    pub(super) fn new(count: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count)),
            taken: VecDeque::new(),
        }
    }

    /// Waits for a free slot, and evicts a silent connection if necessary. Never returns `None`, because nothing closes the semaphore.
    pub(super) async fn take(&mut self) -> Option<Arc<Slot>> {
        let permit = loop {
            let (since, silent) = self.silent();
            tokio::select! {
                biased;
                permit = self.free.clone().acquire_owned() => break permit,
                () = sleep_until(since + limits::ADMIN_SILENCE) => evict(&silent).await,
            }
        };
        let slot = Arc::new(Slot {
            since: Instant::now(),
            busy: AtomicBool::new(false),
            evict: Notify::new(),
            _permit: permit.ok()?,
        });
        self.taken.push_back(Arc::downgrade(&slot));
        Some(slot)
    }

    /// Called when descriptors run out before the slots do: evicts the oldest silent connection, or pauses if none has been silent for
    /// long enough.
    pub(super) async fn make_room(&mut self) {
        let (since, silent) = self.silent();
        let (due, soon) = (
            since + limits::ADMIN_SILENCE,
            Instant::now() + limits::ADMIN_ACCEPT_PAUSE,
        );
        sleep_until(due.min(soon)).await;
        if due <= soon {
            evict(&silent).await;
        }
    }

    /// The oldest slot that is not busy, and the time at which it was taken (now, if all are busy). The reference is weak, because a
    /// strong one would keep the slot taken while the caller waits.
    fn silent(&mut self) -> (Instant, Weak<Slot>) {
        self.taken.retain(|slot| slot.strong_count() > 0);
        let mut slots = self.taken.iter().filter_map(Weak::upgrade);
        match slots.find(|slot| !slot.is_busy()) {
            Some(slot) => (slot.since, Arc::downgrade(&slot)),
            None => (Instant::now(), Weak::new()),
        }
    }
}

/// Asks a connection to close, and waits until it has closed or its request has arrived.
async fn evict(slot: &Weak<Slot>) {
    while let Some(slot) = slot.upgrade().filter(|slot| !slot.is_busy()) {
        slot.evict.notify_one();
        drop(slot);
        yield_now().await;
    }
}

impl Slot {
    /// Runs `work` during which the connection cannot be evicted.
    pub(super) async fn while_busy<F: Future>(&self, work: F) -> F::Output {
        // Relaxed: the listener has one thread.
        self.busy.store(true, Ordering::Relaxed);
        let done = work.await;
        self.busy.store(false, Ordering::Relaxed);
        done
    }

    /// Waits until another connection needs the slot.
    pub(super) async fn evicted(&self) {
        loop {
            self.evict.notified().await;
            // The request may have arrived in the meantime.
            if !self.is_busy() {
                return;
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }
}
