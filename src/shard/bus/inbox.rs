//! A shard's inbox: a bounded lock-free queue with one waker, and the overflow that each sender keeps while the queue is full.
//!
//! # The life of a message
//!
//! A sender pushes a message and then checks whether the receiver sleeps. Before the receiver sleeps, it sets `asleep` and then
//! checks the queue again. Both have a `SeqCst` fence between the two steps, so at least one of them sees the other: no message
//! waits in the queue of a sleeping receiver.
//!
//! When the queue is full, the sender ([`Outbox`]) keeps the message, and every later one for the same shard, as overflow, in
//! order. It sets its `starved` flag and then tries once more. After the receiver has taken messages, it checks the flags and
//! wakes the starved senders. Again both sides have a `SeqCst` fence between their two steps. A sender registers its waker
//! before it tries, because it is woken only once. A message is therefore never dropped, reordered or forgotten.
//!
//! The outbox does not bound the overflow. The code that creates messages does: an owner refuses messages while
//! [`Outbox::overflow`] is above its bound.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::AtomicUsize},
    task::{Context, Poll},
};

use crate::shard::bus::sync::{ArrayQueue, AtomicBool, AtomicWaker, Ordering, fence};

/// A shard's inbox, shared by the receiver and all senders.
pub(crate) struct Inbox<M> {
    queue: ArrayQueue<M>,
    asleep: AtomicBool,
    waker: AtomicWaker,
    /// By the sender's number: whether it has overflow for this shard.
    starved: Box<[AtomicBool]>,
    /// Messages in the overflow of all senders, for a metric. No decision depends on it.
    overflow: AtomicUsize,
    #[cfg(all(test, plaza_loom))]
    pub(crate) forget_to_look_again: bool,
}

/// One shard's way to the inboxes of all others, with its overflow for full ones.
pub(crate) struct Outbox<M> {
    me: usize,
    inboxes: Arc<[Inbox<M>]>,
    overflow: Box<[VecDeque<M>]>,
    overflow_total: usize,
}

impl<M> Inbox<M> {
    pub(crate) fn new(capacity: usize, senders: usize) -> Self {
        Self {
            queue: ArrayQueue::new(capacity),
            asleep: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            starved: (0..senders).map(|_| AtomicBool::new(false)).collect(),
            overflow: AtomicUsize::new(0),
            #[cfg(all(test, plaza_loom))]
            forget_to_look_again: false,
        }
    }

    /// Pushes a message; returns it if the inbox is full.
    pub(crate) fn push(&self, message: M) -> Result<(), M> {
        self.queue.push(message)?;
        self.wake();
        Ok(())
    }

    /// Wakes the receiver if it sleeps.
    pub(crate) fn wake(&self) {
        // Pairs with the fence in `poll_ready`: either this load sees `asleep`, or the receiver sees the message pushed before.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Takes the oldest message. Only the receiver calls it.
    pub(crate) fn pop(&self) -> Option<M> {
        self.queue.pop()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Messages in the overflow of all senders to this inbox.
    pub(crate) fn overflow(&self) -> usize {
        self.overflow.load(Ordering::Relaxed)
    }

    /// Wakes the senders that have overflow for this shard. The receiver calls it after it has taken messages.
    pub(crate) fn wake_starved(&self, inboxes: &[Inbox<M>]) {
        // Pairs with the fence in `Outbox::retry_one`: either this sees `starved`, or the sender's second try finds space.
        fence(Ordering::SeqCst);
        for (sender, starved) in self.starved.iter().enumerate() {
            if starved.load(Ordering::Relaxed)
                && starved.swap(false, Ordering::AcqRel)
                && let Some(inbox) = inboxes.get(sender)
            {
                inbox.wake_task();
            }
        }
    }

    /// Wakes the receiver although nothing was pushed, so that it retries its own overflow.
    fn wake_task(&self) {
        self.asleep.swap(false, Ordering::AcqRel);
        self.waker.wake();
    }

    /// Ready when a message waits. [`Inbox::wake_task`] does not make it ready; it only causes another poll, which retries the
    /// overflow. `retry` sends the overflow ([`Outbox::retry`]). It runs after the waker is registered, because a starved sender
    /// is woken only once.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>, retry: impl FnOnce()) -> Poll<()> {
        self.register(context);
        retry();
        if !self.queue.is_empty() {
            return Poll::Ready(());
        }
        // Every write to `asleep` is a read-modify-write, which is ordered right after the value that it read. Loom could order a
        // plain store between the sender's swap and the value that the swap read, and would report a lost wake-up.
        self.asleep.swap(true, Ordering::AcqRel);
        // Pairs with the fence in `wake`.
        fence(Ordering::SeqCst);
        #[cfg(all(test, plaza_loom))]
        if self.forget_to_look_again {
            return Poll::Pending;
        }
        if self.queue.is_empty() {
            return Poll::Pending;
        }
        self.asleep.swap(false, Ordering::AcqRel);
        Poll::Ready(())
    }

    #[cfg(not(plaza_loom))]
    fn register(&self, context: &Context<'_>) {
        self.waker.register(context.waker());
    }

    #[cfg(plaza_loom)]
    fn register(&self, context: &Context<'_>) {
        self.waker.register_by_ref(context.waker());
    }
}

impl<M> Outbox<M> {
    pub(crate) fn new(me: usize, inboxes: Arc<[Inbox<M>]>) -> Self {
        let overflow = inboxes.iter().map(|_| VecDeque::new()).collect();
        Self {
            me,
            inboxes,
            overflow,
            overflow_total: 0,
        }
    }

