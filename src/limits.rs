//! Every bound of the program, each with its reason. A queue, map, size, rate or time that has no constant here is a defect.

use std::time::Duration;

// ------------------------------------------------------------------------------------------------------ wire

/// Longest message of a native client, in bytes, over all its fragments: enough for a long text in Chinese.
pub const NATIVE_MESSAGE_BYTES: usize = 64 * 1024;
/// Longest message of a client of the three protobuf dialects. Their original servers took 512 bytes; people paste more.
pub const LEGACY_MESSAGE_BYTES: usize = 4 * 1024;
/// Most fragments in one message. Autobahn 9.3.1 and 9.4.1 send 65,536; real clients send a few.
pub const MESSAGE_FRAGMENTS: usize = 128 * 1024;
/// The age of an unfinished message at which the connection ends: its sender is gone or malicious.
pub const MESSAGE_AGE: Duration = Duration::from_secs(30);
/// Longest payload of a control frame (RFC 6455 section 5.5).
pub const CONTROL_PAYLOAD_BYTES: usize = 125;
/// The server closes a connection that has sent nothing after this time: programs and Plaza's own page send a hello at once.
pub const FIRST_MESSAGE_TIME: Duration = Duration::from_secs(60);
/// The server closes a connection without a name after this time. People take time to think of a name, and the pages of older
/// systems ask for it only after they have connected.
pub const NAMING_TIME: Duration = Duration::from_secs(10 * 60);
/// The server drops a connection whose request head is not complete after this time.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long a client may take to read an answer, as a multiple of the handshake timeout. The largest page has a few hundred
/// kilobytes, which the slowest phone reads in a minute.
pub const ANSWER_TIMEOUTS: u32 = 6;
/// Longest request head, in bytes; the server answers a longer one with 431.
pub const REQUEST_HEAD_BYTES: usize = 16 * 1024;
/// Most header lines in a request head; the server answers more with 431.
pub const REQUEST_HEADERS: usize = 64;

// ------------------------------------------------------------------------------------------------------ names and texts

/// Longest name of a user or a room, in characters after NFC.
pub const NAME_CHARS: usize = 64;
/// Longest user id, in bytes, except ids made from a name ([`NAME_ID_BYTES`]).
pub const USER_ID_BYTES: usize = 255;
/// Longest user id made from a name, in bytes: `name:` and [`NAME_CHARS`] characters of four bytes each. A bound of
/// [`USER_ID_BYTES`] would refuse valid names.
pub const NAME_ID_BYTES: usize = "name:".len() + 4 * NAME_CHARS;
/// Longest idempotency key, in bytes: a UUID with room to spare.
pub const KEY_BYTES: usize = 64;
/// Longest topic, in characters.
pub const TOPIC_CHARS: usize = 256;
/// Longest text of one message, in bytes: the longest frame less its envelope.
pub const TEXT_BYTES: usize = NATIVE_MESSAGE_BYTES - 1024;
/// Rooms that one session may be in: people are in up to 50, the rest is for programs.
pub const ROOMS_PER_SESSION: usize = 256;
/// Most positions in one hello.
pub const RESUME_POSITIONS: usize = ROOMS_PER_SESSION;
/// Entries in one page of users, rooms or messages.
pub const PAGE_ENTRIES: usize = 200;
/// Entries in a page when the client gives no limit.
pub const PAGE_ENTRIES_DEFAULT: usize = 50;
/// Entries of a map or a repeated field in a message of a legacy client. Real clients send none, and 64 KiB of empty entries
/// would take 2.3 MiB of heap.
pub const LEGACY_LIST_ENTRIES: usize = 64;
/// Nesting of a JSON message: the protocol needs 4.
pub const JSON_DEPTH: usize = 16;

// ------------------------------------------------------------------------------------------------------ rooms

