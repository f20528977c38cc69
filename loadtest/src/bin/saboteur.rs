//! A proxy that tampers with deliveries: see `plaza_loadtest::saboteur`.
//!
//! Run `saboteur --before 127.0.0.1:8080 --drop-one-in 10000`, and drive it as if it were the server.

use std::{net::SocketAddr, process::ExitCode};

use clap::Parser;
use plaza_loadtest::{
    process,
    saboteur::{Sabotage, stand_before},
};
use tokio::net::TcpListener;

/// A proxy that tampers with a server's deliveries, to show that the audit can fail.
#[derive(Debug, Parser)]
#[command(name = "saboteur", version)]
struct Options {
    /// The server behind the proxy.
    #[arg(long)]
    before: SocketAddr,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[command(flatten)]
    sabotage: Sabotage,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    process::raise_open_files();
    let stood = async {
        let listener = TcpListener::bind(options.listen).await?;
        println!("listening on http://{}", listener.local_addr()?);
        stand_before(listener, options.before, options.sabotage).await
    };
    match stood.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("saboteur: {}: {error}", options.listen);
            ExitCode::FAILURE
        }
    }
}
