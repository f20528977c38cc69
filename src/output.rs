//! What a command prints. A disk that is full is noticed: a file that a command wrote is either whole, or the command failed.

use std::io::{self, Write};

/// Writes to standard output, all of it. The error is one sentence, and empty where nobody reads any more: whoever closed the
/// pipe has seen enough, and is told by the exit code alone.
pub fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => String::new(),
            _ => format!("standard output cannot be written: {error}"),
        })
}
