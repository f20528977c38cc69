//! Bounded decoding for the three protobuf formats, and the type names that two of them share.

use crate::{
    codec::{
        Fault, Message,
        protobuf::{Fields, Value},
    },
    limits,
};

/// The types of documents 001 and 002.
pub(in crate::codec) const TALK: &str = "talk";
/// See [`TALK`].
pub(in crate::codec) const EXIT: &str = "exit";
/// See [`TALK`].
pub(in crate::codec) const LIST: &str = "userlist";

/// Decodes a client's message. Its fields are counted first, so that its memory stays a small multiple of its bytes.
pub(super) fn parse<M: prost::Message + Default>(message: Message<'_>) -> Result<M, Fault> {
    let bytes = message.bytes();
    for (seen, field) in Fields::of(bytes).enumerate() {
        if field.is_err() {
            return Err(UNREADABLE);
        }
        if seen >= limits::LEGACY_LIST_ENTRIES + SCALARS {
            return Err(Fault::Close(1008, "the message has more than 64 list entries"));
        }
    }
    M::decode(bytes).map_err(|_| UNREADABLE)
}

/// The first three fields of a message if they hold text or bytes; `None` if it is not a message of these formats.
pub(in crate::codec) fn first_three(message: &[u8]) -> Option<[&[u8]; 3]> {
    let mut first: [&[u8]; 3] = [b""; 3];
    for (seen, field) in Fields::of(message).enumerate() {
        let (number, value) = field.ok()?;
        if seen > limits::LEGACY_LIST_ENTRIES {
            return None;
        }
        if let (1..=3, Value::Bytes(bytes)) = (number, value) {
            first[number as usize - 1] = bytes;
        }
    }
    Some(first)
}

const UNREADABLE: Fault = Fault::Close(1007, "the message is not the protobuf message of this dialect");
/// The largest number of non-repeated fields in a schema.
const SCALARS: usize = 4;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::proto::communication::Communication;

    /// Frames that no protobuf dialect can decode, or that exceed a bound. Each is a fault.
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
}