/// Epochs are below this: JSON numbers hold 53 bits.
pub const EPOCH_END: u64 = 1 << 53;
/// Idempotency keys that an ephemeral room remembers: the retries of a minute at 100 messages a second.
pub const KEYS_PER_ROOM: usize = 8 * 1024;
/// Empty rooms whose topics one shard remembers; it forgets the oldest first.
pub const TOPICS_KEPT: usize = 1_024;
/// Names in a digest, for "a, b, c and 4,997 others".
pub const DIGEST_NAMES: usize = 8;
/// Bytes of names in a digest, for dialects whose notices carry a list. With a digest every 2 s, each member of a large room gets
/// less than 1 KiB/s. A requested list has more names.
pub const DIGEST_LIST_BYTES: usize = 1_536;
/// Rate of unrequested user lists to one member, in bytes per second, so that joins and leaves do not fill slow connections. A
/// desktop client of document 001 or 000 then shows the list of a room of 500 some seconds late.
pub const LIST_BYTES_PER_SECOND: u64 = 1_024;
/// Up to this many members a room holds them in a vector, a third smaller than a hash map: a look-up compares at most 16 numbers.
pub const MEMBERS_VECTOR: usize = 16;
/// Up to this many users the roster of a room is a sorted vector: an insertion moves at most 1.5 KiB.
pub const ROSTER_VECTOR: usize = 64;

// ------------------------------------------------------------------------------------------------------ shards

