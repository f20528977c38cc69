//! The load generator: see `plaza_loadtest`.

use std::process::ExitCode;

use clap::Parser;
use plaza_loadtest::{options::Options, scenario};

fn main() -> ExitCode {
    match scenario::perform(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(problem) => {
            eprintln!("plaza-load: {problem}");
            ExitCode::from(2)
        }
    }
}
