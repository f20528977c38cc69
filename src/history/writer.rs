//! The writer: the only thread that changes the store.
//!
//! It takes the waiting requests, up to a bound, commits them in one transaction and then delivers the outcomes. Every request has
//! exactly one outcome, in the order of the numbers of its log, and none before the commit is as durable as the settings say.
//!
//! It does not delay a commit to collect messages, except for spins of a few microseconds. Messages that arrive while it fills a
//! transaction join it, so batches grow with the load.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{
    checkpoint::{Checkpointer, checkpoint_all},
    commit_marker::CommitMarker,
    fault::{StoreFault, fault, io_fault},
    files::Files,
    idempotency::LiveKeys,
    log::LogId,
    outcome::Outcome,
    presence::Presence,
    recovery::Opened,
    request::Query,
    retention::Rounds,
    settings::HistorySettings,
    shared::{Deliver, Shared, Write},
    stats::bump,
    store_row::count_commit,
    table_cache::TableCache,
    transaction::{Failure, Plan, Transaction},
};
use crate::{chat::Seq, limits, lock::FileLock, observe::Ageing};

pub(crate) struct Writer<T> {
    shared: Arc<Shared<T>>,
    deliver: Arc<dyn Deliver<T>>,
    files: Files,
    settings: HistorySettings,
    db: Connection,
    marker: Option<CommitMarker>,
    store: u64,
    commits: u64,
    cache: TableCache,
    /// Logs in which a commit found damage. They stay read-only until the next start.
    quarantine: HashMap<LogId, StoreFault>,
    presence: Presence,
    retention: Rounds,
    checkpointer: Checkpointer,
    ageing: Ageing,
    marker_failed: bool,
    /// Locked as long as the store is open.
    _lock: FileLock,
}

