//! Who comes and goes in the rooms of a home: one coming and one going per user, however many sessions the user has; each
//! told while a room is small, and in digests when it is large.

use super::{
    Arrival, Departure, Effect, ErrorCode, Happening, Home, Joined, Position, RequestId, RoomName, Seq, SessionId,
    Since, UserName, home::not_member, members::Member,
};

impl Home {
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
            out.push(Effect::Refuse {
                session: arrival.session,
                id,
                room: name.clone(),
                refusal,
            });
            // It may have been opened for this one.
            self.close_if_empty(name);
            return;
        }
        self.unkeep(name);
        let room = self.open(name);
        let Arrival {
            session,
            user,
            tag,
            sees_own_coming,
            sees_own_going,
            wants_list,
        } = arrival;
        let member = Member {
            user: user.clone(),
            tag,
            sees_own_going,
            wants_list,
        };
        if room.has(session) {
            let refusal = ErrorCode::AlreadyMember.because(format!("this session is in the room {name} already"));
            out.push(Effect::Refuse {
                session,
                id,
                room: name.clone(),
                refusal,
            });
            return;
        }
        let others = room.shards();
        let first = room.add(session, member);
        let large = room.is_large(&settings);
        let admit = Effect::Admit {
            session,
            id,
            joined: Joined {
                room: name.clone(),
                head: room.head,
                from: replay_from(room.head, since),
                online: room.online(),
                topic: room.topic(),
                history: room.history,
                read: None,
            },
        };
        let announce = first && !large;
        let coming = (announce || sees_own_coming).then(|| Happening::Came {
            user: user.clone(),
            online: room.online(),
            version: room.version,
            users: room.list_if_wanted(&settings, now_ms),
        });
        match coming {
            Some(happening) if announce && sees_own_coming => {
                out.push(admit);
                out.push(Effect::Tell {
                    room: name.clone(),
                    shards: room.shards(),
                    happening,
                    origin: None,
                });
            }
            Some(happening) if announce => {
                if !others.is_empty() {
                    out.push(Effect::Tell {
                        room: name.clone(),
                        shards: others,
                        happening,
                        origin: None,
                    });
                }
                out.push(admit);
            }
            Some(happening) => {
                out.push(admit);
                out.push(Effect::TellOne {
                    session,
                    room: name.clone(),
                    happening,
                });
            }
            None => out.push(admit),
        }
        if first && large {
            let newly = room.note_came(user);
            self.owe_digest(name, newly);
        }
    }

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
        let happening = last.then(|| Happening::Went {
            user: member.user.clone(),
            how,
            online: room.online(),
            version: room.version,
            users: room.list_if_wanted(&settings, now_ms),
        });
        match happening {
            Some(happening) if !large && member.sees_own_going => {
                out.push(Effect::Tell {
                    room: name.clone(),
                    shards: before,
                    happening,
                    origin: None,
                });
                out.push(dismiss);
            }
            Some(happening) if !large => {
                out.push(dismiss);
                let shards = room.shards();
                if !shards.is_empty() {
                    out.push(Effect::Tell {
                        room: name.clone(),
                        shards,
                        happening,
                        origin: None,
                    });
                }
            }
            Some(happening) => {
                if member.sees_own_going {
                    out.push(Effect::TellOne {
                        session,
                        room: name.clone(),
                        happening,
                    });
                }
                out.push(dismiss);
            }
            None => out.push(dismiss),
        }
        if last && large {
            let newly = room.note_went(member.user);
            self.owe_digest(name, newly);
        }
        self.close_if_empty(name);
    }

    /// A member's user takes another name.
    pub fn rename(&mut self, name: &RoomName, session: SessionId, new: UserName, now_ms: u64, out: &mut Vec<Effect>) {
        let settings = self.settings;
        let Some(room) = self.rooms.get_mut(name) else { return };
        let Some(renaming) = room.rename(session, new.clone()) else {
            return;
        };
        let users = room.list_if_wanted(&settings, now_ms);
        let (online, version) = (room.online(), room.version);
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
            return;
        }
        let happening = match (renaming.old_gone, renaming.new_came) {
            (true, true) => Happening::Renamed {
                old,
                new,
                session: renaming.tag,
                online,
                users,
            },
            // Nobody said that the old name goes: it became another session of a user who is here.
            (true, false) => Happening::Went {
                user: old,
                how: Departure::Lost,
                online,
                version,
                users,
            },
            (false, true) => Happening::Came {
                user: new,
                online,
                version,
                users,
            },
            (false, false) => return,
        };
        out.push(Effect::Tell {
            room: name.clone(),
            shards,
            happening,
            origin: None,
        });
    }

    /// Emits the digests that are due. Called at every tick of the shard's wheel.
    pub fn tick(&mut self, now_ms: u64, out: &mut Vec<Effect>) {
        let settings = self.settings;
        let rooms = &mut self.rooms;
        self.digests.retain(|name| {
            let Some(room) = rooms.get_mut(name) else { return false };
            match room.take_digest(&settings, now_ms) {
                Some(happening) => {
                    let shards = room.shards();
                    out.push(Effect::Tell {
                        room: name.clone(),
                        shards,
                        happening,
                        origin: None,
                    });
                    false
                }
                None => room.owes_digest(),
            }
        });
    }

    fn owe_digest(&mut self, name: &RoomName, newly: bool) {
        if newly {
            self.digests.push(name.clone());
        }
    }
}

/// Where a replay begins: nothing is replayed from a position of another epoch, whose numbers mean nothing here.
fn replay_from(head: Position, since: Since) -> Seq {
    match since {
        Since::Now => head.seq,
        Since::Position(position) if position.epoch == head.epoch => position.seq.min(head.seq),
        Since::Position(_) => head.seq,
        Since::Last(count) => head.seq.saturating_sub(u64::from(count)),
    }
}
