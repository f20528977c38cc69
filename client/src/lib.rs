//! The Rust client of Plaza, a chat server for very large rooms.
//!
//! [`Client`] speaks Plaza's own protocol (`docs/protocol.md`), in protobuf or in JSON. [`RawSocket`] is a bare WebSocket
//! for what has no client library: the dialects of older systems, and tests that send what no library would.
//!
//! ```no_run
//! use plaza_client::{Client, Config, Event};
//!
//! # async fn run() -> Result<(), plaza_client::Error> {
//! let (client, welcome) = Client::connect(Config::new("ws://127.0.0.1:8080/chat").name("ann")).await?;
//! println!("in session {} as {}", welcome.session, welcome.name);
//!
//! let joined = client.join("lobby").await?;
//! println!("{} users here", joined.online);
//!
//! // The acknowledgement comes when the message is stored.
//! let ack = client.talk("lobby", "hello").await?;
//! println!("said as number {}", ack.seq);
//!
//! loop {
//!     match client.next_event().await? {
//!         Event::Message(message) if message.text == "bye" => break,
//!         Event::Message(message) => println!("{}: {}", message.from, message.text),
//!         Event::Gap(gap) => println!("missed {} to {}", gap.from, gap.to),
//!         _ => {}
//!     }
//! }
//! client.exit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//! - Pushes come out of [`Client::next_event`] in the order in which the server sent them, none left out.
//! - A reply goes to the request that it answers and nowhere else; a reply that nobody waits for (any more) is a push.
//! - A future that is dropped tears no frame and loses no push: reading and writing are tasks of their own.
//!
//! # What is not
//! - Nothing reconnects by itself: the positions to resume from are the caller's to keep.
//! - TLS is not spoken; put a tunnel or a proxy before a server that asks for it.
//!
//! # When pushes are not taken
//! Up to [`Config::buffered_events`] pushes wait. After that the client stops reading, as a full socket would: replies wait
//! behind the pushes before them, so that requests may time out, pings are not answered, and the server finally treats
//! the client as a slow reader: it tells the gap, or closes. Whoever makes requests should take pushes at the same time,
//! for example from another task: all methods take `&self`.

mod client;
mod config;
mod error;
mod raw;
mod socket;
pub mod wire;

#[path = "../../proto/json_fields.rs"]
mod json_fields;

/// What prost makes of `proto/plaza/v1/chat.proto`.
#[allow(missing_docs)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/plaza.v1.rs"));
}

pub use client::Client;
pub use config::Config;
pub use error::{Closing, Error, Refused};
pub use proto::{client_message::Request, server_message::Event};
pub use raw::{RawConfig, RawMessage, RawSocket};
pub use wire::Wire;
