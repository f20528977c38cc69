//! The places of the admin listener: it serves a bounded number of connections, and a silent one loses its place to the next.
//!
//! A health probe that gets no answer makes a supervisor restart the server. So neither stuck scrapers, nor a program that opens
//! connections and forgets them, may keep a probe out. A request that is being answered is never given up for another.

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

/// The places, and the connections that have them, the oldest first.
pub(super) struct Places {
    free: Arc<Semaphore>,
    guests: VecDeque<Weak<Guest>>,
}

/// A connection; it has its place until it is dropped.
pub(super) struct Guest {
    since: Instant,
    /// Its request is complete, and the answer is being made.
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
            let (since, silent) = self.silent();
            tokio::select! {
                biased;
                place = self.free.clone().acquire_owned() => break place,
                () = sleep_until(since + limits::ADMIN_SILENCE) => evict(&silent).await,
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

    /// Makes room for another connection when descriptors have run out before the places: the oldest silent guest leaves, or,
    /// if none has been silent for long enough, one may leave by itself soon.
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

    /// The oldest guest that is not busy, and when it came. If all are busy, now: one that reads its answer is not busy any more.
    /// Not held while somebody waits: a guest's place is free once nobody holds the guest.
    fn silent(&mut self) -> (Instant, Weak<Guest>) {
        self.guests.retain(|guest| guest.strong_count() > 0);
        let mut guests = self.guests.iter().filter_map(Weak::upgrade);
        match guests.find(|guest| !guest.is_busy()) {
            Some(guest) => (guest.since, Arc::downgrade(&guest)),
            None => (Instant::now(), Weak::new()),
        }
    }
}

/// Makes a guest leave, and waits until it has, unless its request has come at the last moment.
async fn evict(guest: &Weak<Guest>) {
    while let Some(guest) = guest.upgrade().filter(|guest| !guest.is_busy()) {
        guest.leave.notify_one();
        drop(guest);
        yield_now().await;
    }
}

impl Guest {
    /// Does work during which the guest keeps its place.
    pub(super) async fn at_work<F: Future>(&self, work: F) -> F::Output {
        // Relaxed: one thread, and nothing is ordered by it.
        self.busy.store(true, Ordering::Relaxed);
        let done = work.await;
        self.busy.store(false, Ordering::Relaxed);
        done
    }

    /// Waits until another connection needs the place.
    pub(super) async fn leave(&self) {
        loop {
            self.leave.notified().await;
            // Unless its request has come at the last moment.
            if !self.is_busy() {
                return;
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }
}
