//! The format `chat-request` (document 001): protobuf `ChatRequest` with the types `talk`, `exit` and `userlist`.
//!
//! The user name comes from the header `username`. A client without one joins as a guest and takes the first `userName` that one of
//! its messages carries, because the load test of document 001 gives its name only there. Later values are ignored, as are all values if
//! the handshake gave a name.
//!
//! The desktop client learns the list from `userList` alone and prints every `content`. So the server sends a list without content
//! whenever the list changes, and in reply to a message without content. Any other type is a message, as in the original. The format has
//! no errors: a message that cannot be decoded closes the connection, and a refusal is a line from the server.

use super::{
    lobby::{introduction, parse_given, talk_in_lobby, whole_list},
    names::{SYSTEM, joined, line, mapped, shown, shown_direct},
    pending_requests::PendingRequests,
    protobuf::{EXIT, LIST, TALK, parse},
};
use crate::{
    chat::{Command, Departure, Direct, Happening, ListOrder, Lists, Reply, Request, RequestId, RoomName, UserName},
    codec::{Codec, Dialect, Fault, Frames, Handshake, Message, handshake::header_value},
    proto::chat_request::ChatRequest as Wire,
};

/// The dialect of document 001.
#[derive(Debug)]
pub(crate) struct ChatRequest;

struct ChatRequestCodec {
    given: Option<Vec<u8>>,
    /// Neither the handshake nor a message has named the user.
    nameless: bool,
    /// The name, once the chat has confirmed it.
    name: Option<UserName>,
    /// Pending lists without content.
    pending: PendingRequests<()>,
}

impl Dialect for ChatRequest {
    fn open(&self, handshake: &Handshake) -> Box<dyn Codec> {
        Box::new(ChatRequestCodec {
            given: handshake.username.as_deref().map(header_value),
            nameless: true,
            name: None,
            pending: PendingRequests::new(),
        })
    }

    fn encode_at(&self, _at: u64, _encoding: usize, _room: &RoomName, happening: &Happening, out: &mut Frames) {
        match happening {
            Happening::Message(message) => say(&shown(&message.from), TALK, &message.text, out),
            Happening::UserLeft {
                user,
                how: Departure::Requested | Departure::Disconnected,
                ..
            } => say(&shown(user), EXIT, EXIT, out),
            Happening::Roster { users } => list(String::new(), String::new(), &users.names, out),
            Happening::System { text } => say(SYSTEM, TALK, text, out),
            // The list shows these.
            Happening::UserLeft {
                how: Departure::Merged, ..
            }
            | Happening::UserJoined { .. }
            | Happening::Renamed { .. }
            | Happening::Digest { .. }
            | Happening::Topic { .. }
            | Happening::Typing { .. } => {}
        }
    }

    fn encode_direct(&self, _encoding: usize, direct: &Direct, out: &mut Frames) {
        say(&shown_direct(direct), TALK, &direct.message.text, out);
    }
}

impl Codec for ChatRequestCodec {
    fn opening(&mut self) -> Result<Vec<Request>, Fault> {
        let requests = introduction(self.given.take(), &mut self.pending)?;
        self.nameless = !requests
            .iter()
            .any(|request| matches!(&request.command, Command::Hello(hello) if hello.name.is_some()));
        Ok(requests)
    }

    fn decode(&mut self, message: Message<'_>, requests: &mut Vec<Request>) -> Result<(), Fault> {
        let wire: Wire = parse(message)?;
        let (id, command) = match wire.r#type.as_str() {
            EXIT => (None, Command::Exit),
            LIST => (None, whole_list(ListOrder::Name)),
            _ if wire.content.is_empty() => (self.pending.ask_for_list(())?, whole_list(ListOrder::Name)),
            _ => (None, talk_in_lobby(wire.content)),
        };
        if self.nameless
            && let Some(name) = parse_given(&wire.user_name)?
        {
            self.nameless = false;
            requests.push(Request {
                id: Some(self.pending.next_id()),
                command: Command::Rename { name, key: None },
            });
        }
        requests.push(Request { id, command });
        Ok(())
    }

    fn encode_at(&mut self, _at: u64, id: RequestId, reply: &Reply, out: &mut Frames) {
        match reply {
            Reply::Welcome(welcome) => self.name = Some(welcome.name.clone()),
            Reply::Renamed { new, .. } => self.name = Some(new.clone()),
            Reply::UserPage { users, .. } => {
                let name = self.name.as_ref().map(|name| shown(name).into_owned());
                let content = match self.pending.take(id) {
                    Some(()) => String::new(),
                    None => joined(&users.names),
                };
                list(name.unwrap_or_default(), content, &users.names, out);
            }
            reply => {
                if matches!(reply, Reply::Error(_)) {
                    self.pending.take(id);
                }
                if let Some((name, text)) = line(reply) {
                    say(&name, TALK, text, out);
                }
            }
        }
    }

    fn lists(&self) -> Lists {
        Lists::OnChange
    }
}