/// Capacity of a shard's inbox, in messages: some 100 ms of the busiest traffic measured between two shards.
pub const INBOX_MESSAGES: usize = 8 * 1024;
/// Accepted sockets that wait for their shard.
pub const ARRIVALS: usize = 4 * 1024;
/// Overflow messages for full shards above which a shard answers `busy` and stops reading.
pub const OVERFLOW_MESSAGES: usize = 4 * 1024;
/// Rounds per turn in which paused connections resume; bounded because each round can create work.
pub const RESUME_ROUNDS_PER_TURN: usize = 4;
/// Default for the in-flight bytes to the slowest shard above which an owner answers `busy`.
pub const IN_FLIGHT_BYTES: usize = 8 * 1024 * 1024;
/// Messages that a shard takes from its inbox before it polls its sockets again.
pub const INBOX_BATCH: usize = 256;
/// If two ticks are at least this far apart, the shard itself stalled, so the silence of its clients in that time does not count. A
/// tick is 100 ms, and no flush takes seconds.
pub const STALLED_AFTER: Duration = Duration::from_secs(5);
/// Slots of the timer wheel.
pub const WHEEL_SLOTS: usize = 512;
/// Width of a slot in milliseconds: fine enough for the 300 ms for which the `tutorial` greeting waits; the wheel spans 51 s.
pub const WHEEL_TICK_MS: u64 = 100;
/// Least burst of the rate limit, as a time at the limited rate. Reading resumes only at a tick of the wheel, and that may come one
/// tick late. A session could send only one burst per tick, so with a smaller tolerance it would never reach a limit of more than
/// ten bursts a second.
pub const RATE_GRAIN_US: u64 = 2 * WHEEL_TICK_MS * 1_000;
/// A shorter delay before a flush counts as none, because the runtime's timer has a resolution of milliseconds.
pub const PACE_LEAST_US: u64 = 500;
/// Cap of the exponential backoff: after a delay that coalesced nothing, at most this many flushes go without one.
pub const PACE_SKIPS_MOST: u16 = 256;
/// Length of one measurement of the event rate. Measurements with delays are compared with measurements without.
pub const PACE_STRETCH_US: u64 = 40_000;
/// Most measurements between two probes of the other mode (with or without delays).
pub const PACE_PROBES_MOST: u16 = 64;
/// Unsent bytes in the kernel at which a socket counts as full (`TCP_NOTSENT_LOWAT`). A ping queues behind these bytes, and a slow
/// consumer cannot skip them. The kernel's own bound is up to 4 MiB (`net.ipv4.tcp_wmem`), which take minutes on a slow connection.
pub const UNSENT_BYTES: u32 = 128 * 1024;
/// Most bytes of one write to one member: larger writes gain nothing and fill the socket buffer.
pub const BATCH_BYTES: usize = 256 * 1024;
/// Batches that a flush shares, one per encoding and cursor; members at other cursors get their own.
pub const BATCHES_PER_FLUSH: usize = 32;
/// Bytes of replies that may wait for a socket; above it a replay from the ring or the store pauses.
pub const PRIVATE_BYTES: usize = 256 * 1024;
/// Reading from a connection pauses when its waiting replies exceed [`PRIVATE_BYTES`] by more than this. A replay stops only after
/// the message that exceeds [`PRIVATE_BYTES`]. Without the margin, the server would read no request and no pong until the whole
/// replay is sent.
pub const PRIVATE_BYTES_MARGIN: usize = NATIVE_MESSAGE_BYTES;
/// If more bytes of replies than this wait for a socket, the next reply ends the connection. Only messages from other users can add
/// up to this.
pub const PRIVATE_BYTES_MOST: usize = 4 * 1024 * 1024;
/// Bytes of replies that may wait for all full sockets of a shard together; above it each socket may have less.
pub const WAITING_BYTES: usize = 64 * 1024 * 1024;
/// Replaces [`PRIVATE_BYTES`] while [`WAITING_BYTES`] is exceeded: one message of the greatest length. It then also bounds live
/// direct messages: more of them end a connection that cannot read them from the store later.
pub const PRIVATE_BYTES_PRESSED: usize = NATIVE_MESSAGE_BYTES;
/// Unanswered requests of one connection; above it reading from the connection pauses.
pub const REQUESTS_IN_FLIGHT: u32 = 2 * 1024;
/// Sockets that a shard serves in one turn, before its inbox and its rooms.
pub const SOCKETS_PER_TURN: usize = 128;
/// Reads from one socket before the others get their turn.
pub const READS_PER_TURN: usize = 4;
/// Bytes of a request read at once: nearly all requests fit.
pub const REQUEST_READ_BYTES: usize = 4 * 1024;
/// Handshakes that a shard begins in one turn. More would stall its members during a burst of new connections.
pub const ARRIVALS_PER_TURN: usize = 64;
/// Bytes read from a socket at once, into a buffer that all connections of a shard share.
pub const READ_BYTES: usize = 64 * 1024;
/// How long a closing client may take to read its last bytes and close its side.
pub const LINGER: Duration = Duration::from_secs(2);
/// A client that reads but sends nothing for this multiple of `chat.dead_after` is a slow consumer: its pong is stuck behind the
/// bytes that it still has to read. The largest buffers of two kernels, 10 MiB, take 5 min at 34 KiB/s; a slower reader cannot be
/// distinguished from one that never answers.
pub const SLOW_CONSUMER_FACTOR: u32 = 5;
/// The least delay before a client reconnects after a goodbye, besides the random part.
pub const RETRY_LEAST: Duration = Duration::from_millis(500);
/// In dialects without an error for `busy`, the server stops reading from the sender for this long, then closes the connection.
pub const BUSY_PAUSE: Duration = Duration::from_secs(10);
/// The least interval between two typing events of a session.
pub const TYPING_EVERY: Duration = Duration::from_secs(2);
/// Direct conversations whose sequence numbers a shard remembers when nothing is stored.
pub const PAIRS_REMEMBERED: usize = 64 * 1024;
/// Rings from which one tick drops events that are too old or exceed the budget.
pub const RINGS_SWEPT: usize = 256;
/// Largest room for which the shard checks whether all members have received every event. If they have, the ring drops its joins
/// and leaves, some 700 bytes each. Larger rooms are few, and checking one would cost more than its events do.
pub const RING_REST_MEMBERS: usize = 64;
/// The delay before the shard sends a message again that a busy owner has returned.
pub const BUSY_RETRY: Duration = Duration::from_millis(100);

// ------------------------------------------------------------------------------------------------------ native protocol

