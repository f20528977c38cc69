//! Whether the server is ready, and if not, which part is not.
//!
//! Invariants: a part that does not answer is not ready, and delays the report by at most [`limits::PROBE_TIME`]. Each part is probed at
//! most once per [`limits::PROBE_CACHE`].

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::limits;

/// The phases of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerPhase {
    /// Some parts have not started yet.
    Starting,
    /// The server accepts clients.
    Ready,
    /// The server is stopping; no new clients.
    Draining,
}

/// Checks the health of a part. The error is one line.
type Probe = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// The readiness of the server. Each part registers its own check.
#[derive(Default)]
pub struct Readiness {
    phase: AtomicU8,
    checks: Mutex<Vec<(String, Probe)>>,
    notes: Mutex<Vec<Note>>,
    /// The last report. Locked while probing, so that concurrent callers share one probe.
    last: tokio::sync::Mutex<Option<(Instant, Failures)>>,
}

/// A part, and its present note.
type Note = (&'static str, Arc<dyn Fn() -> Option<String> + Send + Sync>);

/// Why parts are not ready, by their names.
pub type Failures = BTreeMap<String, String>;

impl Readiness {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn enter(&self, phase: ServerPhase) {
        // Release: pairs with the Acquire in `phase`, so that a reader of Ready sees all writes of the start.
        self.phase.store(phase as u8, Ordering::Release);
    }

    pub fn phase(&self) -> ServerPhase {
        // Acquire: pairs with the Release in `enter`.
        match self.phase.load(Ordering::Acquire) {
            0 => ServerPhase::Starting,
            1 => ServerPhase::Ready,
            _ => ServerPhase::Draining,
        }
    }

    /// Adds the check of a part, such as `shard 3` or `history`. `probe` runs on the admin thread and must not block: for instance,
    /// it sends the part a message and awaits the answer.
    pub fn register<F, P>(&self, part: impl Into<String>, probe: F)
    where
        F: Fn() -> P + Send + Sync + 'static,
        P: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks().push((part.into(), Arc::new(move || Box::pin(probe()))));
    }

    /// Adds a note: one line for the operator about a part without which the server is still ready.
    pub fn register_note(&self, name: &'static str, note: impl Fn() -> Option<String> + Send + Sync + 'static) {
        // A panic cannot leave the list inconsistent.
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push((name, Arc::new(note)));
    }

    pub fn notes(&self) -> BTreeMap<&'static str, String> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        notes
            .into_iter()
            .filter_map(|(name, note)| Some((name, note()?)))
            .collect()
    }

    /// The failures; empty if the server is ready.
    pub async fn failures(&self) -> Failures {
        match self.phase() {
            ServerPhase::Starting => return one("server", "starting; some parts are not ready yet"),
            ServerPhase::Draining => return one("server", "draining; the server is stopping"),
            ServerPhase::Ready => {}
        }
        let mut last = self.last.lock().await;
        if let Some((at, failures)) = &*last
            && at.elapsed() < limits::PROBE_CACHE
        {
            return failures.clone();
        }
        let failures = self.probe_all().await;
        *last = Some((Instant::now(), failures.clone()));
        failures
    }

    async fn probe_all(&self) -> Failures {
        let checks = self.checks().clone();
        let mut probes = JoinSet::new();
        let mut names = BTreeMap::new();
        for (name, probe) in checks {
            let probe = probes.spawn(async move { answer(timeout(limits::PROBE_TIME, probe()).await) });
            names.insert(probe.id(), name);
        }
        let mut failures = Failures::new();
        while let Some(done) = probes.join_next_with_id().await {
            let (id, result) = match done {
                Ok(answer) => answer,
                Err(error) => (error.id(), Err("its check panicked".to_owned())),
            };
            if let Err(reason) = result {
                failures.insert(names.get(&id).cloned().unwrap_or_default(), reason);
            }
        }
        failures
    }

    fn checks(&self) -> std::sync::MutexGuard<'_, Vec<(String, Probe)>> {
        // A panic cannot leave the list inconsistent.
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checks: Vec<_> = self.checks().iter().map(|(name, _)| name.clone()).collect();
        f.debug_struct("Readiness")
            .field("phase", &self.phase())
            .field("checks", &checks)
            .finish_non_exhaustive()
    }
}

fn answer(answer: Result<Result<(), String>, tokio::time::error::Elapsed>) -> Result<(), String> {
    answer.unwrap_or_else(|_| Err(format!("no answer within {}", seconds(limits::PROBE_TIME))))
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

fn one(name: &str, reason: &str) -> Failures {
    Failures::from([(name.to_owned(), reason.to_owned())])
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::time::{advance, sleep};

    use super::*;

    fn ready() -> Arc<Readiness> {
        let readiness = Readiness::new();
        readiness.enter(ServerPhase::Ready);
        readiness
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_phase_ready_is_ready() {
        let readiness = Readiness::new();
        assert!(readiness.failures().await["server"].starts_with("starting"));
        readiness.enter(ServerPhase::Ready);
        assert!(readiness.failures().await.is_empty());
        readiness.enter(ServerPhase::Draining);
        assert!(readiness.failures().await["server"].starts_with("draining"));
    }

    #[tokio::test(start_paused = true)]
    async fn every_failing_part_is_named_and_a_hanging_one_is_not_waited_for() {
        let readiness = ready();
        readiness.register("shard 0", || async { Ok(()) });
        readiness.register("shard 1", std::future::pending::<Result<(), String>>);
        readiness.register("history", || async { Err("the disk is full".to_owned()) });
        readiness.register("broken", || async { panic!("on purpose") });
        let before = Instant::now();
        let failures = readiness.failures().await;
        let expected = [
            ("broken", "its check panicked"),
            ("history", "the disk is full"),
            ("shard 1", "no answer within 1 s"),
        ];
        assert!(
            failures
                .iter()
                .map(|(name, reason)| (name.as_str(), reason.as_str()))
                .eq(expected),
            "{failures:?}"
        );
        assert_eq!(before.elapsed(), limits::PROBE_TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn asking_often_probes_rarely() {
        let readiness = ready();
        let probes = Arc::new(AtomicUsize::new(0));
        let counted = probes.clone();
        readiness.register("shard 0", move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async {
                sleep(Duration::from_millis(10)).await;
                Ok(())
            }
        });
        let mut askers = JoinSet::new();
        for _ in 0..100 {
            let readiness = readiness.clone();
            askers.spawn(async move { readiness.failures().await });
        }
        assert!(askers.join_all().await.iter().all(Failures::is_empty));
        assert_eq!(probes.load(Ordering::Relaxed), 1);
        advance(limits::PROBE_CACHE).await;
        readiness.failures().await;
        assert_eq!(probes.load(Ordering::Relaxed), 2);
    }
}
