//! Whether the server is ready, and if not, which part of it is not.

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

/// Where the server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerPhase {
    /// Not everything is there yet.
    Starting,
    /// Clients are welcome.
    Ready,
    /// The server is stopping; no new clients.
    Draining,
}

/// Something without which the server is not ready.
pub trait Check: Send + Sync + 'static {
    /// Short, such as `shard 3` or `history`.
    fn name(&self) -> String;

    /// Tries it now. It is given up after [`limits::PROBE_TIME`]. Runs on the admin thread, so it must not block: send
    /// something to the part, and await its answer.
    fn probe(&self) -> Probe;
}

/// The answer of a check to come: the error says what is wrong, in one line.
pub type Probe = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The readiness of the server, shared by those who know parts of it.
#[derive(Default)]
pub struct Readiness {
    phase: AtomicU8,
    checks: Mutex<Vec<Arc<dyn Check>>>,
    notes: Mutex<Vec<Note>>,
    /// The last report. Held while probing, so that those who ask at the same time share one probe.
    last: tokio::sync::Mutex<Option<(Instant, Failures)>>,
}

/// A part and what is to be said of it, if anything.
type Note = (&'static str, Arc<dyn Fn() -> Option<String> + Send + Sync>);

/// What is wrong with each part that is not well, by its name.
pub type Failures = BTreeMap<String, String>;

impl Readiness {
    /// Starting, without checks.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Enters a phase; effective for the next question.
    pub fn enter(&self, phase: ServerPhase) {
        // Release: pairs with the Acquire in `phase`: whoever sees Ready sees what was made ready before.
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// The phase now.
    pub fn phase(&self) -> ServerPhase {
        // Acquire: pairs with the Release in `enter`.
        match self.phase.load(Ordering::Acquire) {
            0 => ServerPhase::Starting,
            1 => ServerPhase::Ready,
            _ => ServerPhase::Draining,
        }
    }

    /// Adds a check.
    pub fn register(&self, check: impl Check) {
        self.checks().push(Arc::new(check));
    }

    /// Adds a check made of a function, such as one that sends a token into a shard and awaits its return.
    pub fn register_fn<F, P>(&self, name: impl Into<String>, probe: F)
    where
        F: Fn() -> P + Send + Sync + 'static,
        P: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.register(FnCheck {
            name: name.into(),
            probe,
        });
    }

    /// Adds something that the operator is told, in one line, while the server is ready all the same.
    pub fn register_note(&self, name: &'static str, note: impl Fn() -> Option<String> + Send + Sync + 'static) {
        // A list is whole whatever panicked while it was held.
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push((name, Arc::new(note)));
    }

    /// What is not as it should be and no reason to be not ready, by its part.
    pub fn notes(&self) -> BTreeMap<&'static str, String> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        notes
            .into_iter()
            .filter_map(|(name, note)| Some((name, note()?)))
            .collect()
    }

    /// What is wrong now; empty when the server is ready. A report is given again for [`limits::PROBE_CACHE`], so that
    /// asking often does not load what is asked.
    pub async fn failures(&self) -> Failures {
        match self.phase() {
            ServerPhase::Starting => return one("server", "starting; not everything is there yet"),
            ServerPhase::Draining => return one("server", "draining; it is stopping"),
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
        for check in checks {
            let name = check.name();
            let probe = probes.spawn(async move { answer(timeout(limits::PROBE_TIME, check.probe()).await) });
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

    fn checks(&self) -> std::sync::MutexGuard<'_, Vec<Arc<dyn Check>>> {
        // A list of checks is whole whatever panicked while it was held.
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checks: Vec<_> = self.checks().iter().map(|check| check.name()).collect();
        f.debug_struct("Readiness")
            .field("phase", &self.phase())
            .field("checks", &checks)
            .finish_non_exhaustive()
    }
}

struct FnCheck<F> {
    name: String,
    probe: F,
}

impl<F, P> Check for FnCheck<F>
where
    F: Fn() -> P + Send + Sync + 'static,
    P: Future<Output = Result<(), String>> + Send + 'static,
{
    fn name(&self) -> String {
        self.name.clone()
    }

    fn probe(&self) -> Probe {
        Box::pin((self.probe)())
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
    #![allow(clippy::unwrap_used)]

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
        readiness.register_fn("shard 0", || async { Ok(()) });
        readiness.register_fn("shard 1", std::future::pending::<Result<(), String>>);
        readiness.register_fn("history", || async { Err("the disk is full".to_owned()) });
        readiness.register_fn("broken", || async { panic!("on purpose") });
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
        readiness.register_fn("shard 0", move || {
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
