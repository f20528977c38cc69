//! How a session becomes a member.
//!
//! The member learns that it has joined before it sees any event of the room. The others see a user's first session: at once in a small
//! room, in the next digest in a large one.

use smallvec::smallvec;

use super::{OwnedRooms, room::Member};
use crate::chat::{
    Admission, Arrival, Backlog, Effect, Effects, ErrorCode, GoOn, Happening, Joined, Lists, RequestId, RoomName,
    SessionId, Since, ToSession,
};

impl OwnedRooms {
    /// Adds a session to a room. `backlog` travels with the admission.
    pub(crate) fn join(
        &mut self,
        name: &RoomName,
        arrival: Arrival,
        id: RequestId,
        since: Since,
        backlog: Option<Backlog>,
        now_ms: u64,
    ) -> Effects {
        let settings = self.settings;
        if !self.access.admits(name, &arrival.name) {
            let refusal = ErrorCode::Forbidden.because(format!("the room {name} is for its members only"));
            // The room may have been opened for this session.
            self.close_if_empty(name);
            return smallvec![Effect::refuse_join(arrival.session, id, name, refusal)];
        }
        self.occupy(name);
        let room = self.open(name);
        let Arrival {
            session,
            user: _,
            name: user,
            tag,
            sees_own_join,
            sees_own_leave,
            lists,
        } = arrival;
        let member = Member {
            user: user.clone(),
            tag,
            sees_own_leave,
            lists,
        };
        if room.has(session) {
            let refusal = ErrorCode::AlreadyMember.because(format!("this session is in the room {name} already"));
            return smallvec![Effect::refuse_join(session, id, name, refusal)];
        }
        let others = room.shards();
        let first = room.add(session, member);
        let large = room.is_large(&settings);
        let GoOn { after, lost } = room.since(since);
        let what = ToSession::Admit(Box::new(Admission {
            request: id,
            joined: Joined {
                room: name.clone(),
                head: room.head(),
                from: after,
                online: room.online(),
                topic: room.topic(),
                history: room.is_durable(),
                read: None,
            },
            last: match since {
                Since::Last(count) => Some(count),
                Since::Now | Since::Position(_) => None,
            },
            lost,
            backlog,
        }));
        let admit = Effect::Session { session, what };
        let mut out = Effects::new();
        let announce = first && !large;
        let coming = (announce || sees_own_join).then(|| room.user_joined(user.clone(), &settings, now_ms));
        match coming {
            Some(happening) if announce && sees_own_join => {
                out.push(admit);
                out.push(Effect::broadcast(name, room.shards(), happening));
            }
            Some(happening) if announce => {
                if !others.is_empty() {
                    out.push(Effect::broadcast(name, others, happening));
                }
                out.push(admit);
            }
            Some(happening) => {
                out.push(admit);
                out.push(Effect::show(session, name, happening));
            }
            None => out.push(admit),
        }
        let newly_scheduled = first && large && room.note_join(user);
        self.owe_digest(name, newly_scheduled);
        out.extend(self.give_list(name, session, lists, now_ms));
        out
    }

    /// Records what the dialect of a member shows. The dialect was detected after the join.
    pub(crate) fn describe_member(
        &mut self,
        name: &RoomName,
        session: SessionId,
        sees_own_leave: bool,
        lists: Lists,
        now_ms: u64,
    ) -> Option<Effect> {
        let member = self.rooms.get_mut(name)?.describe(session, sees_own_leave, lists);
        member.then(|| self.give_list(name, session, lists, now_ms))?
    }

    /// Gives a new member the list, if it wants it on change, and schedules it for the others.
    fn give_list(&mut self, name: &RoomName, session: SessionId, lists: Lists, now_ms: u64) -> Option<Effect> {
        let settings = self.settings;
        self.schedule_list(name);
        let room = self.rooms.get_mut(name).filter(|_| lists == Lists::OnChange)?;
        let users = room.list_for_newcomer(&settings, now_ms);
        Some(Effect::show(session, name, Happening::Roster { users }))
    }
}