    /// Sends in order; a message that does not fit becomes overflow.
    pub(crate) fn send(&mut self, to: usize, message: M) {
        if !self.overflow[to].is_empty() {
            return self.put_overflow(to, message);
        }
        if let Err(message) = self.inboxes[to].push(message) {
            self.put_overflow(to, message);
            self.retry_one(to);
        }
    }

    fn put_overflow(&mut self, to: usize, message: M) {
        self.overflow[to].push_back(message);
        self.overflow_total += 1;
        self.inboxes[to].overflow.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends as much of the overflow as fits. The shard calls it when it is woken.
    pub(crate) fn retry(&mut self) {
        if self.overflow_total == 0 {
            return;
        }
        for to in 0..self.overflow.len() {
            self.retry_one(to);
        }
    }

    /// Messages in the overflow for all other shards together.
    pub(crate) fn overflow(&self) -> usize {
        self.overflow_total
    }

    fn retry_one(&mut self, to: usize) {
        let overflow = &mut self.overflow[to];
        let inbox = &self.inboxes[to];
        let mut is_starved = false;
        while let Some(message) = overflow.pop_front() {
            match inbox.push(message) {
                Ok(()) => {
                    self.overflow_total -= 1;
                    inbox.overflow.fetch_sub(1, Ordering::Relaxed);
                }
                Err(message) => {
                    overflow.push_front(message);
                    if is_starved {
                        return;
                    }
                    is_starved = true;
                    inbox.starved[self.me].store(true, Ordering::Release);
                    // Pairs with the fence in `wake_starved`. The second try comes after it.
                    fence(Ordering::SeqCst);
                }
            }
        }
        if overflow.is_empty() {
            overflow.shrink_to(16);
        }
    }
}

#[cfg(all(test, not(plaza_loom)))]
mod tests {
    use super::*;
    use std::{future::poll_fn, thread};

    #[test]
    fn a_message_that_does_not_fit_counts_as_overflow_of_that_inbox_only() {
        // Senders 0 and 1 send to inbox 2, which holds two messages.
        let inboxes: Arc<[Inbox<u8>]> = (0..3).map(|_| Inbox::new(2, 3)).collect();
        let mut outboxes = [0, 1].map(|me| Outbox::new(me, inboxes.clone()));
        for outbox in &mut outboxes {
            for message in 0..3 {
                outbox.send(2, message);
            }
        }
        let overflow = || inboxes.iter().map(Inbox::overflow).collect::<Vec<_>>();
        assert_eq!(overflow(), [0, 0, 4]);
        inboxes[2].pop();
        outboxes[0].retry();
        assert_eq!(overflow(), [0, 0, 3]);
        while inboxes[2].pop().is_some() {
            outboxes.iter_mut().for_each(Outbox::retry);
        }
        assert_eq!(overflow(), [0, 0, 0]);
    }

