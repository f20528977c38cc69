//! The operator's HTTP listener: `/livez`, `/readyz`, `/metrics`, and the admin API below `/api/`.
//!
//! Invariants: it runs on a thread of its own, so that it answers while the shards are busy or stuck. Connections, times and
//! sizes are bounded. A page of another origin in the operator's browser cannot use it. It never authenticates: every program
//! that can connect to the address may use it.
//!
//! `listener` accepts and answers health and metrics, `slots` bounds its connections, and `guard` refuses pages of other origins. `api`
//! answers the requests that `routes` parses and whose bodies `bodies` reads; `kept_rooms` stores the rooms that the operator has set.

mod api;
mod bodies;
mod guard;
mod http;
mod kept_rooms;
mod listener;
mod routes;
mod slots;

pub(crate) use api::Api;
pub(crate) use kept_rooms::KeptRooms;
pub(crate) use listener::{AdminListener, AdminThread};
