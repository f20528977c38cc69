//! The floor as a program: see `plaza_loadtest::floor`.

use std::{net::SocketAddr, process::ExitCode};

use clap::Parser;
use plaza_loadtest::{floor::Floor, process, saboteur::Sabotage};

/// The least that a server must do to fan out: one blocking `send()` per member. It speaks no dialect and is not a chat server.
#[derive(Debug, Parser)]
#[command(name = "floor", version)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Only answer the upgrade: the least cost of accepting connections.
    #[arg(long)]
    accept_only: bool,
    #[command(flatten)]
    sabotage: Sabotage,
}

fn main() -> ExitCode {
    let options = Options::parse();
    process::raise_open_files();
    let served = Floor::bind(options.listen, options.sabotage).and_then(|floor| {
        println!("listening on http://{}", floor.address()?);
        floor.accept_only(options.accept_only).run()
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {}: {error}", options.listen);
            ExitCode::FAILURE
        }
    }
}
