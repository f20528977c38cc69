//! What the requests of one connection lead to.
//!
//! - `rules`: what each command means, and what is refused
//! - `order`: which commands wait for a request before them
//! - `list`: the connections as the operator sees them
//!
//! Invariants: a request is carried out, refused or made to wait, each once; whatever is sent to an owner or given to the store
//! counts as under way until it is answered.
//!
//! Nothing here has a socket, sends to other shards or asks the store: a rule ends in an [`rules::Action`], which the engine
//! carries out.

pub(crate) mod list;
pub(crate) mod order;
pub(crate) mod rules;
#[cfg(test)]
mod tests;
