//! Reports that a test cannot run here.

use std::io::{self, Write};

/// Says what is not tested and why, in a line that the summary of `scripts/test.sh` repeats. Not with `eprintln!`: the test runner
/// does not show what a passing test prints with it.
pub fn skipped(what: &str) {
    let _ = writeln!(io::stderr(), "\nrust: SKIPPED, {what}");
}
