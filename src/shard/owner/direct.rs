//! What the owner of a pair of users decides about a direct message: whether it may pass, and who numbers it.

use super::Owner;
use crate::{
    chat::{ErrorCode, Position, Refusal, Seq, UserName, Utterance},
    limits,
    shard::bus::directory::{Directory, direct_bytes},
};

/// What a direct message is decided under.
pub(crate) struct PairConditions<'a> {
    pub(crate) directory: &'a Directory,
    /// Bytes of direct messages that may be on their way to the slowest shard.
    pub(crate) most: usize,
    /// Whether more waits for other shards than may.
    pub(crate) is_congested: bool,
    /// Whether direct messages are stored.
    pub(crate) is_stored: bool,
}

/// What becomes of a direct message.
#[derive(Debug, PartialEq)]
pub(crate) enum PairDecision {
    Refuse(Refusal),
    /// The store numbers it. It counts so many bytes in [`Directory::directs`] until then.
    Store {
        bytes: usize,
    },
    /// It has its number.
    Tell {
        position: Position,
        prev: Seq,
    },
}

impl Owner {
    /// A user says something to one other.
    pub(crate) fn direct(&mut self, to: &UserName, said: &Utterance, conditions: &PairConditions<'_>) -> PairDecision {
        let PairConditions {
            directory,
            most,
            is_congested,
            is_stored,
        } = *conditions;
        let bytes = || {
            let sessions = directory.count(to) + directory.count(&said.from);
            direct_bytes(sessions, &said.text)
        };
        let underway = directory.directs.most();
        // Small ones have as much room again, so that those who fill it with large ones leave the others theirs.
        let is_small = || bytes() <= most / limits::DIRECT_SMALL_SHARE;
        if is_congested || underway > 2 * most || (underway > most && !is_small()) {
            return PairDecision::Refuse(too_many());
        }
        if is_stored {
            return PairDecision::Store { bytes: bytes() };
        }
        if directory.count(to) == 0 {
            let text = format!("{to} is not online, and this server keeps no mail");
            return PairDecision::Refuse(ErrorCode::NoSuchUser.because(text));
        }
        let (position, prev) = self.pairs.next(&said.from, to);
        PairDecision::Tell { position, prev }
    }
}

fn too_many() -> Refusal {
    let refusal = ErrorCode::Busy.because(
        "more direct messages are on their way to their readers than the server may hold (flush.inflight_bytes); say it again",
    );
    refusal.retry_after(limits::BUSY_RETRY)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::{
        chat::{ConnectionSlot, Generation, RoomName, SessionId, SessionTag, ShardId, Talk},
        shard::{bus::directory::OwnerKey, owner::Observer, settings::Settings},
    };

    struct Nobody;

    impl Observer for Nobody {
        fn talk(&self, _: &RoomName, _: &Talk) {}
    }

    fn session() -> SessionId {
        SessionId::new(ShardId(0), ConnectionSlot::FIRST, Generation::FIRST)
    }

    fn decide(directory: &Directory, text: &str, is_stored: bool) -> PairDecision {
        let [ada, bob] = ["ada", "bob"].map(|name| UserName::parse(name).unwrap());
        let said = Utterance::new(session(), ada, SessionTag(1), text.into());
        let conditions = PairConditions {
            directory,
            most: 100_000,
            is_congested: false,
            is_stored,
        };
        Owner::new(&Settings::default(), Rc::new(Nobody), 1).direct(&bob, &said, &conditions)
    }

    #[test]
    fn without_a_store_the_owner_numbers_messages_to_users_who_are_online() {
        let directory = Directory::new(1, OwnerKey::fixed(7), 1);
        let PairDecision::Refuse(refusal) = decide(&directory, "hi", false) else {
            panic!("bob is not online");
        };
        assert_eq!(refusal.code, ErrorCode::NoSuchUser);
        assert_eq!(decide(&directory, "hi", true), PairDecision::Store { bytes: 0 });
        directory.enter(&UserName::parse("bob").unwrap(), session());
        assert!(matches!(
            decide(&directory, "hi", false),
            PairDecision::Tell { prev: 0, .. }
        ));
        let bytes = direct_bytes(1, "hi");
        assert_eq!(decide(&directory, "hi", true), PairDecision::Store { bytes });
    }

    #[test]
    fn while_much_is_on_its_way_small_messages_pass_longer_than_large_ones() {
        let directory = Directory::new(1, OwnerKey::fixed(7), 1);
        directory.enter(&UserName::parse("bob").unwrap(), session());
        let large = "x".repeat(60_000);
        let passes = |text| !matches!(decide(&directory, text, true), PairDecision::Refuse(_));
        assert!(passes(&large));
        directory.directs.add(ShardId(0), 100_001);
        assert!(passes("hi") && !passes(&large));
        directory.directs.add(ShardId(0), 100_000);
        assert!(!passes("hi"));
    }
}
