//! `plaza history check`: reads everything in a store and reports the damage.

use std::path::Path;

use super::{
    directory::{failed, open},
    record::Record,
    walk::{Visited, visit},
};
use crate::{
    history::{
        commit_marker::LastRun,
        fault::{StartFault, fault, io_fault},
        files::Files,
        idempotency::{Tables, check_blocks, check_rows},
        recovery,
        rows::LogRow,
        store_row::store_row,
    },
    limits,
};

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Rooms and direct conversations.
    pub logs: u64,
    /// Undamaged messages.
    pub messages: u64,
    /// Descriptions of the damage; at most [`limits::HISTORY_DAMAGES`].
    pub damages: Vec<String>,
    /// The number of damaged rows.
    pub damaged: u64,
}

/// Checks every row, the structure of the tables, and the commit marker.
pub fn check(dir: &Path) -> Result<Report, StartFault> {
    let files = Files::new(dir);
    // Read first, so that a running server can only be ahead of it.
    let last_run = LastRun::read(&files.head).map_err(|why| StartFault::Store(io_fault(&files.head, &why)))?;
    let (db, mut report) = (open(&files)?, Report::default());
    let snapshot = db.unchecked_transaction().map_err(failed(&files))?;
    let mut structure = db.prepare("PRAGMA quick_check(100)").map_err(failed(&files))?;
    let lines = structure
        .query_map([], |row| row.get::<_, String>(0))
        .map_err(failed(&files))?;
    for line in lines {
        match line {
            Ok(line) if line == "ok" => {}
            Ok(line) => report.damage(format!("{}: {line}", files.database.display())),
            Err(why) => report.damage(fault(&files.database, &why).to_string()),
        }
    }
    drop(structure);
    match store_row(&db, &files.database) {
        Ok((store, commits)) => report.compare(&files, &last_run.resolve_announced(commits), store, commits),
        Err(why) => report.damage(why.to_string()),
    }
    match recovery::verified_logs(&db, &files.database) {
        Ok(logs) => match recovery::without_pairs(&db, &files.database, &logs) {
            Ok(missing) => {
                for LogRow { log, .. } in missing {
                    let seen = "entries of table pair are missing; the next start makes them again";
                    report.damage(format!("{log}: {seen}"));
                }
            }
            Err(why) => report.damage(format!("table pair: {why}")),
        },
        Err(why) => report.damage(why.to_string()),
    }
    drop(snapshot);
    let mut seen = (0, 0);
    visit(&db, &files, &mut |visited| match visited {
        Visited::Log => seen.0 += 1,
        Visited::Record(Record::Message { .. }) => seen.1 += 1,
        Visited::Record(
            Record::Entry { .. } | Record::Read { .. } | Record::Name { .. } | Record::Lost { .. } | Record::End { .. },
        ) => {}
        Visited::Damage(what) => report.damage(what),
    })
    .map_err(StartFault::Store)?;
    (report.logs, report.messages) = seen;
    let (db, file) = (&db, files.database.as_path());
    for check in [check_rows, check_blocks] {
        if let Err(why) = check(Tables { db, file }, &mut |what| report.damage(what)) {
            report.damage(fault(file, &why).to_string());
        }
    }
    Ok(report)
}

impl Report {
    fn damage(&mut self, what: String) {
        self.damaged += 1;
        if self.damages.len() < limits::HISTORY_DAMAGES {
            self.damages.push(what);
        }
    }

    fn compare(&mut self, files: &Files, last_run: &LastRun, store: u64, commits: u64) {
        let head = files.head.display();
        match last_run {
            LastRun::Missing => self.damage(format!("{head} is missing")),
            LastRun::Damaged => self.damage(format!("{head} is damaged")),
            LastRun::Older => self.damage(format!("{head} is of an older version of the program")),
            LastRun::Read { header, .. } if header.store != store => {
                self.damage(format!("{head} belongs to store {:x}, the database is {store:x}", header.store));
            }
            LastRun::Read { commit, .. } if *commit > commits => self.damage(format!(
                "{head} knows {commit} commits, the database has {commits}: its tail is lost; the next start says what is gone"
            )),
            LastRun::Read { .. } => {}
        }
    }
}
