//! The format `communication` (document 000): protobuf `Communication`. Type `1` is a message, `2` an exit, any other a request for the
//! list.
//!
//! The user name comes from the query `username`, else from the header `login-username`, else from the header `username`. The page shows
//! `Msg` as it is, so `Msg` holds the whole line: `name:text`, `nameout`, `a,b,c,`.
//!
//! The original broadcast every reply to a list request, and its desktop clients learn the list from that. So the server sends programs
//! the list whenever it changes. It sends pages none, because they print each list as a line.

use std::net::IpAddr;

use super::{
    addresses::{Addresses, Entry},
    lobby::{introduction, talk_in_lobby, whole_list},
    names::{SYSTEM, joined, line, shown, shown_direct},
    pending_requests::PendingRequests,
    protobuf::parse,
};
use crate::{
    chat::{
        ChatMessage, Command, Departure, Direct, Happening, ListOrder, Lists, Reply, Request, RequestId, RoomName,
        UserName,
    },
    codec::{Client, Codec, Dialect, DialectSettings, Fault, Frames, Handshake, Message, handshake::header_value},
    limits,
    proto::communication::Communication as Wire,
};

/// The dialect of document 000.
#[derive(Debug)]
pub(crate) struct Communication {
    /// The addresses of its users, if the operator shows them.
    addresses: Option<&'static Addresses>,
}

/// The state of one connection. It remembers the `Type` of each unanswered list request, because the answer repeats it.
struct CommunicationCodec {
    addresses: Option<&'static Addresses>,
    entry: Entry,
    name: Option<Vec<u8>>,
    client: Client,
    pending: PendingRequests<String>,
}

impl Communication {
    /// Without addresses, as the original.
    pub(crate) const DEFAULT: Self = Self { addresses: None };
}

impl Dialect for Communication {
    fn configured(&self, settings: &DialectSettings) -> Option<&'static dyn Dialect> {
        let addresses: Option<&'static Addresses> = settings.communication_show_ip.then(Addresses::leaked);
        Some(Box::leak(Box::new(Self { addresses })))
    }

    fn open(&self, handshake: &Handshake) -> Box<dyn Codec> {
        let header = |raw: &Option<Vec<u8>>| raw.as_deref().map(header_value);
        // An empty source counts as missing.
        let name = [
            handshake.query_value("username"),
            header(&handshake.login_username),
            header(&handshake.username),
        ]
        .into_iter()
        .flatten()
        .find(|name| !name.is_empty());
        Box::new(CommunicationCodec {
            addresses: self.addresses,
            entry: Entry::new(self.addresses),
            name,
            client: handshake.client,
            pending: PendingRequests::new(),
        })
    }

    fn encode_at(&self, _at: u64, encoding: usize, _room: &RoomName, happening: &Happening, out: &mut Frames) {
        match happening {
            Happening::Message(message) => say_message(message, self.addresses, out),
            Happening::UserLeft {
                user,
                how: Departure::Requested,
                ..
            } => {
                let user = shown(user);
                out.protobuf(&Wire {
                    r#type: EXIT.into(),
                    msg: format!("{user}out"),
                    username: user.into(),
                    ..Wire::default()
                });
            }
            Happening::Roster { users } if encoding == PROGRAM => list(LIST.into(), &users.names, out),
            Happening::System { text } => say(SYSTEM, text, None, out),
            // The reference has no message for these, and its page does not show them.
            Happening::UserLeft {
                how: Departure::Disconnected | Departure::Merged,
                ..
            }
            | Happening::UserJoined { .. }
            | Happening::Renamed { .. }
            | Happening::Digest { .. }
            | Happening::Roster { .. }
            | Happening::Topic { .. }
            | Happening::Typing { .. } => {}
        }
    }

    fn encode_direct(&self, _encoding: usize, direct: &Direct, out: &mut Frames) {
        say(&shown_direct(direct), &direct.message.text, None, out);
    }
}

impl Codec for CommunicationCodec {
    fn opening(&mut self) -> Result<Vec<Request>, Fault> {
        introduction(self.name.take(), &mut self.pending)
    }

    fn decode(&mut self, message: Message<'_>, requests: &mut Vec<Request>) -> Result<(), Fault> {
        let wire: Wire = parse(message)?;
        let (id, command) = match wire.r#type.as_str() {
            TALK if !wire.msg.is_empty() && wire.msg != LIST_WORD => (None, talk_in_lobby(wire.msg)),
            EXIT => (None, Command::Exit),
            _ => {
                if wire.r#type.len() > limits::LEGACY_ECHO_BYTES {
                    return Err(Fault::Close(1008, "the Type is longer than 64 bytes"));
                }
                (self.pending.ask_for_list(wire.r#type)?, whole_list(ListOrder::Name))
            }
        };
        requests.push(Request { id, command });
        Ok(())
    }

