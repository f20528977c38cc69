//! What an operator does with a store besides serving it: check it, export it, copy it, import it.
//!
//! `check`, `export` and `backup` work while a server runs, and write nothing to its store. A backup or an import is complete, or a
//! server refuses to start on it.
//!
//! No tool holds a read transaction while it waits for its output: the server cannot reuse its write-ahead log below the oldest one.
//! Messages are read in pages, up to where each log stood at the beginning.

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
