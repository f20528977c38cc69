//! Shared parts of Plaza's load tools. The server does not use them.
//!
//! The generator ([`engine`]) drives thousands of WebSocket connections from one thread and audits the stream of each ([`audit`]) without
//! decoding the messages that it only counts. [`floor`] is the baseline, a server that does the least possible. [`saboteur`] makes any
//! server fail on purpose, to test the audit. [`people`] has the goose scenarios.

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