impl<T: Send + 'static> Writer<T> {
    pub(crate) fn new(
        shared: Arc<Shared<T>>,
        deliver: Arc<dyn Deliver<T>>,
        files: Files,
        settings: HistorySettings,
        opened: Opened,
    ) -> Self {
        Self {
            shared,
            deliver,
            retention: Rounds::new(&settings),
            checkpointer: Checkpointer::default(),
            ageing: Ageing::begin(&settings.clocks),
            presence: Presence::of(&files),
            files,
            settings,
            db: opened.db,
            marker: Some(opened.marker),
            store: opened.store,
            commits: opened.commits,
            cache: TableCache::default(),
            quarantine: HashMap::new(),
            marker_failed: false,
            _lock: opened.lock,
        }
    }

    /// Runs until the queue is closed and empty, and leaves a cleanly stopped store.
    pub(crate) fn run(mut self) {
        let mut batch = Vec::with_capacity(limits::HISTORY_BATCH);
        let mut checked = Instant::now();
        let mut failing = false;
        loop {
            take_waiting(&self.shared, &mut batch);
            if batch.is_empty() && self.shared.writes.is_closed() {
                break;
            }
            // An empty commit tests a failing store, so that health is right while there are no messages.
            let probe = failing && batch.is_empty();
            if !batch.is_empty() || probe || self.retention.is_due() {
                failing = !self.commit(&mut batch, probe);
                self.checkpoint();
            }
            if checked.elapsed() >= DISK_CHECK {
                checked = Instant::now();
                // The check also runs while there are no messages.
                if !failing && let Err(fault) = self.presence.check() {
                    failing = true;
                    tracing::error!(%fault, "nothing can be stored");
                    self.shared.faults.writer(Some(fault));
                }
                self.shared
                    .stats
                    .disk_bytes
                    .store(self.files.bytes(), Ordering::Relaxed);
                self.check_wal();
            }
            let rest = if failing {
                limits::HISTORY_PROBE
            } else {
                self.retention.rest().min(DISK_CHECK)
            };
            if !rest.is_zero() {
                batch.extend(self.shared.writes.wait(rest));
            }
        }
        self.stop();
    }

    /// Commits a batch and delivers its outcomes, which empties it. Returns whether the commit succeeded.
    fn commit(&mut self, batch: &mut Vec<Write<T>>, probe: bool) -> bool {
        let begun = Instant::now();
        self.shared.faults.committing(Some(begun));
        let tried = loop {
            if let Err(fault) = self.presence.check() {
                break Err(fault);
            }
            match self.transact(batch, probe) {
                Ok(done) => break Ok(done),
                Err(Failure::In(log, fault)) => {
                    tracing::error!(%log, %fault, "the log is out of service until the next start");
                    self.shared.found(&fault, "a commit found damage");
                    self.cache.forget();
                    self.quarantine.insert(log, *fault);
                }
                Err(Failure::Whole(fault)) => break Err(*fault),
            }
        };
        let shared = Arc::clone(&self.shared);
        let stats = &shared.stats;
        let tried = tried.and_then(|(plans, touched)| {
            if let Some(touched) = touched {
                self.commits += 1;
                self.confirm();
                for (log, _) in &touched {
                    self.shared.unindexed.note(*log);
                }
                // The file may have disappeared during the commit, and an acknowledged message must be in it.
                self.presence.check()?;
            }
            Ok(plans)
        });
        let (plans, well) = match tried {
            Ok(plans) => {
                self.shared.faults.writer(None);
                let messages = plans.iter().filter(|plan| matches!(plan, Plan::Commit { .. })).count() as u64;
                if !batch.is_empty() {
                    stats.committed(messages, begun.elapsed());
                }
                (plans, true)
            }
            Err(fault) => {
                bump(&stats.failed_commits, 1);
                self.cache.forget();
                self.retention.commit_failed();
                tracing::error!(%fault, "a commit failed");
                self.shared.faults.writer(Some(fault.clone()));
                (batch.iter().map(|_| Plan::Fault(fault.clone())).collect(), false)
            }
        };
        for fault in self.cache.keys.take_damage() {
            self.shared.found(&fault, "idempotency keys are damaged");
        }
        let mut outcomes = Vec::with_capacity(batch.len());
        for (write, plan) in batch.drain(..).zip(plans) {
            outcomes.extend(self.outcome(write, plan));
        }
        if !outcomes.is_empty() {
            self.deliver.deliver(outcomes);
        }
        self.shared.faults.committing(None);
        well
    }

    /// Runs one transaction, including requests that arrive while it is filled. Returns the touched logs, or `None` if it wrote nothing.
    #[allow(clippy::type_complexity)] // used only here
    fn transact(
        &mut self,
        batch: &mut Vec<Write<T>>,
        probe: bool,
    ) -> Result<(Vec<Plan>, Option<Vec<(u32, Seq)>>), Failure> {
        let db = &self.db;
        let file = self.files.database.as_path();
        let whole = |why: rusqlite::Error| Failure::Whole(Box::new(fault(file, &why)));
        self.cache.evict();
        let begun = Instant::now();
        let transaction = db.unchecked_transaction().map_err(whole)?;
        let now = self.ageing.now(&self.settings.clocks);
        let mut work = Transaction::new(
            db,
            file,
            &mut self.cache,
            &self.quarantine,
            &self.shared.claims,
            self.settings.numbering,
            LiveKeys::at(now, self.settings.keys),
        );
        let mut plans = Vec::with_capacity(batch.len());
        loop {
            work.take(batch.get(plans.len()..).unwrap_or_default(), &mut plans)?;
            if !take_arriving(&self.shared, batch, begun) {
                break;
            }
        }
        let mut touched = work.settle()?;
        let claimed = std::mem::take(&mut work.claimed);
        let mut wrote = probe || work.wrote || !touched.is_empty() || work.cache.keys.has_damage();
        let changed = self
            .shared
            .retention
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(retention) = changed {
            (self.settings.retention, self.settings.directs) = (retention, retention);
            self.retention.restart();
        }
        // Retention shares the transaction, so it needs no sync of its own.
        match self.retention.step(db, file, &self.settings, now, &mut self.cache) {
            Ok(slice) => {
                wrote |= slice.wrote;
                touched.extend(slice.touched);
                bump(&self.shared.stats.retired, slice.retired);
            }
            Err(fault @ StoreFault::Damaged { .. }) => self.shared.found(&fault, "retention leaves out a damaged log"),
            Err(fault) => return Err(Failure::Whole(Box::new(fault))),
        }
        if !wrote {
            return Ok((plans, None)); // nothing to keep: the transaction is rolled back when dropped
        }
        count_commit(db, self.store, self.commits + 1).map_err(whole)?;
        if let Some(marker) = &mut self.marker {
            marker.announce(self.commits + 1, &touched);
        }
        // Before the commit, so that whoever reads data committed after the claim also sees the claim.
        let claiming = self.shared.claims.begin(&claimed);
        if let Err(why) = transaction.commit() {
            if let Some(marker) = &mut self.marker {
                marker.withdraw();
            }
            return Err(whole(why));
        }
        claiming.keep();
        Ok((plans, Some(touched)))
    }

    /// Confirms the commit in the marker. The commit itself is durable, so its messages are acknowledged even if this fails. Then a later
    /// loss of the commit could go unnoticed, and health reports the fault.
    fn confirm(&mut self) {
        let Some(marker) = &mut self.marker else { return };
        match marker.confirm(self.commits) {
            Ok(()) if self.marker_failed => {
                self.marker_failed = false;
                self.shared.faults.degraded(None);
            }
            Ok(()) => {}
            Err(why) => {
                self.marker_failed = true;
                let fault = io_fault(&self.files.head, &why);
                tracing::error!(%fault, "the commit marker was not written");
                self.shared.faults.degraded(Some(fault));
            }
        }
    }

    fn outcome(&self, write: Write<T>, plan: Plan) -> Option<Outcome<T>> {
        let stats = &self.shared.stats;
        if let Plan::Fault(fault @ StoreFault::Damaged { .. }) = &plan {
            self.shared.found(fault, "nothing can be written there");
        }
        match (write, plan) {
            (Write::Append(append), Plan::Commit { position, prev, at }) => Some(Outcome::Committed {
                append,
                position,
                prev,
                at,
            }),
            (Write::Append(append), Plan::Duplicate { position, at }) => {
                bump(&stats.duplicates, 1);
                Some(Outcome::Duplicate { append, position, at })
            }
            (Write::Append(append), Plan::Conflict) => Some(Outcome::KeyConflict { append }),
            (Write::Append(append), Plan::Fault(why)) => {
                bump(&stats.failed, 1);
                Some(Outcome::Failed { append, why })
            }
            (Write::Query(_, ticket), Plan::Answer(answer)) => Some(Outcome::Answered { ticket, answer }),
            (Write::Query(query, ticket), Plan::Fault(why)) => {
                bump(&stats.unanswered, 1);
                Some(Outcome::Unanswered { ticket, query, why })
            }
            (Write::Query(query, ticket), Plan::MarkerAdvanced) => {
                let count = match query {
                    Query::AdvanceMarker { log, user, .. } => Query::ReadMarker { log, user },
                    other => other,
                };
                self.shared.reads.push((count, ticket)).err().map(|(query, ticket)| {
                    bump(&stats.unanswered, 1);
                    let seen = format!("the marker has moved; {} queries wait already", limits::HISTORY_QUERIES);
                    let why = StoreFault::Refused { seen };
                    Outcome::Unanswered { ticket, query, why }
                })
            }
            // Each plan belongs to its write, so these pairs do not occur.
            (Write::Append(append), Plan::Answer(_) | Plan::MarkerAdvanced) => Some(Outcome::Failed {
                append,
                why: StoreFault::Stopping,
            }),
            (Write::Query(query, ticket), Plan::Commit { .. } | Plan::Duplicate { .. } | Plan::Conflict) => {
                let why = StoreFault::Stopping;
                Some(Outcome::Unanswered { ticket, query, why })
            }
        }
    }

    fn checkpoint(&mut self) {
        let copied = self.checkpointer.after_commit(&self.db);
        self.checkpointed(copied);
    }

    fn check_wal(&mut self) {
        let bytes = self.files.wal_bytes();
        let copied = self.checkpointer.retry(&self.db, bytes);
        let stats = &self.shared.stats;
        stats.wal_bytes.store(bytes, Ordering::Relaxed);
        let held = self.checkpointer.log_held().as_secs();
        stats.wal_held_seconds.store(held, Ordering::Relaxed);
        self.checkpointed(copied);
    }

    fn checkpointed(&mut self, copied: rusqlite::Result<Option<bool>>) {
        match copied {
            Ok(None) => {}
            Ok(Some(complete)) => {
                bump(&self.shared.stats.checkpoints, 1);
                if complete
                    && let Some(marker) = &mut self.marker
                    && let Err(why) = marker.checkpointed(self.commits)
                {
                    self.shared.faults.degraded(Some(io_fault(&self.files.head, &why)));
                }
            }
            Err(why) => self.shared.faults.degraded(Some(fault(&self.files.database, &why))),
        }
    }

    fn stop(mut self) {
        if let Err(fault) = self.presence.check() {
            tracing::error!(%fault, "the store was not closed cleanly");
            return;
        }
        let stopped = checkpoint_all(&self.db)
            .map_err(|why| fault(&self.files.database, &why))
            .and_then(|()| match self.marker.take() {
                Some(marker) => marker
                    .stop(self.commits)
                    .map_err(|why| io_fault(&self.files.head, &why)),
                None => Ok(()),
            });
        if let Err(fault) = stopped {
            tracing::error!(%fault, "the store was not closed cleanly; the next start looks closely");
        }
    }
}

