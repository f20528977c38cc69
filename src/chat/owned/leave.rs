//! How a session stops being a member, and how it changes its name.
//!
//! A member that leaves sees every event before its leave and none after it. The others see the end of a user's last session: at once in
//! a small room, in the next digest in a large one.

use smallvec::smallvec;

use super::{OwnedRooms, not_member, room::Renaming};
use crate::chat::{Departure, Effect, Effects, Happening, RequestId, RoomName, SessionId, UserName};

impl OwnedRooms {
    /// Removes a session from a room.
    pub(crate) fn leave(
        &mut self,
        name: &RoomName,
        session: SessionId,
        how: Departure,
        id: RequestId,
        now_ms: u64,
    ) -> Effects {
        let settings = self.settings;
        let Some(room) = self.rooms.get_mut(name) else {
            return smallvec![not_member(session, id, name)];
        };
        let large = room.is_large(&settings);
        let before = room.shards();
        let Some((member, last)) = room.remove(session) else {
            return smallvec![not_member(session, id, name)];
        };
        let dismiss = Effect::dismiss(session, id, name);
        let mut out = Effects::new();
        let happening = last.then(|| room.user_left(member.user.clone(), how, &settings, now_ms));
        match happening {
            Some(happening) if !large && member.sees_own_leave => {
                out.push(Effect::broadcast(name, before, happening));
                out.push(dismiss);
            }
            Some(happening) if !large => {
                out.push(dismiss);
                let shards = room.shards();
                if !shards.is_empty() {
                    out.push(Effect::broadcast(name, shards, happening));
                }
            }
            Some(happening) => {
                if member.sees_own_leave {
                    out.push(Effect::show(session, name, happening));
                }
                out.push(dismiss);
            }
            None => out.push(dismiss),
        }
        let newly_scheduled = last && large && room.note_leave(member.user);
        self.owe_digest(name, newly_scheduled);
        self.schedule_list(name);
        self.close_if_empty(name);
        out
    }

    /// Renames a member's user. If the new name is not allowed in the room, the member leaves.
    pub(crate) fn rename(&mut self, name: &RoomName, session: SessionId, new: UserName, now_ms: u64) -> Effects {
        let seen = self.renamed(name, session, new, now_ms);
        let user = self.rooms.get(name).and_then(|room| room.user(session));
        let outsider = user.is_some_and(|user| !self.access.admits(name, &user));
        let expel = outsider.then(|| Effect::expel(session, name));
        seen.into_iter().chain(expel).collect()
    }

    /// The event for the members of the room.
    fn renamed(&mut self, name: &RoomName, session: SessionId, new: UserName, now_ms: u64) -> Option<Effect> {
        let settings = self.settings;
        let room = self.rooms.get_mut(name)?;
        let Renaming {
            old,
            tag,
            old_left,
            new_joined,
        } = room.rename(session, new.clone())?;
        if room.is_large(&settings) {
            let newly = (old_left && room.note_leave(old)) | (new_joined && room.note_join(new));
            self.owe_digest(name, newly);
            self.schedule_list(name);
            return None;
        }
        let happening = match (old_left, new_joined) {
            (true, true) => Happening::Renamed {
                old,
                new,
                session: tag,
                online: room.online(),
                users: room.list_if_wanted(&settings, now_ms),
            },
            (true, false) => room.user_left(old, Departure::Merged, &settings, now_ms),
            (false, true) => room.user_joined(new, &settings, now_ms),
            (false, false) => return None,
        };
        let seen = Effect::broadcast(name, room.shards(), happening);
        self.schedule_list(name);
        Some(seen)
    }
}
