//! `/user/list` and `/user/groupslist` of document 003: the users of a group, and the list of groups.
//!
//! The original's ids are JSON numbers. In Plaza a name may be any text, so an id is a number if JavaScript can represent it, and
//! otherwise a string. The HTTP status is always 200; the code in the body is the result.

use std::{collections::BTreeSet, fmt::Write as _};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};

use crate::{
    chat::{World, local},
    codec::{action, query_value},
    limits,
    shard::{OperatorRoomRequest, Shards},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupPage {
    /// The users of a group.
    Users,
    /// The list of groups.
    Groups,
}

impl GroupPage {
    /// The page at this path.
    pub(super) fn at(path: &str) -> Option<Self> {
        match path {
            "/user/list" => Some(Self::Users),
            "/user/groupslist" => Some(Self::Groups),
            _ => None,
        }
    }

    pub(super) async fn answer(
        self,
        query: &str,
        shards: &Shards,
        settings: &action::ActionSettings,
    ) -> Response<Full<Bytes>> {
        let value = |name| query_value(query.as_bytes(), name).and_then(|value| String::from_utf8(value).ok());
        let body = match self {
            Self::Users => {
                users(
                    value("groupsId").as_deref(),
                    value("appId").as_deref(),
                    shards,
                    settings,
                )
                .await
            }
            Self::Groups => groups(value("appId").as_deref(), shards, settings).await,
        };
        let body = match body {
            Ok(data) => format!(r#"{{"code":200,"msg":"Success","data":{data}}}"#),
            Err((code, text)) => format!(r#"{{"code":{code},"msg":"{text}","data":null}}"#),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// A code of document 003, and its text.
type Failed = (u16, &'static str);

/// The default is group 1 of the first app, as in the pages.
async fn users(
    group: Option<&str>,
    app: Option<&str>,
    shards: &Shards,
    settings: &action::ActionSettings,
) -> Result<String, Failed> {
    let world = app.map_or(Ok(World::Common), |app| world(app, settings))?;
    let group = group.unwrap_or(action::DEFAULT_GROUP);
    let room = settings.room(world, group).map_err(|_| BAD_PARAMETERS)?;
    let owner = shards.owner_of(&room);
    let users = shards
        .ask(owner, |answer| OperatorRoomRequest::Roster { room, answer })
        .await
        .map_err(|_| SYSTEM_ERROR)?;
    Ok(format!(
        r#"{{"userList":{}}}"#,
        ids(users.names.iter().map(|name| local(name.as_str())))
    ))
}

async fn groups(app: Option<&str>, shards: &Shards, settings: &action::ActionSettings) -> Result<String, Failed> {
    let world = world(app.ok_or(BAD_PARAMETERS)?, settings)?;
    let mut groups: BTreeSet<String> = match world {
        World::Common => settings.groups().map(|(group, _)| group.to_owned()).collect(),
        World::App(_) => BTreeSet::new(),
    };
    for shard in shards.all() {
        let prefix = world.prefix(action::GROUP_PREFIX);
        let limit = limits::GROUPS_LISTED;
        let rooms = shards
            .ask(shard, |answer| OperatorRoomRequest::Groups { prefix, limit, answer })
            .await;
        groups.extend(
            rooms
                .map_err(|_| SYSTEM_ERROR)?
                .iter()
                .map(|room| settings.group(room).to_owned()),
        );
    }
    if groups.is_empty() {
        return Ok("null".to_owned());
    }
    Ok(ids(groups.iter().map(String::as_str).take(limits::GROUPS_LISTED)))
}

fn world(app: &str, settings: &action::ActionSettings) -> Result<World, Failed> {
    app.parse().ok().and_then(|app| settings.world(app)).ok_or(NO_APP)
}

/// `[{"ID":1},{"ID":"ann"}]`
fn ids<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let mut list = String::from("[");
    for id in ids {
        if list.len() > 1 {
            list.push(',');
        }
        // Writing to a string cannot fail.
        let _ = if is_number(id) {
            write!(list, r#"{{"ID":{id}}}"#)
        } else {
            write!(list, r#"{{"ID":{}}}"#, serde_json::Value::from(id))
        };
    }
    list.push(']');
    list
}

/// Whether an id is written as a number: decimal, without leading zeros, below 2^53.
fn is_number(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_digit())
        && (id == "0" || !id.starts_with('0'))
        && id.parse().is_ok_and(|number: u64| number < limits::JSON_NUMBERS_BELOW)
}

const BAD_PARAMETERS: Failed = (1001, "参数不合法");
const SYSTEM_ERROR: Failed = (1004, "系统错误");
const NO_APP: Failed = (1011, "appid不存在");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_where_every_client_can_hold_them() {
        let all = [
            "1",
            "0",
            "007",
            "张三",
            "a\"b",
            "",
            "9007199254740991",
            "9007199254740992",
            "-1",
        ];
        assert_eq!(
            ids(all.into_iter()),
            r#"[{"ID":1},{"ID":0},{"ID":"007"},{"ID":"张三"},{"ID":"a\"b"},{"ID":""},{"ID":9007199254740991},{"ID":"9007199254740992"},{"ID":"-1"}]"#
        );
        assert_eq!(ids([].into_iter()), "[]");
    }
}
