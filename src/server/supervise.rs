//! Supervision: what happens when a part ends by itself, or does not answer.
//!
//! Invariants: `/readyz` names every part that has ended. If a vital part ends, the server ends too, with a sentence.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Server, ShardThread};
use crate::{
    history::{Health, History},
    limits,
    observe::{Need, Readiness, Watch},
    shard::{Shards, Ticket, ToShard},
};

impl Server {
    /// Waits until a vital part has ended, and returns a sentence with its name and the reason. Drop the server then.
    pub async fn failed(&mut self) -> String {
        let mut look = tokio::time::interval(limits::WATCH_PACE);
        loop {
            look.tick().await;
            if let Some(why) = self.threads.iter_mut().find_map(ShardThread::failure) {
                return why;
            }
            let mut vital = self.watches.iter().filter(|watch| watch.need() == Need::Vital);
            if let Some(ended) = vital.find(|watch| watch.has_ended()) {
                return ended.sentence();
            }
        }
    }

    /// Makes `/readyz` report threads of the server log that have ended.
    pub fn watch_logs(&self, watches: Vec<Watch>) {
        self.readiness.register_note("logs", move || ended(&watches));
    }
}

/// Adds the threads to the readiness. Without a vital thread the server is not ready; the end of any other is a note.
pub(super) fn report_threads(readiness: &Readiness, watches: &[Watch]) {
    let (vital, useful): (Vec<_>, Vec<_>) = watches.iter().cloned().partition(|watch| watch.need() == Need::Vital);
    for watch in vital {
        readiness.register(watch.part().to_owned(), move || {
            let ended = watch.has_ended().then(|| watch.sentence());
            std::future::ready(ended.map_or(Ok(()), Err))
        });
    }
    readiness.register_note("threads", move || ended(&useful));
}

/// Adds every shard to the readiness.
pub(super) fn report_shards(readiness: &Readiness, shards: &Arc<Shards>, count: usize) {
    for number in 0..count {
        let shards = shards.clone();
        readiness.register(format!("shard {number}"), move || {
            let shards = shards.clone();
            async move { probe(&shards, number).await }
        });
    }
}

/// Adds the store to the readiness. A failing store makes the server not ready. A degraded one is a note, because it still accepts
/// messages.
pub(super) fn report_store(readiness: &Readiness, history: &History<Ticket>) {
    let (probed, noted) = (history.clone(), history.clone());
    readiness.register("history", move || {
        std::future::ready(match probed.health() {
            Health::Healthy | Health::Degraded(_) => Ok(()),
            Health::Failing(fault) => Err(fault.to_string()),
        })
    });
    readiness.register_note("history", move || match noted.health() {
        Health::Degraded(fault) => Some(fault.to_string()),
        Health::Healthy | Health::Failing(_) => None,
    });
}

/// One sentence for each part that has ended; `None` if all run.
fn ended(watches: &[Watch]) -> Option<String> {
    let ended = watches.iter().filter(|watch| watch.has_ended());
    let sentences: Vec<String> = ended.map(Watch::sentence).collect();
    (!sentences.is_empty()).then(|| sentences.join("; "))
}

/// Sends a shard a request that it answers when it empties its inbox.
async fn probe(shards: &Shards, number: usize) -> Result<(), String> {
    let (answer, answered) = oneshot::channel();
    if !shards.try_send(number, ToShard::Probe(answer)) {
        return Err("its inbox is full".to_owned());
    }
    answered.await.map(drop).map_err(|_| "it has ended".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::Config,
        observe::{Metrics, ServerPhase},
        server::settings,
        shard::ShardSettings,
    };

    #[tokio::test(start_paused = true)]
    async fn a_vital_thread_that_ended_makes_the_server_not_ready_and_another_one_is_a_note() {
        let readiness = Readiness::new();
        let (vital, first) = Watch::over("the history's writer", Need::Vital);
        let (useful, second) = Watch::over("the message log's thread", Need::Useful("nothing is written"));
        report_threads(&readiness, &[first, second]);
        readiness.enter(ServerPhase::Ready);
        assert!(readiness.failures().await.is_empty() && readiness.notes().is_empty());
        drop(useful);
        assert!(readiness.notes()["threads"].starts_with("the message log's thread has ended"));
        drop(vital);
        tokio::time::advance(limits::PROBE_CACHE).await;
        let failures = readiness.failures().await;
        assert!(
            failures["the history's writer"].contains("has ended by a defect"),
            "{failures:?}"
        );
    }

    #[tokio::test]
    async fn the_end_of_a_vital_thread_ends_the_server_with_a_sentence() {
        let mut config = Config::default();
        config.server.memory = true;
        config.server.shards = 1;
        config
            .server
            .listen
            .iter_mut()
            .for_each(|listen| listen.address.set_port(0));
        config.server.admin = None;
        let mut server = Server::start(&config, &Metrics::new(1, &[])).expect("it starts");
        let (useful, watch) = Watch::over("the message log's thread", Need::Useful("nothing is written"));
        drop(useful);
        server.watches.push(watch);
        let (vital, watch) = Watch::over("the history's writer", Need::Vital);
        server.watches.push(watch);
        let soon = tokio::time::timeout(2 * limits::WATCH_PACE, server.failed()).await;
        assert!(soon.is_err(), "{soon:?}");
        drop(vital);
        let why = tokio::time::timeout(Duration::from_secs(20), server.failed()).await;
        assert!(why.is_ok_and(|why| why.starts_with("the history's writer has ended by a defect")));
    }

    #[tokio::test(start_paused = true)]
    async fn shard_that_does_not_run_makes_the_server_not_ready() {
        let settings = ShardSettings {
            inbox_messages: 2,
            ..ShardSettings::default()
        };
        // No thread empties its inbox.
        let shards = Arc::new(Shards::new(1, settings, settings::profiles(&Config::default()), 7));
        let readiness = Readiness::new();
        report_shards(&readiness, &shards, 1);
        readiness.enter(ServerPhase::Ready);
        let silent = readiness.failures().await;
        assert!(silent.contains_key("shard 0"), "{silent:?}");
        while shards.try_send(0, ToShard::Drain) {}
        tokio::time::advance(limits::PROBE_CACHE).await;
        let full = readiness.failures().await;
        assert_eq!(full.get("shard 0").map(String::as_str), Some("its inbox is full"));
    }
}
