//! Search: the newest messages of a log that contain every term of a query.
//!
//! Messages that are not indexed yet are scanned, newest first. Below those the index is queried in windows of growing size. Search reads
//! every hit and compares it with the query, so the index can miss a message but never add a wrong one. One search takes at most
//! [`limits::HISTORY_SEARCH_TIME`]; then it returns its results and where to continue.

mod fold;
pub(crate) mod index;
pub(crate) mod index_queue;
mod script;
mod terms;

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::{Connection, params};

use super::{
    chain::{Chain, Direction},
    fault::{StartFault, StoreFault, fault},
    files::Files,
    log::LogId,
    outcome::{Answer, Outcome},
    reader::{IDLE, guarded},
    request::Query,
    rows::{self, LogRow},
    schema,
    shared::{Deliver, Shared},
    stats::bump,
};
use crate::{
    chat::{ChatMessage, Seq},
    limits,
};
use index::Cursor;
use terms::SearchQuery;

/// The search thread.
pub(crate) struct Searcher {
    files: Files,
    store: Connection,
    /// Opened when first needed, and again after a rebuild. The number is `IndexQueue::generation`.
    index: Option<(u64, Connection)>,
}

/// The state of one search.
struct SearchRun<'h> {
    store: &'h Connection,
    file: &'h PathBuf,
    row: LogRow,
    query: SearchQuery,
    limit: usize,
    until: Instant,
    found: Vec<ChatMessage>,
}

/// Where a search ended.
enum SearchEnd {
    /// At the oldest message.
    Bottom,
    /// Everything from this number up has been searched.
    At(Seq),
}

impl Searcher {
    pub(crate) fn open(files: &Files) -> Result<Self, StartFault> {
        Ok(Self {
            files: files.clone(),
            store: schema::open_reader(&files.database)?,
            index: None,
        })
    }

    pub(crate) fn run<T: Send + 'static>(mut self, shared: &Shared<T>, deliver: &Arc<dyn Deliver<T>>) {
        loop {
            let Some((query, ticket)) = shared.searches.wait(IDLE) else {
                if shared.searches.is_closed() {
                    return;
                }
                continue;
            };
            let file = self.files.database.clone();
            let outcome = match guarded(&file, || self.answer(&query, shared.unindexed.generation())) {
                Ok((answer, cut)) => {
                    bump(&shared.stats.searches, 1);
                    bump(&shared.stats.searches_cut, u64::from(cut));
                    Outcome::Answered { ticket, answer }
                }
                Err(why) => {
                    bump(&shared.stats.unanswered, 1);
                    shared.found(&why, "a search could not be answered");
                    Outcome::Unanswered { ticket, query, why }
                }
            };
            deliver.deliver(vec![outcome]);
        }
    }

    /// Returns the answer, and whether the search ran out of time.
    fn answer(&mut self, query: &Query, generation: u64) -> Result<(Answer, bool), StoreFault> {
        let Query::Search {
            log,
            text,
            before,
            limit,
        } = query
        else {
            return Err(StoreFault::Refused {
                seen: "another thread answers this".to_owned(),
            });
        };
        if self.index.as_ref().is_none_or(|(known, _)| *known != generation) {
            self.index = index::open_reader(&self.files).ok().map(|db| (generation, db));
        }
        let index = self.index.as_ref().map(|(_, db)| db);
        match search(&self.files, &self.store, index, log, text, *before, *limit) {
            // The indexer discards a damaged index. Search scans instead.
            Err(StoreFault::Damaged { file, .. } | StoreFault::Broken { file, .. }) if file == self.files.search => {
                search(&self.files, &self.store, None, log, text, *before, *limit)
            }
            other => other,
        }
    }
}

/// Searches with the index, or by scanning if there is none.
pub(crate) fn search(
    files: &Files,
    store: &Connection,
    index: Option<&Connection>,
    log: &LogId,
    text: &str,
    before: Option<Seq>,
    limit: usize,
) -> Result<(Answer, bool), StoreFault> {
    let begun = Instant::now();
    let _snapshot = store
        .unchecked_transaction()
        .map_err(|why| fault(&files.database, &why))?;
    let query = SearchQuery::parse(text);
    let Some((row, head)) = rows::head(store, &files.database, log)?.filter(|_| !query.is_empty()) else {
        let head = rows::head(store, &files.database, log)?.map_or_else(rows::empty, |(_, head)| head);
        let (log, messages, next) = (log.clone(), Vec::new(), None);
        return Ok((
            Answer::Found {
                log,
                head,
                messages,
                next,
            },
            false,
        ));
    };
    let cursor = index
        .map(|db| index::cursor(db, row.id).map_err(|why| fault(&files.search, &why)))
        .transpose()?
        .flatten()
        .filter(|cursor| cursor.epoch == row.epoch);
    let top = before.map_or(row.head, |before| before.saturating_sub(1).min(row.head));
    let mut run = SearchRun {
        store,
        file: &files.database,
        row,
        query,
        limit: limit.clamp(1, limits::PAGE_ENTRIES),
        until: begun + limits::HISTORY_SEARCH_TIME,
        found: Vec::new(),
    };
    let end = run.down(top, index.zip(cursor), files)?;
    let cut = matches!(end, SearchEnd::At(_)) && run.found.len() < run.limit;
    let next = match end {
        SearchEnd::At(seq) if seq > run.row.first => Some(seq),
        SearchEnd::At(_) | SearchEnd::Bottom => None,
    };
    let (log, messages) = (log.clone(), run.found);
    Ok((
        Answer::Found {
            log,
            head,
            messages,
            next,
        },
        cut,
    ))
}

