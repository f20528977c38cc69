//! Decodes the frames of one client from bytes as they arrive from the socket.
//!
//! Invariants: any split of the same bytes gives the same messages and the same end. A frame that is complete in the caller's buffer is
//! unmasked in place and passed on as a slice, without a copy or an allocation. The reader buffers only an unfinished frame or message,
//! frees that buffer when it is complete, and never allocates more than it has received. Any violation of RFC 6455 ends the stream; a
//! text that is not UTF-8 ends it at the first invalid byte.
//!
//! The reader never does I/O, reads a clock (the caller times [`FrameReader::is_unfinished`]) or answers a ping or a close.

use std::{mem, str};

use fastwebsockets::{OpCode, unmask};

use super::{
    head::{Fragmented, HEAD_BYTES, Head},
    rules::{ReaderLimits, Violation},
};

/// A complete message of a client, over all its fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message; valid UTF-8 if [`ReaderLimits::text_is_utf8`] is set.
    Text(&'a [u8]),
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The bytes, whichever kind of frame they came in.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Text(bytes) | Self::Binary(bytes) => bytes,
        }
    }
}

/// What a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'a> {
    Message(Message<'a>),
    /// A ping, to be answered with a pong of the same payload (at most 125 bytes).
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    /// The last frame of the stream, to be answered with a close frame.
    Close {
        /// A code that is valid in a close frame (RFC 6455 section 7.4), or `None` if the frame was empty.
        code: Option<u16>,
        /// At most 123 bytes.
        reason: &'a str,
    },
}

/// What a sink of [`Incoming`] wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Go,
    /// Nothing until [`FrameReader::resume`].
    Pause,
}

/// Why the reader stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The input is used up.
    NeedMore,
    /// The sink returned [`Flow::Pause`]; the rest is buffered for [`FrameReader::resume`].
    Paused,
    /// The stream has ended by a close frame or an earlier violation; later bytes are discarded.
    Closed,
}

/// Reads the frames of one client. Uses no heap while nothing is unfinished.
#[derive(Debug)]
pub struct FrameReader {
    limits: ReaderLimits,
    ended: bool,
    /// `None` if nothing is unfinished or unread.
    buffered: Option<Box<Buffered>>,
}

/// Unfinished and unread input.
#[derive(Debug, Default)]
struct Buffered {
    /// The beginning of an incomplete head.
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// The frame whose payload is incomplete.
    frame: Option<Frame>,
    /// The message of this frame, or of earlier fragments.
    message: Option<Unfinished>,
    /// The payload of an unfinished control frame.
    control: Vec<u8>,
    /// Unprocessed bytes, from `unread_at` on, because the sink paused.
    unread: Vec<u8>,
    unread_at: usize,
}

/// A frame whose head has arrived.
#[derive(Debug)]
struct Frame {
    opcode: OpCode,
    fin: bool,
    /// Rotated so that its first byte belongs to the next byte of the payload.
    mask: [u8; 4],
    /// Bytes of the payload that have not arrived.
    missing: usize,
}

/// A message whose last byte has not arrived.
#[derive(Debug)]
struct Unfinished {
    /// Text or binary.
    opcode: OpCode,
    fragments: usize,
    bytes: Vec<u8>,
    /// The number of bytes at the front that are whole characters; up to 3 bytes after them begin another one.
    whole_characters: usize,
}

enum Step {
    NeedMore,
    /// Something was read, and there may be more.
    GoOn,
    Paused,
    Closed,
}

impl FrameReader {
    pub fn new(limits: ReaderLimits) -> FrameReader {
        FrameReader {
            limits,
            ended: false,
            buffered: None,
        }
    }

    /// Changes the limits of all later input.
    pub fn set_limits(&mut self, limits: ReaderLimits) {
        self.limits = limits;
    }

