//! Direct messages on their way: from the home of a pair of users to the sessions of both, a bounded amount in each turn.
//!
//! A user may have any number of sessions, so one short request can ask for a thousand writes. Each shard therefore keeps
//! direct messages in a queue of their own, behind which nobody else waits, and hands out [`limits::DIRECTS_PER_TURN`] of it
//! between two looks at its sockets. What is in these queues counts in [`Directory::directs`], and homes answer `busy` while it
//! is too much.
//!
//! [`Directory::directs`]: crate::shard::bus::directory::Directory::directs

use std::{collections::VecDeque, sync::Arc, vec};

use crate::shard::{
    bus::message::ToShard,
    connection::state::Socket,
    engine::{Clock, Engine},
    owner::commands::numbered,
};
use crate::{
    chat::{Direct, ErrorCode, Position, Refusal, Reply, SessionId, UserName, Utterance},
    limits,
};

/// What one shard has to hand out, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Directs {
    waiting: VecDeque<Waiting>,
    /// Handed out in this turn, in sessions and kibibytes.
    spent: usize,
}

/// One direct message for the sessions of one user.
#[derive(Debug)]
struct Waiting {
    user: UserName,
    /// The session that said it.
    except: SessionId,
    direct: Arc<Direct>,
    /// What it counts in [`crate::shard::bus::directory::Directory::directs`].
    bytes: usize,
    /// Those that have not been told; `None`: nobody has been.
    sessions: Option<vec::IntoIter<SessionId>>,
}

impl Directs {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn begin_turn(&mut self) {
        self.spent = 0;
    }

    pub(crate) fn push(&mut self, user: UserName, except: SessionId, direct: Arc<Direct>, bytes: usize) {
        self.waiting.push_back(Waiting {
            user,
            except,
            direct,
            bytes,
            sessions: None,
        });
    }
}

impl<S: Socket, C: Clock> Engine<S, C> {
    pub(crate) fn direct_at_home(&mut self, to: UserName, said: Utterance) {
        if self.bus.is_congested() || self.has_too_many(&said, &to) {
            return self.answer(said.session, said.id, Reply::Error(too_many()));
        }
        if self.store.is_some() {
            return self.store_direct(to, said);
        }
        if self.directory.whereabouts(&to).next().is_none() {
            let refusal = ErrorCode::NoSuchUser.because(format!("{to} is not online, and this server keeps no mail"));
            return self.answer(said.session, said.id, Reply::Error(refusal));
        }
        let position = self.pairs.next(&said.from, &to);
        self.tell_direct(to, said, position, position.seq - 1, self.now.unix_ms);
    }

    /// Whether this one more would be too much. Small ones have as much room again, so that those who fill it with large ones leave
    /// the others theirs.
    fn has_too_many(&self, said: &Utterance, to: &UserName) -> bool {
        let (underway, most) = (self.directory.directs.most(), self.settings.underway_bytes);
        let small = most / limits::DIRECT_SMALL_SHARE;
        underway > most && (underway > 2 * most || self.direct_bytes(said, to) > small)
    }

    /// A direct message has its number: both users' sessions are told, wherever they are.
    pub(crate) fn tell_direct(&mut self, to: UserName, said: Utterance, position: Position, prev: u64, at: u64) {
        self.answer(
            said.session,
            said.id,
            Reply::Ack {
                position,
                at,
                duplicate: false,
            },
        );
        self.stats.directs += 1;
        let except = said.session;
        let from = said.from.clone();
        let direct = Arc::new(Direct {
            to: to.clone(),
            talk: numbered(said, position, prev, at),
        });
        self.send_direct(&to, except, &direct);
        if from != to {
            self.send_direct(&from, except, &direct);
        }
    }

    fn send_direct(&mut self, user: &UserName, except: SessionId, direct: &Arc<Direct>) {
        let directory = self.directory.clone();
        for shard in directory.whereabouts(user) {
            let bytes = bytes(directory.sessions_on(user, shard), &direct.talk.text);
            directory.directs.add(shard, bytes);
            self.send(
                shard,
                ToShard::Direct {
                    user: user.clone(),
                    except,
                    direct: direct.clone(),
                    bytes,
                },
            );
        }
    }

    /// What a direct message will count when it has been stored and is sent.
    pub(crate) fn direct_bytes(&self, said: &Utterance, to: &UserName) -> usize {
        let sessions = |user| {
            let shards = self.directory.whereabouts(user);
            shards
                .map(|shard| self.directory.sessions_on(user, shard))
                .sum::<usize>()
        };
        bytes(sessions(to) + sessions(&said.from), &said.text)
    }

    /// Hands out as much of what waits as this turn may. Whether it was anything.
    pub(crate) fn hand_out(&mut self) -> bool {
        let mut any = false;
        while self.directs.spent < limits::DIRECTS_PER_TURN
            && let Some(waiting) = self.directs.waiting.pop_front()
        {
            any = true;
            self.hand_out_one(waiting);
        }
        any
    }

    /// Hands out all that waits: nothing will be handed out later.
    pub(crate) fn hand_out_all(&mut self) {
        while !self.directs.is_empty() {
            self.directs.begin_turn();
            self.hand_out();
        }
    }

    fn hand_out_one(&mut self, mut waiting: Waiting) {
        let sessions = waiting.sessions.take();
        let mut sessions = sessions.unwrap_or_else(|| self.directory.sessions(&waiting.user, self.me).into_iter());
        while self.directs.spent < limits::DIRECTS_PER_TURN
            && let Some(session) = sessions.next()
        {
            self.directs.spent += 1 + waiting.direct.talk.text.len() / 1_024;
            // It may have taken another name since it was found under this one, or somebody else may have claimed the name.
            if session != waiting.except && self.holds_name(session, &waiting.user) {
                self.direct_to(session, &waiting.direct);
            }
        }
        if sessions.len() > 0 {
            waiting.sessions = Some(sessions);
            self.directs.waiting.push_front(waiting);
        } else {
            self.directory.directs.take(self.me, waiting.bytes);
        }
    }
}

fn bytes(sessions: usize, text: &str) -> usize {
    sessions * (limits::DIRECT_ENVELOPE_BYTES + text.len())
}

fn too_many() -> Refusal {
    let refusal = ErrorCode::Busy.because(
        "more direct messages are on their way to their readers than the server may hold (flush.inflight_bytes); say it again",
    );
    refusal.retry_after(limits::BUSY_RETRY)
}
