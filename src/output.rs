//! Output of commands. A command fails if its output cannot be written in full, for instance on a full disk.

use std::io::{self, Write};

/// Writes all of the text to standard output. The error is one sentence; it is empty if the reader has closed the pipe, where the
/// exit code is enough.
pub fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => String::new(),
            _ => format!("standard output cannot be written: {error}"),
        })
}
