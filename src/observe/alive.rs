//! Which threads and tasks of the server run, so that none ends unseen.
//!
//! A thread holds its [`Alive`] as long as it runs, and gives it up when it ends, by a panic too. A [`Watch`] sees that. It costs a
//! thread nothing, and cannot be forgotten on one of the ways out.

use std::sync::{Arc, Weak};

/// Held by a thread or a task as long as it runs.
#[derive(Debug)]
pub struct Alive {
    _held: Arc<()>,
}

/// Sees whether a thread or a task still runs. Clones see the same one.
#[derive(Debug, Clone)]
pub struct Watch {
    part: String,
    need: Need,
    alive: Weak<()>,
}

/// What the end of a part means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The server cannot do without it, and ends.
    Vital,
    /// The server goes on; this is what it lacks.
    Useful(&'static str),
}

impl Watch {
    /// Watches over a part, whose name completes "… has ended".
    pub fn over(part: impl Into<String>, need: Need) -> (Alive, Self) {
        let held = Arc::new(());
        let watch = Self {
            part: part.into(),
            need,
            alive: Arc::downgrade(&held),
        };
        (Alive { _held: held }, watch)
    }

    /// The part's name.
    pub fn part(&self) -> &str {
        &self.part
    }

    /// Whether the server can do without it.
    pub fn need(&self) -> Need {
        self.need
    }

    /// Whether it runs no more.
    pub fn has_ended(&self) -> bool {
        self.alive.strong_count() == 0
    }

    /// For the operator, when it has ended before its time.
    pub fn sentence(&self) -> String {
        let part = &self.part;
        match self.need {
            Need::Vital => {
                format!("{part} has ended by a defect, which is told above; start the server again, and report it")
            }
            Need::Useful(lack) => {
                format!("{part} has ended by a defect, which the log has: {lack} until the next start")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_that_returns_or_panics_has_ended_and_one_that_runs_has_not() {
        let (alive, watch) = Watch::over("the thread", Need::Vital);
        assert!(!watch.has_ended());
        let ends = thread::spawn(move || drop(alive));
        assert!(ends.join().is_ok() && watch.has_ended());
        let (alive, watch) = Watch::over("the other", Need::Useful("nothing is done"));
        let panics = thread::spawn(move || {
            let _alive = alive;
            panic!("this panic belongs to the test");
        });
        assert!(panics.join().is_err() && watch.has_ended());
        assert!(
            watch.sentence().starts_with("the other has ended by a defect"),
            "{}",
            watch.sentence()
        );
    }
}
