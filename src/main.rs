//! The plaza program.

fn main() {}
