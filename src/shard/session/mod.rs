//! The rules of sessions, which turn a request into an action.
//!
//! - `rules`: the action for each command, and refusals
//! - `deferred`: which commands wait for an earlier request
//! - `list`: the connections as the operator sees them
//!
//! Invariants: each request is carried out, refused or deferred once; a request to an owner or to the store counts as unanswered
//! until its answer.
//!
//! The rules write to no socket, send nothing to other shards and ask the store nothing: they return an [`rules::Action`], which the
//! engine carries out.

pub(crate) mod list;
pub(crate) mod presence;
pub(crate) mod deferred;
pub(crate) mod rules;
#[cfg(test)]
mod tests;
