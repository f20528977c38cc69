//! The admin API: rooms, members, sessions and system messages. `docs/admin-api.md` describes it.
//!
//! It queries the shards and waits a bounded time for their answers. The listener bounds the sizes and refuses pages of other
//! origins.

use std::{collections::BTreeSet, io, path::Path, sync::Arc};

use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::sync::Mutex;

use super::{
    bodies::{self, MembersBody, RoomBody, TextBody, room_json, session_json},
    http::{Call, Handler, HttpAnswer},
    kept_rooms::{KeptRoom, KeptRooms},
    routes::{self, Route, paging},
};
use crate::{
    chat::{ConnectionSlot, Page, RoomEntry, RoomName, SessionId, UserName, World},
    codec::action,
    limits,
    shard::{OperatorRequest, OperatorRoomRequest, SessionEntry, Shards, Unanswered},
};

pub(crate) struct Api {
    shards: Arc<Shards>,
    groups: action::ActionSettings,
    /// Locked during a change, so that the file and the shards apply changes in the same order.
    kept: Mutex<KeptRooms>,
}

/// Errors are answers too.
type ApiResult = Result<HttpAnswer, HttpAnswer>;

impl Api {
    /// `groups` maps the groups of the dialect `action` to rooms.
    pub(crate) fn new(shards: Arc<Shards>, groups: action::ActionSettings, kept: KeptRooms) -> Self {
        Self {
            shards,
            groups,
            kept: Mutex::new(kept),
        }
    }

    async fn answer(&self, call: Call) -> ApiResult {
        let route = Route::parse(&call.path, |group| self.groups.room(World::Common, group))?;
        match (route, &call.method) {
            (Route::Rooms, &Method::GET) => self.rooms(&call).await,
            (Route::Room(room), &Method::GET) => self.room(room, &call).await,
            (Route::Room(room), &Method::PUT) => {
                let RoomBody { topic, members } = bodies::body(&call.body)?;
                self.keep(room, topic, members).await
            }
            (Route::Room(room), &Method::DELETE) => self.close(room).await,
            (Route::Members(room), &Method::PUT) => {
                let MembersBody { members } = bodies::body(&call.body)?;
                self.keep(room, None, Some(members)).await
            }
            (Route::RoomMessage(room), &Method::POST) => self.say(room, &call).await,
            (Route::Message, &Method::POST) => self.say_to_all(&call).await,
            (Route::Sessions, &Method::GET) => self.sessions(&call).await,
            (Route::Session(session), &Method::DELETE) => self.disconnect(session).await,
            (Route::UserSessions(user), &Method::DELETE) => self.disconnect_user(user).await,
            (route, method) => Err(HttpAnswer::error(
                StatusCode::METHOD_NOT_ALLOWED,
                &format!("this path does not accept {method}; use {}", route.methods()),
            )),
        }
    }

    async fn rooms(&self, call: &Call) -> ApiResult {
        let page = paging(call)?;
        let mut rooms: Vec<RoomEntry> = Vec::new();
        for shard in self.shards.all() {
            let (after, limit) = (page.after.clone(), page.limit + 1);
            let part = self
                .shards
                .ask(shard, |answer| OperatorRoomRequest::Rooms { after, limit, answer })
                .await;
            rooms.extend(part.map_err(unanswered)?);
        }
        rooms.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let more = rooms.len() > page.limit;
        rooms.truncate(page.limit);
        let next = rooms.last().filter(|_| more).map(|room| room.name.as_str());
        let entries: Vec<_> = rooms
            .iter()
            .map(|room| json!({ "name": room.name.as_str(), "topic": &*room.topic, "online": room.online }))
            .collect();
        Ok(HttpAnswer::json(
            StatusCode::OK,
            &json!({ "rooms": entries, "next": next }),
        ))
    }

