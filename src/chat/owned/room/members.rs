//! The sessions in a room: a vector while they are few, as in most rooms, and a hash table above [`limits::MEMBERS_VECTOR`].

use crate::{
    chat::{Lists, SessionId, SessionTag, UserName},
    limits,
};

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) user: UserName,
    pub(crate) tag: SessionTag,
    pub(crate) sees_own_leave: bool,
    pub(crate) lists: Lists,
}

#[derive(Debug)]
pub(super) enum Members {
    Few(Vec<(SessionId, Member)>),
    Many(Box<foldhash::HashMap<SessionId, Member>>),
}

impl Default for Members {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Members {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(members) => members.is_empty(),
            Self::Many(members) => members.is_empty(),
        }
    }

    pub(super) fn get(&self, session: SessionId) -> Option<&Member> {
        match self {
            Self::Few(members) => members.iter().find(|(id, _)| *id == session).map(|(_, member)| member),
            Self::Many(members) => members.get(&session),
        }
    }

    pub(super) fn get_mut(&mut self, session: SessionId) -> Option<&mut Member> {
        match self {
            Self::Few(members) => members
                .iter_mut()
                .find(|(id, _)| *id == session)
                .map(|(_, member)| member),
            Self::Many(members) => members.get_mut(&session),
        }
    }

    /// Adds a session, or replaces its member.
    pub(super) fn insert(&mut self, session: SessionId, member: Member) {
        if let Some(known) = self.get_mut(session) {
            *known = member;
            return;
        }
        if let Self::Few(members) = self
            && members.len() >= limits::MEMBERS_VECTOR
        {
            *self = Self::Many(Box::new(std::mem::take(members).into_iter().collect()));
        }
        match self {
            Self::Few(members) => {
                members.reserve_exact(1);
                members.push((session, member));
            }
            Self::Many(members) => {
                members.insert(session, member);
            }
        }
    }

    pub(super) fn remove(&mut self, session: SessionId) -> Option<Member> {
        match self {
            Self::Few(members) => {
                let at = members.iter().position(|(id, _)| *id == session)?;
                Some(members.swap_remove(at).1)
            }
            Self::Many(members) => members.remove(&session),
        }
    }

    /// The sessions of the members that satisfy `such`.
    pub(super) fn sessions(&self, such: impl Fn(&Member) -> bool) -> Vec<SessionId> {
        match self {
            Self::Few(members) => {
                let found = members.iter().filter(|(_, member)| such(member));
                found.map(|(session, _)| *session).collect()
            }
            Self::Many(members) => {
                let found = members.iter().filter(|(_, member)| such(member));
                found.map(|(session, _)| *session).collect()
            }
        }
    }
}
