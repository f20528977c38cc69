//! Parses a protobuf message to a request of the schema.
//!
//! The envelope is walked field by field before anything is decoded, so that a refusal has the id, an unknown request is
//! distinguished from a missing one, and a second request is detected. A generated decoder would merge two requests into one.

use super::{
    decode::{self, request_id},
    requests::{self, Body, FIRST_REQUEST, REQUESTS, no_request, two_requests, unknown_request},
};
use crate::{
    chat::{ErrorCode, Refusal, RequestId},
    codec::{
        Fault,
        protobuf::{Field, Fields, Torn, Value},
    },
    proto::plaza::{self, client_message::Request as RequestBody},
};

/// The field number of `id`.
const ID: u32 = 1;
/// The field number of `Hello.resume`.
const RESUME: u32 = 4;

pub(super) fn read(message: &[u8]) -> Result<(RequestId, RequestBody), Fault> {
    let mut id = None;
    read_request(message, &mut id)
        .map(|body| (id, body))
        .map_err(|refusal| Fault::Refused(id, refusal))
}

fn read_request(message: &[u8], id: &mut RequestId) -> Result<RequestBody, Refusal> {
    let mut request: Option<(&'static str, &[u8])> = None;
    let mut unknown = None;
    for field in fields(message) {
        let (number, value) = field?;
        match (name(number), value) {
            (_, Value::Varint(seen)) if number == ID => *id = request_id(seen)?,
            (_, Value::Bytes(_) | Value::Fixed) if number == ID => {
                return Err(ErrorCode::Malformed.because("field 1 (id) is not a varint; encode id as uint64"));
            }
            (Some(name), Value::Bytes(body)) => match request {
                Some((first, _)) => return Err(two_requests(first, name)),
                None => request = Some((name, body)),
            },
            (Some(name), Value::Varint(_) | Value::Fixed) => {
                return Err(ErrorCode::Malformed.because(format!(
                    "field {number} ({name}) is not a message; encode it as in plaza/v1/chat.proto"
                )));
            }
            (None, Value::Bytes(_)) => unknown = unknown.or(Some(number)),
            (None, Value::Varint(_) | Value::Fixed) => {}
        }
    }
    match (request, unknown) {
        (Some((name, body)), _) => requests::read(name, body),
        (None, Some(number)) => Err(unknown_request(&format!("in field {number}"))),
        (None, None) => Err(no_request()),
    }
}

/// The name of the request with this field number.
fn name(number: u32) -> Option<&'static str> {
    let place = number.checked_sub(FIRST_REQUEST)?;
    REQUESTS.get(usize::try_from(place).ok()?).copied()
}

impl Body for &[u8] {
    fn read<M: prost::Message + Default>(self, request: &str) -> Result<M, Refusal> {
        M::decode(self).map_err(|fault| {
            // prost adds the field and the fault after a prefix of its own.
            let problem = fault.to_string();
            let problem = problem
                .strip_prefix("failed to decode Protobuf message: ")
                .unwrap_or(&problem);
            ErrorCode::Malformed.because(format!(
                "{request} cannot be read: {problem}; encode it as in plaza/v1/chat.proto"
            ))
        })
    }

    fn read_hello(self) -> Result<plaza::Hello, Refusal> {
        let mut positions = 0;
        for field in fields(self) {
            positions += usize::from(field?.0 == RESUME);
        }
        decode::resume_count(positions)?;
        self.read("hello")
    }
}

/// The fields of one message, without those of nested messages.
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
