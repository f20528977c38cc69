//! The Rust client of Plaza, a chat server for very large rooms.
//!
//! [`Client`] speaks Plaza's own protocol (`docs/protocol.md`), in protobuf or JSON. [`RawSocket`] is a bare WebSocket for the dialects of
//! older systems, which have no client library, and for tests that send what no library would.
//!
//! ```no_run
//! use plaza_client::{Client, Config, Event};
//!
//! # async fn run() -> Result<(), plaza_client::Error> {
//! let (client, welcome) = Client::connect(Config::new("ws://127.0.0.1:8080/chat").name("ann")).await?;
//! println!("connected as {}", welcome.name);
//!
//! let joined = client.join("lobby").await?;
//! println!("{} users here", joined.online);
//!
//! // The acknowledgement says that the message is accepted; in a durable room it is stored then.
//! let ack = client.talk("lobby", "hello").await?;
//! println!("message {} is accepted", ack.seq);
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
//! # Guarantees
//! - [`Client::next_event`] returns every push, in the order in which the server sent them.
//! - A reply goes only to its request. A reply that nobody waits for is a push.
//! - Dropping a future tears no frame and loses no push, because separate tasks read and write.
//!
//! # Not included
//! - The client does not reconnect by itself: save the positions to resume from.
//! - It does not speak TLS: put a tunnel or a proxy in front of a server that requires it.
//!
//! # Take pushes while you make requests
//! Up to [`Config::buffered_events`] pushes wait; then the client stops reading. Replies then wait behind earlier pushes, requests may time
//! out, pings get no answer, and the server treats the client as a slow consumer: it sends a gap or closes the connection. So take pushes
//! while you make requests, for example in another task: all methods take `&self`.

#![warn(missing_docs)]

mod client;
mod config;
mod error;
mod raw;
mod socket;
pub mod wire;

#[path = "../../proto/json_fields.rs"]
mod json_fields;

/// The types that prost generates from `proto/plaza/v1/chat.proto`.
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
