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

// ------------------------------------------------------------------------------------------------------ history

/// Talks in one commit: beyond a thousand the rate grows no more (252,000/s at 1,024), and the wait does.
pub const HISTORY_BATCH: usize = 1_024;
/// Talks and read positions that wait for the writer: at the slowest disk worth the name (100 commits/s of full batches)
/// a tenth of a second; more would only be a longer wait before `busy`.
pub const HISTORY_QUEUE: usize = 8_192;
/// Questions that wait for a reader.
pub const HISTORY_ASKS: usize = 4_096;
/// Threads that read pages: two, so that one slow read does not hold up all others.
pub const HISTORY_READERS: usize = 2;
/// Talks in one page of the store: what a resume reads at a time; a client's page is at most [`PAGE_ENTRIES`].
pub const HISTORY_PAGE_TALKS: usize = 1_000;
/// Bytes of text in one page, so that a thousand long texts do not become 64 MiB: at least one talk always fits.
pub const HISTORY_PAGE_BYTES: usize = 1024 * 1024;
/// Unread talks are counted one by one up to here (some 5 ms); above, a user's own among them count as unread.
pub const HISTORY_UNREAD_EXACT: u64 = 10_000;
/// Conversations in one list: more than anybody has, and a bound on what one question may read.
pub const HISTORY_CONVERSATIONS: usize = 1_000;
/// Lost tails remembered per log.
pub const HISTORY_LOST_TAILS: usize = 16;
/// Heads of logs that the writer remembers; a log beyond them is read again from the database when it is next used.
pub const HISTORY_HEADS: usize = 65_536;
/// Rows that retention deletes, or keys that run out, beside one commit: below a millisecond.
pub const HISTORY_SLICE_ROWS: usize = 256;
/// Talks indexed for search in one transaction of the index.
pub const HISTORY_INDEX_SLICE: usize = 512;
/// One search looks at the index or at talks for about this long, then says where to go on: a quarter of the 100 ms that a
/// search may take, since one window of the index may take as long again and a busy machine twice that.
pub const HISTORY_SEARCH_TIME: Duration = Duration::from_millis(25);
/// Words or runs of characters in one search: the rest narrows nothing.
pub const HISTORY_SEARCH_TERMS: usize = 16;
/// Longest word that is indexed, in characters; longer ones are found by their beginning.
pub const HISTORY_WORD_CHARS: usize = 32;
/// Logs the search index can tell apart, and talks per log: together the 63 bits of a row number.
pub const HISTORY_LOGS: u64 = 1 << 27;
/// See [`HISTORY_LOGS`].
pub const HISTORY_LOG_TALKS: u64 = 1 << 36;
/// Pages of the write-ahead log after which they are copied into the database: 16 MiB.
pub const HISTORY_WAL_PAGES: u64 = 4_096;
/// A failing store is tried again this often while nobody talks.
pub const HISTORY_PROBE: Duration = Duration::from_secs(1);
/// Damages that a check lists one by one: a page that is gone holds some thirty rows, and the first hundreds tell the story.
pub const HISTORY_DAMAGES: usize = 1_000;
