//! The rules of sessions, which turn a request into an action.
//!
//! - `rules`: the action for each command, and refusals
//! - `deferred`: which commands wait for an earlier request
//! - `hello`: the names of sessions that enter or are renamed
//! - `presence`: what the rest of the node must know of a session
//! - `list`: the connections as the operator sees them
//!
//! Invariants: each request is carried out, refused or deferred once; a request to an owner or to the store counts as unanswered
//! until its answer.
//!
//! Nothing here sends to other shards: a rule returns an [`rules::Action`], and [`presence::Presence`] returns messages. The engine
//! carries them out.

mod deferred;
mod hello;
pub(crate) mod list;
pub(crate) mod presence;
pub(crate) mod rules;
#[cfg(test)]
mod tests;
