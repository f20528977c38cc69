//! Where a client connects to, and as whom.

use std::time::Duration;

use crate::{
    error::Error,
    proto,
    socket::{self, Target},
    wire::Wire,
};

/// Where a client connects to, and as whom.
#[derive(Debug, Clone)]
pub struct Config {
    /// `ws://host:port/path`; without a path `/chat`, without a port 80. A bare `host:port` will do.
    pub url: String,
    /// In which form to speak.
    pub wire: Wire,
    /// The user's name; `None`: the server chooses one.
    pub name: Option<String>,
    /// The key of the name: from an earlier [`proto::Welcome`], or made for a new name, of at least 32 random characters.
    pub key: Option<String>,
    /// Which client this is, 32 hexadecimal digits that nobody else knows; empty: it does not say. With the same one, a message
    /// that is sent again with its idempotency key is not said twice, also when its user has taken another name meanwhile.
    /// [`Config::new`] makes one; clones keep it. Keep it yourself to say the same after a restart.
    pub client: String,
    /// For servers that ask for authentication.
    pub token: Option<String>,
    /// Rooms to join at once and conversations to go on with. Each room is answered by a `Joined` event.
    pub resume: Vec<proto::Position>,
    /// More headers of the handshake.
    pub headers: Vec<(String, String)>,
    /// How long connecting, and each request, may take.
    pub timeout: Duration,
    /// How many pushes wait to be taken before the client stops reading.
    pub buffered_events: usize,
    /// Longest message of the server, in bytes.
    pub message_bytes: usize,
}

impl Config {
    /// The defaults, and where to connect to.
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

    /// The same with a name.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    /// The same in this form.
    pub fn wire(self, wire: Wire) -> Self {
        Self { wire, ..self }
    }

    /// The same with the key of the name.
    pub fn key(self, key: impl Into<String>) -> Self {
        Self {
            key: Some(key.into()),
            ..self
        }
    }

    /// The same as this client, which said so before.
    pub fn client(self, client: impl Into<String>) -> Self {
        Self {
            client: client.into(),
            ..self
        }
    }

    /// The same with one more room to join at once, from this position on.
    pub fn resume(mut self, room: impl Into<String>, epoch: u64, seq: u64) -> Self {
        self.resume.push(proto::Position {
            room: room.into(),
            epoch,
            seq,
            ..Default::default()
        });
        self
    }

    /// The same with another bound on waiting.
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

/// 128 random bits; none where the system gives none, and keys belong to the user then.
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
