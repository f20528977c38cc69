//! Events that members get at a tick instead of at once: digests of large rooms, and changed user lists.
//!
//! A room is in `digests`, and in `scheduled_lists`, at most once.

use super::{OwnedRooms, room::ScheduledList};
use crate::chat::{Effect, Effects, Happening, RoomName};

impl OwnedRooms {
    /// Schedules the user list, which may have changed, for the members that want it.
    pub(super) fn schedule_list(&mut self, name: &RoomName) {
        if let Some(room) = self.rooms.get_mut(name)
            && room.schedule_list()
        {
            self.scheduled_lists.push(name.clone());
        }
    }

    /// Returns the digests and lists that are due. The shard calls it at every tick of its timer wheel.
    pub(crate) fn tick(&mut self, now_ms: u64) -> Effects {
        let mut out = Effects::new();
        let settings = self.settings;
        let rooms = &mut self.rooms;
        self.digests.retain(|name| {
            let Some(room) = rooms.get_mut(name) else { return false };
            match room.take_digest(&settings, now_ms) {
                Some(happening) => {
                    let shards = room.shards();
                    out.push(Effect::broadcast(name, shards, happening));
                    false
                }
                None => room.owes_digest(),
            }
        });
        self.scheduled_lists.retain(|name| {
            let Some(room) = rooms.get_mut(name) else { return false };
            match room.take_list(&settings, now_ms) {
                ScheduledList::None => false,
                ScheduledList::TooSoon => true,
                ScheduledList::Due(users) => {
                    out.push(Effect::broadcast(name, room.shards(), Happening::Roster { users }));
                    false
                }
            }
        });
        out
    }

    pub(super) fn owe_digest(&mut self, name: &RoomName, newly: bool) {
        if newly {
            self.digests.push(name.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chat::{
            Arrival, Departure, ListOrder, Lists, RoomSettings, SessionId, SessionTag, ShardId, Since, ToSession,
            UserId, UserList, UserName,
        },
        limits,
    };

    const SETTINGS: RoomSettings = RoomSettings {
        presence_events_max: 500,
        digest_every_ms: 2_000,
        list_cache_ms: 1_000,
        key_window_ms: 0,
        numbering: |head| head + 1,
    };

    struct World {
        rooms: OwnedRooms,
        now_ms: u64,
    }

    impl World {
        fn new(settings: RoomSettings) -> Self {
            Self {
                rooms: OwnedRooms::new(settings, 1),
                now_ms: 1_000_000,
            }
        }

        fn session(n: u32) -> SessionId {
            SessionId::new(
                ShardId(0),
                crate::chat::ConnectionSlot::new(n),
                crate::chat::Generation::FIRST,
            )
        }

        fn join(&mut self, n: u32, name: &str, lists: Lists) -> Effects {
            let arrival = Arrival {
                session: Self::session(n),
                user: UserId::of_name(&UserName::parse(name).unwrap()),
                name: UserName::parse(name).unwrap(),
                tag: SessionTag(n),
                sees_own_join: false,
                sees_own_leave: false,
                lists,
            };
            let room = RoomName::lobby();
            self.rooms.join(&room, arrival, None, Since::Now, None, self.now_ms)
        }

        fn leave(&mut self, n: u32) -> Effects {
            let room = RoomName::lobby();
            self.rooms
                .leave(&room, Self::session(n), Departure::Disconnected, None, self.now_ms)
        }

        fn rename(&mut self, n: u32, name: &str) -> Effects {
            let room = RoomName::lobby();
            let name = UserName::parse(name).unwrap();
            self.rooms.rename(&room, Self::session(n), name, self.now_ms)
        }

        /// The lists that all members get within a time, each with the time of its tick.
        fn lists_within(&mut self, ms: u64) -> Vec<(u64, UserList)> {
            let mut lists = Vec::new();
            for passed in 1..=ms / limits::WHEEL_TICK_MS {
                self.now_ms += limits::WHEEL_TICK_MS;
                let out = self.rooms.tick(self.now_ms);
                lists.extend(out.into_iter().filter_map(|effect| match effect {
                    Effect::Broadcast {
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
            Effect::Session {
                what: ToSession::Show { happening, .. },
                ..
            } => match &**happening {
                Happening::Roster { users } => Some(users.names.len()),
                _ => None,
            },
            _ => None,
        })
    }

    fn noticed(effects: &[Effect]) -> Vec<String> {
        let lists = effects.iter().find_map(|effect| match effect {
            Effect::Broadcast {
                happening:
                    Happening::UserJoined { users, .. }
                    | Happening::UserLeft { users, .. }
                    | Happening::Renamed { users, .. },
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
        assert!(world.rooms.scheduled_lists.is_empty());
        world.join(3, "cyd", Lists::OnChange);
        world.leave(3);
        assert_eq!(world.lists_within(3_000), []);
        assert!(world.rooms.scheduled_lists.is_empty());
    }

    #[test]
    fn lists_are_sent_at_a_kibibyte_a_second_however_large_the_room_and_however_often_it_changes() {
        for (users, settings) in [
            (400, SETTINGS),
            (
                400,
                RoomSettings {
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
            // One list may exceed the rate.
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
        let mut world = World::new(RoomSettings {
            presence_events_max: 3,
            ..SETTINGS
        });
        for (n, name) in [(1, "zoe"), (2, "ann"), (3, "mia"), (4, "bob"), (5, "abe")] {
            world.join(n, name, Lists::WithNotices);
        }
        let list = world.rooms.roster(&RoomName::lobby(), ListOrder::Arrival, world.now_ms);
        let names: Vec<&str> = list.names.iter().map(UserName::as_str).collect();
        assert_eq!((list.online, names), (5, vec!["zoe", "ann", "mia"]));
    }
}