    /// Reads the next bytes of the stream, unmasks them in place, and passes everything complete to `sink`.
    ///
    /// While the reader is paused, `input` is appended to the buffered bytes, and reading continues as with
    /// [`resume`](FrameReader::resume). To bound the memory, the caller should not read its socket then.
    pub fn read(
        &mut self,
        input: &mut [u8],
        mut sink: impl FnMut(Incoming<'_>) -> Flow,
    ) -> Result<Progress, Violation> {
        if let Some(buffered) = self
            .buffered
            .as_deref_mut()
            .filter(|buffered| !buffered.unread.is_empty())
        {
            buffered.unread.extend_from_slice(input);
            return self.resume(sink);
        }
        let (progress, read) = self.run(input, &mut sink)?;
        if let (Progress::Paused, Some(rest @ [_, ..])) = (progress, input.get(read..)) {
            self.buffered.get_or_insert_default().unread = rest.to_vec();
        }
        Ok(progress)
    }

    /// Continues after [`Progress::Paused`] with the buffered bytes.
    pub fn resume(&mut self, mut sink: impl FnMut(Incoming<'_>) -> Flow) -> Result<Progress, Violation> {
        let Some(buffered) = self.buffered.as_deref_mut() else {
            return self.run(&mut [], &mut sink).map(|(done, _)| done);
        };
        let mut unread = mem::take(&mut buffered.unread);
        let from = mem::take(&mut buffered.unread_at);
        let (progress, read) = self.run(unread.get_mut(from..).unwrap_or_default(), &mut sink)?;
        if progress == Progress::Paused && from + read < unread.len() {
            let buffered = self.buffered.get_or_insert_default();
            buffered.unread = unread;
            buffered.unread_at = from + read;
        }
        Ok(progress)
    }

    /// Whether a frame or a fragmented message is incomplete; the caller times it. Bytes that wait because the sink paused do not count,
    /// because they are not the client's fault.
    pub fn is_unfinished(&self) -> bool {
        self.buffered
            .as_deref()
            .is_some_and(|buffered| buffered.head_bytes > 0 || buffered.frame.is_some() || buffered.message.is_some())
    }

    pub fn buffered_bytes(&self) -> usize {
        self.buffered.as_deref().map_or(0, |buffered| {
            let message = buffered.message.as_ref().map_or(0, |message| message.bytes.capacity());
            size_of::<Buffered>() + message + buffered.control.capacity() + buffered.unread.capacity()
        })
    }

    /// Reads until the input is used up, the sink pauses or the stream ends. Returns the number of bytes read.
    fn run(
        &mut self,
        input: &mut [u8],
        sink: &mut impl FnMut(Incoming<'_>) -> Flow,
    ) -> Result<(Progress, usize), Violation> {
        let mut read = 0;
        let outcome = loop {
            if self.ended {
                break Ok(Progress::Closed);
            }
            let rest = input.get_mut(read..).unwrap_or_default();
            let step = match self.buffered.as_deref_mut() {
                Some(buffered) if buffered.frame.is_some() => buffered.go_on(rest, &self.limits, sink),
                Some(buffered) if buffered.head_bytes > 0 => buffered.complete_head(rest, &self.limits),
                Some(_) | None => self.next_frame(rest, sink),
            };
            match step {
                Ok((bytes, Step::GoOn)) => read += bytes,
                Ok((bytes, Step::NeedMore)) => {
                    read += bytes;
                    break Ok(Progress::NeedMore);
                }
                Ok((bytes, Step::Paused)) => {
                    read += bytes;
                    break Ok(Progress::Paused);
                }
                Ok((_, Step::Closed)) => self.ended = true,
                Err(violation) => {
                    self.ended = true;
                    break Err(violation);
                }
            }
        };
        if self.ended || self.buffered.as_deref().is_some_and(Buffered::is_empty) {
            self.buffered = None;
        }
        outcome.map(|progress| (progress, read))
    }

    /// Reads a frame from its first byte on: the whole frame, or the part that has arrived.
    #[inline]
    fn next_frame(
        &mut self,
        input: &mut [u8],
        sink: &mut impl FnMut(Incoming<'_>) -> Flow,
    ) -> Result<(usize, Step), Violation> {
        let unfinished = self.buffered.as_deref().and_then(Buffered::fragmented);
        let Some(head) = Head::read(input, unfinished, &self.limits)? else {
            if !input.is_empty() {
                self.buffered
                    .get_or_insert_default()
                    .complete_head(input, &self.limits)?;
            }
            return Ok((input.len(), Step::NeedMore));
        };
        let stands_alone = head.fin && head.opcode != OpCode::Continuation;
        match input
            .get_mut(head.bytes..)
            .and_then(|rest| rest.get_mut(..head.payload_bytes))
        {
            Some(payload) if stands_alone => {
                unmask(payload, head.mask);
                Ok((
                    head.bytes + head.payload_bytes,
                    hand_out(head.opcode, payload, &self.limits, sink)?,
                ))
            }
            Some(_) | None => {
                self.buffered.get_or_insert_default().begin(head);
                Ok((head.bytes, Step::GoOn))
            }
        }
    }
}

impl Buffered {
    fn is_empty(&self) -> bool {
        self.head_bytes == 0 && self.frame.is_none() && self.message.is_none() && self.unread.is_empty()
    }

    fn fragmented(&self) -> Option<Fragmented> {
        self.message.as_ref().map(|message| Fragmented {
            bytes: message.bytes.len(),
            fragments: message.fragments,
        })
    }

    /// Continues a head that began earlier, or begins an incomplete one.
    fn complete_head(&mut self, input: &[u8], limits: &ReaderLimits) -> Result<(usize, Step), Violation> {
        let earlier = self.head_bytes;
        let room = self.head.get_mut(earlier..).unwrap_or_default();
        let added = room.len().min(input.len());
        room.iter_mut().zip(input).for_each(|(to, from)| *to = *from);
        let bytes = self.head.get(..earlier + added).unwrap_or_default();
        match Head::read(bytes, self.fragmented(), limits)? {
            Some(head) => {
                self.head_bytes = 0;
                self.begin(head);
                Ok((head.bytes - earlier, Step::GoOn))
            }
            None => {
                self.head_bytes += added;
                Ok((added, Step::NeedMore))
            }
        }
    }

    /// Begins a frame that is incomplete, or belongs to a fragmented message.
    fn begin(&mut self, head: Head) {
        let Head {
            opcode,
            fin,
            mask,
            payload_bytes,
            ..
        } = head;
        self.frame = Some(Frame {
            opcode,
            fin,
            mask,
            missing: payload_bytes,
        });
        match opcode {
            OpCode::Close | OpCode::Ping | OpCode::Pong => {}
            OpCode::Text | OpCode::Binary | OpCode::Continuation => {
                let message = self.message.get_or_insert_with(|| Unfinished {
                    opcode,
                    fragments: 0,
                    bytes: Vec::new(),
                    whole_characters: 0,
                });
                message.fragments += 1;
            }
        }
    }

    /// Continues the unfinished frame, and passes on what this completes.
    fn go_on(
        &mut self,
        input: &mut [u8],
        limits: &ReaderLimits,
        sink: &mut impl FnMut(Incoming<'_>) -> Flow,
    ) -> Result<(usize, Step), Violation> {
        let Some(frame) = &mut self.frame else {
            return Ok((0, Step::GoOn));
        };
        let added = frame.missing.min(input.len());
        let payload = input.get_mut(..added).unwrap_or_default();
        unmask(payload, frame.mask);
        frame.mask.rotate_left(added % 4);
        frame.missing -= added;
        let (opcode, fin, is_whole) = (frame.opcode, frame.fin, frame.missing == 0);
        if is_whole {
            self.frame = None;
        }

        match opcode {
            OpCode::Close | OpCode::Ping | OpCode::Pong => {
                self.control.extend_from_slice(payload);
                if is_whole {
                    let payload = mem::take(&mut self.control);
                    return Ok((added, hand_out(opcode, &payload, limits, sink)?));
                }
            }
            OpCode::Text | OpCode::Binary | OpCode::Continuation => {
                if let Some(message) = &mut self.message {
                    message.add(payload, limits)?;
                }
                if is_whole
                    && fin
                    && let Some(message) = self.message.take()
                {
                    return Ok((added, message.hand_out(limits, sink)?));
                }
            }
        }
        Ok((added, if is_whole { Step::GoOn } else { Step::NeedMore }))
    }
}

impl Unfinished {
    /// Adds unmasked bytes. Refuses bytes that can no longer become UTF-8.
    fn add(&mut self, payload: &[u8], limits: &ReaderLimits) -> Result<(), Violation> {
        self.bytes.extend_from_slice(payload);
        if self.opcode == OpCode::Text && limits.text_is_utf8 {
            self.whole_characters += match str::from_utf8(self.bytes.get(self.whole_characters..).unwrap_or_default()) {
                Ok(text) => text.len(),
                Err(cut) if cut.error_len().is_none() => cut.valid_up_to(),
                Err(_) => return Err(Violation::not_utf8("text is not UTF-8")),
            };
        }
        Ok(())
    }

    fn hand_out(self, limits: &ReaderLimits, sink: &mut impl FnMut(Incoming<'_>) -> Flow) -> Result<Step, Violation> {
        let message = if self.opcode == OpCode::Text {
            if limits.text_is_utf8 && self.whole_characters < self.bytes.len() {
                return Err(Violation::not_utf8("text ends inside a character"));
            }
            Message::Text(&self.bytes)
        } else {
            Message::Binary(&self.bytes)
        };
        Ok(Step::after(sink(Incoming::Message(message))))
    }
}

impl Step {
    fn after(flow: Flow) -> Step {
        match flow {
            Flow::Go => Step::GoOn,
            Flow::Pause => Step::Paused,
        }
    }
}

/// Checks a complete, unmasked, unfragmented frame and passes it on.
#[inline]
fn hand_out(
    opcode: OpCode,
    payload: &[u8],
    limits: &ReaderLimits,
    sink: &mut impl FnMut(Incoming<'_>) -> Flow,
) -> Result<Step, Violation> {
    let incoming = match opcode {
        OpCode::Text => {
            if limits.text_is_utf8
                && let Err(wrong) = str::from_utf8(payload)
            {
                return Err(Violation::not_utf8(match wrong.error_len() {
                    Some(_) => "text is not UTF-8",
                    None => "text ends inside a character",
                }));
            }
            Incoming::Message(Message::Text(payload))
        }
        // A continuation is never passed on by itself; its message is binary or text.
        OpCode::Binary | OpCode::Continuation => Incoming::Message(Message::Binary(payload)),
        OpCode::Ping => Incoming::Ping(payload),
        OpCode::Pong => Incoming::Pong(payload),
        OpCode::Close => {
            sink(close(payload)?);
            return Ok(Step::Closed);
        }
    };
    Ok(Step::after(sink(incoming)))
}

/// The payload of a close frame (RFC 6455 section 5.5.1).
fn close(payload: &[u8]) -> Result<Incoming<'_>, Violation> {
    match payload.split_first_chunk() {
        None if payload.is_empty() => Ok(Incoming::Close { code: None, reason: "" }),
        None => Err(Violation::protocol("close frame of 1 byte; a code takes 2")),
        Some((&code, reason)) => {
            let code = u16::from_be_bytes(code);
            if !is_close_code(code) {
                return Err(Violation::protocol("close code may not be sent"));
            }
            let reason = str::from_utf8(reason).map_err(|_| Violation::not_utf8("close reason is not UTF-8"))?;
            Ok(Incoming::Close {
                code: Some(code),
                reason,
            })
        }
    }
}

/// Whether a code is valid in a close frame: those of RFC 6455 section 7.4.1 and of IANA's registry, and those for libraries and
/// applications (7.4.2). Invalid are 1004, the codes that mean that no frame arrived (1005, 1006, 1015), and unassigned codes.
fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests;
