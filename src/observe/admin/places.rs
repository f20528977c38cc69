//! The places of the admin listener, of which those that say nothing must not keep the others out.
//!
//! A health probe that gets no answer makes a supervisor restart the server, so a few stuck scrapers, or a program that opens
//! connections and forgets them, would throw everybody out. A request that is being answered is never given up for another.

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
    time::{Instant, sleep_until},
};

use crate::limits;

/// Who has which place, the oldest first.
pub(super) struct Places {
    free: Arc<Semaphore>,
    guests: VecDeque<Weak<Guest>>,
}

/// A connection that has a place until it is dropped.
pub(super) struct Guest {
    since: Instant,
    /// Its request is whole, and the answer is being made.
    busy: AtomicBool,
    leave: Notify,
    _place: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(count: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count)),
            guests: VecDeque::new(),
        }
    }

    /// Waits for a place. `None` never comes: nobody closes the semaphore.
    pub(super) async fn take(&mut self) -> Option<Arc<Guest>> {
        let place = loop {
            self.guests.retain(|guest| guest.strong_count() > 0);
            // Not held while it waits: a guest's place is free when the last who holds the guest is gone.
            let (since, silent) = self.silent();
            tokio::select! {
                biased;
                place = self.free.clone().acquire_owned() => break place,
                () = sleep_until(since + limits::ADMIN_SILENCE) => {}
            }
            if let Some(guest) = silent.upgrade().filter(|guest| !guest.is_busy()) {
                guest.leave.notify_one();
                drop(guest);
                break self.free.clone().acquire_owned().await;
            }
        };
        let guest = Arc::new(Guest {
            since: Instant::now(),
            busy: AtomicBool::new(false),
            leave: Notify::new(),
            _place: place.ok()?,
        });
        self.guests.push_back(Arc::downgrade(&guest));
        Some(guest)
    }

    /// The oldest that is not busy, and when it came. Where all are, one may be in a moment: it reads its answer slowly.
    fn silent(&self) -> (Instant, Weak<Guest>) {
        let mut guests = self.guests.iter().filter_map(Weak::upgrade);
        match guests.find(|guest| !guest.is_busy()) {
            Some(guest) => (guest.since, Arc::downgrade(&guest)),
            None => (Instant::now(), Weak::new()),
        }
    }
}

impl Guest {
    /// Does work that is not to be given up.
    pub(super) async fn at_work<F: Future>(&self, work: F) -> F::Output {
        // Relaxed: one thread, and nothing is ordered by it.
        self.busy.store(true, Ordering::Relaxed);
        let done = work.await;
        self.busy.store(false, Ordering::Relaxed);
        done
    }

    /// Waits until the place is wanted for another.
    pub(super) async fn leave(&self) {
        loop {
            self.leave.notified().await;
            // Its request came at the last moment.
            if !self.is_busy() {
                return;
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }
}
