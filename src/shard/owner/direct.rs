//! What the owner of a pair of users decides about a direct message: whether it may pass, and who numbers it.

use super::Owner;
use crate::{
    chat::{Direct, ErrorCode, Refusal, UserName, Utterance},
    limits,
    shard::{
        bus::directory::{Directory, direct_bytes},
        store::{port::StorePort, refusals},
    },
};

/// What a direct message is decided under, and the store that keeps it.
pub(crate) struct PairConditions<'a> {
    pub(crate) now_ms: u64,
    pub(crate) directory: &'a Directory,
    /// Bytes of direct messages that may be on their way to the slowest shard.
    pub(crate) most: usize,
    /// Whether more waits for other shards than may.
    pub(crate) is_congested: bool,
    pub(crate) store: &'a mut StorePort,
}

/// What becomes of a direct message.
#[derive(Debug, PartialEq)]
pub(crate) enum Paired {
    Refused(Refusal),
    /// The store numbers it. It counts so many bytes in [`Directory::directs`] until it comes back.
    Stored {
        bytes: usize,
    },
    /// It has its number.
    Numbered(Direct),
}

impl Owner {
    /// A user says something to one other.
    pub(crate) fn direct(&mut self, to: UserName, said: Box<Utterance>, conditions: PairConditions<'_>) -> Paired {
        let PairConditions {
            now_ms,
            directory,
            most,
            is_congested,
            store,
        } = conditions;
        let bytes = || {
            let sessions = directory.count(&to) + directory.count(&said.from);
            direct_bytes(sessions, &said.text)
        };
        let underway = directory.directs.most();
        // Small ones have as much room again, so that those who fill it with large ones leave the others theirs.
        let is_small = || bytes() <= most / limits::DIRECT_SMALL_SHARE;
        if is_congested || underway > 2 * most || (underway > most && !is_small()) {
            return Paired::Refused(too_many());
        }
        if store.is_there() {
            let bytes = bytes();
            let stored = store.append_direct(to, said, bytes, now_ms);
            return stored.map_or_else(|_| Paired::Refused(refusals::busy()), |()| Paired::Stored { bytes });
        }
        if directory.whereabouts(&to).next().is_none() {
            let text = format!("{to} is not online, and this server keeps no mail");
            return Paired::Refused(ErrorCode::NoSuchUser.because(text));
        }
        let (position, prev) = self.pairs.next(&said.from, &to);
        let talk = said.numbered(position, prev, now_ms);
        Paired::Numbered(Direct { to, talk })
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
    use std::{rc::Rc, sync::Arc};

    use super::*;
    use crate::{
        chat::{ConnectionSlot, Generation, RoomName, SessionId, SessionTag, ShardId, Talk},
        shard::{bus::directory::OwnerKey, owner::Observer, settings::Settings, testing::start_store},
    };

    struct Nobody;

    impl Observer for Nobody {
        fn talk(&self, _: &RoomName, _: &Talk) {}
    }

    fn session() -> SessionId {
        SessionId::new(ShardId(0), ConnectionSlot::FIRST, Generation::FIRST)
    }

    fn decide(directory: &Directory, text: &str, store: &mut StorePort) -> Paired {
        let [ada, bob] = ["ada", "bob"].map(|name| UserName::parse(name).unwrap());
        let said = Utterance::new(session(), ada, SessionTag(1), text.into());
        let conditions = PairConditions {
            now_ms: 1_000,
            directory,
            most: 100_000,
            is_congested: false,
            store,
        };
        Owner::new(&Settings::default(), Rc::new(Nobody), 1).direct(bob, Box::new(said), conditions)
    }

    #[test]
    fn without_a_store_the_owner_numbers_messages_to_users_who_are_online() {
        let directory = Directory::new(1, OwnerKey::fixed(7), 1);
        let mut store = StorePort::without_store(ShardId(0));
        let Paired::Refused(refusal) = decide(&directory, "hi", &mut store) else {
            panic!("bob is not online");
        };
        assert_eq!(refusal.code, ErrorCode::NoSuchUser);
        directory.enter(&UserName::parse("bob").unwrap(), session());
        let Paired::Numbered(direct) = decide(&directory, "hi", &mut store) else {
            panic!("bob is online");
        };
        assert_eq!((direct.talk.seq, direct.talk.prev), (1, 0));
    }

    #[test]
    fn with_a_store_messages_go_there_as_long_as_it_has_room() {
        let directory = Directory::new(1, OwnerKey::fixed(7), 1);
        directory.enter(&UserName::parse("bob").unwrap(), session());
        let (history, _outcomes, _dir) = start_store(|head| head + 1);
        let mut store = StorePort::new(ShardId(0), history, Arc::new(|_| true), 1);
        let bytes = direct_bytes(1, "hi");
        assert_eq!(decide(&directory, "hi", &mut store), Paired::Stored { bytes });
        assert_eq!(decide(&directory, "hi", &mut store), Paired::Refused(refusals::busy()));
    }

    #[test]
    fn while_much_is_on_its_way_small_messages_pass_longer_than_large_ones() {
        let directory = Directory::new(1, OwnerKey::fixed(7), 1);
        directory.enter(&UserName::parse("bob").unwrap(), session());
        let mut store = StorePort::without_store(ShardId(0));
        let large = "x".repeat(60_000);
        let mut passes = |text| matches!(decide(&directory, text, &mut store), Paired::Numbered(_));
        assert!(passes(&large));
        directory.directs.add(ShardId(0), 100_001);
        assert!(passes("hi") && !passes(&large));
        directory.directs.add(ShardId(0), 100_000);
        assert!(!passes("hi"));
    }
}
