//! The rules for a direct message at the owner of its pair of users: whether it is refused, and who numbers it.

use smallvec::smallvec;

use super::{Conditions, Owner};
use crate::{
    chat::{Direct, Effect, Effects, ErrorCode, NewMessage, Receiver, Refusal, Reply},
    history::UserPair,
    limits,
    shard::{bus::directory::direct_bytes, store::refusals},
};

impl Owner {
    /// Handles a direct message. An empty result means that the store has it and will answer.
    pub(crate) fn direct(
        &mut self,
        to: Receiver,
        message: Box<NewMessage>,
        conditions: &mut Conditions<'_>,
    ) -> Effects {
        let (session, id) = (message.session, message.id);
        let (directory, most) = (conditions.directory, conditions.most_bytes);
        let bytes = || {
            let sessions = directory.count(&to.user) + directory.count(&message.user);
            direct_bytes(sessions, &message.text)
        };
        let in_flight = directory.directs.most();
        // Small messages have twice the limit, so that senders of large ones cannot use it up.
        let is_small = || bytes() <= most / limits::DIRECT_SMALL_SHARE;
        let refusal = if (conditions.is_congested)() || in_flight > 2 * most || (in_flight > most && !is_small()) {
            too_many()
        } else if conditions.store.is_there() {
            let bytes = bytes();
            if conditions
                .store
                .append_direct(to, message, bytes, conditions.now_ms)
                .is_ok()
            {
                directory.directs.add(conditions.store.shard(), bytes);
                return Effects::new();
            }
            refusals::busy()
        } else if directory.shards_of(&to.user).next().is_none() {
            ErrorCode::NoSuchUser.because(format!(
                "{} is not online, and this server stores no offline messages",
                to.name
            ))
        } else {
            let (position, prev) = self.pairs.next(UserPair::of(message.user.clone(), to.user.clone()));
            let message = message.numbered(position, prev, conditions.now_ms);
            return Effect::direct(session, id, Direct { to, message }).into();
        };
        smallvec![Effect::answer(session, id, Reply::Error(refusal))]
    }
}

fn too_many() -> Refusal {
    let refusal = ErrorCode::Busy
        .because("more direct messages are in flight than the server allows (flush.inflight_bytes); send it again");
    refusal.retry_after(limits::BUSY_RETRY)
}

#[cfg(test)]
mod tests {
    use std::{rc::Rc, sync::Arc};

    use super::*;
    use crate::{
        chat::{SessionTag, ShardId, ToSession},
        shard::{
            bus::directory::{Directory, OwnerKey},
            settings::ShardSettings,
            store::port::StorePort,
            testing::{
                Listener, start_store,
                values::{name, session, user},
            },
        },
    };

    /// The effects of a message from ada to bob.
    fn say(directory: &Directory, text: &str, store: &mut StorePort) -> Effects {
        let message = NewMessage::new(session(0), name("ada"), SessionTag(1), text.into());
        let mut conditions = Conditions {
            now_ms: 1_000,
            is_congested: &|| false,
            directory,
            most_bytes: 100_000,
            store,
        };
        Owner::new(&ShardSettings::default(), Rc::new(Listener::default()), 1).direct(
            user("bob").receiver().unwrap(),
            Box::new(message),
            &mut conditions,
        )
    }

    fn refusal(effects: &[Effect]) -> Option<ErrorCode> {
        match effects {
            [
                Effect::Session {
                    what: ToSession::Reply { reply, .. },
                    ..
                },
            ] => match &**reply {
                Reply::Error(refusal) => Some(refusal.code),
                other => panic!("{other:?}"),
            },
            _ => None,
        }
    }

    #[test]
    fn without_a_store_the_owner_numbers_messages_to_users_who_are_online() {
        let directory = Directory::new(1, OwnerKey::fixed(7), 1);
        let mut store = StorePort::without_store(ShardId(0));
        assert_eq!(refusal(&say(&directory, "hi", &mut store)), Some(ErrorCode::NoSuchUser));
        directory.enter(&user("bob"), session(0));
        let effects = say(&directory, "hi", &mut store);
        let [Effect::Session { .. }, Effect::Direct { except, direct }] = &effects[..] else {
            panic!("{effects:?}");
        };
        assert_eq!((*except, direct.message.seq, direct.message.prev), (session(0), 1, 0));
    }

    #[test]
    fn with_a_store_messages_go_there_and_count_as_in_flight_until_it_is_full() {
        let directory = Directory::new(1, OwnerKey::fixed(7), 1);
        directory.enter(&user("bob"), session(0));
        let (history, _outcomes, _dir) = start_store(|head| head + 1);
        let mut store = StorePort::new(ShardId(0), history, Arc::new(|_| true), 1);
        assert_eq!(say(&directory, "hi", &mut store).len(), 0);
        assert_eq!(refusal(&say(&directory, "hi", &mut store)), Some(ErrorCode::Busy));
        assert_eq!(directory.directs.most(), direct_bytes(1, "hi"));
    }

    #[test]
    fn under_load_small_messages_pass_longer_than_large_ones() {
        let directory = Directory::new(1, OwnerKey::fixed(7), 1);
        directory.enter(&user("bob"), session(0));
        let mut store = StorePort::without_store(ShardId(0));
        let large = "x".repeat(60_000);
        let mut passes = |text| refusal(&say(&directory, text, &mut store)).is_none();
        assert!(passes(&large));
        directory.directs.add(ShardId(0), 100_001);
        assert!(passes("hi") && !passes(&large));
        directory.directs.add(ShardId(0), 100_000);
        assert!(!passes("hi"));
    }
}
