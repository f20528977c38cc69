//! Stores the rooms that the operator has set, so that they survive a restart.
//!
//! Invariants: the file, `rooms.json` in the data directory, is replaced atomically: a crash leaves the old or the new one. The file has
//! only what the operator has set, and not a topic that a member sets later.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::bodies::RoomBody;
use crate::{
    chat::{RoomName, UserName},
    limits,
    shard::{OperatorRoomRequest, Shards, ToShard},
};

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct KeptRoom {
    /// `None`: not set.
    pub(crate) topic: Option<Arc<str>>,
    /// `None`: as in the configuration; `Some(None)`: no list, whatever the configuration says.
    pub(crate) members: Option<Option<BTreeSet<UserName>>>,
}

/// The rooms that the operator has set, and their file.
#[derive(Debug, Default)]
pub(crate) struct KeptRooms {
    /// `None` if the disk must not be written (`server.memory`).
    file: Option<PathBuf>,
    rooms: BTreeMap<RoomName, KeptRoom>,
}

/// The file: the body of a PUT for each room.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    rooms: BTreeMap<String, RoomBody>,
}

impl KeptRooms {
    /// Reads the file of this directory, if there is one. The error is one sentence.
    pub(crate) fn read(data: Option<&Path>) -> Result<Self, String> {
        let Some(data) = data else { return Ok(Self::default()) };
        let file = data.join(FILE);
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    file: Some(file),
                    rooms: BTreeMap::new(),
                });
            }
            Err(error) => {
                return Err(format!(
                    "the rooms set through the admin API cannot be read from {}: {error}",
                    file.display()
                ));
            }
        };
        let wrong = |error: &dyn std::fmt::Display| {
            format!(
                "{} cannot be parsed: {error}; repair it, or move it away to begin without those rooms",
                file.display()
            )
        };
        let document: Document = serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?;
        let rooms = document
            .rooms
            .into_iter()
            .map(|(name, RoomBody { topic, members })| {
                let name = RoomName::parse(&name).map_err(|fault| wrong(&fault))?;
                Ok((name, KeptRoom { topic, members }))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self {
            file: Some(file),
            rooms,
        })
    }

    /// Sets the rooms on their shards, before a client can join them. The error is one sentence.
    pub(crate) fn restore(&self, shards: &Shards) -> Result<(), String> {
        for (room, set) in &self.rooms {
            // No operator waits for the answer.
            let (answer, _) = oneshot::channel();
            let request = OperatorRoomRequest::Keep {
                room: room.clone(),
                topic: set.topic.clone(),
                members: set.members.clone(),
                answer,
            };
            let owner = usize::from(shards.owner_of(room).0);
            let until = Instant::now() + limits::ADMIN_ANSWER_TIME;
            if !shards.send_until(owner, ToShard::Operator(Box::new(request.into())), until) {
                return Err(format!(
                    "the settings of the room {room} could not be restored, because its shard does not answer"
                ));
            }
        }
        Ok(())
    }

    /// Sets the room. A `None` leaves its value unchanged.
    pub(super) fn set(&mut self, name: RoomName, now: KeptRoom) -> io::Result<()> {
        let room = self.rooms.entry(name).or_default();
        if now.topic.is_some() {
            room.topic = now.topic;
        }
        if now.members.is_some() {
            room.members = now.members;
        }
        self.write()
    }

    /// Removes a closed room.
    pub(super) fn remove(&mut self, name: &RoomName) -> io::Result<()> {
        match self.rooms.remove(name) {
            Some(_) => self.write(),
            None => Ok(()),
        }
    }

    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    fn write(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let rooms: Map<String, Value> = self
            .rooms
            .iter()
            .map(|(name, room)| (name.as_str().to_owned(), kept_room_json(room)))
            .collect();
        let next = file.with_extension("json.next");
        let mut written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&next)?;
        written.write_all(&serde_json::to_vec_pretty(&json!({ "rooms": rooms }))?)?;
        written.sync_all()?;
        fs::rename(&next, file)?;
        match file.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// The settings of a room in the form that [`RoomBody`] reads.
pub(super) fn kept_room_json(room: &KeptRoom) -> Value {
    let mut set = Map::new();
    if let Some(topic) = &room.topic {
        set.insert("topic".to_owned(), json!(&**topic));
    }
    if let Some(members) = &room.members {
        let names = members
            .as_ref()
            .map(|members| members.iter().map(UserName::as_str).collect::<Vec<_>>());
        set.insert("members".to_owned(), json!(names));
    }
    Value::Object(set)
}

const FILE: &str = "rooms.json";

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn list(names: &[&str]) -> BTreeSet<UserName> {
        names.iter().map(|name| UserName::parse(name).unwrap()).collect()
    }

    #[test]
    fn what_is_set_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut rooms = KeptRooms::read(Some(dir.path())).unwrap();
        let tea = KeptRoom {
            topic: Some("green\u{202e}".into()),
            members: Some(Some(list(&["ann", "张三"]))),
        };
        rooms.set(room("茶"), tea.clone()).unwrap();
        rooms
            .set(
                room("open"),
                KeptRoom {
                    members: Some(None),
                    ..KeptRoom::default()
                },
            )
            .unwrap();
        rooms.set(room("plain"), KeptRoom::default()).unwrap();
        rooms.set(room("gone"), tea.clone()).unwrap();
        rooms.remove(&room("gone")).unwrap();
        // A missing value stays unchanged.
        rooms.set(room("茶"), KeptRoom::default()).unwrap();
        let again = KeptRooms::read(Some(dir.path())).unwrap();
        assert_eq!(again.rooms, rooms.rooms);
        assert_eq!(again.rooms[&room("茶")], tea);
        assert_eq!(again.rooms[&room("open")].members, Some(None));
        assert_eq!(again.rooms[&room("plain")], KeptRoom::default());
        assert_eq!(again.rooms.len(), 3);
    }

    #[test]
    fn a_file_that_is_something_else_is_one_sentence() {
        let dir = tempfile::tempdir().unwrap();
        for content in ["", "{", "[]", r#"{"rooms":{"":{}}}"#, r#"{"rooms":{},"more":1}"#] {
            fs::write(dir.path().join(FILE), content).unwrap();
            let error = KeptRooms::read(Some(dir.path())).unwrap_err();
            assert!(error.contains(FILE) && error.contains("move it away"), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
