//! The engines of several shards, driven without sockets on a test clock. One file per behaviour.

mod behind;
mod claims;
mod closing;
mod counts;
mod devices;
mod directs;
mod endings;
mod lagging;
mod leaving;
mod lists;
mod model;
mod order;
mod pacing;
mod parked;
mod pressure;
mod rooms;
mod saying;
mod slow_readers;
mod timers;
mod uncertain;
