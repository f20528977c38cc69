//! What the three protobuf dialects share: reading a message within bounds, and how they show names.
//!
//! The wire format is walked before anything is decoded, so that the memory of a message never exceeds a small multiple of
//! its bytes. <https://protobuf.dev/programming-guides/encoding/>

use std::{borrow::Cow, collections::BTreeMap};

use super::{Fault, Message};
use crate::{
    chat::{Command, Direct, ListOrder, Page, RoomName, TalkKind, UserName},
    limits,
};

/// The name under which the server itself speaks; [`shown`] never gives it to a user.
pub(super) const SYSTEM: &str = "系统";

/// The types of documents 001 and 002.
pub(super) const TALK: &str = "talk";
/// See [`TALK`].
pub(super) const EXIT: &str = "exit";
/// See [`TALK`].
pub(super) const LIST: &str = "userlist";

/// What is told to whoever says nothing.
pub(super) const EMPTY_TALK: &str = "the message is empty and was not sent; write something";

/// What is told to whoever says too much at once.
pub(super) const LONG_TALK: &str = "the message is longer than 64,512 bytes and was not sent; send it in parts";
const _: () = assert!(limits::TEXT_BYTES == 64_512, "the sentence above says 64,512");

/// Between the two names of a direct message.
const ARROW: char = '→';

/// One field of a message on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// Its number in the schema.
    pub(super) number: u64,
    /// What it holds, if it is a string, bytes or a message.
    pub(super) bytes: Option<&'a [u8]>,
}

/// The fields of a message in the order of the wire; ends after what cannot be read.
#[derive(Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

/// The bytes are not a protobuf message, or one with groups, which no client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The fields of a message.
pub(super) fn fields(message: &[u8]) -> Fields<'_> {
    Fields(message)
}

/// Decodes a message of a client, after its entries have been counted.
pub(super) fn parse<M: prost::Message + Default>(message: Message<'_>) -> Result<M, Fault> {
    let bytes = message.bytes();
    let mut seen = 0;
    for field in fields(bytes) {
        let Ok(_) = field else {
            return Err(UNREADABLE);
        };
        seen += 1;
        if seen > limits::LEGACY_LIST_ENTRIES + SCALARS {
            return Err(Fault::Close(1008, "the message has more than 64 list entries"));
        }
    }
    M::decode(bytes).map_err(|_| UNREADABLE)
}

/// A message to the lobby.
pub(super) fn talk_in_lobby(text: String) -> Command {
    Command::Talk {
        room: RoomName::lobby(),
        text: text.into(),
        kind: TalkKind::Text,
        key: None,
    }
}

/// Who is in the lobby, on one page: the clients of the five systems know no others.
pub(super) fn whole_list(order: ListOrder) -> Command {
    Command::Users {
        room: RoomName::lobby(),
        page: Page {
            after: None,
            limit: limits::LEGACY_USERS_LISTED,
            order,
        },
    }
}

/// A user's name as these dialects show it. They join names with `,` and `:`, so those become `，` and `：`;
/// `→` becomes `⇒`, because only the server says that something was direct; and nobody is shown under the server's own name.
pub(super) fn shown(name: &UserName) -> Cow<'_, str> {
    let name = unlike_system(name.as_str());
    if name.contains([',', ':', ARROW]) {
        Cow::Owned(without_arrow(&name).replace(',', "，").replace(':', "："))
    } else {
        name
    }
}

/// A name that is not the server's own and does not look like it.
pub(super) fn unlike_system(name: &str) -> Cow<'_, str> {
    // No name holds anything between these two that is not seen.
    if name == SYSTEM {
        Cow::Borrowed("系统(用户)")
    } else {
        Cow::Borrowed(name)
    }
}

/// A name that does not look like the speaker of a direct message.
pub(super) fn without_arrow(name: &str) -> Cow<'_, str> {
    if name.contains(ARROW) {
        Cow::Owned(name.replace(ARROW, "⇒"))
    } else {
        Cow::Borrowed(name)
    }
}

/// Who speaks in a direct message: these dialects have no other place to say that it is one, and to whom.
pub(super) fn shown_direct(direct: &Direct) -> String {
    format!("{}{ARROW}{}", shown(&direct.talk.from), shown(&direct.to))
}

