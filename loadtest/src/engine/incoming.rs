//! Incoming data: from bytes to frames, from frames to messages at their places, and all deviations.

use std::{
    io::{self, Read},
    ops::Range,
};

use super::{End, Engine, Happened, Id, State, masked};
use crate::{
    audit::Seen,
    dialect::{self, Dialect, Fact, UPGRADE_ACCEPT, nats_messages},
    frame::{self, From, Opcode, Scan},
    limits,
    marker::{self, MARKER_BYTES, Marker},
};

impl Engine {
    pub(super) fn read(&mut self, id: Id) {
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            let conn = &mut self.conns[id];
            if !conn.reading {
                break;
            }
            let Some(stream) = &mut conn.stream else { break };
            let kept = conn.tail.len();
            if buffer.len() < kept + limits::READ_BUFFER_BYTES / 2 {
                buffer.resize(kept + limits::READ_BUFFER_BYTES, 0);
            }
            let (old, room) = buffer.split_at_mut(kept);
            let count = match stream.read(room) {
                Ok(0) => {
                    self.finish(id, End::Cut("end of stream".to_owned()));
                    break;
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    let end = if conn.state == State::Connecting {
                        End::Refused(format!("connect: {error}"))
                    } else {
                        End::Cut(error.to_string())
                    };
                    self.finish(id, end);
                    break;
                }
            };
            old.copy_from_slice(&conn.tail);
            conn.tail.clear();
            self.counts.bytes += count as u64;
            let filled = kept + count;
            let now = self.started.elapsed().as_nanos() as u64;
            let bytes = &buffer[..filled];
            let used = self.take_in(id, bytes, kept == 0, now);
            let conn = &mut self.conns[id];
            if conn.stream.is_some() {
                conn.tail.extend_from_slice(bytes.get(used..).unwrap_or_default());
            }
            if filled < buffer.len() {
                break;
            }
        }
        self.buffer = buffer;
    }

    /// Uses the whole frames in `bytes`; returns their length.
    fn take_in(&mut self, id: Id, bytes: &[u8], fresh: bool, now: u64) -> usize {
        let mut used = 0;
        if matches!(self.conns[id].state, State::Connecting | State::Upgrading) {
            match self.upgrade(id, bytes) {
                Some(head) => used = head,
                None => return 0,
            }
        }
        let conn = &self.conns[id];
        let (room, before) = (conn.room, conn.view.place);
        if fresh && used == 0 && conn.exact.is_none() && before == Some(self.last_read.places.start) {
            let last = &self.last_read;
            if last.room == room && last.bytes == bytes {
                let places = last.places.clone();
                self.conns[id].view.place = Some(places.end);
                self.counts.replayed += 1;
                self.deliver(id, places, now);
                return bytes.len();
            }
        }
        let whole = used == 0;
        let (mut frames, mut plain) = (0_u32, true);
        while self.conns[id].stream.is_some() {
            let rest = bytes.get(used..).unwrap_or_default();
            match frame::scan(rest, From::Server) {
                Scan::Frame(found) => {
                    let payload = rest.get(found.payload.clone()).unwrap_or_default();
                    plain &= self.frame(id, found.opcode, payload, now);
                    frames += 1;
                    used += found.payload.end;
                }
                Scan::Partial(_) => break,
                Scan::Torn(why) => {
                    self.finish(id, End::Torn(why));
                    break;
                }
            }
        }
        // A handful of frames is scanned as fast as it is compared.
        if let (Some(before), Some(after)) = (before, self.conns[id].view.place)
            && plain
            && fresh
            && whole
            && frames >= 4
            && used == bytes.len()
            && after - before == frames
        {
            self.last_read.bytes.clear();
            self.last_read.bytes.extend_from_slice(bytes);
            self.last_read.room = room;
            self.last_read.places = before..after;
        }
        used
    }

    fn upgrade(&mut self, id: Id, bytes: &[u8]) -> Option<usize> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            if bytes.len() > limits::RESPONSE_HEAD_BYTES {
                self.finish(id, End::Refused("the answer to the upgrade is too long".to_owned()));
            }
            return None;
        };
        let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
        let status = head.lines().next().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 101") {
            self.finish(id, End::Refused(format!("upgrade: {status}")));
            return None;
        }
        if !head.contains(UPGRADE_ACCEPT) {
            let why = "upgrade: the Sec-WebSocket-Accept is wrong".to_owned();
            self.finish(id, End::Refused(why));
            return None;
        }
        let conn = &mut self.conns[id];
        conn.state = State::Opening;
        let (dialect, room) = (self.target.dialect, conn.room);
        let opening = dialect.opening(&conn.name, &self.room_names[room]);
        let silent = self.target.ready_on_upgrade || opening.is_empty();
        if silent {
            self.arrive(id);
        }
        // NATS needs a subscription, so its opening is sent in any case.
        if !silent || dialect == Dialect::Nats {
            let frames = opening.iter().flat_map(|message| masked(dialect.opcode(), message));
            self.send(id, &frames.collect::<Vec<_>>());
        }
        Some(end + 4)
    }

    fn arrive(&mut self, id: Id) {
        let now = self.now_ns();
        let conn = &mut self.conns[id];
        conn.state = State::Live;
        conn.arrival_ns = Some(now.saturating_sub(conn.opened_ns));
        self.happened.push(Happened::Ready(id));
    }

    /// Handles one frame. Returns whether it was an expected message and nothing else.
    fn frame(&mut self, id: Id, opcode: Opcode, payload: &[u8], now: u64) -> bool {
        match opcode {
            Opcode::Text | Opcode::Binary | Opcode::Continuation if self.target.dialect == Dialect::Nats => {
                self.nats(id, payload, now);
                false
            }
            Opcode::Text | Opcode::Binary | Opcode::Continuation => self.message(id, payload, now),
            Opcode::Ping => {
                self.send_frame(id, Opcode::Pong, payload);
                false
            }
            Opcode::Pong => false,
            Opcode::Close => {
                self.send_frame(id, Opcode::Close, payload.get(..2).unwrap_or_default());
                self.finish(id, End::Closed(frame::close_code(payload)));
                false
            }
        }
    }

    fn nats(&mut self, id: Id, payload: &[u8], now: u64) {
        let conn = &mut self.conns[id];
        if conn.state == State::Opening && Dialect::Nats.is_ready(payload) {
            self.arrive(id);
        }
        let mut stream = std::mem::take(&mut self.conns[id].nats);
        stream.extend_from_slice(payload);
        let pinged = nats_messages(&mut stream, |text| {
            self.message(id, text, now);
        });
        self.conns[id].nats = stream;
        if pinged {
            self.send_frame(id, Opcode::Binary, b"PONG\r\n");
        }
    }

    fn message(&mut self, id: Id, payload: &[u8], now: u64) -> bool {
        if self.target.dialect != Dialect::Action {
            return self.shared(id, payload, now);
        }
        let mut shared = std::mem::take(&mut self.shared);
        shared.clear();
        dialect::without_receiver(payload, &self.conns[id].name, &mut shared);
        let in_place = self.shared(id, &shared, now);
        self.shared = shared;
        in_place
    }

    /// Handles a message that has the same bytes for all members.
    #[inline]
    fn shared(&mut self, id: Id, payload: &[u8], now: u64) -> bool {
        let conn = &mut self.conns[id];
        if conn.exact.is_none()
            && let Some(place) = conn.view.place
            && let Some(entry) = self.rooms[conn.room].get(place)
            && *entry.payload == *payload
            && !entry.is_behind()
        {
            conn.view.place = Some(place + 1);
            self.deliver(id, place..place + 1, now);
            return true;
        }
        self.unexpected(id, payload, now)
    }

    /// Handles an unexpected message: one that no member has seen before, or a fault.
    fn unexpected(&mut self, id: Id, payload: &[u8], now: u64) -> bool {
        let dialect = self.target.dialect;
        let start = marker::find(payload).filter(|_| !dialect.is_reply(payload));
        let Some(start) = start else {
            self.other(id, payload);
            return false;
        };
        let text = payload.get(start..).unwrap_or_default();
        let marker = text.first_chunk::<MARKER_BYTES>().and_then(Marker::parse);
        let Some(marker) = marker else {
            self.faults.torn += 1;
            return false;
        };
        let sender = self.conns.get(marker.sender as usize);
        let sent = sender.is_some_and(|sender| marker.seq < sender.sent);
        let padding = text.get(MARKER_BYTES..MARKER_BYTES + self.padding.len());
        if !sent || padding != Some(&self.padding) {
            self.faults.torn += 1;
            return false;
        }
        let conn = &mut self.conns[id];
        if conn.view.place.is_none() && !(conn.early.is_empty() && self.rooms[conn.room].knows(marker)) {
            // A new member has no place in the log yet. Its first message may follow messages that the others have not read
            // yet, so one of the others has to append it to the log.
            conn.early.push_back((marker, payload.into()));
            self.hear(id, marker, now);
            self.place_early(id, false);
            return false;
        }
        let before = conn.view.place;
        match self.place(id, marker, payload) {
            Seen::InOrder(place) => {
                self.deliver(id, place..place + 1, now);
                before == Some(place)
            }
            Seen::Late(place) => {
                self.deliver(id, place..place + 1, now);
                false
            }
            Seen::Again => false,
        }
    }

    /// Compares a message with the log of its room.
    fn place(&mut self, id: Id, marker: Marker, payload: &[u8]) -> Seen {
        let dialect = self.target.dialect;
        let first = !self.rooms[self.conns[id].room].knows(marker);
        // The first member that sees a message checks its sender; all others must get the same bytes.
        if first
            && dialect.names_senders()
            && let Some(sender) = self.conns.get(marker.sender as usize)
            && memchr::memmem::find(payload, sender.name.as_bytes()).is_none()
        {
            self.faults.torn += 1;
        }
        let conn = &mut self.conns[id];
        let room = &mut self.rooms[conn.room];
        let seen = conn.view.see(room, marker, payload, &mut self.faults);
        if (first || conn.exact.is_some())
            && let Fact::Message { seq, prev } = dialect.fact(payload)
        {
            if let Some(exact) = &mut conn.exact {
                exact.unreported += u64::from(exact.last.is_some_and(|last| last != prev));
                exact.last = Some(seq);
            }
            if first && let Seen::InOrder(place) | Seen::Late(place) = seen {
                self.faults.misnumbered += u64::from(!room.note_server_seq(place, seq, prev));
            }
        }
        seen
    }

    /// Compares the messages of a new member once the log has the first of them; `at_once`: now, because no more will arrive.
    fn place_early(&mut self, id: Id, at_once: bool) {
        while let Some((marker, _)) = self.conns[id].early.front() {
            let room = &self.rooms[self.conns[id].room];
            if !at_once && self.conns[id].view.place.is_none() && !room.knows(*marker) {
                return;
            }
            let Some((marker, payload)) = self.conns[id].early.pop_front() else {
                return;
            };
            self.place(id, marker, &payload);
        }
    }

    /// Compares messages that only new members have received; called when no more will arrive.
    pub fn place_newcomers(&mut self) {
        for at_once in [false, true] {
            for id in 0..self.conns.len() {
                self.place_early(id, at_once);
            }
        }
    }

    fn other(&mut self, id: Id, payload: &[u8]) {
        self.counts.other += 1;
        self.counts.other_bytes += payload.len() as u64;
        let dialect = self.target.dialect;
        let conn = &mut self.conns[id];
        conn.other_bytes += (payload.len() + frame::head_bytes(payload.len())) as u64;
        if conn.state == State::Opening && dialect.is_ready(payload) {
            return self.arrive(id);
        }
        if conn.wanders && dialect.is_ready(payload) {
            self.happened.push(Happened::Entered(id));
            return;
        }
        match dialect.fact(payload) {
            Fact::Gap { from, to } => {
                if let Some(exact) = &mut self.conns[id].exact {
                    exact.unreported += u64::from(exact.last.is_some_and(|last| from != last + 1));
                    exact.gaps.push((from, to));
                    exact.last = Some(to);
                }
            }
            Fact::Error(code) => *self.counts.refused.entry(code).or_default() += 1,
            Fact::Message { .. } => {
                let room = self.conns[id].room;
                self.rooms[room].foreign = true;
            }
            Fact::Other => {}
        }
    }

    #[inline]
    fn deliver(&mut self, id: Id, places: Range<u32>, now: u64) {
        let conn = &self.conns[id];
        let latency = &mut self.latency[conn.class].interval;
        let talks = self.rooms[conn.room].range(places);
        self.counts.delivered += talks.len() as u64;
        for talk in talks {
            if self.window.contains(&talk.marker.at_ns) {
                latency.saturating_record(now.saturating_sub(talk.marker.at_ns));
            }
            if talk.marker.sender as usize == id {
                self.happened.push(Happened::Echo(id, talk.marker.seq));
            }
        }
    }

    /// The same for one message without a place.
    fn hear(&mut self, id: Id, marker: Marker, now: u64) {
        self.counts.delivered += 1;
        if self.window.contains(&marker.at_ns) {
            let latency = &mut self.latency[self.conns[id].class].interval;
            latency.saturating_record(now.saturating_sub(marker.at_ns));
        }
        if marker.sender as usize == id {
            self.happened.push(Happened::Echo(id, marker.seq));
        }
    }
}