    #[test]
    fn every_message_of_every_sender_arrives_once_and_in_order_through_a_tiny_queue() {
        const SENDERS: usize = 3;
        const MESSAGES: usize = 20_000;
        let inboxes: Arc<[Inbox<(usize, usize)>]> = (0..=SENDERS).map(|_| Inbox::new(4, SENDERS + 1)).collect();
        let senders: Vec<_> = (1..=SENDERS)
            .map(|me| {
                let inboxes = inboxes.clone();
                thread::spawn(move || {
                    let mut outbox = Outbox::new(me, inboxes.clone());
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(async {
                        for n in 0..MESSAGES {
                            outbox.send(0, (me, n));
                            while outbox.overflow() > 16 {
                                let mut polled = false;
                                poll_fn(|context| {
                                    if polled {
                                        return Poll::Ready(());
                                    }
                                    polled = true;
                                    let _ = inboxes[me].poll_ready(context, || outbox.retry());
                                    if outbox.overflow() > 16 {
                                        Poll::Pending
                                    } else {
                                        Poll::Ready(())
                                    }
                                })
                                .await;
                                outbox.retry();
                            }
                        }
                        while outbox.overflow() > 0 {
                            outbox.retry();
                            thread::yield_now();
                        }
                    });
                })
            })
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut next = [0; SENDERS + 1];
        let mut received = 0;
        runtime.block_on(async {
            while received < SENDERS * MESSAGES {
                poll_fn(|context| inboxes[0].poll_ready(context, || ())).await;
                while let Some((sender, n)) = inboxes[0].pop() {
                    assert_eq!(n, next[sender], "sender {sender} out of order");
                    next[sender] += 1;
                    received += 1;
                }
                inboxes[0].wake_starved(&inboxes);
            }
        });
        for sender in senders {
            sender.join().unwrap();
        }
        assert!(inboxes[0].pop().is_none());
    }
}

/// Run with `scripts/test.sh loom`.
#[cfg(all(test, plaza_loom))]
mod loom_tests {
    use super::*;
    use loom::{future::block_on, thread};
    use std::future::poll_fn;

    /// Bound on preemptions: without one there are too many interleavings, and a fault in waking shows with two.
    const PREEMPTIONS: usize = 4;

    fn every_interleaving(check: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(PREEMPTIONS);
        builder.check(check);
    }

    #[test]
    fn loom_no_message_waits_in_the_queue_of_a_sleeping_receiver() {
        every_interleaving(|| {
            let inbox = loom::sync::Arc::new(Inbox::new(2, 1));
            let sender = {
                let inbox = inbox.clone();
                thread::spawn(move || {
                    inbox.push(1).unwrap();
                    inbox.push(2).unwrap();
                })
            };
            let mut received = Vec::new();
            while received.len() < 2 {
                block_on(poll_fn(|context| inbox.poll_ready(context, || ())));
                while let Some(message) = inbox.pop() {
                    received.push(message);
                }
            }
            assert_eq!(received, [1, 2]);
            sender.join().unwrap();
        });
    }

    /// Records a wake. Not one of loom's atomics, because it is read only after the sender has ended.
    struct Bell(std::sync::atomic::AtomicBool);

    impl std::task::Wake for Bell {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    /// Counts the interleavings after which a message waits, the receiver sleeps and nothing woke it. A deadlock would show the
    /// same, but loom ends the process when it finds one.
    fn sleeps_over_a_message(forget_to_look_again: bool) -> usize {
        let found = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = found.clone();
        every_interleaving(move || {
            let mut inbox = Inbox::new(2, 1);
            inbox.forget_to_look_again = forget_to_look_again;
            let inbox = loom::sync::Arc::new(inbox);
            let sender = {
                let inbox = inbox.clone();
                thread::spawn(move || inbox.push(1).unwrap())
            };
            let bell = std::sync::Arc::new(Bell(false.into()));
            let waker = std::task::Waker::from(bell.clone());
            let polled = inbox.poll_ready(&mut Context::from_waker(&waker), || ());
            sender.join().unwrap();
            let woken = bell.0.load(std::sync::atomic::Ordering::SeqCst);
            if polled.is_pending() && !woken && inbox.len() > 0 {
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        });
        found.load(std::sync::atomic::Ordering::SeqCst)
    }

    #[test]
    fn loom_catches_a_receiver_that_forgets_to_check_again() {
        assert_eq!(sleeps_over_a_message(false), 0);
        assert!(sleeps_over_a_message(true) > 0, "the faulty receiver was not caught");
    }

    #[test]
    fn loom_overflow_is_sent_when_there_is_room() {
        every_interleaving(|| {
            // Inbox 0 is the receiver's, inbox 1 the sender's own.
            let inboxes: Arc<[Inbox<u8>]> = [Inbox::new(1, 2), Inbox::new(1, 2)].into();
            let sender = {
                let inboxes = inboxes.clone();
                thread::spawn(move || {
                    let mut outbox = Outbox::new(1, inboxes.clone());
                    outbox.send(0, 1);
                    outbox.send(0, 2);
                    block_on(poll_fn(|context| {
                        let _ = inboxes[1].poll_ready(context, || outbox.retry());
                        if outbox.overflow() == 0 {
                            Poll::Ready(())
                        } else {
                            Poll::Pending
                        }
                    }));
                })
            };
            let mut received = Vec::new();
            while received.len() < 2 {
                block_on(poll_fn(|context| inboxes[0].poll_ready(context, || ())));
                while let Some(message) = inboxes[0].pop() {
                    received.push(message);
                }
                inboxes[0].wake_starved(&inboxes);
            }
            assert_eq!(received, [1, 2]);
            sender.join().unwrap();
        });
    }
}