/// Interval of pings to native clients: below the 30 s after which some mobile networks forget a connection.
pub const NATIVE_PING_EVERY: Duration = Duration::from_secs(25);
/// Numbers in requests stay below this, 2^53: a JSON number of a JavaScript client holds no more.
pub const JSON_NUMBERS_BELOW: u64 = 1 << 53;
/// Longest token, in bytes: a signed token with a dozen claims has 2 KiB, and proxies cut headers at 8 KiB.
pub const TOKEN_BYTES: usize = 8 * 1024;
/// Longest key of a name, in bytes: four times the shortest.
pub const NAME_KEY_BYTES: usize = 128;
/// Shortest key that claims a name, in bytes: 128 random bits in hexadecimal.
pub const NAME_KEY_LEAST: usize = 32;
/// Names that users of one store may claim: each costs 16 bytes of memory, so 64 MiB. If more were claimed before, all stay valid.
pub const NAMES_CLAIMED: usize = 4 * 1024 * 1024;
/// Largest suffix (`name~2`, `name~3`, …) that the server tries for a session without the key of a claimed name. If all are taken,
/// the session becomes a guest.
pub const NAME_SUFFIXES: u32 = 99;
/// Numbers that are tried for a guest's name before a random one.
pub const GUEST_NUMBERS: usize = 64;
/// Sessions that one shard renames in one turn when another user claims their name; the rest wait for the next tick.
pub const DISPLACED_PER_TURN: usize = 256;
/// Longest `after` of a page, in bytes: a name before NFC, at four bytes a character.
pub const PAGE_AFTER_BYTES: usize = NAME_CHARS * 4;
/// Longest search text, in characters; a longer one is refused.
pub const SEARCH_CHARS: usize = 128;
/// Most messages that a join without a position may ask for; `history` pages through the rest.
pub const JOIN_LAST: u32 = 1_000;
/// Characters of a client's input that an error repeats: enough to recognise it.
pub const ECHO_CHARS: usize = 40;

// ------------------------------------------------------------------------------------------------------ legacy dialects

/// Names in one user list of a legacy client, which has no paging. `chat.presence_events_max` cuts lists; this is its maximum.
pub const LEGACY_USERS_LISTED: usize = 100_000;
/// Unanswered requests of one legacy connection: a load test has 64 in flight, and one commit of the store takes 1,024.
pub const LEGACY_UNANSWERED: usize = 1024;
/// Bytes of a legacy client's field (`Type`, `seq`) that an answer echoes: those of real clients have up to 21.
pub const LEGACY_ECHO_BYTES: usize = 64;
/// Interval of pings to legacy clients (the reference of document 000: 54 s).
pub const LEGACY_PING: Duration = Duration::from_secs(54);
/// The same for `chat-request`, whose reference considers a client dead after 10 s.
pub const CHAT_REQUEST_PING: Duration = Duration::from_secs(9);
/// A `userId` of document 003 is shorter than this, in bytes.
pub const ACTION_USER_ID_BYTES: usize = 20;
/// Recent clients of a listener from which the dialect of a silent one is guessed: enough that a single odd client does not decide,
/// few enough to follow a change.
pub const DETECT_RECENT: usize = 8;
/// Messages that wait, unencoded, for a client whose dialect is uncertain; with more the server guesses the dialect.
pub const UNCERTAIN_MESSAGES: usize = 256;
/// Bytes of those messages.
pub const UNCERTAIN_BYTES: usize = NATIVE_MESSAGE_BYTES;
/// How long plain `/ws` waits for the first message of a client that sent its name in the header that three dialects share.
pub const DETECT_NAMED: Duration = Duration::from_secs(2);
/// How long the `tutorial` greeting waits, because some clients give no name in the handshake and then send protobuf.
pub const DETECT_NAMELESS: Duration = Duration::from_millis(300);

// ------------------------------------------------------------------------------------------------------ ingress