    async fn room(&self, room: RoomName, call: &Call) -> ApiResult {
        let page = paging(call)?;
        let name = room.clone();
        let details = self
            .shards
            .ask(self.shards.owner_of(&room), |answer| OperatorRoomRequest::Room {
                room,
                page,
                answer,
            })
            .await;
        match details.map_err(unanswered)? {
            Some(details) => Ok(HttpAnswer::json(StatusCode::OK, &room_json(&name, &details))),
            None => Err(no_room(&name)),
        }
    }

    async fn keep(
        &self,
        room: RoomName,
        topic: Option<Arc<str>>,
        members: Option<Option<BTreeSet<UserName>>>,
    ) -> ApiResult {
        if room == RoomName::lobby() && matches!(members, Some(Some(_))) {
            let sentence = "the lobby is where the users of all dialects meet, so it has no list of members; \
                            make the group another room with chat.action_groups";
            return Err(HttpAnswer::error(StatusCode::CONFLICT, sentence));
        }
        let name = room.clone();
        let set = KeptRoom {
            topic: topic.clone(),
            members: members.clone(),
        };
        let mut file = self.kept.lock().await;
        let owner = self.shards.owner_of(&room);
        let kept = self
            .shards
            .ask(owner, |answer| OperatorRoomRequest::Keep {
                room,
                topic,
                members,
                answer,
            })
            .await;
        let status = match kept.map_err(unanswered)? {
            Ok(true) => StatusCode::CREATED,
            Ok(false) => StatusCode::OK,
            Err(_) => {
                let sentence = format!(
                    "{} rooms are already kept open on the shard of {name}; close some first",
                    limits::ROOMS_PINNED
                );
                return Err(HttpAnswer::error(StatusCode::INSUFFICIENT_STORAGE, &sentence));
            }
        };
        file.set(name.clone(), set)
            .map_err(|error| not_written(&file, &error))?;
        drop(file);
        let (room, page) = (name.clone(), routes::first_page());
        let details = self
            .shards
            .ask(owner, |answer| OperatorRoomRequest::Room { room, page, answer })
            .await;
        match details.map_err(unanswered)? {
            Some(details) => Ok(HttpAnswer::json(status, &room_json(&name, &details))),
            // Another request has closed it.
            None => Err(no_room(&name)),
        }
    }

    async fn close(&self, room: RoomName) -> ApiResult {
        if room == RoomName::lobby() {
            let sentence = "the lobby cannot be closed, because every user begins there";
            return Err(HttpAnswer::error(StatusCode::CONFLICT, sentence));
        }
        let name = room.clone();
        let mut file = self.kept.lock().await;
        let closed = self
            .shards
            .ask(self.shards.owner_of(&room), |answer| OperatorRoomRequest::Close {
                room,
                answer,
            })
            .await;
        let closed = closed.map_err(unanswered)?;
        file.remove(&name).map_err(|error| not_written(&file, &error))?;
        match closed {
            Some(sessions) => Ok(HttpAnswer::json(StatusCode::OK, &json!({ "sessions": sessions }))),
            None => Err(no_room(&name)),
        }
    }

    async fn say(&self, room: RoomName, call: &Call) -> ApiResult {
        let TextBody { text } = bodies::body(&call.body)?;
        let name = room.clone();
        let sent = self
            .shards
            .ask(self.shards.owner_of(&room), |answer| OperatorRoomRequest::Say {
                room,
                text,
                answer,
            })
            .await;
        match sent.map_err(unanswered)? {
            Some(users) => Ok(HttpAnswer::json(StatusCode::OK, &json!({ "users": users }))),
            None => Err(no_room(&name)),
        }
    }

    async fn say_to_all(&self, call: &Call) -> ApiResult {
        let TextBody { text } = bodies::body(&call.body)?;
        let mut sessions = 0;
        for shard in self.shards.all() {
            let text = text.clone();
            let reached = self
                .shards
                .ask(shard, |answer| OperatorRequest::SayToAll { text, answer })
                .await;
            sessions += reached.map_err(unanswered)?;
        }
        Ok(HttpAnswer::json(StatusCode::OK, &json!({ "sessions": sessions })))
    }

