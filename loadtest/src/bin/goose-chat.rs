//! People in a chat, as goose scenarios: see `plaza_loadtest::people`.

use std::process::ExitCode;

fn main() -> ExitCode {
    plaza_loadtest::people::main()
}
