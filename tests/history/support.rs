//! A caller of the store that waits for its outcomes.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use plaza::{
    chat::{
        ChatMessage, ConnectionSlot, Generation, NewMessage, Position, RoomName, SessionId, SessionTag, ShardId,
        UserName,
    },
    history::{
        Answer, Append, Ask, Durability, History, KeyWindow, LogHead, LogId, Outcome, Retention, Settings, StartFault,
        UserPair, Window,
    },
};

pub(crate) struct Caller {
    pub(crate) history: History<u64>,
    outcomes: mpsc::Receiver<Outcome<u64>>,
}

impl Caller {
    pub(crate) fn start(settings: Settings) -> Result<Self, StartFault> {
        let (sender, outcomes) = mpsc::channel();
        let deliver = move |batch: Vec<Outcome<u64>>| {
            for outcome in batch {
                let _ = sender.send(outcome);
            }
        };
        let history = History::start(settings, Arc::new(deliver))?;
        Ok(Self { history, outcomes })
    }

    pub(crate) fn open(dir: &Path) -> Self {
        Self::start(settings(dir)).unwrap()
    }

    pub(crate) fn next(&self) -> Outcome<u64> {
        self.outcomes.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    /// Submits, waiting while the queue is full.
    pub(crate) fn submit(&self, mut append: Append<u64>) {
        while let Err(back) = self.history.submit(append) {
            append = back;
            std::thread::yield_now();
        }
    }

    pub(crate) fn say(&self, log: &LogId, from: &str, text: &str, key: Option<&str>) -> Outcome<u64> {
        self.submit(append(log, from, text, key, 0));
        self.next()
    }

    pub(crate) fn ask(&self, ask: Ask) -> Outcome<u64> {
        self.history.ask(ask, 0).unwrap();
        self.next()
    }

    pub(crate) fn answer(&self, ask: Ask) -> Answer {
        match self.ask(ask) {
            Outcome::Answered { answer, .. } => answer,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn head(&self, log: &LogId) -> LogHead {
        match self.answer(Ask::Head(log.clone())) {
            Answer::Head { head, .. } => head,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn page(&self, log: &LogId, window: Window, limit: usize) -> (Vec<ChatMessage>, bool) {
        let log = log.clone();
        match self.answer(Ask::Page { log, window, limit }) {
            Answer::Page { messages, more, .. } => (messages, more),
            other => panic!("{other:?}"),
        }
    }

    /// All messages of a log, or the first fault.
    pub(crate) fn all(&self, log: &LogId) -> Result<Vec<ChatMessage>, plaza::history::StoreFault> {
        let mut all: Vec<ChatMessage> = Vec::new();
        loop {
            let window = Window::After(all.last().map_or(0, |message| message.seq));
            let ask = Ask::Page {
                log: log.clone(),
                window,
                limit: 1_000,
            };
            match self.ask(ask) {
                Outcome::Answered {
                    answer: Answer::Page { messages, more, .. },
                    ..
                } => {
                    all.extend(messages);
                    if !more {
                        return Ok(all);
                    }
                }
                Outcome::Unanswered { why, .. } => return Err(why),
                other => panic!("{other:?}"),
            }
        }
    }
}

pub(crate) fn settings(dir: &Path) -> Settings {
    Settings {
        // The times in these tests are long ago.
        retention: Retention::FOREVER,
        directs: Retention::FOREVER,
        keys: KeyWindow {
            age: Duration::from_secs(100 * 365 * 24 * 60 * 60),
            messages: 100_000,
        },
        ..Settings::new(dir)
    }
}

/// Faster, for tests that are not about the disk.
pub(crate) fn unsynced(dir: &Path) -> Settings {
    Settings {
        durability: Durability::Os,
        ..settings(dir)
    }
}

const SESSION: SessionId = SessionId::new(ShardId(0), ConnectionSlot::FIRST, Generation::FIRST);

pub(crate) fn append(log: &LogId, from: &str, text: &str, key: Option<&str>, ticket: u64) -> Append<u64> {
    Append {
        log: log.clone(),
        message: Box::new(NewMessage {
            key: key.map(Into::into),
            ..NewMessage::new(SESSION, user(from), SessionTag(7), text.into())
        }),
        at: 1_700_000_000_000 + ticket,
        ticket,
    }
}

pub(crate) fn room(name: &str) -> LogId {
    LogId::Room(RoomName::parse(name).unwrap())
}

pub(crate) fn pair(one: &str, other: &str) -> LogId {
    LogId::Pair(UserPair::of(&user(one), &user(other)))
}

pub(crate) fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

pub(crate) fn committed(outcome: Outcome<u64>) -> Position {
    match outcome {
        Outcome::Committed { position, prev, .. } => {
            assert_eq!(prev, position.seq - 1);
            position
        }
        other => panic!("{other:?}"),
    }
}

/// Runs one of the ignored tests of this binary as a separate process.
pub(crate) fn child(test: &str, dir: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir);
    command
}

pub(crate) const CHILD_DIR: &str = "PLAZA_TEST_CHILD_DIR";

/// The size of a test: the small one, unless `LONG_PROOFS` is set.
pub(crate) fn size(small: usize, long: usize) -> usize {
    if std::env::var_os("LONG_PROOFS").is_some() {
        long
    } else {
        small
    }
}
