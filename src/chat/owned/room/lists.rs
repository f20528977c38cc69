//! The user lists of a room: on request, in pages, with join and leave events, or on every change.
//!
//! The list of a large room is cut, and may be as old as [`RoomSettings::list_cache_ms`]. Without requests, a member gets at most
//! [`limits::LIST_BYTES_PER_SECOND`] of lists.

use super::Room;
use crate::{
    chat::{ListOrder, Page, RoomSettings, UserList, UserName},
    limits,
};

/// The state of the list for members that get it on every change.
#[derive(Debug)]
pub(crate) enum ScheduledList {
    /// No member wants it, or it has not changed.
    None,
    /// The last list was sent too recently.
    TooSoon,
    Due(UserList),
}

impl Room {
    /// The list, cut at the presence limit. In a large room it may come from the cache.
    pub(crate) fn list(&mut self, order: ListOrder, settings: &RoomSettings, now_ms: u64) -> UserList {
        let online = self.online();
        if !self.is_large(settings) {
            return UserList {
                online,
                names: self.users.ordered(order, usize::MAX),
            };
        }
        let cached = self.rare.as_ref().and_then(|rare| match order {
            ListOrder::Name => rare.by_name.as_ref(),
            ListOrder::Arrival => rare.by_arrival.as_ref(),
        });
        if let Some((list, made)) = cached
            && now_ms.abs_diff(*made) < settings.list_cache_ms
        {
            return UserList {
                online,
                names: list.names.clone(),
            };
        }
        let list = UserList {
            online,
            names: self.users.ordered(order, settings.presence_events_max),
        };
        let made = Some((list.clone(), now_ms));
        match order {
            ListOrder::Name => self.rare().by_name = made,
            ListOrder::Arrival => self.rare().by_arrival = made,
        }
        list
    }

    /// The list to send with a join or leave event, if a member wants it.
    pub(crate) fn list_if_wanted(&mut self, settings: &RoomSettings, now_ms: u64) -> Option<UserList> {
        (self.lists_with_notices > 0).then(|| self.list(ListOrder::Arrival, settings, now_ms))
    }

    /// The list as an event of its own.
    fn roster(&self, settings: &RoomSettings) -> UserList {
        let most = if self.is_large(settings) {
            limits::DIGEST_LIST_BYTES / SHORTEST_NAME_BYTES
        } else {
            usize::MAX
        };
        let list = UserList {
            online: self.online(),
            names: self.users.ordered(ListOrder::Name, most),
        };
        if self.is_large(settings) { cut(list) } else { list }
    }

    /// Schedules the list for the members that want it on change. Returns whether it was not scheduled before.
    pub(crate) fn schedule_list(&mut self) -> bool {
        self.lists_on_change > 0 && !std::mem::replace(&mut self.rare().pushed.scheduled, true)
    }

    /// Takes the scheduled list, if it has changed and the last one is old enough.
    pub(crate) fn take_list(&mut self, settings: &RoomSettings, now_ms: u64) -> ScheduledList {
        let (version, wanted) = (self.version, self.lists_on_change > 0);
        let pushed = &mut self.rare().pushed;
        if !wanted || pushed.version == Some(version) {
            pushed.scheduled = false;
            return ScheduledList::None;
        }
        if pushed.version.is_some() && now_ms.abs_diff(pushed.at) < pushed.wait_ms {
            return ScheduledList::TooSoon;
        }
        pushed.scheduled = false;
        let users = self.roster(settings);
        self.note_pushed(&users, settings, now_ms);
        ScheduledList::Due(users)
    }

    /// The list for a new member. If no other member wants lists, this unschedules them.
    pub(crate) fn list_for_newcomer(&mut self, settings: &RoomSettings, now_ms: u64) -> UserList {
        let users = self.roster(settings);
        if self.lists_on_change == 1 {
            self.note_pushed(&users, settings, now_ms);
        }
        users
    }

    /// Delays the next list in proportion to the length of this one, so that a member gets at most [`limits::LIST_BYTES_PER_SECOND`].
    fn note_pushed(&mut self, users: &UserList, settings: &RoomSettings, now_ms: u64) {
        let least = if self.is_large(settings) {
            settings.digest_every_ms
        } else {
            limits::WHEEL_TICK_MS
        };
        let version = self.version;
        let pushed = &mut self.rare().pushed;
        pushed.version = Some(version);
        pushed.at = now_ms;
        pushed.wait_ms = (listed_bytes(users) * 1_000 / limits::LIST_BYTES_PER_SECOND).max(least);
    }

    /// One page of the list, and the start of the next.
    pub(crate) fn page(&mut self, page: &Page, settings: &RoomSettings, now_ms: u64) -> (UserList, Option<UserName>) {
        let online = self.online();
        if page.after.is_none() && page.limit >= settings.presence_events_max {
            let list = self.list(page.order, settings, now_ms);
            let next = if (list.names.len() as u32) < online {
                list.names.last().cloned()
            } else {
                None
            };
            return (list, next);
        }
        let (names, more) = self.users.after(page.after.as_deref(), page.limit);
        let next = if more { names.last().cloned() } else { None };
        (UserList { online, names }, next)
    }
}

/// A name of one byte, between quotes and with a comma.
const SHORTEST_NAME_BYTES: usize = 4;

/// The beginning of a list, cut to the size that a digest may have. The count stays exact.
pub(super) fn cut(list: UserList) -> UserList {
    let mut bytes = 0;
    let names = list
        .names
        .iter()
        .take_while(|name| {
            // Two quotes and a comma.
            bytes += name.as_str().len() + 3;
            bytes <= limits::DIGEST_LIST_BYTES
        })
        .cloned()
        .collect();
    UserList { names, ..list }
}

/// The approximate length of a list in its longest wire form: each name twice, with 8 bytes around it, and with `，` and `：` in place of
/// `,` and `:`.
fn listed_bytes(users: &UserList) -> u64 {
    let each = |name: &UserName| {
        let longer = name.as_str().bytes().filter(|byte| matches!(byte, b',' | b':')).count();
        2 * (name.as_str().len() + 2 * longer) as u64 + 8
    };
    32 + users.names.iter().map(each).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_in_a_digest_is_cut_by_its_bytes_and_counts_everybody() {
        let list = |count: u32, name: &str| UserList {
            online: count,
            names: (0..count)
                .map(|n| UserName::parse(&format!("{name}{n:04}")).unwrap())
                .collect(),
        };
        for (name, fit) in [("member-", 109), ("数字广场的成员", 54)] {
            let whole = list(500, name);
            let short = cut(whole.clone());
            assert_eq!((short.online, short.names.len()), (500, fit));
            assert_eq!(short.names[..], whole.names[..fit]);
        }
        assert_eq!(cut(list(5, "few")), list(5, "few"));
    }
}
