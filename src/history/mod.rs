//! The store: numbers messages, keeps them, and answers questions about them.
//!
//! A [`History`] is a handle on a directory and a few threads. The writer (`writer.rs`) commits messages, read markers and claims of
//! names; readers answer questions about pages, markers and inboxes; one thread searches and one fills the search index. Outcomes come
//! through [`Deliver`], in batches, on these threads.
//!
//! Invariants:
//! - Every request that was taken has exactly one outcome. The outcomes of one log's messages come in the order of their numbers.
//! - A message that was acknowledged is stored, as durably as the settings say. One that failed never had a number.
//! - Each message names its predecessor, `prev`. The epoch of a log changes when its newest messages were lost or may have been, and when
//!   the store is a copy whose original may go on; [`LogHead::go_on`] says which interval is gone.
//!
//! The store never blocks a caller: a full queue gives the request back. It never answers from rows whose checksum or order is wrong,
//! and never opens with a loss that clients are not told.
//!
//! To read: `request.rs` and `outcome.rs`, then `writer.rs` and `transaction.rs`, then `recovery/`. `docs/history-format.md` describes
//! the bytes.

mod chain;
mod checkpoint;
mod checksum;
mod claims;
mod command;
mod commit_marker;
mod fault;
mod files;
mod fingerprint;
mod health;
mod idempotency;
mod log;
mod memory;
mod messages;
mod names;
mod offline;
mod outcome;
mod presence;
mod queue;
mod read_markers;
mod reader;
mod recovery;
mod request;
mod retention;
mod rows;
mod schema;
mod search;
mod settings;
mod shared;
mod stats;
mod store_row;
pub mod tools;
mod transaction;
mod writer;

pub use crate::chat::{GoOn, LogHead, LostInterval, LostTail};
pub use claims::Claims;
pub use command::HistoryCommand;
pub(crate) use fault::no_directory;
pub use fault::{StartFault, StoreFault};
pub use health::Health;
pub use log::{LogId, UserPair};
pub use outcome::{Answer, ChangedConversation, Claim, ConversationHead, DirectPage, Outcome, ReadUpTo};
pub use recovery::{Epochs, Recovered};
pub use request::{Append, Ask, Bearer, ChangedUpTo, NameKey, Which, Window};
pub use settings::{Durability, KeyWindow, Retention, Settings};
pub use shared::Deliver;
pub use stats::HistoryStats;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use crate::{
    limits,
    observe::{Need, Watch},
};
use files::Files;
use health::Faults;
use queue::Queue;
use search::{Searcher, fresh::Fresh, index};
use shared::{Shared, Write};
use writer::Writer;

#[cfg(test)]
mod tests;

/// A store that is running. Clones are handles on the same store; it stops with [`History::stop`], or with the last one.
pub struct History<T: Send + 'static> {
    running: Arc<Running<T>>,
}

/// The threads of a store.
struct Running<T: Send + 'static> {
    shared: Arc<Shared<T>>,
    deliver: Arc<dyn Deliver<T>>,
    recovered: Vec<Recovered>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    watches: Mutex<Vec<Watch>>,
    /// The database.
    file: PathBuf,
}

