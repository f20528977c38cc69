//! A caller of the store that waits for its outcomes, a store in a directory of its own, and short words for what these tests ask.

use std::{
    ops::Deref,
    path::Path,
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use plaza::{
    chat::{
        ChatMessage, ConnectionSlot, Generation, NewMessage, Position, RoomName, SessionId, SessionTag, ShardId, Since,
        UserId, UserName,
    },
    history::{
        Answer, Append, Claim, ConversationFilter, ConversationHead, Credential, DirectPage, Durability, History,
        HistorySettings, KeyWindow, LogHead, LogId, NameKey, Outcome, Query, ReadMarker, Retention, StartFault,
        StoreFault, UserPair, Window, tools,
    },
};
use tempfile::TempDir;

/// The value of the one variant that may come; any other fails the test.
macro_rules! only {
    ($value:expr, $pattern:pat => $result:expr) => {
        match $value {
            $pattern => $result,
            other => panic!("{other:?}"),
        }
    };
}
pub(crate) use only;

pub(crate) struct Caller {
    pub(crate) history: History<u64>,
    outcomes: mpsc::Receiver<Outcome<u64>>,
}

impl Caller {
    pub(crate) fn start(settings: HistorySettings) -> Result<Self, StartFault> {
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

    pub(crate) fn append(&self, append: Append<u64>) -> Outcome<u64> {
        self.submit(append);
        self.next()
    }

    pub(crate) fn say_with(&self, log: &LogId, from: &str, text: &str, key: &str) -> Outcome<u64> {
        self.append(append(log, from, text, Some(key), 0))
    }

    /// Says something without a key.
    pub(crate) fn say(&self, log: &LogId, from: &str, text: &str) -> Position {
        committed(self.append(append(log, from, text, None, 0)))
    }

    /// Ann says all of it, many at a time; returns how many there were.
    pub(crate) fn fill(&self, log: &LogId, texts: impl IntoIterator<Item = String>) -> u64 {
        let (mut sent, mut done) = (0, 0);
        for text in texts {
            self.submit(append(log, "ann", &text, None, sent));
            sent += 1;
            if sent - done > 4_000 {
                committed(self.next());
                done += 1;
            }
        }
        for _ in done..sent {
            committed(self.next());
        }
        sent
    }

    pub(crate) fn ask(&self, ask: Query) -> Outcome<u64> {
        self.history.ask(ask, 0).unwrap();
        self.next()
    }

    pub(crate) fn answer(&self, ask: Query) -> Answer {
        only!(self.ask(ask), Outcome::Answered { answer, .. } => answer)
    }

    pub(crate) fn head(&self, log: &LogId) -> LogHead {
        only!(self.answer(Query::Head(log.clone())), Answer::Head { head, .. } => head)
    }

    /// A page, or why there is none.
    pub(crate) fn try_page(
        &self,
        log: &LogId,
        window: Window,
        limit: usize,
    ) -> Result<(Vec<ChatMessage>, bool), StoreFault> {
        let log = log.clone();
        match self.ask(Query::Page { log, window, limit }) {
            Outcome::Unanswered { why, .. } => Err(why),
            answered => {
                let answer = only!(answered, Outcome::Answered { answer, .. } => answer);
                Ok(only!(answer, Answer::Page { messages, more, .. } => (messages, more)))
            }
        }
    }

    pub(crate) fn page(&self, log: &LogId, window: Window, limit: usize) -> (Vec<ChatMessage>, bool) {
        self.try_page(log, window, limit).unwrap()
    }

    /// The numbers of a page, and whether there is more.
    pub(crate) fn seqs(&self, log: &LogId, window: Window, limit: usize) -> (Vec<u64>, bool) {
        let (messages, more) = self.page(log, window, limit);
        (seqs(&messages), more)
    }

    /// All messages of a log, or the first fault.
    pub(crate) fn all(&self, log: &LogId) -> Result<Vec<ChatMessage>, StoreFault> {
        let mut all: Vec<ChatMessage> = Vec::new();
        loop {
            let after = all.last().map_or(0, |message| message.seq);
            let (messages, more) = self.try_page(log, Window::After(after), 1_000)?;
            all.extend(messages);
            if !more {
                return Ok(all);
            }
        }
    }

    /// The numbers of the messages found, and where to go on.
    pub(crate) fn find(&self, log: &LogId, text: &str, before: Option<u64>, limit: usize) -> (Vec<u64>, Option<u64>) {
        let (log, text) = (log.clone(), text.into());
        let ask = Query::Search {
            log,
            text,
            before,
            limit,
        };
        only!(self.answer(ask), Answer::Found { messages, next, .. } => (seqs(&messages), next))
    }

    /// Moves a read marker; where it stands then, and the number of unread messages.
    pub(crate) fn mark(&self, log: &LogId, name: &str, seq: u64) -> (u64, u64) {
        let (log, user, credential) = (log.clone(), user(name), Credential::Key);
        let ask = Query::AdvanceMarker {
            log,
            user,
            seq,
            credential,
        };
        only!(self.answer(ask), Answer::ReadMarker { seq, unread, .. } => (seq, unread))
    }

    pub(crate) fn mark_of(&self, log: &LogId, name: &str) -> (u64, u64) {
        let (log, user) = (log.clone(), user(name));
        only!(self.answer(Query::ReadMarker { log, user }), Answer::ReadMarker { seq, unread, .. } => (seq, unread))
    }

    pub(crate) fn resume(&self, log: &LogId, name: &str, since: Since, upto: u64, limit: usize) -> Resumed {
        let (log, user) = (log.clone(), user(name));
        let ask = Query::Resume {
            log,
            user,
            since,
            upto,
            limit,
        };
        only!(self.answer(ask), Answer::Resumed { head, read, after, messages, .. } =>
            Resumed { head, read, after, messages })
    }

    pub(crate) fn conversations(&self, name: &str, filter: ConversationFilter) -> Conversations {
        let ask = Query::Conversations {
            user: user(name),
            filter,
        };
        only!(self.answer(ask), Answer::Conversations { conversations: found, more, unreadable, .. } =>
            Conversations { found, more, unreadable })
    }

    /// A page of bob's conversation with this peer.
    pub(crate) fn directs_of_bob(&self, credential: Credential, peer: &str, after: u64) -> Option<DirectPage> {
        let (user, peer) = (user("bob"), user(peer));
        let ask = Query::Direct {
            user,
            credential,
            peer,
            after,
        };
        only!(self.answer(ask), Answer::Direct(page) => page)
    }

    pub(crate) fn claim(&self, name: &str, key: &str) -> Claim {
        let (name, key) = (name_of(name), NameKey(key.to_owned()));
        only!(self.answer(Query::Claim { name, key }), Answer::Name { claim, .. } => claim)
    }

    /// Waits until the search index has so many messages.
    pub(crate) fn is_indexed(&self, messages: u64) {
        let indexed = || self.history.stats().indexed.load(Ordering::Relaxed);
        let time = Duration::from_secs(60 + messages / 2_000);
        until_within(time, "the index catches up", || indexed() >= messages);
    }

    /// How often damage was found.
    pub(crate) fn damage(&self) -> u64 {
        self.history.stats().damage.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(crate) struct Resumed {
    pub(crate) head: LogHead,
    pub(crate) read: ReadMarker,
    pub(crate) after: u64,
    pub(crate) messages: Vec<ChatMessage>,
}

#[derive(Debug)]
pub(crate) struct Conversations {
    pub(crate) found: Vec<ConversationHead>,
    pub(crate) more: bool,
    pub(crate) unreadable: usize,
}

impl Conversations {
    pub(crate) fn logs(&self) -> Vec<LogId> {
        self.found.iter().map(|one| one.log.clone()).collect()
    }
}

/// A running store in a directory of its own.
pub(crate) struct Store {
    caller: Caller,
    settings: Box<dyn Fn(&Path) -> HistorySettings>,
    dir: TempDir,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self::with(settings)
    }

    /// For tests that are not about the disk.
    pub(crate) fn unsynced() -> Self {
        Self::with(unsynced)
    }

    pub(crate) fn with(settings: impl Fn(&Path) -> HistorySettings + 'static) -> Self {
        Self::laid(|_| {}, settings)
    }

    /// A store that finds these files at its start.
    pub(crate) fn laid(files: impl FnOnce(&Path), settings: impl Fn(&Path) -> HistorySettings + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        files(dir.path());
        let caller = Caller::start(settings(dir.path())).unwrap();
        let settings = Box::new(settings);
        Self { caller, settings, dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn restarted(self) -> Self {
        self.changed(|_| {})
    }

    /// Started again after a change of its files.
    pub(crate) fn changed(self, change: impl FnOnce(&Path)) -> Self {
        let Self { caller, settings, dir } = self;
        drop(caller);
        change(dir.path());
        let caller = Caller::start(settings(dir.path())).unwrap();
        Self { caller, settings, dir }
    }

    /// Its directory, once it has stopped.
    pub(crate) fn stopped(self) -> TempDir {
        self.dir
    }
}

impl Deref for Store {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

pub(crate) fn settings(dir: &Path) -> HistorySettings {
    HistorySettings {
        // The times in these tests are long ago.
        retention: Retention::FOREVER,
        directs: Retention::FOREVER,
        keys: KeyWindow {
            age: Duration::from_secs(100 * 365 * 24 * 60 * 60),
            messages: 100_000,
        },
        ..HistorySettings::new(dir)
    }
}

/// Faster, for tests that are not about the disk.
pub(crate) fn unsynced(dir: &Path) -> HistorySettings {
    HistorySettings {
        durability: Durability::Os,
        ..settings(dir)
    }
}

/// Keeps so many messages of a log.
pub(crate) fn newest(messages: u64) -> Retention {
    Retention {
        messages: Some(messages),
        ..Retention::FOREVER
    }
}

const SESSION: SessionId = SessionId::new(ShardId(0), ConnectionSlot::FIRST, Generation::FIRST);

pub(crate) fn append(log: &LogId, from: &str, text: &str, key: Option<&str>, ticket: u64) -> Append<u64> {
    Append {
        log: log.clone(),
        message: Box::new(NewMessage {
            key: key.map(Into::into),
            ..NewMessage::new(SESSION, name_of(from), SessionTag(7), text.into())
        }),
        at: 1_700_000_000_000 + ticket,
        ticket,
    }
}

pub(crate) fn room(name: &str) -> LogId {
    LogId::Room(RoomName::parse(name).unwrap())
}

pub(crate) fn pair(one: &str, other: &str) -> LogId {
    LogId::Pair(UserPair::of(user(one), user(other)))
}

pub(crate) fn name_of(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::of_name(&name_of(name))
}

/// The inbox, for a device that has the name's key and knows positions with these peers.
pub(crate) fn inbox(known: &[&str]) -> ConversationFilter {
    let (credential, known) = (Credential::Key, known.iter().map(|name| user(name)).collect());
    ConversationFilter::Inbox { credential, known }
}

pub(crate) fn seqs(messages: &[ChatMessage]) -> Vec<u64> {
    messages.iter().map(|message| message.seq).collect()
}

pub(crate) fn committed(outcome: Outcome<u64>) -> Position {
    let (position, prev) = only!(outcome, Outcome::Committed { position, prev, .. } => (position, prev));
    assert_eq!(prev, position.seq - 1);
    position
}

/// The first copy of a repeated message.
pub(crate) fn duplicate(outcome: Outcome<u64>) -> Position {
    only!(outcome, Outcome::Duplicate { position, .. } => position)
}

pub(crate) fn conflicts(outcome: Outcome<u64>) {
    only!(outcome, Outcome::KeyConflict { .. } => ());
}

pub(crate) fn until(what: &str, holds: impl FnMut() -> bool) {
    until_within(Duration::from_secs(60), what, holds);
}

fn until_within(time: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Why no store starts with these settings.
pub(crate) fn refusal(settings: HistorySettings) -> String {
    Caller::start(settings).map(drop).unwrap_err().to_string()
}

pub(crate) fn contains(words: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| words.contains(part)), "{parts:?}: {words}");
}

/// Changes the database of a store behind its back.
pub(crate) fn sql(dir: &Path, sql: &str) {
    let db = rusqlite::Connection::open(dir.join("history.db")).unwrap();
    db.execute_batch(sql).unwrap();
    let changes: i64 = db.query_row("SELECT total_changes()", [], |row| row.get(0)).unwrap();
    let is_change = ["UPDATE", "DELETE", "INSERT"].iter().any(|verb| sql.contains(verb));
    assert!(changes > 0 || !is_change, "changed nothing: {sql}");
}

/// A check finds nothing damaged.
pub(crate) fn is_whole(dir: &Path) {
    assert_eq!(tools::check(dir).unwrap().damages, Vec::<String>::new());
}

/// The size of a test: the small one, unless `LONG_PROOFS` is set.
pub(crate) fn size(small: usize, long: usize) -> usize {
    if std::env::var_os("LONG_PROOFS").is_some() {
        long
    } else {
        small
    }
}
