//! Load tools for Plaza: what they share.
//!
//! The generator ([`engine`]) drives thousands of WebSocket connections from one thread and audits the stream of every
//! one of them ([`audit`]); it never decodes what it only has to count. [`floor`] is the server that does the least a
//! chat server can do, the measure for all others; [`saboteur`] makes any server fail on purpose, to see that the audit
//! finds it. [`people`] are the goose scenarios. Nothing here is used by the server.
// Only the programs beside it use this library.
#![allow(missing_docs)]

pub mod audit;
pub mod dialect;
pub mod engine;
pub mod figures;
pub mod floor;
pub mod frame;
pub mod limits;
pub mod marker;
pub mod member;
pub mod options;
pub mod people;
pub mod plot;
pub mod process;
pub mod report;
pub mod require;
pub mod saboteur;
pub mod scenario;
pub mod table;
pub mod wire;
