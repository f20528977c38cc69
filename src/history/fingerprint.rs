//! Fingerprints of idempotency keys, which the rows of messages contain.

use sha2::{Digest as _, Sha256};

use crate::chat::{ClientId, UserId};

/// Identifies a key within its log: half of a SHA-256 of its owner and the key. Nobody can construct another key with the same
/// fingerprint, or read the key from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) [u8; 16]);

impl Fingerprint {
    /// The owner is the client if it has an id, else the user. The receiver of a direct message is not hashed: the sender and the
    /// log of the pair determine it.
    pub(crate) fn of(client: Option<ClientId>, user: &UserId, key: &str) -> Self {
        let mut hash = Sha256::new();
        match client {
            Some(client) => hash_owner(&mut hash, ["client:", &client.digits()]),
            None => hash_owner(&mut hash, user.parts()),
        }
        hash.update(key);
        let mut first = [0; 16];
        first.copy_from_slice(hash.finalize().split_at(16).0);
        Self(first)
    }

    /// The part by which keys are looked up.
    pub(crate) fn half(self) -> u64 {
        u128::from_le_bytes(self.0) as u64
    }
}

/// The length comes first, so that different owners and keys never give the same input.
fn hash_owner(hash: &mut Sha256, [kind, owner]: [&str; 2]) {
    hash.update(((kind.len() + owner.len()) as u64).to_le_bytes());
    hash.update(kind);
    hash.update(owner);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::UserName;

    #[test]
    fn owners_and_keys_have_fingerprints_of_their_own() {
        let user = |name: &str| UserId::of_name(&UserName::parse(name).unwrap());
        let client = ClientId::parse("00112233445566778899aabbccddeeff");
        let all = [
            Fingerprint::of(None, &user("ann"), "k"),
            Fingerprint::of(None, &user("an"), "nk"),
            Fingerprint::of(None, &user("ann"), "k2"),
            Fingerprint::of(client, &user("ann"), "k"),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(!all[..n].contains(one), "{n}");
        }
        assert_eq!(Fingerprint::of(client, &user("bob"), "k"), all[3]);
    }
}
