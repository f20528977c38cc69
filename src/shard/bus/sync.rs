//! The primitives of the inbox: the real ones, or loom's models of them under `--cfg plaza_loom`.

#[cfg(not(plaza_loom))]
pub(crate) use {
    atomic_waker::AtomicWaker,
    crossbeam::queue::ArrayQueue,
    std::sync::atomic::{AtomicBool, Ordering, fence},
};

#[cfg(plaza_loom)]
pub(crate) use {
    loom::{
        future::AtomicWaker,
        sync::atomic::{AtomicBool, Ordering, fence},
    },
    model::ArrayQueue,
};

#[cfg(plaza_loom)]
mod model {
    use std::collections::VecDeque;

    use loom::sync::Mutex;

    /// Models the promise of crossbeam's queue, which has no loom support: each push and pop takes effect at one point in time.
    pub(crate) struct ArrayQueue<T> {
        items: Mutex<VecDeque<T>>,
        capacity: usize,
    }

    impl<T> ArrayQueue<T> {
        pub(crate) fn new(capacity: usize) -> Self {
            Self {
                items: Mutex::new(VecDeque::new()),
                capacity,
            }
        }

        pub(crate) fn push(&self, item: T) -> Result<(), T> {
            let mut items = self.items.lock().unwrap();
            if items.len() == self.capacity {
                return Err(item);
            }
            items.push_back(item);
            Ok(())
        }

        pub(crate) fn pop(&self) -> Option<T> {
            self.items.lock().unwrap().pop_front()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.items.lock().unwrap().is_empty()
        }

        pub(crate) fn len(&self) -> usize {
            self.items.lock().unwrap().len()
        }
    }
}