    async fn sessions(&self, call: &Call) -> ApiResult {
        let Page { after, limit, .. } = paging(call)?;
        let user = match routes::parameter(call, "user") {
            None => None,
            Some(name) => Some(UserName::parse(&name).map_err(|fault| routes::bad(&format!("user: {fault}")))?),
        };
        let after = after.map(|after| routes::session_id(&after)).transpose()?;
        let mut entries: Vec<SessionEntry> = Vec::new();
        for shard in self.shards.all() {
            let slot = match after {
                Some(after) if shard < after.shard() => continue,
                Some(after) if shard == after.shard() => after.slot().next(),
                Some(_) | None => ConnectionSlot::FIRST,
            };
            let (user, wanted) = (user.clone(), limit + 1 - entries.len());
            let part = self
                .shards
                .ask(shard, |answer| OperatorRequest::Sessions {
                    slot,
                    user,
                    limit: wanted,
                    answer,
                })
                .await;
            entries.extend(part.map_err(unanswered)?);
            if entries.len() > limit {
                break;
            }
        }
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| more).map(|entry| entry.id.to_string());
        let sessions: Vec<_> = entries.iter().map(session_json).collect();
        Ok(HttpAnswer::json(
            StatusCode::OK,
            &json!({ "sessions": sessions, "next": next }),
        ))
    }

    async fn disconnect(&self, session: SessionId) -> ApiResult {
        let id = session.to_string();
        if !self.shards.all().any(|shard| shard == session.shard()) {
            return Err(no_session(&id));
        }
        let ended = self
            .shards
            .ask(session.shard(), |answer| OperatorRequest::Disconnect {
                session,
                answer,
            })
            .await;
        if ended.map_err(unanswered)? {
            Ok(HttpAnswer::json(StatusCode::OK, &json!({ "sessions": 1 })))
        } else {
            Err(no_session(&id))
        }
    }

    async fn disconnect_user(&self, user: UserName) -> ApiResult {
        let mut sessions = 0;
        for shard in self.shards.all() {
            let user = user.clone();
            let ended = self
                .shards
                .ask(shard, |answer| OperatorRequest::DisconnectUser { user, answer })
                .await;
            sessions += ended.map_err(unanswered)?;
        }
        Ok(HttpAnswer::json(StatusCode::OK, &json!({ "sessions": sessions })))
    }
}

impl Handler for Api {
    async fn call(&self, call: Call) -> HttpAnswer {
        match self.answer(call).await {
            Ok(answer) | Err(answer) => answer,
        }
    }
}

fn unanswered(unanswered: Unanswered) -> HttpAnswer {
    let sentence = match unanswered {
        Unanswered::Full => "a shard is too busy to take the request; try again in a moment",
        Unanswered::Silent => "a shard did not answer in time; see /readyz",
    };
    HttpAnswer::error(StatusCode::SERVICE_UNAVAILABLE, sentence)
}

/// The error for a change that took effect but was not written to the file, so that a restart undoes it.
fn not_written(kept: &KeptRooms, error: &io::Error) -> HttpAnswer {
    let file = kept.file().map(Path::display);
    let sentence = format!(
        "the change is in force, but a restart will undo it: {} cannot be written: {error}; repair that and send the request again",
        file.map_or_else(String::new, |file| file.to_string())
    );
    tracing::error!(%error, "could not write the rooms set through the admin API");
    HttpAnswer::error(StatusCode::INTERNAL_SERVER_ERROR, &sentence)
}

fn no_room(room: &RoomName) -> HttpAnswer {
    HttpAnswer::error(
        StatusCode::NOT_FOUND,
        &format!("there is no room {room}; GET /api/rooms lists them"),
    )
}

fn no_session(id: &str) -> HttpAnswer {
    let sentence = format!("there is no session {id}; it may have ended; GET /api/sessions lists them");
    HttpAnswer::error(StatusCode::NOT_FOUND, &sentence)
}
