//! How a session stops being a member, and how it takes another name.
//!
//! A member that leaves has seen everything that happened before it left and nothing that happened after. The others learn of a
//! user's last session: at once in a small room, in the next digest in a large one.

use super::{OwnedRooms, not_member};
use crate::chat::{Departure, Effect, Happening, RequestId, RoomName, SessionId, UserName};

impl OwnedRooms {
    /// A session stops being a member. Says nothing about a session that is none.
    pub fn leave(
        &mut self,
        name: &RoomName,
        session: SessionId,
        how: Departure,
        id: RequestId,
        now_ms: u64,
        out: &mut Vec<Effect>,
    ) {
        let settings = self.settings;
        let Some(room) = self.rooms.get_mut(name) else {
            out.push(not_member(session, id, name));
            return;
        };
        let large = room.is_large(&settings);
        let before = room.shards();
        let Some((member, last)) = room.remove(session) else {
            out.push(not_member(session, id, name));
            return;
        };
        let dismiss = Effect::Dismiss {
            session,
            id,
            room: name.clone(),
        };
        let happening = last.then(|| room.went(member.user.clone(), how, &settings, now_ms));
        match happening {
            Some(happening) if !large && member.sees_own_going => {
                out.push(Effect::tell(name, before, happening));
                out.push(dismiss);
            }
            Some(happening) if !large => {
                out.push(dismiss);
                let shards = room.shards();
                if !shards.is_empty() {
                    out.push(Effect::tell(name, shards, happening));
                }
            }
            Some(happening) => {
                if member.sees_own_going {
                    out.push(Effect::show(session, name, happening));
                }
                out.push(dismiss);
            }
            None => out.push(dismiss),
        }
        let newly_owed = last && large && room.note_went(member.user);
        self.owe_digest(name, newly_owed);
        self.owe_list(name);
        self.close_if_empty(name);
    }

    /// A member's user takes another name.
    pub fn rename(&mut self, name: &RoomName, session: SessionId, new: UserName, now_ms: u64, out: &mut Vec<Effect>) {
        let settings = self.settings;
        let Some(room) = self.rooms.get_mut(name) else { return };
        let Some(renaming) = room.rename(session, new.clone()) else {
            return;
        };
        let shards = room.shards();
        let old = renaming.old;
        if room.is_large(&settings) {
            let mut newly = false;
            if renaming.old_gone {
                newly |= room.note_went(old);
            }
            if renaming.new_came {
                newly |= room.note_came(new);
            }
            self.owe_digest(name, newly);
            self.owe_list(name);
            return;
        }
        let happening = match (renaming.old_gone, renaming.new_came) {
            (true, true) => Happening::Renamed {
                old,
                new,
                session: renaming.tag,
                online: room.online(),
                users: room.list_if_wanted(&settings, now_ms),
            },
            (true, false) => room.went(old, Departure::Merged, &settings, now_ms),
            (false, true) => room.came(new, &settings, now_ms),
            (false, false) => return,
        };
        out.push(Effect::tell(name, shards, happening));
        self.owe_list(name);
    }
}
