//! Reads a protobuf message into its request.
//!
//! The envelope is walked by hand: it costs nothing, finds the id even when the request cannot be read, tells an unknown
//! request from none, sees a second one (a generated decoder would merge the two), and counts what is repeated before
//! memory is spent on it.

use prost::Message;

use super::{
    decode::{self, request_id},
    refusals::{FIRST_REQUEST, REQUESTS, no_request, two_requests, unknown_request},
};
use crate::{
    chat::{ErrorCode, Refusal, RequestId},
    codec::{
        Fault,
        protobuf::{Field, Fields, Torn, Value},
    },
    proto::plaza::{self, client_message::Request as Asked},
};

/// The field number of `id`.
const ID: u32 = 1;
/// The field number of `Hello.resume`.
const RESUME: u32 = 4;

pub(super) fn read(message: &[u8]) -> Result<(RequestId, Asked), Fault> {
    let mut id = None;
    read_request(message, &mut id)
        .map(|asked| (id, asked))
        .map_err(|refusal| Fault::Refused(id, refusal))
}

fn read_request(message: &[u8], id: &mut RequestId) -> Result<Asked, Refusal> {
    let mut request: Option<(u32, &[u8])> = None;
    let mut unknown = None;
    for field in fields(message) {
        let (number, value) = field?;
        match (number, value) {
            (ID, Value::Varint(seen)) => *id = request_id(seen)?,
            (ID, Value::Bytes(_) | Value::Fixed) => {
                return Err(ErrorCode::Malformed.because("field 1 (id) is not a varint; encode id as uint64"));
            }
            (number, Value::Bytes(body)) => match name(number) {
                Some(name) => match request {
                    Some((first, _)) => return Err(two_requests(self::name(first).unwrap_or_default(), name)),
                    None => request = Some((number, body)),
                },
                None => unknown = unknown.or(Some(number)),
            },
            (number, Value::Varint(_) | Value::Fixed) => {
                if let Some(name) = name(number) {
                    return Err(ErrorCode::Malformed.because(format!(
                        "field {number} ({name}) is not a message; encode it as in plaza/v1/chat.proto"
                    )));
                }
            }
        }
    }
    match (request, unknown) {
        (Some((number, body)), _) => ask(number, body),
        (None, Some(number)) => Err(unknown_request(&format!("in field {number}"))),
        (None, None) => Err(no_request()),
    }
}

/// The name of the request in a field of the envelope.
fn name(number: u32) -> Option<&'static str> {
    let place = number.checked_sub(FIRST_REQUEST)?;
    REQUESTS.get(usize::try_from(place).ok()?).copied()
}

fn ask(number: u32, body: &[u8]) -> Result<Asked, Refusal> {
    Ok(match number {
        2 => {
            count_resume(body)?;
            Asked::Hello(parse("hello", body)?)
        }
        3 => Asked::Join(parse("join", body)?),
        4 => Asked::Leave(parse("leave", body)?),
        5 => Asked::Talk(parse("talk", body)?),
        6 => Asked::Direct(parse("direct", body)?),
        7 => Asked::Users(parse("users", body)?),
        8 => Asked::Rooms(parse("rooms", body)?),
        9 => Asked::Topic(parse("topic", body)?),
        10 => Asked::Rename(parse("rename", body)?),
        11 => Asked::History(parse("history", body)?),
        12 => Asked::Search(parse("search", body)?),
        13 => Asked::Read(parse("read", body)?),
        14 => Asked::Unread(plaza::Unread {}),
        15 => Asked::Typing(parse("typing", body)?),
        16 => Asked::Ping(plaza::Ping {}),
        17 => Asked::Exit(plaza::Exit {}),
        other => return Err(unknown_request(&format!("in field {other}"))),
    })
}

fn parse<M: Message + Default>(request: &str, body: &[u8]) -> Result<M, Refusal> {
    M::decode(body).map_err(|fault| {
        // prost says which field and what was wrong with it, after a preface of its own.
        let said = fault.to_string();
        let said = said
            .strip_prefix("failed to decode Protobuf message: ")
            .unwrap_or(&said);
        ErrorCode::Malformed.because(format!(
            "{request} cannot be read: {said}; encode it as in plaza/v1/chat.proto"
        ))
    })
}

fn count_resume(hello: &[u8]) -> Result<(), Refusal> {
    let mut positions = 0;
    for field in fields(hello) {
        positions += usize::from(field?.0 == RESUME);
    }
    decode::resume_count(positions)
}

/// The fields of one message, not of those inside it.
fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, Refusal>> {
    let bytes = message.len();
    Fields::of(message).map(move |field| {
        field.map_err(|Torn { at }| {
            ErrorCode::Malformed.because(format!(
                "the field at byte {at} of {bytes} is cut off or no protobuf field; encode the message as in \
                 plaza/v1/chat.proto"
            ))
        })
    })
}
