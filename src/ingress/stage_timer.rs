//! Timeouts of a connection before it is a WebSocket: for a request's head, for reading an answer, and between requests.
//!
//! hyper has one timeout for a head and for the idle time before it, so an idle keep-alive connection would end as early as a slow
//! request. So the socket reports its progress here, and [`StageTimer::expired`] resolves when a stage has taken too long.

use std::{cell::Cell, rc::Rc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// The timeout of each stage.
#[derive(Debug, Clone, Copy)]
pub(super) struct StageTimeouts {
    pub(super) head: Duration,
    pub(super) answer: Duration,
    pub(super) idle: Duration,
}

/// Times the stages of one connection. Clones share their state.
#[derive(Clone)]
pub(super) struct StageTimer(Rc<Shared>);

struct Shared {
    timeouts: StageTimeouts,
    stage: Cell<Stage>,
    /// Notified when the deadline moves to an earlier time.
    sooner: Notify,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Waits for a head.
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
pub(super) enum Expired {
    /// Sending a head or reading an answer: the peer is slow or hostile.
    Slow,
    /// Sending the next request: an orderly end.
    Idle,
}

impl StageTimer {
    /// `silent_for`: how long the connection was silent before its first bytes.
    pub(super) fn new(timeouts: StageTimeouts, silent_for: Duration) -> Self {
        let now = Instant::now();
        Self(Rc::new(Shared {
            timeouts,
            stage: Cell::new(Stage::Head(now.checked_sub(silent_for).unwrap_or(now))),
            sooner: Notify::new(),
        }))
    }

    pub(super) fn bytes_arrived(&self) {
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

    pub(super) fn head_complete(&self) {
        self.enter(Stage::Answer {
            since: Instant::now(),
            written: false,
            followed: false,
        });
    }

    pub(super) fn bytes_written(&self) {
        match self.0.stage.get() {
            Stage::Answer { since, followed, .. } => self.enter(Stage::Answer {
                since,
                written: true,
                followed,
            }),
            Stage::Head(_) | Stage::Idle(_) => {}
        }
    }

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
    pub(super) async fn expired(&self) -> Expired {
        loop {
            let (until, expired) = self.deadline();
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.0.sooner.notified() => {}
            }
            let (until, now_expired) = self.deadline();
            if now_expired == expired && Instant::now() >= until {
                return expired;
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

    fn deadline(&self) -> (Instant, Expired) {
        let StageTimeouts { head, answer, idle } = self.0.timeouts;
        match self.0.stage.get() {
            Stage::Head(since) => (since + head, Expired::Slow),
            Stage::Answer { since, .. } => (since + answer, Expired::Slow),
            Stage::Idle(since) => (since + idle, Expired::Idle),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const TIMEOUTS: StageTimeouts = StageTimeouts {
        head: Duration::from_secs(10),
        answer: Duration::from_secs(60),
        idle: Duration::from_secs(75),
    };

    /// How many seconds pass until a stage expires, and which result that has.
    async fn expired(timer: &StageTimer) -> (u64, Expired) {
        let begun = Instant::now();
        let expired = timer.expired().await;
        (begun.elapsed().as_secs(), expired)
    }

    async fn pass(timer: &StageTimer, seconds: u64) {
        let passed = timeout(Duration::from_secs(seconds), timer.expired()).await;
        assert!(passed.is_err(), "{passed:?} within {seconds} s");
    }

    fn answered(timer: &StageTimer) {
        timer.head_complete();
        timer.bytes_written();
        timer.flushed();
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_counts_from_the_silence_before_it() {
        let timer = StageTimer::new(TIMEOUTS, Duration::ZERO);
        timer.bytes_arrived();
        assert_eq!(expired(&timer).await, (10, Expired::Slow));
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_it_waits_longer_and_for_a_begun_one_no_longer_than_for_the_first() {
        let timer = StageTimer::new(TIMEOUTS, Duration::ZERO);
        answered(&timer);
        pass(&timer, 70).await;
        answered(&timer);
        assert_eq!(expired(&timer).await, (75, Expired::Idle));
        answered(&timer);
        pass(&timer, 5).await;
        timer.bytes_arrived();
        assert_eq!(expired(&timer).await, (10, Expired::Slow));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_comes_nearer_while_it_is_waited_for() {
        let timer = StageTimer::new(TIMEOUTS, Duration::ZERO);
        answered(&timer);
        let begun = Instant::now();
        let (expired, ()) = tokio::join!(timer.expired(), async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            timer.bytes_arrived();
        });
        assert_eq!((begun.elapsed().as_secs(), expired), (15, Expired::Slow));
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_between_requests_shorter_than_that_of_a_head_is_kept() {
        let short = StageTimeouts {
            idle: Duration::from_secs(1),
            ..TIMEOUTS
        };
        let timer = StageTimer::new(short, Duration::ZERO);
        let begun = Instant::now();
        let (expired, ()) = tokio::join!(timer.expired(), async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            answered(&timer);
        });
        assert_eq!((begun.elapsed().as_secs(), expired), (3, Expired::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_and_a_request_behind_it_are_not_idle() {
        let timer = StageTimer::new(TIMEOUTS, Duration::ZERO);
        timer.head_complete();
        timer.flushed();
        timer.bytes_written();
        assert_eq!(expired(&timer).await, (60, Expired::Slow));
        timer.head_complete();
        timer.bytes_arrived();
        timer.bytes_written();
        timer.flushed();
        assert_eq!(expired(&timer).await, (10, Expired::Slow));
    }
}
