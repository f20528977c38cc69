//! The store's guarantees, tested from outside: acknowledged messages are there, once and in order, whatever happens to the program,
//! the files and the disk. `LONG_PROOFS=1` makes the tests long.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod basics;
mod chain;
mod clock;
mod copies;
mod damage;
mod devices;
#[path = "../support/forgetful.rs"]
mod forgetful;
mod keys;
mod model;
mod search;
#[path = "../support/skip.rs"]
mod skip;
mod stuck;
mod support;
mod sync;
mod threads;
mod tools;
mod unfinished;
mod users;
