//! Shared parts of the tests over real sockets: a server on port 0, bare sockets that send any bytes, one frame at a time, and a pair of
//! healthy clients that notice every lost message.
// Each test program uses its part of it, and `pub` is the shortest word for that.
#![allow(dead_code, unreachable_pub, unused_imports, clippy::unwrap_used)]

mod bystanders;
mod http;
mod peer;
mod program;

pub use bystanders::{Healthy, Moved, Watcher};
pub use http::{Request, Response, api, get, metric};
pub use peer::{BINARY, CLOSE, Frame, Heard, MASK, PING, PONG, Peer, TEXT, frame, head, strings};
pub use program::{Program, Running, clean, config, program, settings, start, start_with, stored};

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than anything here takes, so that a test fails only if something never happens.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until a condition holds.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
