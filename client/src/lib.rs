//! The Rust client of Plaza.
