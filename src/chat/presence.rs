//! Who comes and goes in the rooms of a home: one coming and one going per user, however many sessions the user has; each
//! told while a room is small, and in digests when it is large.

use super::{
    Arrival, Departure, Effect, ErrorCode, Happening, Home, Joined, Lists, Position, RequestId, RoomName, Seq,
    SessionId, Since, UserName, home::not_member, members::Member, room::OwedList,
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
        let newly_owed = first && large && room.note_came(user);
        self.owe_digest(name, newly_owed);
        self.give_list(name, session, lists, now_ms, out);
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
        let newly_owed = last && large && room.note_went(member.user);
        self.owe_digest(name, newly_owed);
        self.owe_list(name);
        self.close_if_empty(name);
    }

    /// The dialect of a member has shown, and with it what the room has to know of it.
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

    /// A newcomer that learns the list only when it changes is given it at once; others that do, in their time.
    fn give_list(&mut self, name: &RoomName, session: SessionId, lists: Lists, now_ms: u64, out: &mut Vec<Effect>) {
        let settings = self.settings;
        self.owe_list(name);
        if lists == Lists::OnChange
            && let Some(room) = self.rooms.get_mut(name)
        {
            out.push(Effect::TellOne {
                session,
                room: name.clone(),
                happening: Happening::Roster {
                    users: room.list_for_newcomer(&settings, now_ms),
                },
            });
        }
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
            self.owe_list(name);
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
            (true, false) => Happening::Went {
                user: old,
                how: Departure::Merged,
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
        self.owe_list(name);
    }

    /// The list of a room may have changed: members that are sent it then are owed it.
    fn owe_list(&mut self, name: &RoomName) {
        if let Some(room) = self.rooms.get_mut(name)
            && room.owe_list()
        {
            self.lists_owed.push(name.clone());
        }
    }

    /// Emits the digests and the lists that are due. Called at every tick of the shard's wheel.
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
        self.lists_owed.retain(|name| {
            let Some(room) = rooms.get_mut(name) else { return false };
            match room.take_list(&settings, now_ms) {
                OwedList::None => false,
                OwedList::TooSoon => true,
                OwedList::Due(users) => {
                    out.push(Effect::Tell {
                        room: name.clone(),
                        shards: room.shards(),
                        happening: Happening::Roster { users },
                        origin: None,
                    });
                    false
                }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        chat::{HomeSettings, ListOrder, SessionTag, ShardId, UserList},
        limits,
    };

    const SETTINGS: HomeSettings = HomeSettings {
        presence_events_max: 500,
        digest_every_ms: 2_000,
        list_cache_ms: 1_000,
        key_window_ms: 0,
    };

    struct World {
        home: Home,
        now_ms: u64,
    }

    impl World {
        fn new(settings: HomeSettings) -> Self {
            Self {
                home: Home::new(settings, 1),
                now_ms: 1_000_000,
            }
        }

        fn session(n: u32) -> SessionId {
            SessionId {
                shard: ShardId(0),
                slot: n,
                generation: 1,
            }
        }

        fn join(&mut self, n: u32, name: &str, lists: Lists) -> Vec<Effect> {
            let arrival = Arrival {
                session: Self::session(n),
                user: UserName::parse(name).unwrap(),
                tag: SessionTag(n),
                sees_own_coming: false,
                sees_own_going: false,
                lists,
            };
            let mut out = Vec::new();
            self.home
                .join(&RoomName::lobby(), arrival, None, Since::Now, self.now_ms, &mut out);
            out
        }

        fn leave(&mut self, n: u32) -> Vec<Effect> {
            let (room, mut out) = (RoomName::lobby(), Vec::new());
            self.home
                .leave(&room, Self::session(n), Departure::Lost, None, self.now_ms, &mut out);
            out
        }

        fn rename(&mut self, n: u32, name: &str) -> Vec<Effect> {
            let (room, mut out) = (RoomName::lobby(), Vec::new());
            let name = UserName::parse(name).unwrap();
            self.home.rename(&room, Self::session(n), name, self.now_ms, &mut out);
            out
        }

        /// The lists that all members are sent after so long, a tick at a time, each with when it is sent.
        fn lists_within(&mut self, ms: u64) -> Vec<(u64, UserList)> {
            let mut lists = Vec::new();
            for passed in 1..=ms / limits::WHEEL_TICK_MS {
                self.now_ms += limits::WHEEL_TICK_MS;
                let mut out = Vec::new();
                self.home.tick(self.now_ms, &mut out);
                lists.extend(out.into_iter().filter_map(|effect| match effect {
                    Effect::Tell {
                        happening: Happening::Roster { users },
                        ..
                    } => Some((passed * limits::WHEEL_TICK_MS, users)),
                    _ => None,
                }));
            }
            lists
        }
    }

    fn own_list(effects: &[Effect]) -> Option<usize> {
        effects.iter().find_map(|effect| match effect {
            Effect::TellOne {
                happening: Happening::Roster { users },
                ..
            } => Some(users.names.len()),
            _ => None,
        })
    }

    fn noticed(effects: &[Effect]) -> Vec<String> {
        let lists = effects.iter().find_map(|effect| match effect {
            Effect::Tell {
                happening:
                    Happening::Came { users, .. } | Happening::Went { users, .. } | Happening::Renamed { users, .. },
                ..
            } => users.as_ref(),
            _ => None,
        });
        let names = lists.map(|users| users.names.iter().map(|name| name.as_str().to_owned()).collect());
        names.unwrap_or_default()
    }

    #[test]
    fn a_changed_list_is_sent_once_for_many_changes_and_to_a_newcomer_at_once() {
        let mut world = World::new(SETTINGS);
        assert_eq!(own_list(&world.join(1, "ann", Lists::OnChange)), Some(1));
        assert_eq!(world.lists_within(3_000), [], "she has it already");
        for (n, name) in [(2, "bob"), (3, "cyd"), (4, "dan")] {
            assert_eq!(own_list(&world.join(n, name, Lists::OnRequest)), None);
        }
        assert_eq!(own_list(&world.join(5, "eve", Lists::OnChange)), Some(5));
        world.leave(2);
        world.rename(3, "kim");
        let lists = world.lists_within(3_000);
        assert_eq!(lists.len(), 1);
        let names: Vec<&str> = lists[0].1.names.iter().map(UserName::as_str).collect();
        assert_eq!(names, ["ann", "dan", "eve", "kim"]);
        assert_eq!(world.lists_within(3_000), [], "nothing has changed since");
    }

    #[test]
    fn a_room_in_which_nobody_wants_lists_makes_none() {
        let mut world = World::new(SETTINGS);
        world.join(1, "ann", Lists::OnRequest);
        world.join(2, "bob", Lists::WithNotices);
        assert!(world.home.lists_owed.is_empty());
        world.join(3, "cyd", Lists::OnChange);
        world.leave(3);
        assert_eq!(world.lists_within(3_000), []);
        assert!(world.home.lists_owed.is_empty());
    }

    #[test]
    fn lists_are_sent_at_a_kibibyte_a_second_however_large_the_room_and_however_often_it_changes() {
        for (users, settings) in [
            (400, SETTINGS),
            (
                400,
                HomeSettings {
                    presence_events_max: 100,
                    ..SETTINGS
                },
            ),
        ] {
            let mut world = World::new(settings);
            for n in 0..users {
                world.join(n, &format!("user {n:03}"), Lists::OnChange);
            }
            let mut bytes = 0;
            let (rounds, each_ms) = (200, 300);
            for round in 0..rounds {
                world.leave(round);
                world.join(round, &format!("user {round:03}"), Lists::OnChange);
                for (_, list) in world.lists_within(each_ms) {
                    assert_eq!(list.online, users);
                    assert!(settings.presence_events_max < users as usize || list.names.len() == users as usize);
                    bytes += list.names.iter().map(|name| 2 * name.as_str().len() + 6).sum::<usize>();
                }
            }
            let seconds = (u64::from(rounds) * each_ms / 1_000) as usize;
            assert!(bytes > 0, "no list at all");
            // One list may be sent before its time is paid for.
            let most = (seconds + 12) * limits::LIST_BYTES_PER_SECOND as usize;
            assert!(bytes <= most, "{bytes} bytes in {seconds} s");
        }
    }

    #[test]
    fn lists_in_notices_are_in_the_order_of_arrival() {
        let mut world = World::new(SETTINGS);
        world.join(1, "zoe", Lists::WithNotices);
        world.join(2, "ann", Lists::WithNotices);
        assert_eq!(
            noticed(&world.join(3, "mia", Lists::WithNotices)),
            ["zoe", "ann", "mia"]
        );
        assert_eq!(
            noticed(&world.rename(1, "kim")),
            ["kim", "ann", "mia"],
            "a place is kept"
        );
        world.join(4, "ann", Lists::WithNotices);
        assert_eq!(noticed(&world.leave(2)), [""; 0], "another session of hers is here");
        assert_eq!(noticed(&world.leave(1)), ["ann", "mia"]);
    }

    #[test]
    fn the_list_of_a_large_room_is_cut_behind_those_who_came_first() {
        let mut world = World::new(HomeSettings {
            presence_events_max: 3,
            ..SETTINGS
        });
        for (n, name) in [(1, "zoe"), (2, "ann"), (3, "mia"), (4, "bob"), (5, "abe")] {
            world.join(n, name, Lists::WithNotices);
        }
        let list = world.home.roster(&RoomName::lobby(), ListOrder::Arrival, world.now_ms);
        let names: Vec<&str> = list.names.iter().map(UserName::as_str).collect();
        assert_eq!((list.online, names), (5, vec!["zoe", "ann", "mia"]));
    }
}
