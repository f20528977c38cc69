//! Paths and parameters of the admin API.

use hyper::StatusCode;
use percent_encoding::percent_decode_str;

use super::http::{Call, HttpAnswer};
use crate::{
    chat::{ListOrder, NameFault, Page, RoomName, SessionId, UserName},
    limits,
};

/// The resource of a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `rooms`
    Rooms,
    /// `rooms/<name>`, `groups/<id>`
    Room(RoomName),
    /// `rooms/<name>/members`, `groups/<id>/members`
    Members(RoomName),
    /// `rooms/<name>/message`, `groups/<id>/message`
    RoomMessage(RoomName),
    /// `message`
    Message,
    /// `sessions`
    Sessions,
    /// `sessions/<id>`
    Session(SessionId),
    /// `users/<name>/sessions`
    UserSessions(UserName),
}

impl Route {
    /// Parses the path after `/api/`. `group` maps a group to its room.
    pub(super) fn parse(path: &str, group: impl Fn(&str) -> Result<RoomName, NameFault>) -> Result<Self, HttpAnswer> {
        let parts = path
            .split('/')
            .map(|part| percent_decode_str(part).decode_utf8().ok().map(String::from))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| bad("the path is not UTF-8"))?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let room = |kind: &str, name: &str| {
            let room = if kind == "groups" {
                group(name)
            } else {
                RoomName::parse(name)
            };
            room.map_err(|fault| bad(&format!("{name:?} is not a room: {fault}")))
        };
        Ok(match *parts.as_slice() {
            ["rooms"] => Self::Rooms,
            [kind @ ("rooms" | "groups"), name] => Self::Room(room(kind, name)?),
            [kind @ ("rooms" | "groups"), name, "members"] => Self::Members(room(kind, name)?),
            [kind @ ("rooms" | "groups"), name, "message"] => Self::RoomMessage(room(kind, name)?),
            ["message"] => Self::Message,
            ["sessions"] => Self::Sessions,
            ["sessions", id] => Self::Session(session_id(id)?),
            ["users", name, "sessions"] => {
                let user = UserName::parse(name);
                Self::UserSessions(user.map_err(|fault| bad(&format!("{name:?} is not a user: {fault}")))?)
            }
            _ => return Err(HttpAnswer::error(StatusCode::NOT_FOUND, KNOWN)),
        })
    }

    /// The methods of the resource.
    pub(super) const fn methods(&self) -> &'static str {
        match self {
            Self::Rooms | Self::Sessions => "GET",
            Self::Room(_) => "GET, PUT or DELETE",
            Self::Members(_) => "PUT",
            Self::RoomMessage(_) | Self::Message => "POST",
            Self::Session(_) | Self::UserSessions(_) => "DELETE",
        }
    }
}

/// The page that `after` and `limit` select.
pub(super) fn paging(call: &Call) -> Result<Page, HttpAnswer> {
    let most = limits::ADMIN_PAGE_ENTRIES;
    let limit = match parameter(call, "limit") {
        None => limits::PAGE_ENTRIES_DEFAULT,
        Some(limit) => limit
            .parse()
            .ok()
            .filter(|limit| (1..=most).contains(limit))
            .ok_or_else(|| bad(&format!("the limit is {limit:?}; give a number from 1 to {most}")))?,
    };
    let after = parameter(call, "after").filter(|after| !after.is_empty());
    Ok(Page {
        after,
        limit,
        order: ListOrder::Name,
    })
}

/// The page without `after` and `limit`.
pub(super) fn first_page() -> Page {
    Page {
        order: ListOrder::Name,
        after: None,
        limit: limits::PAGE_ENTRIES_DEFAULT,
    }
}

/// A parameter of the query, decoded. `None` if it is missing or not UTF-8.
pub(super) fn parameter(call: &Call, name: &str) -> Option<String> {
    call.query.as_deref()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " "))
                .decode_utf8()
                .ok()
                .map(String::from)
        };
        (decode(key)? == name).then(|| decode(value)).flatten()
    })
}

/// `<shard>-<slot>-<generation>`.
pub(super) fn session_id(text: &str) -> Result<SessionId, HttpAnswer> {
    text.parse().map_err(|_| {
        bad(&format!(
            "{text:?} is not a session id; use one from GET /api/sessions, such as \"0-12-7\""
        ))
    })
}

pub(super) fn bad(sentence: &str) -> HttpAnswer {
    HttpAnswer::error(StatusCode::BAD_REQUEST, sentence)
}

const KNOWN: &str = "there is nothing at this path; known paths are rooms, rooms/<name>, rooms/<name>/members, \
                     rooms/<name>/message, the same with groups/<id>, message, sessions, sessions/<id>, \
                     users/<name>/sessions";

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Result<Route, StatusCode> {
        let group = |id: &str| RoomName::parse(&format!("group:{id}"));
        Route::parse(path, group).map_err(|answer| answer.status)
    }

    #[test]
    fn paths_name_rooms_and_groups_in_any_script() {
        let room = |name: &str| RoomName::parse(name).unwrap();
        assert_eq!(route("rooms/%E8%8C%B6%20room"), Ok(Route::Room(room("茶 room"))));
        assert_eq!(route("rooms/a%2Fb/members"), Ok(Route::Members(room("a/b"))));
        assert_eq!(route("groups/7/message"), Ok(Route::RoomMessage(room("group:7"))));
    }

    #[test]
    fn paths_that_name_nothing_are_refused() {
        for (path, status) in [
            ("", StatusCode::NOT_FOUND),
            ("rooms/", StatusCode::BAD_REQUEST),
            ("rooms/a/b", StatusCode::NOT_FOUND),
            ("rooms/%ff", StatusCode::BAD_REQUEST),
            ("rooms/%00", StatusCode::BAD_REQUEST),
            ("sessions/1-2", StatusCode::BAD_REQUEST),
            ("sessions/1-2-3-4", StatusCode::BAD_REQUEST),
            ("sessions/0-4294967295-1", StatusCode::BAD_REQUEST),
            ("users/ann", StatusCode::NOT_FOUND),
        ] {
            assert_eq!(route(path), Err(status), "{path}");
        }
    }
}
