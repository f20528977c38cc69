//! Fan-out of direct messages: from the owner of a pair of users to the sessions of both, a bounded amount per turn.
//!
//! A user may have any number of sessions, so one short request can cause a thousand writes. Each shard therefore has a separate
//! queue for direct messages ([`DirectQueue`]), so that nothing else waits behind them, and delivers [`limits::DIRECTS_PER_TURN`]
//! of it per turn.
//!
//! Invariants:
//! - Messages leave the queue in the order in which they came.
//! - A queued message counts in [`Directory::directs`] until its last session has it. Owners answer `busy` above a bound.

use std::{collections::VecDeque, iter, sync::Arc, vec};

use crate::shard::{
    bus::directory::{Directory, direct_bytes},
    bus::message::ToShard,
    event::direct::DirectEvent,
};
use crate::{
    chat::{SessionId, ShardId, UserId},
    limits,
};

/// The direct messages that one shard must deliver, oldest first.
#[derive(Debug, Default)]
pub(crate) struct DirectQueue {
    waiting: VecDeque<Waiting>,
    /// Cost of this turn's deliveries: one per session, and one more per kibibyte of text.
    spent: usize,
}

/// One direct message for the sessions of one user.
#[derive(Debug)]
struct Waiting {
    user: UserId,
    /// The sender's session, which gets an acknowledgement instead.
    except: SessionId,
    direct: Arc<DirectEvent>,
    /// Its share of [`Directory::directs`].
    bytes: usize,
    /// The sessions that have not got it yet; `None` until they are looked up.
    sessions: Option<vec::IntoIter<SessionId>>,
}

/// One direct message for one session.
pub(crate) struct Delivery {
    pub(crate) session: SessionId,
    /// The user of the session when it was looked up. The session may have been renamed since.
    pub(crate) user: UserId,
    pub(crate) direct: Arc<DirectEvent>,
}

impl DirectQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn begin_turn(&mut self) {
        self.spent = 0;
    }

    /// Queues a message whose share of [`Directory::directs`] is `bytes`.
    pub(crate) fn push(&mut self, user: UserId, except: SessionId, direct: Arc<DirectEvent>, bytes: usize) {
        self.waiting.push_back(Waiting {
            user,
            except,
            direct,
            bytes,
            sessions: None,
        });
    }

    /// The next delivery on shard `me`; `None` when the queue is empty or this turn has delivered enough.
    pub(crate) fn next(&mut self, directory: &Directory, me: ShardId) -> Option<Delivery> {
        while self.spent < limits::DIRECTS_PER_TURN {
            let Waiting {
                user,
                except,
                direct,
                bytes,
                sessions,
            } = self.waiting.front_mut()?;
            let sessions = sessions.get_or_insert_with(|| directory.sessions(user, me).into_iter());
            let session = sessions.next();
            let delivery = session.filter(|session| session != except).map(|session| Delivery {
                session,
                user: user.clone(),
                direct: direct.clone(),
            });
            if session.is_some() {
                self.spent += 1 + direct.message.text.len() / 1_024;
            }
            if sessions.len() == 0 {
                directory.directs.take(me, *bytes);
                self.waiting.pop_front();
            }
            if delivery.is_some() {
                return delivery;
            }
        }
        None
    }
}

/// The messages that carry a direct message to all shards of its two users, except to the session `except`. They count in
/// [`Directory::directs`] from now on.
pub(crate) fn fan_out<'a>(
    directory: &'a Directory,
    direct: &'a Arc<DirectEvent>,
    except: SessionId,
) -> impl Iterator<Item = (ShardId, ToShard)> {
    let (from, to) = (&direct.message.user, &direct.to.user);
    let users = iter::once(to).chain((from != to).then_some(from));
    let shards = users.flat_map(move |user| directory.session_counts(user).map(move |spread| (user, spread)));
    shards.map(move |(user, (shard, sessions))| {
        let bytes = direct_bytes(sessions, &direct.message.text);
        directory.directs.add(shard, bytes);
        let message = ToShard::Direct {
            user: user.clone(),
            except,
            direct: direct.clone(),
            bytes,
        };
        (shard, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chat::{ChatMessage, Direct},
        codec::Dialects,
        shard::{
            bus::directory::OwnerKey,
            testing::values::{message, session, user},
        },
    };

    fn direct(seq: u64) -> Arc<DirectEvent> {
        let direct = Direct {
            to: user("张三").receiver().unwrap(),
            message: message("ada", seq - 1, seq),
        };
        Arc::new(DirectEvent::new(direct, Dialects::default()))
    }

    #[test]
    fn a_message_goes_to_sessions_of_its_sender_and_not_to_those_of_another_user_of_that_name() {
        let proven = UserId::parse("token:issuer|1").unwrap();
        let directory = Directory::new(1, OwnerKey::fixed(7), 1);
        for (slot, user) in [(1, user("ada")), (2, proven.clone()), (3, user("张三"))] {
            directory.enter(&user, session(slot));
        }
        let direct = Direct {
            to: user("张三").receiver().unwrap(),
            message: ChatMessage {
                user: proven.clone(),
                ..message("ada", 0, 1)
            },
        };
        let direct = Arc::new(DirectEvent::new(direct, Dialects::default()));
        let users = fan_out(&directory, &direct, session(2)).map(|(_, message)| match message {
            ToShard::Direct { user, .. } => user,
            other => panic!("{other:?}"),
        });
        assert_eq!(users.collect::<Vec<_>>(), [user("张三"), proven]);
    }

    #[test]
    fn each_session_but_the_senders_gets_each_message_once_in_order_and_the_count_returns_to_zero() {
        let directory = Directory::new(1, OwnerKey::fixed(7), 1);
        let (sender, most) = (session(0), limits::DIRECTS_PER_TURN as u32);
        for slot in 0..=most {
            directory.enter(&user("张三"), session(slot));
        }
        let mut queue = DirectQueue::default();
        for seq in 1..=2 {
            directory.directs.add(ShardId(0), 100);
            queue.push(user("张三"), sender, direct(seq), 100);
        }
        queue.push(user("nobody"), sender, direct(3), 0);
        let mut delivered = Vec::new();
        let mut turns = 0;
        while !queue.is_empty() {
            queue.begin_turn();
            turns += 1;
            let before = delivered.len();
            while let Some(delivery) = queue.next(&directory, ShardId(0)) {
                delivered.push((delivery.direct.message.seq, delivery.session.slot().index() as u32));
            }
            assert!(delivered.len() - before <= limits::DIRECTS_PER_TURN);
        }
        let wanted: Vec<_> = (1..=2)
            .flat_map(|seq| (1..=most).map(move |slot| (seq, slot)))
            .collect();
        assert_eq!(delivered, wanted);
        assert_eq!(turns, 3);
        assert_eq!(directory.directs.most(), 0);
    }
}