/// The list as one text, each name followed by a comma: what the pages of documents 000 and 001 show.
pub(super) fn joined(names: &[UserName]) -> String {
    let mut text = String::with_capacity(names.len() * 12);
    for name in names {
        text.push_str(&shown(name));
        text.push(',');
    }
    text
}

/// The list as a map from each name to itself: what the clients of documents 001 and 002 read.
pub(super) fn mapped(names: &[UserName]) -> BTreeMap<String, String> {
    names
        .iter()
        .map(|name| (shown(name).into_owned(), shown(name).into_owned()))
        .collect()
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Unreadable))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<Field<'a>> {
        let key = self.varint()?;
        let number = key >> 3;
        if number == 0 || number > MAX_FIELD {
            return None;
        }
        let bytes = match key & 7 {
            0 => {
                self.varint()?;
                None
            }
            1 => {
                self.take(8)?;
                None
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Some(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                None
            }
            _ => return None,
        };
        Some(Field { number, bytes })
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

const UNREADABLE: Fault = Fault::Close(1007, "the message is not the protobuf message of this dialect");
/// Fields that are no lists: 4 in the largest schema.
const SCALARS: usize = 4;
/// Field numbers have 29 bits.
const MAX_FIELD: u64 = (1 << 29) - 1;

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::proto::communication::Communication;

    /// Frames that no protobuf dialect can read, or that hold more than it may: each ends in a fault.
    pub(in crate::codec) fn malformed() -> Vec<Vec<u8>> {
        let mut frames: Vec<Vec<u8>> = [
            &b"\x0a"[..],                                    // a key without its length
            b"\x0a\x05ab",                                   // shorter than it says
            b"\x0a\xff\xff\xff\xff\x0f",                     // 4 GiB announced
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // 2^64 - 1 announced
            b"\x80",                                         // half a varint
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", // a varint that does not end
            b"\x0a\x02\xff\xfe",                             // not UTF-8
            b"\x12\x03\xe5\xbc\xff",                         // cut inside a character
            b"\x08\x01",                                     // a number where a text belongs
            b"\x0d\x00\x00\x00\x00",                         // four bytes where a text belongs
            b"\x09\x00\x00\x00\x00\x00\x00\x00\x00",         // eight
            b"\x0b\x0c",                                     // a group
            b"\x0e",                                         // a wire type that does not exist
            b"\x00\x00",                                     // field 0
            b"\x1a\x80",                                     // half a length
            b"{\"type\":\"talk\"}",                          // JSON
            b"hello",                                        // chat text
            b"\x0a\x01",                                     // one byte missing
            b"\x0a\x00\x0f",                                 // a good field, then nonsense
        ]
        .map(<[u8]>::to_vec)
        .into();
        frames.push(b"\x22\x00".repeat(limits::LEGACY_LIST_ENTRIES + 5));
        frames.push(b"\x22\x00".repeat(2000));
        frames
    }

    #[test]
    fn a_frame_of_empty_entries_is_refused_before_it_becomes_memory() {
        let entries = b"\x22\x00".repeat(2000);
        assert_eq!(
            parse::<Communication>(Message::Binary(&entries)),
            Err(Fault::Close(1008, "the message has more than 64 list entries"))
        );
        let few = b"\x22\x00".repeat(limits::LEGACY_LIST_ENTRIES);
        assert_eq!(parse::<Communication>(Message::Text(&few)).unwrap().userlist.len(), 64);
    }

    #[test]
    fn fields_are_walked_as_prost_decodes_them() {
        let message = b"\x0a\x03\xe5\xbc\xa0\x10\x96\x01\x1d\x01\x02\x03\x04\x21\x01\x02\x03\x04\x05\x06\x07\x08";
        let seen: Vec<_> = fields(message).collect::<Result<_, _>>().unwrap();
        let numbers: Vec<u64> = seen.iter().map(|field| field.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        assert_eq!(seen[0].bytes, Some("张".as_bytes()));
        assert_eq!(seen[1].bytes, None);
    }

    #[test]
    fn no_name_can_forge_a_list_a_prefix_or_the_server() {
        let name = |text| UserName::parse(text).unwrap();
        assert_eq!(shown(&name("a:b,c")), "a：b，c");
        assert_eq!(shown(&name("张三")), "张三");
        assert_ne!(shown(&name("系统")), SYSTEM);
        assert_eq!(joined(&[name("a,b"), name("c")]), "a，b,c,");
        assert_eq!(joined(&[]), "");
    }
}
