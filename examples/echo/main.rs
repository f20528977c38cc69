//! A WebSocket server that echoes every message, with the chat server's handshake, frame reader and frame writer. The Autobahn test
//! suite runs against it (`scripts/autobahn.sh`).
//!
//! `cargo run --example echo -- [ADDRESS]`; the default is a free port of 127.0.0.1. The first line of output has the address.

mod server;

use std::{env, io};

use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(&address).await?;
    println!("listening on {}", listener.local_addr()?);
    server::serve(listener, server::LIMITS).await
}
