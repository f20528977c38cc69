//! The tools for operators: check, export, copy and import a store.
//!
//! `check`, `export` and `backup` work while a server runs, and write nothing to its store. A server refuses to start on an incomplete
//! backup or import.
//!
//! No tool holds a read transaction while it waits for its output, because the server cannot reuse its write-ahead log in that time.
//! Tools read messages in pages, up to the head that each log had at the beginning.

mod backup;
mod check;
mod directory;
mod export;
mod import;
mod record;
mod walk;

pub use backup::{backup, new_epoch};
pub use check::{Report, check};
pub use export::export;
pub use import::import;
pub use record::{Moved, Record};
