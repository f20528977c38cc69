//! The operator's HTTP listener: `/livez`, `/readyz`, `/metrics`, and the admin API below `/api/`.
//!
//! Invariants: it runs on a thread of its own, so that it answers while the shards are busy or stuck; connections, times and
//! sizes are bounded; and a page of another origin in the operator's browser cannot use it. It never asks who the caller is:
//! whoever reaches the address may use it.
//!
//! `listener` accepts and answers health and metrics, `places` bounds its connections, and `guard` keeps foreign pages out. `api`
//! answers what `routes` finds below `/api/`, with the bodies of `bodies`; it remembers in `standing` what the operator has set.

mod api;
mod bodies;
mod guard;
mod http;
mod listener;
mod places;
mod routes;
mod standing;

pub(crate) use api::Api;
pub(crate) use listener::{AdminListener, AdminThread};
pub(crate) use standing::StandingRooms;
