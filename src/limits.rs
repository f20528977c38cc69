//! Every bound of the program, each with its reason. A queue, map, size, rate or time without a line here is a defect.

use std::time::Duration;

// ------------------------------------------------------------------------------------------------------ wire

/// Longest message of a native client, in bytes, over all its fragments: what a long text in Chinese needs, and no more.
pub const NATIVE_MESSAGE_BYTES: usize = 64 * 1024;
/// Longest message of a client of the five systems. The originals took 512 bytes; pages paste more than that.
pub const LEGACY_MESSAGE_BYTES: usize = 4 * 1024;
/// Most fragments in one message. Autobahn 9.3.1 and 9.4.1 send 65,536, and nobody else more than a few.
pub const MESSAGE_FRAGMENTS: usize = 128 * 1024;
/// An unfinished message older than this ends the connection: its sender is gone or malicious.
pub const MESSAGE_AGE: Duration = Duration::from_secs(30);
/// Longest payload of a control frame (RFC 6455 section 5.5).
pub const CONTROL_PAYLOAD_BYTES: usize = 125;
/// A request head that is not complete after this long is dropped.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Longest request head, in bytes; longer ones are answered 431.
pub const REQUEST_HEAD_BYTES: usize = 16 * 1024;
/// Most header lines in a request head; more are answered 431.
pub const REQUEST_HEADERS: usize = 64;

// ------------------------------------------------------------------------------------------------------ names and texts

/// Longest name of a user or a room, in characters after NFC.
pub const NAME_CHARS: usize = 64;
/// Longest idempotency key, in bytes: a UUID with room to spare.
pub const KEY_BYTES: usize = 64;
/// Longest topic, in characters.
pub const TOPIC_CHARS: usize = 256;
/// Longest text of one talk, in bytes: a full message less its envelope.
pub const TEXT_BYTES: usize = NATIVE_MESSAGE_BYTES - 1024;
/// Rooms that one session may be in: 50 is what people do, the rest is room for programs.
pub const ROOMS_PER_SESSION: usize = 256;
/// Positions in one hello.
pub const RESUME_POSITIONS: usize = ROOMS_PER_SESSION;
/// Entries in one page of users, rooms or messages.
pub const PAGE_ENTRIES: usize = 200;
/// Entries in a page when the client does not say.
pub const PAGE_ENTRIES_DEFAULT: usize = 50;
/// Entries of a map or a repeated field in a message of the five systems' clients, which need none: 64 KiB of empty
/// entries became 2.3 MiB of heap.
pub const LEGACY_LIST_ENTRIES: usize = 64;
/// Nesting of a JSON message: the protocol needs 4.
pub const JSON_DEPTH: usize = 16;

// ------------------------------------------------------------------------------------------------------ settings

/// Entries of one list or table in the settings: far more than anybody writes by hand.
pub const SETTING_ENTRIES: usize = 1024;
/// Largest configuration file: the commented example has some 10 KB, and a log file given by mistake is not read whole.
pub const CONFIG_FILE_BYTES: u64 = 1024 * 1024;
/// Most shards: more cores than one chat server was ever given; the bound of `server.shards` is the same.
pub const SHARDS: usize = 256;

// ------------------------------------------------------------------------------------------------------ logs

/// Talks that wait for the talk log: 20 ms of 800,000 a second, more than any disk here takes.
pub const TALK_LOG_LINES: usize = 16 * 1024;
/// Bytes of their texts: long texts must not make the number above a gigabyte.
pub const TALK_LOG_BYTES: usize = 16 * 1024 * 1024;
/// The talk log's thread writes at this pace at most, so that a talk does not cost a wake-up.
pub const TALK_LOG_PACE: Duration = Duration::from_millis(20);
/// Lines that wait for the server log; more are dropped and counted. A line is some 200 bytes.
pub const SERVER_LOG_LINES: usize = 16 * 1024;
/// A log file that could not be opened is tried again after this long.
pub const LOG_RETRY: Duration = Duration::from_secs(1);

// ------------------------------------------------------------------------------------------------------ admin

/// A part that does not answer its readiness probe within this is not ready.
pub const PROBE_TIME: Duration = Duration::from_secs(1);
/// A readiness report is given again for this long: probes come every few seconds, and an attack far more often.
pub const PROBE_CACHE: Duration = Duration::from_millis(250);
/// Connections to the admin listener at once; more wait in its backlog.
pub const ADMIN_CONNECTIONS: usize = 64;
/// An admin connection, one request and its answer, ends after this long, whatever it is doing.
pub const ADMIN_CONNECTION_TIME: Duration = Duration::from_secs(30);
/// Longest body of an admin request: a list of some thousand names.
pub const ADMIN_BODY_BYTES: usize = 256 * 1024;
/// After a failed accept (no descriptors left) the admin listener waits this long.
pub const ADMIN_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
