//! The configuration of a client: the address, the user, and bounds.

use std::time::Duration;

use crate::{
    error::Error,
    proto,
    socket::{self, Target},
    wire::Wire,
};

/// The configuration of a client: the address, the user, and bounds.
#[derive(Debug, Clone)]
pub struct Config {
    /// `ws://host:port/path`. The default path is `/chat`, the default port 80. A bare `host:port` is enough.
    pub url: String,
    /// The encoding.
    pub wire: Wire,
    /// The user's name; `None`: the server chooses one.
    pub name: Option<String>,
    /// The key of the name: the one of an earlier [`proto::Welcome`], or at least 32 random characters to claim a new name.
    pub key: Option<String>,
    /// The client id: 32 hexadecimal digits that nobody else knows; empty sends none. A message that is repeated with the same id and
    /// idempotency key is not sent twice, even if its user has another name meanwhile. [`Config::new`] makes an id, and clones share it.
    /// Save it to use the same one after a restart.
    pub client: String,
    /// A token, for servers that require authentication.
    pub token: Option<String>,
    /// Positions to resume from: the server joins the rooms at once, with a `Joined` event for each.
    pub resume: Vec<proto::Position>,
    /// Additional headers of the handshake.
    pub headers: Vec<(String, String)>,
    /// Timeout of connecting and of each request.
    pub timeout: Duration,
    /// The client stops reading while this many pushes wait.
    pub buffered_events: usize,
    /// The longest message that the client accepts, in bytes.
    pub message_bytes: usize,
}

impl Config {
    /// The defaults, for this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            wire: Wire::default(),
            name: None,
            key: None,
            client: random_client(),
            token: None,
            resume: Vec::new(),
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            buffered_events: 16 * 1024,
            message_bytes: socket::MESSAGE_BYTES,
        }
    }

    /// Sets the name.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    /// Sets the encoding.
    pub fn wire(self, wire: Wire) -> Self {
        Self { wire, ..self }
    }

    /// Sets the key of the name.
    pub fn key(self, key: impl Into<String>) -> Self {
        Self {
            key: Some(key.into()),
            ..self
        }
    }

    /// Sets the client id, to one of an earlier run.
    pub fn client(self, client: impl Into<String>) -> Self {
        Self {
            client: client.into(),
            ..self
        }
    }

    /// Adds a room to join at once, from this position.
    pub fn resume(mut self, room: impl Into<String>, epoch: u64, seq: u64) -> Self {
        self.resume.push(proto::Position {
            room: room.into(),
            epoch,
            seq,
            ..Default::default()
        });
        self
    }

    /// Sets the timeout.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub(crate) fn target(&self) -> Result<Target, Error> {
        let mut target = Target::parse(&self.url, "/chat")?;
        target.headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
            .collect();
        target.subprotocols = vec![self.wire.subprotocol().to_owned()];
        target.message_bytes = self.message_bytes;
        Ok(target)
    }

    pub(crate) fn hello(&self) -> proto::Hello {
        proto::Hello {
            name: self.name.clone().unwrap_or_default(),
            token: self.token.clone().unwrap_or_default(),
            key: self.key.clone().unwrap_or_default(),
            resume: self.resume.clone(),
            client: self.client.clone(),
        }
    }
}

/// 128 random bits, or nothing if the system has none; idempotency keys then belong to the user.
fn random_client() -> String {
    let mut bits = [0; 16];
    match getrandom::fill(&mut bits) {
        Ok(()) => format!("{:032x}", u128::from_le_bytes(bits)),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn every_config_is_a_client_of_its_own_and_its_clones_are_the_same() {
        let config = Config::new("localhost");
        assert_eq!(config.client.len(), 32);
        assert_eq!(config.clone().name("ann").hello().client, config.client);
        assert_ne!(Config::new("localhost").client, config.client);
    }
}
