//! The head of a client's frame: everything before its payload (RFC 6455 section 5.2).
//!
//! Bytes are checked in the order in which they arrive, so an invalid head is refused at its first invalid byte, however the bytes were
//! split. A payload over the limit is refused by its announced length, before any of it arrives.

use std::borrow::Cow;

use fastwebsockets::OpCode;

use super::rules::{ReaderLimits, Violation};
use crate::limits::CONTROL_PAYLOAD_BYTES;

/// A head that passed every check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) opcode: OpCode,
    pub(super) fin: bool,
    pub(super) mask: [u8; 4],
    pub(super) payload_bytes: usize,
    /// The length of the head itself.
    pub(super) bytes: usize,
}

/// The received part of an unfinished message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fragmented {
    pub(super) bytes: usize,
    pub(super) fragments: usize,
}

/// Longest head of a masked frame: two bytes, a 64-bit length, the mask.
pub(super) const HEAD_BYTES: usize = 14;

impl Head {
    /// Parses a head at the front of `bytes`; `None` if it is incomplete and valid so far.
    #[inline]
    pub(super) fn read(
        bytes: &[u8],
        unfinished: Option<Fragmented>,
        limits: &ReaderLimits,
    ) -> Result<Option<Head>, Violation> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let fin = first & 0x80 != 0;
        let opcode = first_byte(first, fin, unfinished, limits)?;

        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        if second & 0x80 == 0 {
            return Err(Violation::protocol(
                "frame is not masked; a client must mask every frame",
            ));
        }
        let short = usize::from(second & 0x7F);
        if is_control(opcode) && short > CONTROL_PAYLOAD_BYTES {
            return Err(Violation::protocol("control frame is longer than 125 bytes"));
        }

        let (length, rest) = match short {
            126 => {
                let Some((&long, rest)) = rest.split_first_chunk() else {
                    return Ok(None);
                };
                (u64::from(u16::from_be_bytes(long)), rest)
            }
            127 => {
                let Some((&long, rest)) = rest.split_first_chunk() else {
                    return Ok(None);
                };
                (u64::from_be_bytes(long), rest)
            }
            _ => (short as u64, rest),
        };
        if length >> 63 != 0 {
            return Err(Violation::protocol("length has its top bit set"));
        }
        if (short == 126 && length < 126) || (short == 127 && length <= 0xFFFF) {
            return Err(Violation::protocol("length is not in its shortest form"));
        }
        // A control frame does not count towards the message around it. The sum stays below 2^64: see the top bit above.
        if !is_control(opcode) {
            let message = unfinished.map_or(0, |message| message.bytes as u64) + length;
            if message > limits.message_bytes as u64 {
                let most = limits.message_bytes;
                return Err(Violation::too_big(
                    format!("message of {message} bytes; at most {most} are allowed").into(),
                ));
            }
        }

        let Some(&mask) = rest.first_chunk() else {
            return Ok(None);
        };
        let Ok(payload_bytes) = usize::try_from(length) else {
            return Err(Violation::too_big(Cow::Borrowed(
                "message is longer than this machine can address",
            )));
        };
        Ok(Some(Head {
            opcode,
            fin,
            mask,
            payload_bytes,
            bytes: bytes.len() - rest.len() + mask.len(),
        }))
    }
}

/// The checks of the first byte.
#[inline]
fn first_byte(
    first: u8,
    fin: bool,
    unfinished: Option<Fragmented>,
    limits: &ReaderLimits,
) -> Result<OpCode, Violation> {
    if first & 0x70 != 0 {
        return Err(Violation::protocol(
            "reserved bit is set, but no extension was agreed on",
        ));
    }
    let Ok(opcode) = OpCode::try_from(first & 0x0F) else {
        return Err(Violation::protocol("opcode is unknown"));
    };
    match (opcode, unfinished) {
        (OpCode::Close | OpCode::Ping | OpCode::Pong, _) if !fin => {
            Err(Violation::protocol("control frame is fragmented"))
        }
        (OpCode::Continuation, None) => Err(Violation::protocol("continuation without a message to continue")),
        (OpCode::Text | OpCode::Binary, Some(_)) => Err(Violation::protocol("new message inside an unfinished one")),
        (OpCode::Continuation, Some(message)) if message.fragments >= limits.fragments => {
            let most = limits.fragments;
            Err(Violation::too_big(
                format!("message of more than {most} fragments").into(),
            ))
        }
        (OpCode::Continuation, Some(_)) | (OpCode::Text | OpCode::Binary, None) => Ok(opcode),
        (OpCode::Close | OpCode::Ping | OpCode::Pong, _) => Ok(opcode),
    }
}

fn is_control(opcode: OpCode) -> bool {
    match opcode {
        OpCode::Close | OpCode::Ping | OpCode::Pong => true,
        OpCode::Text | OpCode::Binary | OpCode::Continuation => false,
    }
}
