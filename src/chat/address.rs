//! The address of a session.
//!
//! A [`SessionId`] consists of shard, slot and generation. All code may store, compare and print one; only the shard that made it can
//! look up its connection. The generation keeps an old id from reaching the next connection in the same slot.

use std::{fmt, num::NonZeroU32, str::FromStr};

/// One core, numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// A place in a shard's table of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionSlot(u32);

/// Numbers the connections of a shard in the order of their arrival. Wraps around after 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(NonZeroU32);

/// A session on any shard. `Display` and `FromStr` use `<shard>-<slot>-<generation>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    shard: ShardId,
    slot: ConnectionSlot,
    generation: Generation,
}

impl ConnectionSlot {
    pub const FIRST: Self = Self(0);

    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    pub const fn index(self) -> usize {
        self.0 as usize
    }

    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Generation {
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    #[must_use]
    pub const fn next(self) -> Self {
        match self.0.checked_add(1) {
            Some(next) => Self(next),
            None => Self::FIRST,
        }
    }
}

impl SessionId {
    pub const fn new(shard: ShardId, slot: ConnectionSlot, generation: Generation) -> Self {
        Self {
            shard,
            slot,
            generation,
        }
    }

    pub const fn shard(self) -> ShardId {
        self.shard
    }

    pub const fn slot(self) -> ConnectionSlot {
        self.slot
    }

    pub const fn generation(self) -> Generation {
        self.generation
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.shard, self.slot.0, self.generation.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotASessionId;

impl FromStr for SessionId {
    type Err = NotASessionId;

    fn from_str(text: &str) -> Result<Self, NotASessionId> {
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next().ok_or(NotASessionId);
        let (shard, slot, generation) = (part()?, part()?, part()?);
        Ok(Self {
            shard: ShardId(shard.parse().map_err(|_| NotASessionId)?),
            slot: match slot.parse() {
                Ok(slot) if slot < u32::MAX => ConnectionSlot(slot),
                // Tables are smaller than that.
                Ok(_) | Err(_) => return Err(NotASessionId),
            },
            generation: Generation(generation.parse().map_err(|_| NotASessionId)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_read_as_it_is_written() {
        let id = SessionId::new(ShardId(3), ConnectionSlot::new(12), Generation::FIRST.next());
        assert_eq!(id.to_string(), "3-12-2");
        assert_eq!("3-12-2".parse(), Ok(id));
        for text in [
            "",
            "3-12",
            "3-12-0",
            "3-12-2-1",
            "3-12-x",
            "70000-1-1",
            "-1-1-1",
            "0-4294967295-1",
        ] {
            assert_eq!(text.parse::<SessionId>(), Err(NotASessionId), "{text}");
        }
    }
}
