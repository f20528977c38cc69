//! How a session becomes a member.
//!
//! The member learns that it has joined before it sees anything of the room. The others learn of a user's first session: at once
//! in a small room, in the next digest in a large one.

use super::{OwnedRooms, room::Member};
use crate::chat::{
    Arrival, Effect, ErrorCode, GoOn, Happening, Joined, Lists, Refusal, RequestId, RoomName, SessionId, Since,
};

impl OwnedRooms {
    /// A session becomes a member.
    pub fn join(
        &mut self,
        name: &RoomName,
        arrival: Arrival,
        id: RequestId,
        since: Since,
        now_ms: u64,
        out: &mut Vec<Effect>,
    ) {
        let settings = self.settings;
        if !self.access.admits(name, &arrival.user) {
            let refusal = ErrorCode::Forbidden.because(format!("the room {name} is for its members only"));
            out.push(refuse(arrival.session, id, name, refusal));
            // It may have been opened for this one.
            self.close_if_empty(name);
            return;
        }
        self.occupy(name);
        let room = self.open(name);
        let Arrival {
            session,
            user,
            tag,
            sees_own_coming,
            sees_own_going,
            lists,
        } = arrival;
        let member = Member {
            user: user.clone(),
            tag,
            sees_own_going,
            lists,
        };
        if room.has(session) {
            let refusal = ErrorCode::AlreadyMember.because(format!("this session is in the room {name} already"));
            out.push(refuse(session, id, name, refusal));
            return;
        }
        let others = room.shards();
        let first = room.add(session, member);
        let large = room.is_large(&settings);
        let GoOn { after, lost } = room.since(since);
        let admit = Effect::Admit {
            session,
            id,
            joined: Joined {
                room: name.clone(),
                head: room.head(),
                from: after,
                online: room.online(),
                topic: room.topic(),
                history: room.is_durable(),
                read: None,
            },
            lost,
        };
        let announce = first && !large;
        let coming = (announce || sees_own_coming).then(|| room.came(user.clone(), &settings, now_ms));
        match coming {
            Some(happening) if announce && sees_own_coming => {
                out.push(admit);
                out.push(Effect::tell(name, room.shards(), happening));
            }
            Some(happening) if announce => {
                if !others.is_empty() {
                    out.push(Effect::tell(name, others, happening));
                }
                out.push(admit);
            }
            Some(happening) => {
                out.push(admit);
                out.push(Effect::show(session, name, happening));
            }
            None => out.push(admit),
        }
        let newly_owed = first && large && room.note_came(user);
        self.owe_digest(name, newly_owed);
        self.give_list(name, session, lists, now_ms, out);
    }

    /// The dialect of a member was detected, and with it what the room has to know of it.
    pub fn describe_member(
        &mut self,
        name: &RoomName,
        session: SessionId,
        sees_own_going: bool,
        lists: Lists,
        now_ms: u64,
        out: &mut Vec<Effect>,
    ) {
        if let Some(room) = self.rooms.get_mut(name)
            && room.describe(session, sees_own_going, lists)
        {
            self.give_list(name, session, lists, now_ms, out);
        }
    }

    /// A newcomer that is sent the list whenever it changes gets it at once; the other members of that kind are owed it.
    fn give_list(&mut self, name: &RoomName, session: SessionId, lists: Lists, now_ms: u64, out: &mut Vec<Effect>) {
        let settings = self.settings;
        self.owe_list(name);
        if lists == Lists::OnChange
            && let Some(room) = self.rooms.get_mut(name)
        {
            let users = room.list_for_newcomer(&settings, now_ms);
            out.push(Effect::show(session, name, Happening::Roster { users }));
        }
    }
}

fn refuse(session: SessionId, id: RequestId, room: &RoomName, refusal: Refusal) -> Effect {
    Effect::Refuse {
        session,
        id,
        room: room.clone(),
        refusal,
    }
}
