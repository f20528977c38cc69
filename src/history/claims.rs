//! Which names are claimed, for those who cannot wait for the store: a session that says a name, a direct message on its way.
//!
//! Every claimed name of the store is here, from its start on. A claim is here before it is committed, so nothing that was committed
//! behind it can be handed to a session that has not shown the key. [`Claims::has`] never says that a claimed name is free.
//! It says that a free name is claimed while a claim of it fails, or when two names have the same fingerprint of 64 bits.

use std::{hash::BuildHasher as _, path::Path};

use dashmap::DashMap;
use rusqlite::Connection;

use super::{
    fault::{StoreFault, fault},
    names::{damaged, name_crc},
};
use crate::chat::UserName;

/// The claimed names of a store, by fingerprints: 16 bytes each instead of some 100 for a name.
#[derive(Debug, Default)]
pub struct Claims {
    claimed: DashMap<u64, (), foldhash::fast::RandomState>,
    /// Its seed is random, so nobody can choose two names with one fingerprint.
    hasher: foldhash::quality::RandomState,
}

/// Claims that are being committed; without [`Claiming::keep`] they are withdrawn.
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

    /// Reads all of them. A row that does not match its checksum is reported to `found`; its name counts as claimed.
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
    /// They are committed.
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
