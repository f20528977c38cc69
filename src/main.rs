//! The plaza program.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use plaza::config::cli::{self, Task};

fn main() -> ExitCode {
    // Variables that are not UTF-8 are none of ours.
    let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    match cli::read(std::env::args_os(), environment.collect()) {
        Task::Serve { loaded: _, flags: _ } => {
            let _ = io::stderr().write_all(b"plaza: the settings are good, but this build holds no server\n");
            ExitCode::FAILURE
        }
        Task::Print(text) => {
            // Whoever closed the pipe has seen enough.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Task::Refuse { message, code } => {
            let _ = io::stderr().write_all(message.as_bytes());
            ExitCode::from(code)
        }
    }
}
