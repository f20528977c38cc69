//! Timeouts of a connection before it is a WebSocket: for a request's head, for reading an answer, and between requests.
//!
//! hyper has one timeout for a head and for the idle time before it, so an idle keep-alive connection would end as early as a slow
//! request. So the socket reports its progress here, and [`Patience::over`] resolves when a stage has taken too long.

use std::{cell::Cell, rc::Rc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// The timeout of each stage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    pub(super) head: Duration,
    pub(super) answer: Duration,
    pub(super) idle: Duration,
}

/// The stages of one connection; clones are the same one.
#[derive(Clone)]
pub(super) struct Patience(Rc<Watched>);

struct Watched {
    allowed: Allowed,
    stage: Cell<Stage>,
    /// The deadline has moved to an earlier time.
    sooner: Notify,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Waits for a head, since then.
    Head(Instant),
    Answer {
        since: Instant,
        /// hyper also flushes an empty buffer before the answer is ready; only a flush after a write counts.
        written: bool,
        /// Bytes followed the request: the next one has begun.
        followed: bool,
    },
    Idle(Instant),
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// A head, or reading an answer: the peer is slow or hostile.
    Slow,
    /// The next request: an orderly end.
    Idle,
}

impl Patience {
    /// `silent_for`: how long the connection was silent before its first bytes.
    pub(super) fn new(allowed: Allowed, silent_for: Duration) -> Self {
        let now = Instant::now();
        Self(Rc::new(Watched {
            allowed,
            stage: Cell::new(Stage::Head(now.checked_sub(silent_for).unwrap_or(now))),
            sooner: Notify::new(),
        }))
    }

    /// Bytes arrived.
    pub(super) fn heard(&self) {
        match self.0.stage.get() {
            Stage::Head(_) => {}
            Stage::Answer { since, written, .. } => self.enter(Stage::Answer {
                since,
                written,
                followed: true,
            }),
            Stage::Idle(_) => self.expect_head(),
        }
    }

    /// A request's head is complete.
    pub(super) fn asked(&self) {
        self.enter(Stage::Answer {
            since: Instant::now(),
            written: false,
            followed: false,
        });
    }

    /// Bytes of an answer were written.
    pub(super) fn wrote(&self) {
        match self.0.stage.get() {
            Stage::Answer { since, followed, .. } => self.enter(Stage::Answer {
                since,
                written: true,
                followed,
            }),
            Stage::Head(_) | Stage::Idle(_) => {}
        }
    }

    /// Everything has been written.
    pub(super) fn flushed(&self) {
        match self.0.stage.get() {
            Stage::Answer {
                written: true,
                followed: true,
                ..
            } => self.expect_head(),
            Stage::Answer {
                written: true,
                followed: false,
                ..
            } => self.enter(Stage::Idle(Instant::now())),
            Stage::Answer { written: false, .. } | Stage::Head(_) | Stage::Idle(_) => {}
        }
    }

    /// Waits until a stage has taken too long.
    pub(super) async fn over(&self) -> Over {
        loop {
            let (until, over) = self.deadline();
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.0.sooner.notified() => {}
            }
            let (until, now_over) = self.deadline();
            if now_over == over && Instant::now() >= until {
                return over;
            }
        }
    }

    fn expect_head(&self) {
        self.enter(Stage::Head(Instant::now()));
    }

    fn enter(&self, stage: Stage) {
        let (before, _) = self.deadline();
        self.0.stage.set(stage);
        if self.deadline().0 < before {
            self.0.sooner.notify_one();
        }
    }

    fn deadline(&self) -> (Instant, Over) {
        let Allowed { head, answer, idle } = self.0.allowed;
        match self.0.stage.get() {
            Stage::Head(since) => (since + head, Over::Slow),
            Stage::Answer { since, .. } => (since + answer, Over::Slow),
            Stage::Idle(since) => (since + idle, Over::Idle),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const ALLOWED: Allowed = Allowed {
        head: Duration::from_secs(10),
        answer: Duration::from_secs(60),
        idle: Duration::from_secs(75),
    };

    /// How many seconds pass until it is over, and how.
    async fn over(patience: &Patience) -> (u64, Over) {
        let begun = Instant::now();
        let over = patience.over().await;
        (begun.elapsed().as_secs(), over)
    }

    async fn pass(patience: &Patience, seconds: u64) {
        let passed = timeout(Duration::from_secs(seconds), patience.over()).await;
        assert!(passed.is_err(), "{passed:?} within {seconds} s");
    }

    fn answered(patience: &Patience) {
        patience.asked();
        patience.wrote();
        patience.flushed();
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_counts_from_the_silence_before_it() {
        let patience = Patience::new(ALLOWED, Duration::ZERO);
        patience.heard();
        assert_eq!(over(&patience).await, (10, Over::Slow));
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_it_waits_longer_and_for_a_begun_one_no_longer_than_for_the_first() {
        let patience = Patience::new(ALLOWED, Duration::ZERO);
        answered(&patience);
        pass(&patience, 70).await;
        answered(&patience);
        assert_eq!(over(&patience).await, (75, Over::Idle));
        answered(&patience);
        pass(&patience, 5).await;
        patience.heard();
        assert_eq!(over(&patience).await, (10, Over::Slow));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_comes_nearer_while_it_is_waited_for() {
        let patience = Patience::new(ALLOWED, Duration::ZERO);
        answered(&patience);
        let begun = Instant::now();
        let (over, ()) = tokio::join!(patience.over(), async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            patience.heard();
        });
        assert_eq!((begun.elapsed().as_secs(), over), (15, Over::Slow));
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_between_requests_shorter_than_that_of_a_head_is_kept() {
        let short = Allowed {
            idle: Duration::from_secs(1),
            ..ALLOWED
        };
        let patience = Patience::new(short, Duration::ZERO);
        let begun = Instant::now();
        let (over, ()) = tokio::join!(patience.over(), async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            answered(&patience);
        });
        assert_eq!((begun.elapsed().as_secs(), over), (3, Over::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_and_a_request_behind_it_are_not_idle() {
        let patience = Patience::new(ALLOWED, Duration::ZERO);
        patience.asked();
        patience.flushed();
        patience.wrote();
        assert_eq!(over(&patience).await, (60, Over::Slow));
        patience.asked();
        patience.heard();
        patience.wrote();
        patience.flushed();
        assert_eq!(over(&patience).await, (10, Over::Slow));
    }
}
