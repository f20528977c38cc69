//! The drain: `/readyz` fails, the listeners close, and the server sends every client a goodbye and waits up to the drain timeout.
//!
//! Invariant: a message that was acknowledged before the drain reaches its members before their goodbye does.

use std::{sync::mpsc, thread, time::Instant};

use super::Server;
use crate::{limits, observe::ServerPhase, shard::ToShard};

impl Server {
    /// Ends the server in order. Blocks for at most the drain timeout. Returns the number of connections that it had to cut.
    pub fn drain(mut self) -> usize {
        self.readiness.enter(ServerPhase::Draining);
        self.acceptor.stop();
        self.site.draining.send_replace(true);
        let end = Instant::now() + self.drain_timeout;
        self.quiesce(end.min(Instant::now() + limits::DRAIN_SETTLE));
        for number in 0..self.threads.len() {
            self.shards.send_until(number, ToShard::Drain, end);
        }
        while self.shards.connections() > 0 && Instant::now() < end {
            thread::sleep(limits::DRAIN_POLL);
        }
        let left = self.shards.connections();
        self.stop();
        left
    }

    /// Waits until no message is in transit between shards or in the store, but no longer than `end`.
    fn quiesce(&self, end: Instant) {
        // After the first round every shard has stopped reading. Then two quiet rounds in a row are necessary: a message may be in
        // transit from a shard that has answered to one that has not.
        self.all_quiesced(end);
        let mut rounds = 0;
        while rounds < 2 && Instant::now() < end {
            if self.all_quiesced(end) {
                rounds += 1;
            } else {
                rounds = 0;
                thread::sleep(limits::DRAIN_POLL);
            }
        }
    }

    fn all_quiesced(&self, end: Instant) -> bool {
        let (answer, answers) = mpsc::channel();
        for number in 0..self.threads.len() {
            self.shards.send_until(number, ToShard::Quiesce(answer.clone()), end);
        }
        (0..self.threads.len()).fold(true, |all, _| {
            let left = end.saturating_duration_since(Instant::now());
            answers.recv_timeout(left).unwrap_or(false) && all
        })
    }

    fn stop(&mut self) {
        self.acceptor.stop();
        self.threads.drain(..).for_each(super::ShardThread::stop);
        if let Some(history) = self.history.take() {
            history.stop();
        }
        if let Some(message_log) = self.message_log.take() {
            message_log.finish(limits::LOG_FINISH);
        }
        if let Some(admin) = self.admin.take() {
            admin.stop();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crate::{
        config::Config,
        server::settings,
        shard::{ShardSettings, Shards, ToShard},
    };

    #[test]
    fn telling_a_shard_that_has_ended_comes_to_an_end() {
        let settings = ShardSettings {
            inbox_messages: 1,
            ..ShardSettings::default()
        };
        let shards = Shards::new(1, settings, settings::profiles(&Config::default()), 7);
        let soon = Instant::now();
        assert!(shards.send_until(0, ToShard::Drain, soon));
        assert!(!shards.send_until(0, ToShard::Drain, soon));
    }
}