/// Connections waiting in a listener's backlog: the default of 128 drops a burst.
pub const LISTEN_BACKLOG: i32 = 4096;
/// Exponential backoff of the acceptor when descriptors run out: the first and the longest delay.
pub const ACCEPT_BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// Descriptors that clients never get, if the limit is large enough. Two thirds are for [`ADMIN_CONNECTIONS`]. The rest is for log
/// files, the settings and the store, which opens files on demand: a rebuilt index, a new commit marker, random bytes for an epoch.
pub const DESCRIPTORS_RESERVED: usize = 96;
/// Least interval between two log lines that say that the server is full. A full server crosses the limit again and again: each
/// closed connection admits another.
pub const DESCRIPTORS_WARN_EVERY: Duration = Duration::from_secs(60);
/// Descriptors that the server has open without shards, listeners and clients: 39 with a store and the message log, two more with the
/// server log in files.
pub const DESCRIPTORS_OWN: usize = 44;
/// Descriptors of a shard: its runtime and its poller.
pub const DESCRIPTORS_OF_SHARD: usize = 7;
/// Longest header of the PROXY protocol, in bytes: addresses and the extensions of the large providers have some 300.
pub const PROXY_HEADER_BYTES: usize = 1024;
/// Hops of `X-Forwarded-For` that are followed: more than any real chain of proxies has.
pub const PROXY_HOPS: usize = 16;

// ------------------------------------------------------------------------------------------------------ settings

/// Entries of one list or table in the settings: more than an operator writes by hand.
pub const SETTING_ENTRIES: usize = 1024;
/// Largest configuration file: the example has some 11 KB, and a log file given by mistake must not be read.
pub const CONFIG_FILE_BYTES: u64 = 1024 * 1024;
/// Most shards, the bound of `server.shards`: more cores than a chat server needs.
pub const SHARDS: usize = 256;

// ------------------------------------------------------------------------------------------------------ logs

/// Messages that wait for the message log: 20 ms at 800,000 a second, which is faster than a disk writes them.
pub const MESSAGE_LOG_LINES: usize = 16 * 1024;
/// Bytes of their texts: long texts must not add up to a gigabyte.
pub const MESSAGE_LOG_BYTES: usize = 16 * 1024 * 1024;
/// The least interval between two writes of the message log, so that not every message costs a wake-up.
pub const MESSAGE_LOG_PACE: Duration = Duration::from_millis(20);
/// Lines that wait for the server log; more are dropped and counted. A line is some 200 bytes.
pub const SERVER_LOG_LINES: usize = 16 * 1024;
/// The delay before a log file that could not be opened is tried again.
pub const LOG_RETRY: Duration = Duration::from_secs(1);

// ------------------------------------------------------------------------------------------------------ admin

/// How often the server checks whether all threads still run.
pub const WATCH_PACE: Duration = Duration::from_millis(250);
/// A part that does not answer its readiness probe within this time is not ready.
pub const PROBE_TIME: Duration = Duration::from_secs(1);
/// How long a readiness report is cached: probes come every few seconds, and an attack far more often.
pub const PROBE_CACHE: Duration = Duration::from_millis(250);
/// Concurrent connections to the admin listener; more wait in its backlog.
pub const ADMIN_CONNECTIONS: usize = 64;
/// While others wait, an admin connection without a complete request after this time is closed. Programs send their request at once,
/// and a backlog of 128 silent connections must not delay a probe by a second.
pub const ADMIN_SILENCE: Duration = Duration::from_millis(200);
/// The longest life of an admin connection, which carries one request and its answer.
pub const ADMIN_CONNECTION_TIME: Duration = Duration::from_secs(30);
/// Longest body of an admin request: a list of several thousand names.
pub const ADMIN_BODY_BYTES: usize = 256 * 1024;
/// The pause of the admin listener after a failed accept (no descriptors left) if it cannot make room.
pub const ADMIN_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a request of the operator waits for a shard.
pub const ADMIN_ANSWER_TIME: Duration = Duration::from_secs(5);
/// Rooms on one shard that the operator keeps open without members: each costs a few hundred bytes until the operator closes it.
pub const ROOMS_PINNED: usize = 16 * 1024;
/// Entries in one page of the admin API.
pub const ADMIN_PAGE_ENTRIES: usize = 1_000;
/// Groups in one answer of `/user/groupslist`, which has no paging.
pub const GROUPS_LISTED: usize = 1_000;
/// How often a draining server checks whether all clients have gone.
pub const DRAIN_POLL: Duration = Duration::from_millis(10);
/// How long a draining server waits, before the first goodbye, for in-flight messages to reach their members: a commit on a slow
/// disk and two turns of a busy shard.
pub const DRAIN_SETTLE: Duration = Duration::from_secs(1);
/// How long a stopping server waits for its message log.
pub const LOG_FINISH: Duration = Duration::from_secs(5);

