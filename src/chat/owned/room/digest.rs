//! The joins and leaves of a large room since its last digest.
//!
//! A room sends at most one digest in [`RoomSettings::digest_every_ms`].

use super::{Room, lists::cut};
use crate::{
    chat::{Happening, ListOrder, RoomSettings, UserName},
    limits,
};

impl Room {
    /// Counts a user who joined. Returns whether this begins a digest.
    pub(crate) fn note_join(&mut self, user: UserName) -> bool {
        let digest = &mut self.rare().digest;
        let newly = digest.is_none();
        let counts = digest.get_or_insert_default();
        counts.joined += 1;
        counts.last_joined = Some(user);
        newly
    }

    /// Counts a user who left. Returns whether this begins a digest.
    pub(crate) fn note_leave(&mut self, user: UserName) -> bool {
        let digest = &mut self.rare().digest;
        let newly = digest.is_none();
        let counts = digest.get_or_insert_default();
        counts.left += 1;
        counts.last_left = Some(user);
        newly
    }

    pub(crate) fn owes_digest(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.digest.is_some())
    }

    /// Takes the digest, if there are changes and the last one is old enough.
    pub(crate) fn take_digest(&mut self, settings: &RoomSettings, now_ms: u64) -> Option<Happening> {
        let rare = self.rare.as_mut()?;
        if now_ms.abs_diff(rare.digest_at) < settings.digest_every_ms {
            return None;
        }
        let counts = rare.digest.take()?;
        rare.digest_at = now_ms;
        let sample = self.users.ordered(ListOrder::Name, limits::DIGEST_NAMES);
        Some(Happening::Digest {
            online: self.online(),
            version: self.version,
            joined: counts.joined,
            left: counts.left,
            last_joined: counts.last_joined,
            last_left: counts.last_left,
            sample,
            users: self.list_if_wanted(settings, now_ms).map(cut),
        })
    }
}