impl<T: Send + 'static> History<T> {
    /// Opens the store, looks for losses and starts its threads. Takes a few microseconds per log, whatever they hold.
    pub fn start(settings: Settings, deliver: Arc<dyn Deliver<T>>) -> Result<Self, StartFault> {
        let files = Files::new(&settings.dir);
        let opened = recovery::open(&files, settings.durability)?;
        tell_recovered(&opened.recovered, opened.copied.as_deref());
        let shared = Arc::new(Shared {
            writes: Queue::new(settings.queue),
            reads: Queue::new(limits::HISTORY_ASKS),
            searches: Queue::new(limits::HISTORY_ASKS),
            fresh: Fresh::new(),
            stats: HistoryStats::default(),
            faults: Faults::default(),
            retention: Mutex::new(None),
            claims: Claims::default(),
        });
        let found = |fault: &StoreFault| shared.found(fault, "the key of a name is damaged");
        let loaded = shared.claims.load(&opened.db, &files.database, &found);
        loaded.map_err(StartFault::Store)?;
        let running = Self {
            running: Arc::new(Running {
                shared: Arc::clone(&shared),
                deliver: Arc::clone(&deliver),
                recovered: opened.recovered.clone(),
                threads: Mutex::new(Vec::new()),
                watches: Mutex::new(Vec::new()),
                file: files.database.clone(),
            }),
        };
        for me in 0..limits::HISTORY_READERS {
            let db = schema::open_reader(&files.database)?;
            let (shared, deliver, file) = (Arc::clone(&shared), Arc::clone(&deliver), files.database.clone());
            let (name, part) = ("history-read", format!("reader {me} of the history"));
            running.spawn(name, part, Need::Vital, move || {
                reader::run(&shared, &deliver, &db, &file)
            })?;
        }
        let number = opened.store;
        match index::open(&files, number) {
            Ok(index) => {
                let db = schema::open_reader(&files.database)?;
                let (behind, own) = (Arc::clone(&shared), files.clone());
                let need = Need::Useful("search reads messages instead of the index, and finds fewer at a time");
                let part = "the history's indexer".to_owned();
                running.spawn("history-index", part, need, move || {
                    index::run(&behind, index, &db, &own, number);
                })?;
            }
            // Search goes on without an index; everything else needs none.
            Err(fault) => shared.faults.beside(Some(fault)),
        }
        let searcher = Searcher::open(&files)?;
        let (asked, answers) = (Arc::clone(&shared), Arc::clone(&deliver));
        let part = "the history's searcher".to_owned();
        running.spawn("history-search", part, Need::Vital, move || {
            searcher.run(&asked, &answers)
        })?;
        let writer = Writer::new(shared, deliver, files, settings, opened);
        let part = "the history's writer".to_owned();
        running.spawn("history-write", part, Need::Vital, move || writer.run())?;
        Ok(running)
    }

    fn spawn(
        &self,
        name: &str,
        part: String,
        need: Need,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<(), StartFault> {
        let (alive, watch) = Watch::over(part, need);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _alive = alive;
                run();
            })
            .map_err(|why: io::Error| StartFault::Io { file: name.into(), why })?;
        self.running.threads().push(thread);
        self.running.watches().push(watch);
        Ok(())
    }

    /// Whether each thread runs.
    pub fn watches(&self) -> Vec<Watch> {
        self.running.watches().clone()
    }

    /// The tails that were found to be lost at this start. Their clients learn of them through [`LogHead::go_on`].
    pub fn recovered(&self) -> &[Recovered] {
        &self.running.recovered
    }

    /// Takes nothing more, finishes what was taken, and closes the files. May be called again, and from any thread but the
    /// store's own.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Submits a message. Gives it back when the writer has all it can hold: the sender is told `busy`. Never blocks.
    pub fn submit(&self, append: Append<T>) -> Result<(), Append<T>> {
        let pushed = self.running.shared.writes.push(Write::Append(append));
        self.running.sweep_if_stopped();
        pushed.map_err(|write| match write {
            Write::Append(append) => append,
            Write::Ask(..) => unreachable!("the queue gives back what it was given"),
        })
    }

    /// Asks something. Gives it back when too many questions wait already. Never blocks.
    pub fn ask(&self, ask: Ask, ticket: T) -> Result<(), (Ask, T)> {
        let shared = &self.running.shared;
        let pushed = match ask {
            Ask::Mark { .. } | Ask::Claim { .. } => {
                shared
                    .writes
                    .push(Write::Ask(ask, ticket))
                    .map_err(|write| match write {
                        Write::Ask(ask, ticket) => (ask, ticket),
                        Write::Append(_) => unreachable!("the queue gives back what it was given"),
                    })
            }
            Ask::Search { .. } => shared.searches.push((ask, ticket)),
            Ask::Head(_)
            | Ask::Page { .. }
            | Ask::MarkOf { .. }
            | Ask::Resume { .. }
            | Ask::Conversations { .. }
            | Ask::Direct { .. }
            | Ask::Changed { .. } => shared.reads.push((ask, ticket)),
        };
        self.running.sweep_if_stopped();
        pushed
    }

    /// Keeps this from now on, of every log without a line of its own.
    pub fn keep(&self, retention: Retention) {
        *self
            .running
            .shared
            .retention
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(retention);
    }

    /// Whether messages are being stored.
    pub fn health(&self) -> Health {
        self.running.shared.faults.health(&self.running.file)
    }

    /// Which names are claimed, without asking the store.
    pub fn claims(&self) -> &Claims {
        &self.running.shared.claims
    }

    /// Counters and gauges.
    pub fn stats(&self) -> &HistoryStats {
        &self.running.shared.stats
    }

    /// Talks and read positions that wait for the writer at this moment.
    pub fn queue_depth(&self) -> usize {
        self.running.shared.writes.len()
    }
}