/// Adds the waiting requests to a batch, up to its bound. Returns whether there were any.
fn take_waiting<T>(shared: &Shared<T>, batch: &mut Vec<Write<T>>) -> bool {
    let before = batch.len();
    while batch.len() < limits::HISTORY_BATCH
        && let Some(write) = shared.writes.pop()
    {
        batch.push(write);
    }
    batch.len() > before
}

/// Adds requests that are arriving right now, which is common just after the outcomes of a commit. In the next transaction they
/// would cost a second sync.
fn take_arriving<T>(shared: &Shared<T>, batch: &mut Vec<Write<T>>, begun: Instant) -> bool {
    if take_waiting(shared, batch) {
        return true;
    }
    if batch.len() >= limits::HISTORY_BATCH || begun.elapsed() >= COALESCE_TIME {
        return false;
    }
    for _ in 0..COALESCE_SPINS {
        std::hint::spin_loop();
    }
    take_waiting(shared, batch)
}

/// Interval between measurements of the files' sizes.
const DISK_CHECK: Duration = Duration::from_secs(1);
/// A few microseconds; a commit takes hundreds.
const COALESCE_SPINS: u32 = 200;
/// The longest time that a transaction keeps accepting requests, about one sync on a fast disk.
const COALESCE_TIME: Duration = Duration::from_micros(300);
