//! Claimed names and their keys.
//!
//! The first key shown for a name claims the name, and with it everything that belongs to its user. The store has only the SHA-256
//! hash of a key.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::{
    checksum::Checksum,
    fault::{StoreFault, fault},
    outcome::Claim,
    request::NameKey,
};
use crate::{
    chat::{UserId, UserName},
    limits,
};

/// Whether the id of this user is that of a claimed name.
pub(crate) fn has_key(db: &Connection, user: &UserId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM name WHERE user = ?1")?
        .exists([user.stored()])
}

/// Compares a key with that of a claimed name, or claims a free name. `claimed` is the number of claimed names.
pub(crate) fn claim(
    db: &Connection,
    file: &Path,
    name: &UserName,
    key: &NameKey,
    claimed: usize,
) -> Result<Claim, StoreFault> {
    let failed = |why: rusqlite::Error| fault(file, &why);
    let name = name.as_str();
    let known = db
        .prepare_cached("SELECT hash, crc FROM name WHERE user = ?1")
        .and_then(|mut select| {
            select
                .query_row([name], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, u32>(1)?)))
                .optional()
        })
        .map_err(failed)?;
    let key = key.0.as_bytes();
    match known {
        None if key.len() < limits::NAME_KEY_LEAST => {
            let seen = format!(
                "the key has {} bytes; a name is claimed with {} or more",
                key.len(),
                limits::NAME_KEY_LEAST
            );
            Err(StoreFault::Refused { seen })
        }
        None if claimed >= limits::NAMES_CLAIMED => {
            let seen = format!(
                "{} names are claimed, and this server takes no more; come without a key, under a name that is free",
                limits::NAMES_CLAIMED
            );
            Err(StoreFault::Refused { seen })
        }
        None => {
            let hash = Sha256::digest(key);
            db.prepare_cached("INSERT INTO name (user, hash, crc) VALUES (?1, ?2, ?3)")
                .and_then(|mut insert| insert.execute(params![name, hash.as_slice(), name_crc(name, &hash)]))
                .map_err(failed)?;
            Ok(Claim::New)
        }
        Some((hash, crc)) if crc != name_crc(name, &hash) => Err(damaged(file, name)),
        // Comparing hashes, not keys: the duration reveals nothing about the key.
        Some((hash, _)) if Sha256::digest(key).as_slice() == hash => Ok(Claim::Matches),
        Some(_) => Ok(Claim::Differs),
    }
}

pub(crate) fn damaged(file: &Path, name: &str) -> StoreFault {
    StoreFault::damaged(
        file,
        format!("the row of {name:?} in table name does not match its checksum"),
    )
}

pub(crate) fn name_crc(user: &str, hash: &[u8]) -> u32 {
    Checksum::default().text(user).bytes(hash).finish()
}
