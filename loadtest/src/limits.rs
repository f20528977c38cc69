//! Every bound of the load tools, each with its reason.

use std::time::Duration;

/// One read buffer. A read that does not fill it has emptied the socket, which saves the read that would say so.
pub const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Longest frame that a server may send before the stream counts as torn: a legacy user list of a huge room is far below.
pub const FRAME_BYTES: usize = 4 * 1024 * 1024;
/// Bytes that may wait in a sender whose socket is full before its connection is given up.
pub const OUTBOX_BYTES: usize = 4 * 1024 * 1024;
/// Longest answer to the upgrade request.
pub const RESPONSE_HEAD_BYTES: usize = 16 * 1024;
/// Connections that may be under way at once outside of `storm`: fewer than a listen backlog of 128 would lose none.
pub const CONNECTING_AT_ONCE: usize = 100;
/// Time for all members to be connected and in their room.
pub const ARRIVAL_TIME: Duration = Duration::from_secs(120);
/// Time after the last talk for all of it to arrive, unless `--drain` says otherwise.
pub const DRAIN_TIME: Duration = Duration::from_secs(10);
/// Time for a server that was started here to say where it listens.
pub const SERVER_START_TIME: Duration = Duration::from_secs(20);
/// Time for a server that was started here to end after SIGTERM, before SIGKILL.
pub const SERVER_STOP_TIME: Duration = Duration::from_secs(8);
/// Longest wait in one poll, so that the progress line and every deadline stay alive.
pub const POLL_TIME: Duration = Duration::from_millis(50);
/// The kernel wakes a poll up to a millisecond late; the last stretch before a due talk is spent polling without a wait.
pub const SPIN_TIME: Duration = Duration::from_micros(1_200);
/// Connections per source address: the ephemeral ports that Linux gives out (32,768 to 60,999), with some to spare.
pub const CONNECTIONS_PER_SOURCE: usize = 25_000;
/// File descriptors that the generator needs besides its connections.
pub const SPARE_FILES: u64 = 64;
/// Longest latency that the histogram tells apart, in nanoseconds: more counts as this.
pub const LATENCY_MAX_NS: u64 = 120_000_000_000;
/// A member of the floor whose socket stays full this long is dropped.
pub const FLOOR_WRITE_TIME: Duration = Duration::from_secs(10);
/// Largest message the floor takes from a sender.
pub const FLOOR_MESSAGE_BYTES: usize = 1024 * 1024;
/// Segments of a reader that is to stall: those of a phone. With the loopback's own the kernel takes more than a megabyte for
/// each of them, and the server never sees that it stalls.
pub const SLOW_SEGMENT_BYTES: u32 = 1_400;
/// Longest text of a talk that the generator writes.
pub const TEXT_BYTES: usize = 64 * 1024;
/// Members that a run can ask for: more than one machine has ports and memory for.
pub const MEMBERS: usize = 1_000_000;
/// Talks or joins per second that a run can ask for: a microsecond for each is more than this generator keeps up with.
pub const PER_SECOND: f64 = 1e6;
/// Seconds that any stretch of a run can take: eleven days.
pub const SECONDS: f64 = 1e6;
/// Source addresses: the last byte of 127.0.0.1 to 127.0.0.254.
pub const SOURCES: usize = 254;
/// The last core that a thread can be pinned to: the kernel's set has 1,024.
pub const CORE: usize = 1_023;
/// Rounds of the figures.
pub const ROUNDS: usize = 1_000;
/// Time for one goose user to connect and be in its room, and for one of its talks to come back.
pub const MEMBER_TIME: Duration = Duration::from_secs(10);
/// Announcements that may wait for a listener to be counted; more are news that it was too slow to hear.
pub const HEARD_AT_ONCE: usize = 64;