    fn encode_at(&mut self, _at: u64, id: RequestId, reply: &Reply, out: &mut Frames) {
        match reply {
            Reply::Welcome(welcome) => self.entry.welcome(welcome),
            Reply::UserPage { users, .. } => {
                let kind = self.pending.take(id).unwrap_or_else(|| LIST.into());
                list(kind, &users.names, out);
            }
            Reply::Replayed { message, .. } => say_message(message, self.addresses, out),
            reply => {
                if matches!(reply, Reply::Error(_)) {
                    self.pending.take(id);
                }
                if let Some((name, text)) = line(reply) {
                    say(&name, text, None, out);
                }
            }
        }
    }

    fn lists(&self) -> Lists {
        match self.client {
            Client::Page => Lists::OnRequest,
            Client::Program => Lists::OnChange,
        }
    }

    fn encoding(&self) -> usize {
        match self.client {
            Client::Page => PAGE,
            Client::Program => PROGRAM,
        }
    }
}

fn say_message(message: &ChatMessage, addresses: Option<&Addresses>, out: &mut Frames) {
    let from = addresses
        .and_then(|addresses| addresses.of(message))
        .map(|from| from.ip().to_canonical());
    say(&shown(&message.from), &message.text, from, out);
}

fn say(name: &str, text: &str, from: Option<IpAddr>, out: &mut Frames) {
    out.protobuf(&Wire {
        r#type: TALK.into(),
        msg: format!("{name}:{text}"),
        username: name.into(),
        ip: from.map(|from| from.to_string()).unwrap_or_default(),
        ..Wire::default()
    });
}

fn list(kind: String, users: &[UserName], out: &mut Frames) {
    out.protobuf(&Wire {
        r#type: kind,
        msg: joined(users),
        userlist: users.iter().map(|name| shown(name).into_owned()).collect(),
        ..Wire::default()
    });
}