fn list(user_name: String, content: String, users: &[UserName], out: &mut Frames) {
    let wire = Wire {
        user_name,
        r#type: LIST.into(),
        content,
        user_list: mapped(users),
    };
    out.protobuf(&wire);
}

fn say(name: &str, kind: &str, content: &str, out: &mut Frames) {
    let wire = Wire {
        user_name: name.into(),
        r#type: kind.into(),
        content: content.into(),
        ..Wire::default()
    };
    out.protobuf(&wire);
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::codec::{
        handshake::tests::{silent, with_header},
        legacy::{lobby::tests::hello_name, protobuf::tests::malformed},
        testing::{
            all, ask, direct, message, messages, names, refusal, renamed_reply, reply_frames, seen, welcome, went,
        },
    };

    fn wire(user_name: &str, kind: &str, content: &str) -> Vec<u8> {
        Wire {
            user_name: user_name.into(),
            r#type: kind.into(),
            content: content.into(),
            ..Wire::default()
        }
        .encode_to_vec()
    }

    fn commands(codec: &mut Box<dyn Codec>, bytes: &[u8]) -> Result<Vec<Command>, Fault> {
        let requests = ask(&mut **codec, bytes)?;
        Ok(requests.into_iter().map(|request| request.command).collect())
    }

    fn shown(happening: &Happening) -> Vec<Wire> {
        messages(&seen(&ChatRequest, 0, happening))
    }

    fn replied(codec: &mut Box<dyn Codec>, id: RequestId, reply: &Reply) -> Vec<Wire> {
        messages(&reply_frames(&mut **codec, id, reply))
    }

    fn opened(handshake: &Handshake) -> (Box<dyn Codec>, Option<String>) {
        let mut codec = ChatRequest.open(handshake);
        let name = hello_name(&codec.opening().unwrap()).map(str::to_owned);
        (codec, name)
    }

    #[test]
    fn a_name_in_the_handshake_is_the_name_whatever_messages_claim() {
        for header in ["张三".as_bytes(), b"%E5%BC%A0%E4%B8%89"] {
            let (mut codec, name) = opened(&with_header(header));
            assert_eq!(name.as_deref(), Some("张三"));
            let got = commands(&mut codec, &wire("mallory", "talk", "hi")).unwrap();
            assert!(matches!(&got[..], [Command::Talk { text, .. }] if &**text == "hi"));
        }
        assert_eq!(opened(&with_header(b"a+b")).1.as_deref(), Some("a+b"));
    }

    #[test]
    fn a_guest_takes_the_first_name_a_message_carries_and_no_other() {
        let (mut codec, name) = opened(&silent());
        assert_eq!(name, None);
        let list = commands(&mut codec, &wire("", "userlist", "")).unwrap();
        assert!(matches!(&list[..], [Command::Users { .. }]));
        let first = commands(&mut codec, &wire("tom", "talk", "hello")).unwrap();
        assert!(
            matches!(&first[..], [Command::Rename { name, .. }, Command::Talk { .. }] if name.as_str() == "tom"),
            "{first:?}"
        );
        let second = commands(&mut codec, &wire("mallory", "talk", "hello")).unwrap();
        assert!(matches!(&second[..], [Command::Talk { .. }]));
    }

    #[test]
    fn types_are_exit_and_userlist_and_any_other_is_a_message() {
        let (mut codec, _) = opened(&with_header(b"tom"));
        assert_eq!(commands(&mut codec, &wire("", "exit", "")).unwrap(), [Command::Exit]);
        for kind in ["", "TALK", "talk ", "login", "1"] {
            let got = commands(&mut codec, &wire("tom", kind, "x")).unwrap();
            assert!(
                matches!(&got[..], [Command::Talk { text, .. }] if &**text == "x"),
                "{kind}"
            );
        }
    }

    #[test]
    fn a_message_without_content_is_answered_by_a_list_without_content() {
        let (mut codec, _) = opened(&with_header(b"tom"));
        for kind in ["talk", ""] {
            let mut requests = Vec::new();
            codec
                .decode(Message::Binary(&wire("tom", kind, "")), &mut requests)
                .unwrap();
            assert!(matches!(&requests[0].command, Command::Users { .. }));
            let lists = replied(&mut codec, requests[0].id, &names(&["ann", "tom"]));
            assert_eq!((lists[0].content.as_str(), lists[0].user_list.len()), ("", 2));
        }
    }

    #[test]
    fn a_changed_list_is_sent_without_content_to_members_that_did_not_ask() {
        assert_eq!(
            shown(&Happening::Roster {
                users: all(&["a,b", "张三"])
            }),
            [Wire {
                r#type: "userlist".into(),
                user_list: [("a，b".into(), "a，b".into()), ("张三".into(), "张三".into())].into(),
                ..Wire::default()
            }]
        );
        assert_eq!(opened(&silent()).0.lists(), Lists::OnChange);
    }

    #[test]
    fn a_message_is_golden_and_carries_no_list() {
        let out = seen(&ChatRequest, 0, &Happening::Message(message("tom", "hi")));
        assert_eq!(&out.buffer[..], b"\x82\x0f\x0a\x03tom\x12\x04talk\x1a\x02hi");
        let chinese = shown(&Happening::Message(message("张三", "你好")));
        assert_eq!(
            (chinese[0].user_name.as_str(), chinese[0].content.as_str()),
            ("张三", "你好")
        );
    }

    #[test]
    fn an_exit_and_a_lost_connection_are_announced_as_exit() {
        for how in [Departure::Requested, Departure::Disconnected] {
            assert_eq!(
                shown(&went("tom", how)),
                [Wire {
                    user_name: "tom".into(),
                    r#type: "exit".into(),
                    content: "exit".into(),
                    ..Wire::default()
                }]
            );
        }
        assert_eq!(shown(&went("tom", Departure::Merged)), [], "the list shows it");
    }

    #[test]
    fn a_list_names_the_asker_under_the_name_in_force() {
        let (mut codec, _) = opened(&silent());
        assert_eq!(replied(&mut codec, None, &welcome("guest-1")), []);
        assert_eq!(replied(&mut codec, None, &renamed_reply("guest-1", "tom")), []);
        let lists = replied(&mut codec, None, &names(&["a,b", "tom"]));
        assert_eq!(lists.len(), 1);
        assert_eq!(lists[0].user_name, "tom");
        assert_eq!(lists[0].r#type, "userlist");
        assert_eq!(lists[0].content, "a，b,tom,");
        assert_eq!(
            lists[0].user_list,
            [("a，b".into(), "a，b".into()), ("tom".into(), "tom".into())].into()
        );
    }

    #[test]
    fn direct_messages_and_errors_are_shown_as_messages() {
        let (mut codec, _) = opened(&silent());
        let lines = [direct("bob", "tom", "psst"), refusal()].map(|reply| replied(&mut codec, None, &reply).remove(0));
        assert_eq!(
            (lines[0].user_name.as_str(), lines[0].content.as_str()),
            ("bob→tom", "psst")
        );
        assert_eq!(
            (lines[1].user_name.as_str(), lines[1].r#type.as_str()),
            (SYSTEM, "talk")
        );
    }

    #[test]
    fn malformed_frames_and_names_close() {
        for frame in malformed() {
            let (mut codec, _) = opened(&silent());
            match commands(&mut codec, &frame) {
                Err(Fault::Close(1007 | 1008, _)) => {}
                other => panic!("{frame:?} gave {other:?}"),
            }
        }
        let (mut codec, _) = opened(&silent());
        let forged = wire("a\nb", "talk", "x");
        assert!(matches!(commands(&mut codec, &forged), Err(Fault::Close(1008, _))));
    }
}
