//! The bounded queues between callers and the threads of a store: crossbeam channels that can be closed from any thread.
//!
//! A push never blocks: a full or closed queue returns the work. Consumers can still take the work that a closed queue has. New work and
//! closing the queue wake a sleeping consumer.

use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crossbeam::channel::{self, Receiver, Sender, TryRecvError, TrySendError};

/// A queue with any number of producers and consumers.
#[derive(Debug)]
pub(crate) struct Queue<W> {
    sender: Sender<W>,
    receiver: Receiver<W>,
    /// Dropped to close the queue.
    open: Mutex<Option<Sender<Infallible>>>,
    /// Disconnected once the queue is closed.
    closed: Receiver<Infallible>,
}

impl<W> Queue<W> {
    pub(crate) fn new(capacity: usize) -> Self {
        let (sender, receiver) = channel::bounded(capacity.max(1));
        let (open, closed) = channel::bounded(1);
        Self {
            sender,
            receiver,
            open: Mutex::new(Some(open)),
            closed,
        }
    }

    /// Adds `work`, or returns it if the queue is full or closed.
    pub(crate) fn push(&self, work: W) -> Result<(), W> {
        if self.is_closed() {
            return Err(work);
        }
        self.sender.try_send(work).map_err(TrySendError::into_inner)
    }

    pub(crate) fn pop(&self) -> Option<W> {
        self.receiver.try_recv().ok()
    }

    /// Takes work, and waits for it until the queue is closed or `at_most` is over.
    pub(crate) fn wait(&self, at_most: Duration) -> Option<W> {
        self.pop().or_else(|| {
            channel::select! {
                recv(self.receiver) -> work => work.ok(),
                recv(self.closed) -> _ => self.pop(),
                default(at_most) => None,
            }
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Rejects further work.
    pub(crate) fn close(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.try_recv() == Err(TryRecvError::Disconnected)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn nothing_is_left_asleep_while_there_is_work() {
        let queue = Arc::new(Queue::new(4));
        let consumers: Vec<_> = (0..2)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    let mut seen = 0_u64;
                    loop {
                        // A lost wake-up would cost a minute and fail the test's time limit.
                        match queue.wait(Duration::from_secs(60)) {
                            Some(work) => seen += work,
                            None => {
                                assert!(queue.is_closed());
                                return seen;
                            }
                        }
                    }
                })
            })
            .collect();
        let producers: Vec<_> = (0..3)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    for _ in 0..20_000 {
                        while queue.push(1).is_err() {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        for producer in producers {
            producer.join().unwrap();
        }
        queue.close();
        let sum: u64 = consumers.into_iter().map(|consumer| consumer.join().unwrap()).sum();
        assert_eq!(sum, 60_000);
    }

    #[test]
    fn a_full_or_closed_queue_gives_work_back_and_keeps_what_it_has() {
        let queue = Queue::new(2);
        assert_eq!([queue.push(1), queue.push(2), queue.push(3)], [Ok(()), Ok(()), Err(3)]);
        queue.close();
        assert_eq!((queue.push(4), queue.len()), (Err(4), 2));
        let wait = || queue.wait(Duration::from_secs(60));
        assert_eq!([wait(), wait(), wait()], [Some(1), Some(2), None]);
    }
}