/// For pages, and for programs.
pub(crate) const ENCODINGS: usize = 2;
const PAGE: usize = 0;
const PROGRAM: usize = 1;
const TALK: &str = "1";
const EXIT: &str = "2";
const LIST: &str = "3";
/// A message with exactly this text requests the list.
const LIST_WORD: &str = "userlist";

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::codec::{
        handshake::tests::{silent, with_header, with_query},
        legacy::{lobby::tests::hello_name, protobuf::tests::malformed},
        testing::{all, ask, direct, message, messages, names, refusal, reply_frames, seen, went},
    };

    fn decode(bytes: &[u8]) -> Result<Vec<Request>, Fault> {
        ask(&mut *Communication::DEFAULT.open(&silent()), bytes)
    }

    fn wire(kind: &str, msg: &str) -> Vec<u8> {
        Wire {
            r#type: kind.into(),
            msg: msg.into(),
            ..Wire::default()
        }
        .encode_to_vec()
    }

    fn shown(happening: &Happening) -> Vec<Wire> {
        messages(&seen(&Communication::DEFAULT, 0, happening))
    }

    #[test]
    fn the_name_comes_from_the_query_then_login_username_then_username() {
        let mut handshake = with_query("username=%E5%BC%A0%E4%B8%89");
        handshake.login_username = Some(b"second".to_vec());
        handshake.username = Some(b"third".to_vec());
        let name = |handshake: &Handshake| {
            let opening = Communication::DEFAULT.open(handshake).opening().unwrap();
            hello_name(&opening).map(str::to_owned)
        };
        assert_eq!(name(&handshake).as_deref(), Some("张三"));
        handshake.query = b"username=".to_vec();
        assert_eq!(name(&handshake).as_deref(), Some("second"));
        handshake.login_username = None;
        assert_eq!(name(&handshake).as_deref(), Some("third"));
        assert_eq!(name(&silent()), None);
        assert_eq!(name(&with_header("李四".as_bytes())).as_deref(), Some("李四"));
    }

    #[test]
    fn the_opening_joins_the_lobby_from_now() {
        let opening = Communication::DEFAULT.open(&silent()).opening().unwrap();
        assert_eq!(
            opening[1].command,
            Command::Join {
                room: RoomName::lobby(),
                since: crate::chat::Since::Now
            }
        );
    }

    #[test]
    fn type_1_talks_type_2_exits_and_everything_else_lists() {
        match &decode(&wire("1", "hhhhhh")).unwrap()[0].command {
            Command::Talk { room, text, .. } => assert_eq!((room.as_str(), &**text), ("lobby", "hhhhhh")),
            other => panic!("{other:?}"),
        }
        assert_eq!(decode(&wire("2", "")).unwrap()[0].command, Command::Exit);
        for (kind, msg) in [
            ("3", ""),
            ("3", "text"),
            ("1", ""),
            ("1", "userlist"),
            ("", ""),
            ("9", "x"),
        ] {
            match &decode(&wire(kind, msg)).unwrap()[0].command {
                Command::Users { page, .. } => assert_eq!(page.limit, limits::LEGACY_USERS_LISTED),
                other => panic!("{kind} {msg}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_text_frame_with_chinese_protobuf_is_a_message() {
        let bytes = b"\x0a\x011\x12\x06\xe4\xbd\xa0\xe5\xa5\xbd";
        match &decode(bytes).unwrap()[0].command {
            Command::Talk { text, .. } => assert_eq!(&**text, "你好"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_carries_its_name_in_the_text_byte_for_byte() {
        let out = seen(
            &Communication::DEFAULT,
            0,
            &Happening::Message(message("tom", "hhhhhh")),
        );
        assert_eq!(&out.buffer[..], b"\x82\x14\x0a\x011\x12\x0atom:hhhhhh\x1a\x03tom");
        let forged = shown(&Happening::Message(message("a:b,c", "你好")));
        assert_eq!(
            (forged[0].msg.as_str(), forged[0].username.as_str()),
            ("a：b，c:你好", "a：b，c")
        );
        assert_eq!(forged[0].ip, "");
    }

    #[test]
    fn who_exits_is_announced_and_who_is_lost_is_not() {
        let exit = shown(&went("tom", Departure::Requested));
        assert_eq!(
            exit,
            [Wire {
                r#type: "2".into(),
                msg: "tomout".into(),
                username: "tom".into(),
                ..Wire::default()
            }]
        );
        assert_eq!(shown(&went("tom", Departure::Disconnected)), []);
    }

    #[test]
    fn a_changed_list_is_sent_to_programs_and_not_to_pages() {
        let mut page = silent();
        page.client = Client::Page;
        let roster = Happening::Roster {
            users: all(&["ann", "b,x"]),
        };
        for (handshake, lists, shown) in [(silent(), Lists::OnChange, 1), (page, Lists::OnRequest, 0)] {
            let codec = Communication::DEFAULT.open(&handshake);
            assert_eq!(codec.lists(), lists);
            let sent: Vec<Wire> = messages(&seen(&Communication::DEFAULT, codec.encoding(), &roster));
            assert_eq!(sent.len(), shown);
            for list in sent {
                assert_eq!((list.r#type.as_str(), list.msg.as_str()), ("3", "ann,b，x,"));
                assert_eq!(list.userlist, ["ann", "b，x"]);
            }
        }
    }

    #[test]
    fn each_list_answers_with_the_type_it_was_asked_with() {
        let mut codec = Communication::DEFAULT.open(&silent());
        let mut requests = Vec::new();
        for kind in ["3", "1", "7"] {
            codec.decode(Message::Binary(&wire(kind, "")), &mut requests).unwrap();
        }
        reply_frames(&mut *codec, requests[1].id, &refusal());
        let list = |request: &Request| -> Vec<Wire> {
            messages(&reply_frames(&mut *codec, request.id, &names(&["a", "b,x", "c"])))
        };
        let lists = [&requests[0], &requests[2]].map(list).concat();
        assert_eq!((lists[0].r#type.as_str(), lists[1].r#type.as_str()), ("3", "7"));
        assert_eq!(lists[0].msg, "a,b，x,c,");
        assert_eq!(lists[0].userlist, ["a", "b，x", "c"]);
        assert_eq!(lists[0].username, "");
    }

    #[test]
    fn a_flood_of_lists_is_refused_and_then_closed() {
        let mut codec = Communication::DEFAULT.open(&silent());
        let mut requests = Vec::new();
        for _ in 0..limits::LEGACY_UNANSWERED {
            codec.decode(Message::Binary(&wire("3", "")), &mut requests).unwrap();
        }
        assert!(matches!(
            codec.decode(Message::Binary(&wire("3", "")), &mut requests),
            Err(Fault::Refused(None, _))
        ));
        reply_frames(&mut *codec, requests[0].id, &names(&[]));
        codec.decode(Message::Binary(&wire("3", "")), &mut requests).unwrap();
    }

    #[test]
    fn direct_messages_and_errors_are_lines_whose_sender_no_user_can_be() {
        let mut codec = Communication::DEFAULT.open(&silent());
        let line = |reply: Reply| -> Vec<Wire> { messages(&reply_frames(&mut *codec, None, &reply)) };
        let lines = [direct("bob", "tom", "psst"), refusal()].map(line).concat();
        assert_eq!(lines[0].msg, "bob→tom:psst");
        assert_eq!(lines[1].username, SYSTEM);
        assert_ne!(shown(&Happening::Message(message(SYSTEM, "x")))[0].username, SYSTEM);
    }

    #[test]
    fn malformed_frames_close_with_1007_or_1008() {
        let frames = malformed();
        assert!(frames.len() >= 20);
        for frame in frames {
            match decode(&frame) {
                Err(Fault::Close(1007 | 1008, _)) => {}
                other => panic!("{frame:?} gave {other:?}"),
            }
        }
        assert!(matches!(decode(&wire(&"x".repeat(65), "")), Err(Fault::Close(1008, _))));
    }
}
