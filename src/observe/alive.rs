//! Watches threads and tasks, so that none ends unnoticed.
//!
//! A thread owns an [`Alive`] and drops it when it ends, by a return or a panic. The [`Watch`] notices that. This costs the thread
//! nothing, and no exit path can forget it.

use std::sync::{Arc, Weak};

#[derive(Debug)]
pub struct Alive {
    _held: Arc<()>,
}

/// Shows whether a thread or a task still runs. Clones watch the same one.
#[derive(Debug, Clone)]
pub struct Watch {
    part: String,
    need: Need,
    alive: Weak<()>,
}

/// What the end of a part means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The server cannot work without it, and ends.
    Vital,
    /// The server keeps running without it; the text says what is missing then.
    Useful(&'static str),
}

impl Watch {
    /// Watches a part. Its name completes "… has ended".
    pub fn over(part: impl Into<String>, need: Need) -> (Alive, Self) {
        let held = Arc::new(());
        let watch = Self {
            part: part.into(),
            need,
            alive: Arc::downgrade(&held),
        };
        (Alive { _held: held }, watch)
    }

    pub fn part(&self) -> &str {
        &self.part
    }

    pub fn need(&self) -> Need {
        self.need
    }

    pub fn has_ended(&self) -> bool {
        self.alive.strong_count() == 0
    }

    /// The message for the operator after the part has ended by itself.
    pub fn sentence(&self) -> String {
        let part = &self.part;
        match self.need {
            Need::Vital => {
                format!("{part} has ended by a defect (see the log); start the server again, and report it")
            }
            Need::Useful(lack) => {
                format!("{part} has ended by a defect (see the log): {lack} until the next start")
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
