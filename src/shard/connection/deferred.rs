//! Requests of one connection that wait for the answer to one before them, in order.

use std::collections::VecDeque;

use crate::chat::Request;

#[derive(Debug, Default)]
pub(crate) struct Deferred(VecDeque<Request>);

impl Deferred {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, request: Request) {
        self.0.push_back(request);
    }

    pub(crate) fn pop(&mut self) -> Option<Request> {
        self.0.pop_front()
    }

    /// Puts back the request that was taken last, because it still has to wait.
    pub(crate) fn put_back(&mut self, request: Request) {
        self.0.push_front(request);
    }
}
