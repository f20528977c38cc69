//! A bounded queue from any number of threads to a few that may sleep.
//!
//! Pushing never blocks and takes no lock. A consumer that finds nothing registers itself as asleep, looks once more, and
//! parks; a producer that pushed looks for sleepers afterwards. The two fences order "push, then look for sleepers" against
//! "register, then look for work", so that one of the two always sees the other.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering, fence},
    },
    thread::{self, Thread},
    time::Duration,
};

use crossbeam::queue::ArrayQueue;

/// The queue. What is left in it when the last handle goes is dropped.
#[derive(Debug)]
pub(crate) struct Inbox<W> {
    queue: ArrayQueue<W>,
    consumers: Box<[Consumer]>,
    closed: AtomicBool,
}

/// The place of one consumer: the thread, and whether it sleeps.
#[derive(Debug, Default)]
struct Consumer {
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

impl<W> Inbox<W> {
    /// A queue for `consumers` threads, each of which waits with its own number below that.
    pub(crate) fn new(capacity: usize, consumers: usize) -> Self {
        Self {
            queue: ArrayQueue::new(capacity.max(1)),
            consumers: (0..consumers).map(|_| Consumer::default()).collect(),
            closed: AtomicBool::new(false),
        }
    }

    /// Hands `work` over, or gives it back: the queue is full, or closed.
    pub(crate) fn push(&self, work: W) -> Result<(), W> {
        if self.is_closed() {
            return Err(work);
        }
        self.queue.push(work)?;
        self.wake_one();
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<W> {
        self.queue.pop()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// No more work is taken; what is queued stays to be popped.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst); // pairs with the fence in wait
        for consumer in &self.consumers {
            consumer.wake();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Sleeps until there may be work, the queue is closed, or `at_most` is over.
    pub(crate) fn wait(&self, consumer: usize, at_most: Duration) {
        let Some(consumer) = self.consumers.get(consumer) else {
            return thread::sleep(at_most);
        };
        consumer.thread.get_or_init(thread::current);
        consumer.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst); // pairs with the fences in wake_one and close
        if self.queue.is_empty() && !self.is_closed() {
            thread::park_timeout(at_most);
        }
        consumer.asleep.store(false, Ordering::SeqCst);
    }

    /// Wakes a consumer that sleeps although nothing was pushed.
    pub(crate) fn wake_one(&self) {
        fence(Ordering::SeqCst); // pairs with the fence in wait
        self.consumers.iter().any(Consumer::wake);
    }
}

impl Consumer {
    /// Whether it slept.
    fn wake(&self) -> bool {
        let slept = self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst);
        if slept && let Some(thread) = self.thread.get() {
            thread.unpark();
        }
        slept
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;

    #[test]
    fn nothing_is_left_asleep_while_there_is_work() {
        let inbox = Arc::new(Inbox::new(4, 2));
        let consumers: Vec<_> = (0..2)
            .map(|me| {
                let inbox = Arc::clone(&inbox);
                thread::spawn(move || {
                    let mut seen = 0_u64;
                    loop {
                        match inbox.pop() {
                            Some(work) => seen += work,
                            None if inbox.is_closed() => return seen,
                            // A lost wake-up would cost a minute and fail the test's time limit.
                            None => inbox.wait(me, Duration::from_secs(60)),
                        }
                    }
                })
            })
            .collect();
        let producers: Vec<_> = (0..3)
            .map(|_| {
                let inbox = Arc::clone(&inbox);
                thread::spawn(move || {
                    for _ in 0..20_000 {
                        while inbox.push(1).is_err() {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        for producer in producers {
            producer.join().unwrap();
        }
        inbox.close();
        let sum: u64 = consumers.into_iter().map(|consumer| consumer.join().unwrap()).sum();
        assert_eq!(sum + std::iter::from_fn(|| inbox.pop()).sum::<u64>(), 60_000);
        assert_eq!(inbox.push(1), Err(1));
    }
}
