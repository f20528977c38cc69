//! The requests that an owner carries out for the operator and for the HTTP pages that list rooms.

use std::{collections::BTreeSet, sync::Arc};

use super::Owner;
use crate::{
    chat::{Effects, ListOrder, RoomName, RoomScope, TooManyRooms, UserName},
    shard::bus::operator::OperatorRoomRequest,
};

impl Owner {
    /// Carries out a request and sends its answer. Sending fails if the request was cancelled, which does not matter.
    pub(crate) fn administer(&mut self, request: OperatorRoomRequest, now_ms: u64) -> Effects {
        let rooms = &mut self.rooms;
        match request {
            OperatorRoomRequest::Rooms { after, limit, answer } => {
                let _ = answer.send(rooms.rooms(RoomScope::All, after.as_deref(), limit));
            }
            OperatorRoomRequest::Groups { prefix, limit, answer } => {
                let _ = answer.send(rooms.names(|name| name.as_str().starts_with(&prefix), limit));
            }
            OperatorRoomRequest::Room { room, page, answer } => {
                let _ = answer.send(rooms.describe(&room, &page, now_ms));
            }
            OperatorRoomRequest::Roster { room, answer } => {
                let _ = answer.send(rooms.roster(&room, ListOrder::Name, now_ms));
            }
            OperatorRoomRequest::Keep {
                room,
                topic,
                members,
                answer,
            } => {
                let mut effects = Effects::new();
                let _ = answer.send(self.keep(&room, topic, members, &mut effects));
                return effects;
            }
            OperatorRoomRequest::Close { room, answer } => {
                let closed = rooms.close(&room);
                let _ = answer.send(closed.as_ref().map(|closed| closed.sessions));
                return closed.unwrap_or_default().effects;
            }
            OperatorRoomRequest::Say { room, text, answer } => {
                let _ = answer.send(rooms.online(&room));
                return rooms.system(&room, text).into_iter().collect();
            }
        }
        Effects::new()
    }

    fn keep(
        &mut self,
        room: &RoomName,
        topic: Option<Arc<str>>,
        members: Option<Option<BTreeSet<UserName>>>,
        effects: &mut Effects,
    ) -> Result<bool, TooManyRooms> {
        let is_new = self.rooms.keep(room)?;
        if let Some(topic) = topic {
            effects.extend(self.rooms.set_kept_topic(room, topic));
        }
        if let Some(members) = members {
            effects.extend(self.rooms.set_members(room, members));
        }
        Ok(is_new)
    }
}
