//! Every bound of the load tools, each with its reason.

use std::time::Duration;

/// Size of the read buffer. A read that does not fill it has emptied the socket, which saves a further read.
pub const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Longest frame that a server may send before the stream counts as torn: a legacy user list of a huge room is far below.
pub const FRAME_BYTES: usize = 4 * 1024 * 1024;
/// Bytes that may wait in a sender whose socket is full before its connection is given up.
pub const OUTBOX_BYTES: usize = 4 * 1024 * 1024;
/// Longest answer to the upgrade request.
pub const RESPONSE_HEAD_BYTES: usize = 16 * 1024;
/// Concurrent connection attempts outside of `storm`: a listen backlog of 128 drops none of them.
pub const CONNECTING_AT_ONCE: usize = 100;
/// Time for all members to be connected and in their room.
pub const ARRIVAL_TIME: Duration = Duration::from_secs(120);
/// Time after the last message for all deliveries to arrive, unless `--drain` is given.
pub const DRAIN_TIME: Duration = Duration::from_secs(10);
/// Time for a started server to print its address.
pub const SERVER_START_TIME: Duration = Duration::from_secs(20);
/// Time between SIGTERM and SIGKILL for a started server.
pub const SERVER_STOP_TIME: Duration = Duration::from_secs(8);
/// Longest wait in one poll, so that the progress line and every deadline stay alive.
pub const POLL_TIME: Duration = Duration::from_millis(50);
/// The kernel wakes a poll up to a millisecond late, so the generator polls without a wait in this time before a due message.
pub const SPIN_TIME: Duration = Duration::from_micros(1_200);
/// Connections per source address: the ephemeral ports of Linux (32,768 to 60,999), with some to spare.
pub const CONNECTIONS_PER_SOURCE: usize = 25_000;
/// File descriptors that the generator needs besides its connections.
pub const SPARE_FILES: u64 = 64;
/// Longest latency of the histogram, in nanoseconds; a longer one counts as this.
pub const LATENCY_MAX_NS: u64 = 120_000_000_000;
/// A member of the floor whose socket stays full this long is dropped.
pub const FLOOR_WRITE_TIME: Duration = Duration::from_secs(10);
/// Largest message that the floor accepts from a sender.
pub const FLOOR_MESSAGE_BYTES: usize = 1024 * 1024;
/// Segment size of slow readers: that of a phone. With the loopback's own size the kernel buffers more than a megabyte for each of
/// them, and the server never sees a full socket.
pub const SLOW_SEGMENT_BYTES: u32 = 1_400;
/// Longest text of a message that the generator writes.
pub const TEXT_BYTES: usize = 64 * 1024;
/// Most members of a run: more than one machine has ports and memory for.
pub const MEMBERS: usize = 1_000_000;
/// Most messages or joins per second of a run: one per microsecond is more than the generator can do.
pub const PER_SECOND: f64 = 1e6;
/// Longest phase of a run, in seconds: eleven days.
pub const SECONDS: f64 = 1e6;
/// Source addresses: the last byte of 127.0.0.1 to 127.0.0.254.
pub const SOURCES: usize = 254;
/// The last core that a thread can be pinned to: the kernel's set has 1,024.
pub const CORE: usize = 1_023;
/// Rounds of the figures.
pub const ROUNDS: usize = 1_000;
/// Time for one goose user to connect and enter its room, and for the echo of one of its messages.
pub const MEMBER_TIME: Duration = Duration::from_secs(10);
/// Announcements that may wait for a listener; it is too slow to measure more.
pub const HEARD_AT_ONCE: usize = 64;
