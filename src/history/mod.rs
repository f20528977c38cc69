//! The store: it numbers messages, stores them, and answers queries about them.
//!
//! A [`History`] is a handle on a directory and a few threads. The writer (`writer.rs`) commits messages, read markers and claims of
//! names. Readers answer queries about pages, markers and inboxes. One thread searches, and one fills the search index. These threads
//! deliver outcomes in batches, through [`Deliver`].
//!
//! Invariants:
//! - Every accepted request has exactly one outcome. The outcomes of one log's messages come in the order of their numbers.
//! - An acknowledged message is stored, as durably as the settings say. A message that failed never had a number.
//! - Each message names its predecessor, `prev`. A log begins a new epoch if its newest messages are lost or may be lost, or if the
//!   store is a copy whose original may still run. [`LogHead::go_on`] tells clients which interval is lost.
//!
//! The store never blocks a caller: a full queue returns the request. It never answers from rows with a wrong checksum or a broken chain,
//! and never opens with a loss that it hides from clients.
//!
//! Reading order: `request.rs` and `outcome.rs`, then `writer.rs` and `transaction.rs`, then `recovery/`. `docs/history-format.md`
//! describes the bytes.

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
mod table_cache;
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
pub use outcome::{Answer, ChangedConversation, Claim, ConversationHead, DirectPage, Outcome, ReadMarker};
pub use recovery::{Epochs, Recovered};
pub use request::{Append, ChangedUpTo, ConversationFilter, Credential, NameKey, Query, Window};
pub use settings::{Durability, HistorySettings, KeyWindow, Retention};
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
use search::{Searcher, index, index_queue::IndexQueue};
use shared::{Shared, Write};
use writer::Writer;

#[cfg(test)]
mod tests;

/// A running store. Clones are handles on the same store, which stops with [`History::stop`] or with its last handle.
pub struct History<T: Send + 'static> {
    running: Arc<Running<T>>,
}

struct Running<T: Send + 'static> {
    shared: Arc<Shared<T>>,
    deliver: Arc<dyn Deliver<T>>,
    recovered: Vec<Recovered>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    watches: Mutex<Vec<Watch>>,
    file: PathBuf,
}

impl<T: Send + 'static> History<T> {
    /// Opens the store, checks it for losses and starts its threads. Takes a few microseconds per log, independent of its size.
    pub fn start(settings: HistorySettings, deliver: Arc<dyn Deliver<T>>) -> Result<Self, StartFault> {
        let files = Files::new(&settings.dir);
        let opened = recovery::open(&files, settings.durability)?;
        log_losses(&opened.recovered, opened.copied.as_deref());
        let shared = Arc::new(Shared {
            writes: Queue::new(settings.queue),
            reads: Queue::new(limits::HISTORY_QUERIES),
            searches: Queue::new(limits::HISTORY_QUERIES),
            unindexed: IndexQueue::new(),
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
            // Search works without an index, and nothing else needs one.
            Err(fault) => shared.faults.degraded(Some(fault)),
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

    pub fn watches(&self) -> Vec<Watch> {
        self.running.watches().clone()
    }

    /// The losses that this start found. Clients learn of them through [`LogHead::go_on`].
    pub fn recovered(&self) -> &[Recovered] {
        &self.running.recovered
    }

    /// Rejects new requests, finishes the accepted ones and closes the files. May be called repeatedly, but not from a thread of the
    /// store.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Submits a message. Returns it if the writer's queue is full. Never blocks.
    pub fn submit(&self, append: Append<T>) -> Result<(), Append<T>> {
        let pushed = self.running.shared.writes.push(Write::Append(append));
        self.running.sweep_if_stopped();
        pushed.map_err(|write| match write {
            Write::Append(append) => append,
            Write::Query(..) => unreachable!("the queue gives back what it was given"),
        })
    }

    /// Submits a query. Returns it if the queue is full. Never blocks.
    pub fn ask(&self, query: Query, ticket: T) -> Result<(), (Query, T)> {
        let shared = &self.running.shared;
        let pushed = match query {
            Query::AdvanceMarker { .. } | Query::Claim { .. } => shared
                .writes
                .push(Write::Query(query, ticket))
                .map_err(|write| match write {
                    Write::Query(query, ticket) => (query, ticket),
                    Write::Append(_) => unreachable!("the queue gives back what it was given"),
                }),
            Query::Search { .. } => shared.searches.push((query, ticket)),
            Query::Head(_)
            | Query::Page { .. }
            | Query::ReadMarker { .. }
            | Query::Resume { .. }
            | Query::Conversations { .. }
            | Query::Direct { .. }
            | Query::Changed { .. } => shared.reads.push((query, ticket)),
        };
        self.running.sweep_if_stopped();
        pushed
    }

    /// Changes the retention of every log without a retention of its own.
    pub fn set_retention(&self, retention: Retention) {
        *self
            .running
            .shared
            .retention
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(retention);
    }

    pub fn health(&self) -> Health {
        self.running.shared.faults.health(&self.running.file)
    }

    /// The claimed names, without a query.
    pub fn claims(&self) -> &Claims {
        &self.running.shared.claims
    }

    pub fn stats(&self) -> &HistoryStats {
        &self.running.shared.stats
    }

    /// Requests that wait for the writer.
    pub fn queue_depth(&self) -> usize {
        self.running.shared.writes.len()
    }
}

/// Writes the losses into the server's log: one line for each known loss, and one line for all logs that may have lost messages.
fn log_losses(recovered: &[Recovered], copied: Option<&str>) {
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
            "the commit marker does not say whether these logs lost messages at their end; they go on in new epochs"
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
        // Writer first, because it passes queries on to the readers.
        shared.writes.close();
        self.join("history-write");
        shared.reads.close();
        shared.searches.close();
        shared.unindexed.close();
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
            // A thread of the store may drop the last handle, inside `deliver`, and cannot join itself.
            if thread.thread().id() != me && thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }

    /// Fails a request that entered a queue after its thread had ended.
    fn sweep_if_stopped(&self) {
        if self.shared.unindexed.is_closed() {
            self.sweep();
        }
    }

    fn sweep(&self) {
        let why = || StoreFault::Stopping;
        let mut outcomes = Vec::new();
        while let Some(write) = self.shared.writes.pop() {
            outcomes.push(match write {
                Write::Append(append) => Outcome::Failed { append, why: why() },
                Write::Query(query, ticket) => Outcome::Unanswered {
                    ticket,
                    query,
                    why: why(),
                },
            });
        }
        for queue in [&self.shared.reads, &self.shared.searches] {
            while let Some((query, ticket)) = queue.pop() {
                outcomes.push(Outcome::Unanswered {
                    ticket,
                    query,
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