impl SearchRun<'_> {
    fn down(&mut self, top: Seq, index: Option<(&Connection, Cursor)>, files: &Files) -> Result<SearchEnd, StoreFault> {
        let indexed = index.map_or(0, |(_, cursor)| cursor.upto);
        let scanned_to = (indexed + 1).max(self.row.first);
        if let Some(end) = self.scan(scanned_to, top)? {
            return Ok(end);
        }
        let top = top.min(indexed);
        match (index, self.query.expression()) {
            (Some((db, _)), Some(expression)) => self
                .ask_index(db, &expression, top)
                .map_err(|why| fault(&files.search, &why))?,
            // The index has no token for punctuation alone.
            (Some(_), None) => Ok(self.scan(self.row.first, top)?.unwrap_or(SearchEnd::Bottom)),
            (None, _) => Ok(SearchEnd::Bottom),
        }
    }

    /// Compares every message of an interval with the query, newest first.
    fn scan(&mut self, low: Seq, high: Seq) -> Result<Option<SearchEnd>, StoreFault> {
        let mut end = None;
        let Self {
            query,
            found,
            limit,
            until,
            ..
        } = self;
        let row = &self.row;
        let mut looked = 0_u32;
        let chain = Chain {
            db: self.store,
            file: self.file,
            log: row,
        };
        chain.scan((low, high), Direction::Descending, |message| {
            let seq = message.seq;
            if query.matches(&message.text) {
                found.push(message.message(self.file, row)?);
            }
            looked += 1;
            if found.len() >= *limit || looked.is_multiple_of(64) && Instant::now() >= *until {
                end = Some(SearchEnd::At(seq));
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(end)
    }

    /// Compares a hit of the index with the query.
    fn look_at(&mut self, seq: Seq) -> Result<(), StoreFault> {
        let message = Chain {
            db: self.store,
            file: self.file,
            log: &self.row,
        }
        .exactly(seq)?;
        if self.query.matches(&message.text) {
            self.found.push(message.message(self.file, &self.row)?);
        }
        Ok(())
    }

    /// Queries the index, window by window.
    fn ask_index(
        &mut self,
        db: &Connection,
        expression: &str,
        top: Seq,
    ) -> rusqlite::Result<Result<SearchEnd, StoreFault>> {
        let mut select = db.prepare_cached(
            "SELECT rowid FROM words WHERE words MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid DESC",
        )?;
        let (mut high, mut width) = (top, FIRST_WINDOW);
        while high >= self.row.first && high > 0 {
            let begun = Instant::now();
            let low = high.saturating_sub(width - 1).max(self.row.first);
            let id = self.row.id;
            let range = params![expression, index::row_number(id, low), index::row_number(id, high)];
            let mut hits = select.query(range)?;
            while let Some(hit) = hits.next()? {
                let seq = index::seq_of(hit.get(0)?);
                if let Err(why) = self.look_at(seq) {
                    return Ok(Err(why));
                }
                if self.found.len() >= self.limit || Instant::now() >= self.until {
                    return Ok(Ok(SearchEnd::At(seq)));
                }
            }
            if low <= self.row.first {
                break;
            }
            high = low - 1;
            let now = Instant::now();
            // The next window is larger, as far as the remaining time allows at the speed of this one.
            if now >= self.until {
                return Ok(Ok(SearchEnd::At(low)));
            }
            let took = now.duration_since(begun).max(Duration::from_micros(1));
            let times = self.until.duration_since(now).as_nanos() / took.as_nanos();
            width = match times {
                0 => (width / 2).max(FIRST_WINDOW / 16),
                1..4 => width,
                _ => width.saturating_mul(4),
            };
        }
        Ok(Ok(SearchEnd::Bottom))
    }
}

/// Messages in the first window, which takes a few milliseconds in the worst case.
const FIRST_WINDOW: u64 = 32_768;
