//! The format `chatroom` (document 002): protobuf `ChatRoomRequest` with the types `talk`, `exit` and `userlist`.
//!
//! The user name comes from the header `username`; the sender field of a message is ignored. The desktop client takes any message
//! with a non-empty `user_list` for the list, and prints any other message that has both `user_name` and `content`. So messages
//! carry no list, and a frame that the client must not print never carries both fields.
//!
//! A `talk` without content is how the user refreshes the list. An unknown type is ignored, as in the original. The format has no
//! errors: a message that cannot be decoded closes the connection, and a refusal is a line from the server.

use super::{
    lobby::{introduction, talk_in_lobby, whole_list},
    names::{SYSTEM, line, mapped, shown, shown_direct},
    pending_requests::PendingRequests,
    protobuf::{EXIT, LIST, TALK, parse},
};
use crate::{
    chat::{Command, Direct, Happening, ListOrder, Reply, Request, RequestId, RoomName},
    codec::{Codec, Dialect, Fault, Frames, Handshake, Message, handshake::header_value},
    proto::chatroom::ChatRoomRequest as Wire,
};

/// The dialect of document 002.
#[derive(Debug)]
pub(crate) struct Chatroom;

struct ChatroomCodec {
    given: Option<Vec<u8>>,
    pending: PendingRequests<()>,
}

impl Dialect for Chatroom {
    fn open(&self, handshake: &Handshake) -> Box<dyn Codec> {
        Box::new(ChatroomCodec {
            given: handshake.username.as_deref().map(header_value),
            pending: PendingRequests::new(),
        })
    }

    fn encode_at(&self, _at: u64, _encoding: usize, _room: &RoomName, happening: &Happening, out: &mut Frames) {
        match happening {
            Happening::Message(message) => say(&shown(&message.from), &message.text, out),
            Happening::System { text } => say(SYSTEM, text, out),
            // The reference has no message for these; its client requests the list.
            Happening::UserJoined { .. }
            | Happening::UserLeft { .. }
            | Happening::Renamed { .. }
            | Happening::Digest { .. }
            | Happening::Roster { .. }
            | Happening::Topic { .. }
            | Happening::Typing { .. } => {}
        }
    }

    fn encode_direct(&self, _encoding: usize, direct: &Direct, out: &mut Frames) {
        say(&shown_direct(direct), &direct.message.text, out);
    }
}

impl Codec for ChatroomCodec {
    fn opening(&mut self) -> Result<Vec<Request>, Fault> {
        introduction(self.given.take(), &mut self.pending)
    }

    fn decode(&mut self, message: Message<'_>, requests: &mut Vec<Request>) -> Result<(), Fault> {
        let wire: Wire = parse(message)?;
        let command = match wire.r#type.as_str() {
            TALK if wire.content.is_empty() => whole_list(ListOrder::Name),
            TALK => talk_in_lobby(wire.content),
            EXIT => Command::Exit,
            LIST => whole_list(ListOrder::Name),
            _ => return Ok(()),
        };
        requests.push(Request { id: None, command });
        Ok(())
    }

    fn encode_at(&mut self, _at: u64, _id: RequestId, reply: &Reply, out: &mut Frames) {
        if let Reply::UserPage { users, .. } = reply {
            out.protobuf(&Wire {
                r#type: LIST.into(),
                user_list: mapped(&users.names),
                ..Wire::default()
            });
        } else if let Some((name, text)) = line(reply) {
            say(&name, text, out);
        }
    }
}

fn say(name: &str, content: &str, out: &mut Frames) {
    out.protobuf(&Wire {
        r#type: TALK.into(),
        user_name: name.into(),
        content: content.into(),
        ..Wire::default()
    });
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::{
        chat::Departure,
        codec::{
            handshake::tests::{silent, with_header},
            legacy::{lobby::tests::hello_name, protobuf::tests::malformed},
            testing::{ask, direct, message, messages, names, refusal, reply_frames, seen, went},
        },
    };

    fn wire(kind: &str, user_name: &str, content: &str) -> Vec<u8> {
        Wire {
            r#type: kind.into(),
            user_name: user_name.into(),
            content: content.into(),
            ..Wire::default()
        }
        .encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Command, Fault> {
        let mut requests = ask(&mut *Chatroom.open(&silent()), bytes)?;
        assert_eq!(requests.len(), 1);
        Ok(requests.remove(0).command)
    }

    fn one(reply: &Reply) -> Wire {
        messages(&reply_frames(&mut *Chatroom.open(&silent()), None, reply)).remove(0)
    }

    #[test]
    fn the_header_names_the_user_and_the_message_does_not() {
        for (header, name) in [("李四".as_bytes(), "李四"), (b"%E6%9D%8E", "李"), (b"a+b", "a+b")] {
            let opening = Chatroom.open(&with_header(header)).opening().unwrap();
            assert_eq!(hello_name(&opening), Some(name));
        }
        assert_eq!(hello_name(&Chatroom.open(&silent()).opening().unwrap()), None);
        match decode(&wire("talk", "mallory", "你好")).unwrap() {
            Command::Talk { room, text, .. } => assert_eq!((room.as_str(), &*text), ("lobby", "你好")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn exit_ends_userlist_and_an_empty_message_ask_and_any_other_type_is_ignored() {
        assert_eq!(decode(&wire("exit", "", "")).unwrap(), Command::Exit);
        assert!(matches!(decode(&wire("userlist", "", "")), Ok(Command::Users { .. })));
        for kind in ["", "Talk", "list", "3"] {
            let ignored = ask(&mut *Chatroom.open(&silent()), wire(kind, "x", "y"));
            assert_eq!(ignored, Ok(Vec::new()), "{kind}");
        }
        assert!(matches!(decode(&wire("talk", "x", "")), Ok(Command::Users { .. })));
    }

    #[test]
    fn a_message_is_golden_and_without_a_list() {
        let out = seen(&Chatroom, 0, &Happening::Message(message("tom", "hi")));
        assert_eq!(&out.buffer[..], b"\x82\x0f\x0a\x04talk\x12\x03tom\x1a\x02hi");
    }

    #[test]
    fn the_list_maps_each_name_to_itself_and_would_not_be_shown_as_a_message() {
        let list = one(&names(&["a:b", "张三"]));
        assert_eq!(list.r#type, "userlist");
        assert_eq!((list.user_name.as_str(), list.content.as_str()), ("", ""));
        assert_eq!(
            list.user_list,
            [("a：b".into(), "a：b".into()), ("张三".into(), "张三".into())].into()
        );
    }

    #[test]
    fn nobody_is_told_who_left() {
        for how in [Departure::Requested, Departure::Disconnected] {
            assert!(seen(&Chatroom, 0, &went("tom", how)).buffer.is_empty());
        }
    }

    #[test]
    fn direct_messages_and_errors_are_shown_as_messages() {
        let lines = [one(&direct("bob", "tom", "psst")), one(&refusal())];
        assert_eq!(
            (lines[0].user_name.as_str(), lines[0].content.as_str()),
            ("bob→tom", "psst")
        );
        assert_eq!(lines[1].user_name, SYSTEM);
        assert!(lines.iter().all(|line| line.user_list.is_empty()));
    }

    #[test]
    fn malformed_frames_close_with_1007_or_1008() {
        for frame in malformed() {
            match decode(&frame) {
                Err(Fault::Close(1007 | 1008, _)) => {}
                other => panic!("{frame:?} gave {other:?}"),
            }
        }
    }
}
