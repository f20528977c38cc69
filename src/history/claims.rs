//! The claimed names, in memory, for shards that cannot wait for the store.
//!
//! The set has all claimed names from the start of the store, and a new claim before its commit. So no data committed after a claim
//! reaches a session that has not shown the key. [`Claims::has`] never calls a claimed name free. It can call a free name claimed:
//! while a claim is being committed that then fails, or if two names share a 64-bit fingerprint.

use std::{hash::BuildHasher as _, path::Path};

use dashmap::DashMap;
use rusqlite::Connection;

use super::{
    fault::{StoreFault, fault},
    names::{damaged, name_crc},
};
use crate::chat::UserName;

/// Fingerprints of the claimed names: 16 bytes each instead of about 100 for a name.
#[derive(Debug, Default)]
pub struct Claims {
    claimed: DashMap<u64, (), foldhash::fast::RandomState>,
    /// Randomly seeded, so that nobody can construct two names with one fingerprint.
    hasher: foldhash::quality::RandomState,
}

/// Claims in the transaction that is being committed. Dropping them without [`Claiming::keep`] withdraws them.
#[derive(Debug)]
pub(crate) struct Claiming<'c> {
    claims: &'c Claims,
    fresh: Vec<u64>,
}

impl Claims {
    /// Whether somebody has claimed this name.
    pub fn has(&self, name: &UserName) -> bool {
        self.claimed.contains_key(&self.fingerprint(name.as_str()))
    }

    pub(crate) fn count(&self) -> usize {
        self.claimed.len()
    }

    /// Loads all claims. A row with a wrong checksum goes to `found`, and its name counts as claimed.
    pub(crate) fn load(&self, db: &Connection, file: &Path, found: &dyn Fn(&StoreFault)) -> Result<(), StoreFault> {
        let read = || -> rusqlite::Result<()> {
            let mut select = db.prepare("SELECT user, hash, crc FROM name")?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let (name, hash, crc): (String, Vec<u8>, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
                if crc != name_crc(&name, &hash) {
                    found(&damaged(file, &name));
                }
                self.claimed.insert(self.fingerprint(&name), ());
            }
            Ok(())
        };
        read().map_err(|why| fault(file, &why))
    }

    /// Claims that are about to be committed.
    pub(crate) fn begin(&self, names: &[UserName]) -> Claiming<'_> {
        let fingerprints = names.iter().map(|name| self.fingerprint(name.as_str()));
        let fresh = fingerprints.filter(|print| self.claimed.insert(*print, ()).is_none());
        Claiming {
            fresh: fresh.collect(),
            claims: self,
        }
    }

    fn fingerprint(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }
}

impl Claiming<'_> {
    /// Keeps the claims after their commit.
    pub(crate) fn keep(mut self) {
        self.fresh.clear();
    }
}

impl Drop for Claiming<'_> {
    fn drop(&mut self) {
        for print in &self.fresh {
            self.claims.claimed.remove(print);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_counts_while_it_is_committed_and_is_withdrawn_when_that_fails() {
        let claims = Claims::default();
        let names @ [ann, bob] = &["ann", "bob"].map(|name| UserName::parse(name).unwrap());
        claims.begin(&names[..1]).keep();
        let failing = claims.begin(names);
        assert!(claims.has(ann) && claims.has(bob));
        drop(failing);
        assert!(claims.has(ann), "it was claimed before");
        assert!(!claims.has(bob));
    }
}