/// Names each loss in the server log. Where nothing says whether something is lost, one line tells in how many logs.
fn tell_recovered(recovered: &[Recovered], copied: Option<&str>) {
    if let Some(why) = copied {
        let logs = recovered.len();
        tracing::warn!(
            logs,
            "the store is or may be a copy ({why}); its conversations go on in new epochs"
        );
        return;
    }
    for Recovered { log, tail } in recovered {
        let LostTail { epoch, from, to } = tail;
        if let Some(to) = to {
            tracing::error!(%log, epoch, from, to, "messages are lost; the log goes on in a new epoch");
        }
    }
    let unknown = recovered.iter().filter(|found| found.tail.to.is_none()).count();
    if unknown > 0 {
        tracing::error!(
            logs = unknown,
            "the head file does not say whether these logs lost messages at their end; they go on in new epochs"
        );
    }
}

impl<T: Send + 'static> Clone for History<T> {
    fn clone(&self) -> Self {
        Self {
            running: Arc::clone(&self.running),
        }
    }
}

impl<T: Send + 'static> Running<T> {
    fn stop(&self) {
        let shared = &self.shared;
        // The writer first: it may still hand questions to the readers.
        shared.writes.close();
        self.join("history-write");
        shared.reads.close();
        shared.searches.close();
        shared.fresh.close();
        self.join("history-");
        self.sweep();
    }

    fn join(&self, prefix: &str) {
        let me = thread::current().id();
        let mut threads = self.threads();
        let (ending, others): (Vec<_>, Vec<_>) = std::mem::take(&mut *threads)
            .into_iter()
            .partition(|thread| thread.thread().name().is_some_and(|name| name.starts_with(prefix)));
        *threads = others;
        drop(threads);
        for thread in ending {
            // The last handle may go on a thread of the store, inside `deliver`: it ends by itself.
            if thread.thread().id() != me && thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }

    /// A request may slip in between the last look of a thread and the closing of its queue; it has an outcome all the same.
    fn sweep_if_stopped(&self) {
        if self.shared.fresh.is_closed() {
            self.sweep();
        }
    }

    fn sweep(&self) {
        let why = || StoreFault::Stopping;
        let mut outcomes = Vec::new();
        while let Some(write) = self.shared.writes.pop() {
            outcomes.push(match write {
                Write::Append(append) => Outcome::Failed { append, why: why() },
                Write::Ask(ask, ticket) => Outcome::Unanswered {
                    ticket,
                    ask,
                    why: why(),
                },
            });
        }
        for queue in [&self.shared.reads, &self.shared.searches] {
            while let Some((ask, ticket)) = queue.pop() {
                outcomes.push(Outcome::Unanswered {
                    ticket,
                    ask,
                    why: why(),
                });
            }
        }
        if !outcomes.is_empty() {
            self.deliver.deliver(outcomes);
        }
    }

    fn watches(&self) -> std::sync::MutexGuard<'_, Vec<Watch>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Drop for Running<T> {
    fn drop(&mut self) {
        self.stop();
    }
}
