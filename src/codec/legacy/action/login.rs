//! The login of document 003: the user, the app, and the target of later messages.

use serde_json::value::RawValue;

use super::{
    ActionCodec, DEFAULT_GROUP, LoginState, ONE_TO_ONE, Target, read,
    wire::{Code, LoginData, given},
};
use crate::{
    chat::{Command, Hello, Request, RequestId, RoomName, Since, UserName, World},
    codec::Fault,
    limits,
};

impl ActionCodec {
    pub(super) fn log_in(
        &mut self,
        seq: String,
        data: Option<Box<RawValue>>,
        requests: &mut Vec<Request>,
    ) -> Result<(), Fault> {
        let (user, target, token) = match self.checked_login(data) {
            Ok(login) => login,
            Err(code) => return Err(self.refuse(seq, "login".into(), code)),
        };
        let again = match &self.login {
            LoginState::Out => false,
            LoginState::In(name) if *name == user => true,
            LoginState::In(_) | LoginState::LoggingIn { .. } => {
                return Err(self.refuse(seq, "login".into(), Code::Failed));
            }
        };
        let before = std::mem::replace(&mut self.target, target.clone());
        if again {
            return self.turn_to(seq, &before, target, requests);
        }
        let hello = self.ask(seq.clone(), "login")?;
        requests.push(Request {
            id: hello,
            command: Command::Hello(Hello {
                name: Some(user),
                token,
                ..Hello::default()
            }),
        });
        let mut join = None;
        match target {
            Target::Nobody => {}
            Target::User(user) => requests.push(Request {
                id: None,
                command: Command::Watch { user },
            }),
            Target::Group(room) => {
                join = self.ask(seq, "login")?;
                requests.push(join_of(room, join));
            }
        }
        self.login = LoginState::LoggingIn { hello, join };
        Ok(())
    }

    /// A repeated login of the same user, perhaps with another target.
    fn turn_to(
        &mut self,
        seq: String,
        before: &Target,
        target: Target,
        requests: &mut Vec<Request>,
    ) -> Result<(), Fault> {
        let id = self.ask(seq, "login")?;
        if let Target::Group(room) = before
            && target != *before
        {
            // No pending request has this id, so the client gets no error if the group has removed it meanwhile.
            requests.push(Request {
                id: Some(self.pending.next_id()),
                command: Command::Leave { room: room.clone() },
            });
        }
        match target {
            // The chat refuses a second join, and the codec counts that answer as success.
            Target::Group(room) => requests.push(join_of(room, id)),
            Target::User(user) => {
                requests.push(Request {
                    id: None,
                    command: Command::Watch { user },
                });
                requests.push(Request {
                    id,
                    command: Command::Ping,
                });
            }
            Target::Nobody => requests.push(Request {
                id,
                command: Command::Ping,
            }),
        }
        Ok(())
    }

    fn checked_login(&self, data: Option<Box<RawValue>>) -> Result<(UserName, Target, Option<String>), Code> {
        let data: LoginData = read(data)?;
        let user = given(data.user_id).ok_or(Code::BadUserId)?;
        // Parsed in the common world first, so that an invalid name is reported before an unknown app.
        let user = |world| user_id(world, &user);
        user(World::Common)?;
        let world = data.app_id.and_then(|app| self.settings.world(app));
        let world = world.ok_or(Code::Unauthorized)?;
        let group = given(data.groups_id).or_else(|| self.hint_group.clone());
        let to = given(data.to_uid).or_else(|| self.hint_to.clone());
        let in_group = |group: &str| {
            let room = self.settings.room(world, group);
            room.map(Target::Group).map_err(|_| Code::BadParameters)
        };
        let target = match (group.as_deref(), to) {
            (Some(ONE_TO_ONE), None) => Target::Nobody,
            (Some(ONE_TO_ONE) | None, Some(to)) => Target::User(user_id(world, &to)?),
            (Some(group), _) => in_group(group)?,
            (None, None) => in_group(DEFAULT_GROUP)?,
        };
        let user = user(world)?;
        Ok((user, target, data.token.filter(|token| !token.is_empty())))
    }
}

fn join_of(room: RoomName, id: RequestId) -> Request {
    Request {
        id,
        command: Command::Join {
            room,
            since: Since::Now,
        },
    }
}

fn user_id(world: World, id: &str) -> Result<UserName, Code> {
    if id.len() >= limits::ACTION_USER_ID_BYTES {
        return Err(Code::BadUserId);
    }
    world.user(id).map_err(|_| Code::BadUserId)
}