// ------------------------------------------------------------------------------------------------------ history

/// How long a starting server waits for another process to release the data directory or the log files: a killed server takes a few
/// hundred milliseconds to end, and so does one whose clients all close at once. A longer wait would hide that another server runs.
pub const LOCK_WAIT: Duration = Duration::from_secs(2);
/// The pause between two attempts to take such a lock.
pub const LOCK_RETRY: Duration = Duration::from_millis(20);
/// Messages in one commit: beyond a thousand only the latency grows, and not the rate (252,000/s at 1,024).
pub const HISTORY_BATCH: usize = 1_024;
/// Messages and read markers that wait for the writer: a tenth of a second on a slow disk (100 commits/s of full batches); more would
/// only delay `busy`.
pub const HISTORY_QUEUE: usize = 8_192;
/// Queries that wait for a reader.
pub const HISTORY_QUERIES: usize = 4_096;
/// Reader threads: two, so that one slow read does not block all others.
pub const HISTORY_READERS: usize = 2;
/// Messages in one page of the store, which a resume reads at a time; a client's page has at most [`PAGE_ENTRIES`].
pub const HISTORY_PAGE_MESSAGES: usize = 1_000;
/// Bytes of text in one page, so that a thousand long texts do not become 64 MiB: at least one message always fits.
pub const HISTORY_PAGE_BYTES: usize = 1024 * 1024;
/// Unread messages are counted exactly up to this number (some 5 ms). Of more, the user's own messages count as unread, except
/// among the newest of this number.
pub const HISTORY_UNREAD_EXACT: u64 = 10_000;
/// Conversations in one list, and conversations whose offline messages a new session gets: more than most users leave unread. It
/// bounds the memory of a session and the size of an answer.
pub const HISTORY_CONVERSATIONS: usize = 1_000;
/// Direct conversations in one page of `Query::Changed`. For each, a binary search reads some 10 rows.
pub const CHANGED_CONVERSATIONS: usize = 128;
/// Lost tails remembered per log.
pub const HISTORY_LOST_TAILS: usize = 16;
/// Heads of logs that the writer caches; it reads others from the database again.
pub const HISTORY_HEADS: usize = 65_536;
/// Messages, or expired keys, that one step of retention deletes beside a commit: less than a millisecond.
pub const HISTORY_SLICE_ROWS: usize = 256;
/// Blocks of about a thousand keys that one step of retention deletes beside a commit.
pub const HISTORY_SLICE_BLOCKS: usize = 16;
/// Idempotency keys in the writer's memory: at most some 160 MB. Beyond that it evicts the rooms that were not used lately; the next
/// message with a key in one of them reads its keys again, in up to 40 ms.
pub const HISTORY_KEYS: usize = 1 << 22;
/// Messages that one transaction of the search index adds.
pub const HISTORY_INDEX_SLICE: usize = 512;
/// The interval between two rounds of an index that has caught up, while messages are committed. A search scans the messages of this
/// time without the index.
pub const HISTORY_INDEX_PACE: Duration = Duration::from_millis(200);
/// How long one search reads before it returns a position to continue from: a quarter of the 100 ms that a search may take, since one
/// window of the index may take as long again, and a busy machine twice that.
pub const HISTORY_SEARCH_TIME: Duration = Duration::from_millis(25);
/// Terms of one search; further ones are ignored.
pub const HISTORY_SEARCH_TERMS: usize = 16;
/// Tokens that one search looks up in the index: a dozen leave few candidate messages, and each costs another posting list.
pub const HISTORY_SEARCH_NEEDLES: usize = 24;
/// Characters of a word that are indexed: more than words and most addresses have. It bounds the cost of a message of 64 KiB without
/// a space. The rest of such a word is found only until the message is indexed.
pub const HISTORY_WORD_CHARS: usize = 256;
/// Logs in the search index; with the messages per log they fill the 63 bits of a row number.
pub const HISTORY_LOGS: u64 = 1 << 27;
/// Messages per log in the search index.
pub const HISTORY_LOG_MESSAGES: u64 = 1 << 36;
/// Pages of the write-ahead log at which a checkpoint begins: 16 MiB.
pub const HISTORY_WAL_PAGES: u64 = 4_096;
/// A commit that takes longer than this makes the store not ready: a disk that hangs reports no error. SQLite waits as long for another
/// process.
pub const HISTORY_STALL: Duration = Duration::from_secs(5);
/// The server warns of a write-ahead log of this size that a reader pins, and again whenever the size has doubled: four times the
/// size between two checkpoints.
pub const HISTORY_WAL_WARN: u64 = 4 * 4_096 * HISTORY_WAL_PAGES;
/// How often the server tries a failing store again while no message arrives.
pub const HISTORY_PROBE: Duration = Duration::from_secs(1);
/// Unanswered queries of one shard to the store; with more, clients get `busy`. Messages have `history.queue`.
pub const STORE_IN_FLIGHT: usize = 8 * 1024;
/// Unanswered queries of one connection to the store; with more, reading from the connection pauses. Each answer is a page of up to
/// [`HISTORY_PAGE_BYTES`], and pages must not accumulate for a client that asks faster than it reads.
pub const QUESTIONS_IN_FLIGHT: u8 = 2;
/// Messages from the store that a shard delivers in one turn: one full page, some milliseconds. With a bound of 256 answers instead,
/// 500 sessions that returned together blocked the rest of the shard for seconds.
pub const ANSWERED_MESSAGES_PER_TURN: usize = HISTORY_PAGE_MESSAGES;
/// Messages in the answer to the join of a returning user; pages bring the rest. With 128 the store reads the next page while the
/// shard encodes the first, but a resume of three hundred messages took a fifth longer: another query costs more.
pub const RESUME_MESSAGES: usize = 512;
/// Messages that a replay from the ring writes before it checks whether the socket took them.
pub const REPLAY_MESSAGES: usize = 256;
/// Work of delivering direct messages that a shard does in one turn. A delivery to one session counts 1, plus 1 per KiB of text; it
/// is a write of some 6 us.
pub const DIRECTS_PER_TURN: usize = 512;
/// Bytes counted for a direct message per receiving session besides its text: about the size of its envelope.
pub const DIRECT_ENVELOPE_BYTES: usize = 128;
/// Divisor of the allowed in-flight bytes: a direct message that counts for at most this share, 128 KiB of the default 8 MiB, is
/// small. Small ones get twice the allowance, so that large ones cannot take all of it.
pub const DIRECT_SMALL_SHARE: usize = 64;
/// Conversations of one device whose cursors the shard remembers, some 200 KiB. With more it starts over, and the device may get
/// messages twice, with the same numbers.
pub const CONVERSATIONS_NOTED: usize = 4 * 1024;
/// Live direct messages that wait in memory while a device gets stored ones; further ones stay in the store. The shard remembers
/// where they begin in as many conversations, and for all others only their earliest time.
pub const INBOX_LIVE_MESSAGES: usize = 256;
/// Damaged entries that a check lists one by one: a lost page has some thirty rows, and a few hundred lines are enough to
/// understand.
pub const HISTORY_DAMAGES: usize = 1_000;
