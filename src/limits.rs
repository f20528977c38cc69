//! Every bound of the program, each with its reason. A queue, map, size, rate or time without a line here is a defect.

use std::time::Duration;

// ------------------------------------------------------------------------------------------------------ wire

/// Longest message of a native client, in bytes, over all its fragments: what a long text in Chinese needs, and no more.
pub const NATIVE_MESSAGE_BYTES: usize = 64 * 1024;
/// Longest message of a client of the three protobuf dialects. Their originals took 512 bytes; people paste more than that.
pub const LEGACY_MESSAGE_BYTES: usize = 4 * 1024;
/// Most fragments in one message. Autobahn 9.3.1 and 9.4.1 send 65,536, and nobody else more than a few.
pub const MESSAGE_FRAGMENTS: usize = 128 * 1024;
/// An unfinished message older than this ends the connection: its sender is gone or malicious.
pub const MESSAGE_AGE: Duration = Duration::from_secs(30);
/// Longest payload of a control frame (RFC 6455 section 5.5).
pub const CONTROL_PAYLOAD_BYTES: usize = 125;
/// A connection that has said nothing at all after this long is closed: programs and Plaza's own page say hello at once.
pub const FIRST_WORD_TIME: Duration = Duration::from_secs(60);
/// A connection that has no name after this long is closed. Somebody sits there and thinks of another one, or the page of an
/// older system asks only after it has connected.
pub const NAMING_TIME: Duration = Duration::from_secs(10 * 60);
/// A request head that is not complete after this long is dropped.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// An answer that is not read after so many times the handshake timeout ends its connection: the largest page is some hundred
/// kilobytes, which the slowest phone reads in a minute.
pub const ANSWER_TIMEOUTS: u32 = 6;
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

// ------------------------------------------------------------------------------------------------------ rooms

/// Epochs are below this: JSON numbers hold 53 bits.
pub const EPOCH_END: u64 = 1 << 53;
/// Idempotency keys that a room without history remembers: the retries of a minute at 100 talks a second.
pub const KEYS_PER_ROOM: usize = 8 * 1024;
/// Rooms without members that one shard remembers for their topics; the oldest are forgotten first.
pub const TOPICS_KEPT: usize = 1_024;
/// Names in a digest: what a page shows as "a, b, c and 4,997 others".
pub const DIGEST_NAMES: usize = 8;
/// Bytes of the names in a digest's list, for dialects whose notices carry one: at the digest's pace of 2 s every member of a
/// large room is sent less than 1 KiB/s. Whoever asks for the list gets more.
pub const DIGEST_LIST_BYTES: usize = 1_536;
/// Bytes a second that a member is sent of lists which it did not ask for: a desktop client of document 001 or 000 shows the list
/// of a room of 500 some seconds late, and nobody's line is filled by who comes and goes.
pub const LIST_BYTES_PER_SECOND: u64 = 1_024;
/// Members of a room up to which they are a list, a third smaller than a table: to look one up is to compare 16 numbers at most.
pub const MEMBERS_VECTOR: usize = 16;
/// Users of a room up to which the roster is a sorted vector: an insertion moves at most 1.5 KiB.
pub const ROSTER_VECTOR: usize = 64;

// ------------------------------------------------------------------------------------------------------ shards

/// Messages in a shard's inbox: some 100 ms of the busiest traffic measured between two shards.
pub const INBOX_MESSAGES: usize = 8 * 1024;
/// Connections accepted and not yet taken up by their shard.
pub const ARRIVALS: usize = 4 * 1024;
/// A shard that keeps more messages than this for shards that are full refuses talks (`busy`) and stops reading.
pub const OVERFLOW_MESSAGES: usize = 4 * 1024;
/// Times in one turn that connections are read again which waited for others: each makes new work for the same turn.
pub const RELIEVED_PER_TURN: usize = 4;
/// Talks that are on their way to the slowest shard, in bytes, before an owner answers `busy`.
pub const UNDERWAY_BYTES: usize = 8 * 1024 * 1024;
/// Messages a shard takes from its inbox before it looks at its sockets again.
pub const INBOX_BATCH: usize = 256;
/// Ticks this far apart mean that the whole shard stood still, not that its peers fell silent: a tick is 100 ms, and no
/// flush takes seconds.
pub const STOOD_STILL: Duration = Duration::from_secs(5);
/// Slots of the timer wheel.
pub const WHEEL_SLOTS: usize = 512;
/// Width of a slot in milliseconds: fine enough for the 300 ms that `tutorial` is held back; the wheel spans 51 s.
pub const WHEEL_TICK_MS: u64 = 100;
/// The least burst of the rate limit, as the time in which the rate gives it: the wheel reads on at a tick, which may come one late.
/// With less, no session would reach a rate above ten times its burst.
pub const RATE_GRAIN_US: u64 = 2 * WHEEL_TICK_MS * 1_000;
/// A wait before a flush that is shorter than this is none: the runtime's timer counts milliseconds.
pub const PACE_LEAST_US: u64 = 500;
/// Most flushes for which a wait that gathered nothing is skipped.
pub const PACE_SKIPS_MOST: u16 = 256;
/// How long the event rate is measured with or without waits before the two are compared.
pub const PACE_STRETCH_US: u64 = 40_000;
/// Most stretches between two probes of the other way.
pub const PACE_PROBES_MOST: u16 = 64;
/// Bytes that the system holds for one socket and that the network has not taken; with more the socket is full
/// (`TCP_NOTSENT_LOWAT`). What waits there cannot be overtaken by a ping nor skipped by a slow consumer. Without a bound it is
/// up to 4 MiB (`net.ipv4.tcp_wmem`), which a client on a slow line reads for minutes.
pub const UNSENT_BYTES: u32 = 128 * 1024;
/// Bytes of one write to one member: larger ones gain nothing and hold a socket buffer's worth of memory.
pub const BATCH_BYTES: usize = 256 * 1024;
/// Batches kept per flush, one per encoding and cursor; members at other cursors get one of their own.
pub const BATCHES_PER_FLUSH: usize = 32;
/// Bytes of replies that may wait for a socket; above it the connection is given nothing more from the ring or the store that it
/// missed.
pub const PRIVATE_BYTES: usize = 256 * 1024;
/// Bytes of replies above that with which the connection is not read any more. What it missed stops at the first message beyond
/// the bound; without room for that one, a client would not be read, nor its pongs, before it has been given all of it.
pub const PRIVATE_BYTES_BESIDE: usize = NATIVE_MESSAGE_BYTES;
/// Bytes of replies that end the connection when one more comes: only what others send it can get it here.
pub const PRIVATE_BYTES_MOST: usize = 4 * 1024 * 1024;
/// Bytes of replies that may wait for all full sockets of a shard together; above it each may keep less waiting.
pub const WAITING_BYTES: usize = 64 * 1024 * 1024;
/// The same as [`PRIVATE_BYTES`] then, and the end of a connection to which others say more that it cannot read from the store:
/// one message of the longest.
pub const PRIVATE_BYTES_PRESSED: usize = NATIVE_MESSAGE_BYTES;
/// Requests of one connection that are not answered yet; above it the connection is not read.
pub const REQUESTS_UNDERWAY: u32 = 2 * 1024;
/// Sockets served in one turn of a shard, between two looks at its inbox and its rooms.
pub const SOCKETS_PER_TURN: usize = 128;
/// Reads of one socket before others get their turn.
pub const READS_PER_TURN: usize = 4;
/// Bytes of a request that are read at once: nearly all requests fit.
pub const REQUEST_READ_BYTES: usize = 4 * 1024;
/// Handshakes begun before sockets are looked at again: a storm of newcomers does not silence those who are here.
pub const ARRIVALS_PER_TURN: usize = 64;
/// Bytes read from a socket at once, into a buffer that the whole shard shares.
pub const READ_BYTES: usize = 64 * 1024;
/// How long a closing connection may take to read what it was told and close from its side.
pub const LINGER: Duration = Duration::from_secs(2);
/// A client that takes what it is sent all the time, and from which nothing comes for so many times `chat.dead_after`, is too
/// slow: its pong is stuck behind what it still has to read. The largest buffers of two kernels, 10 MiB, are read in 5 min at
/// 34 KiB/s; who reads more slowly than that cannot be told from who never answers.
pub const SLOW_READER_TIMES: u32 = 5;
/// The least that a client waits before it comes back after a goodbye, on top of its random part.
pub const RETRY_LEAST: Duration = Duration::from_millis(500);
/// How long the sender of a dialect without words for `busy` is not read before it is closed.
pub const BUSY_PAUSE: Duration = Duration::from_secs(10);
/// A session's typing is passed on at most this often.
pub const TYPING_EVERY: Duration = Duration::from_secs(2);
/// Direct conversations whose numbers a shard remembers when nothing is stored.
pub const PAIRS_REMEMBERED: usize = 64 * 1024;
/// Rings looked at per tick for events that nobody will ask for again.
pub const RINGS_SWEPT: usize = 256;
/// Members up to which a room is looked at for whether all have been given everything: then who came and went is forgotten,
/// some 700 bytes an event. There are few large rooms, and the look would cost more than the events.
pub const RING_REST_MEMBERS: usize = 64;
/// How long a talk that a busy owner gave back waits before it is tried again.
pub const BUSY_RETRY: Duration = Duration::from_millis(100);

// ------------------------------------------------------------------------------------------------------ native protocol

/// Pace of the server's pings to native clients: below the 30 s after which some mobile networks forget a connection.
pub const NATIVE_PING_EVERY: Duration = Duration::from_secs(25);
/// Numbers in requests stay below this, 2^53: a JSON number of a JavaScript client holds no more.
pub const JSON_NUMBERS_BELOW: u64 = 1 << 53;
/// Longest token, in bytes: a signed token with a dozen claims has 2 KiB, and proxies cut headers at 8 KiB.
pub const TOKEN_BYTES: usize = 8 * 1024;
/// Longest key of a name, in bytes: four times the shortest.
pub const NAME_KEY_BYTES: usize = 128;
/// Shortest key that claims a name, in bytes: 128 random bits in hexadecimal.
pub const NAME_KEY_LEAST: usize = 32;
/// Names that one store lets users claim: each costs 16 bytes of memory, so 64 MiB. More that were claimed before all count.
pub const NAMES_CLAIMED: usize = 4 * 1024 * 1024;
/// Names like a claimed one, `name~2` and on, that are tried for a session that may not have the claimed one; then it is a guest.
pub const NAME_SUFFIXES: u32 = 99;
/// Numbers that are tried for a guest while others have the names; then it gets a random one.
pub const GUEST_NUMBERS: usize = 64;
/// Sessions of a name that one shard renames in one turn when somebody else claims the name; the others wait for the next tick.
pub const DISPLACED_PER_TURN: usize = 256;
/// Longest `after` of a page, in bytes: a name, before it is brought to NFC, of four bytes a character.
pub const PAGE_AFTER_BYTES: usize = NAME_CHARS * 4;
/// Longest text to search for, in characters: longer ones are found by their beginning.
pub const SEARCH_CHARS: usize = 128;
/// Most messages that a join without a position may ask for; the rest is paged with `history`.
pub const JOIN_LAST: u32 = 1_000;
/// Characters of something a client sent that an error repeats: enough to recognise it, too few to be a nuisance.
pub const ECHO_CHARS: usize = 40;

// ------------------------------------------------------------------------------------------------------ legacy dialects

/// Names in one user list of the five systems, whose clients know no pages: rooms with more users than
/// `chat.presence_events_max` are cut there (DESIGN.md 10), and this is the most that may be set.
pub const LEGACY_USERS_LISTED: usize = 100_000;
/// Requests of one legacy connection that wait for their answer; a load test keeps 64 in flight, one group commit takes
/// 1,024.
pub const LEGACY_UNANSWERED: usize = 1024;
/// What a legacy client may have echoed in an answer (`Type`, `seq`), in bytes: theirs have up to 21.
pub const LEGACY_ECHO_BYTES: usize = 64;
/// Pace of the server's pings to legacy clients (the reference of document 000: 54 s).
pub const LEGACY_PING: Duration = Duration::from_secs(54);
/// The same for `chat-request`, whose reference takes a client for dead after 10 s.
pub const CHAT_REQUEST_PING: Duration = Duration::from_secs(9);
/// A `userId` of document 003 is shorter than this, in bytes.
pub const ACTION_USER_ID_BYTES: usize = 20;
/// Clients of one listener by which a silent one is judged: enough that one stranger decides nothing, few enough that a change of
/// clients is followed.
pub const DETECT_RECENT: usize = 8;
/// Messages that wait, unencoded, for a client whose dialect is not certain, and their bytes; with more the dialect is guessed.
pub const UNCERTAIN_MESSAGES: usize = 256;
/// See [`UNCERTAIN_MESSAGES`].
pub const UNCERTAIN_BYTES: usize = NATIVE_MESSAGE_BYTES;
/// How long plain `/ws` waits for the first message of a client that gave its name in the header of three dialects.
pub const DETECT_NAMED: Duration = Duration::from_secs(2);
/// How long the `tutorial` greeting is held back for clients that say nothing in the handshake but then speak protobuf.
pub const DETECT_NAMELESS: Duration = Duration::from_millis(300);

// ------------------------------------------------------------------------------------------------------ ingress

/// Connections waiting in a listener's backlog: the default of 128 drops a burst.
pub const LISTEN_BACKLOG: i32 = 4096;
/// How long the acceptor waits when descriptors run out, at first and at most; it doubles in between.
pub const ACCEPT_BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// Descriptors that clients never get, where the limit allows: [`ADMIN_CONNECTIONS`], and half as many for the store, which opens
/// files as it needs them (the index anew, a new head file, random bytes for an epoch), for log files and the settings.
pub const DESCRIPTORS_RESERVED: usize = 96;
/// A server that is full says so in its log at most this often: each client that goes lets one in.
pub const DESCRIPTORS_WARN_EVERY: Duration = Duration::from_secs(60);
/// Descriptors that the server has open without shards, listeners and clients: 39 with a store and the talk log, two more with the
/// server log in files.
pub const DESCRIPTORS_OWN: usize = 44;
/// Descriptors of a shard: its runtime and its poller.
pub const DESCRIPTORS_OF_SHARD: usize = 7;
/// Longest header of the PROXY protocol, in bytes: addresses and what the large providers put behind them have some 300.
pub const PROXY_HEADER_BYTES: usize = 1024;
/// Hops of `X-Forwarded-For` that are followed back: more proxies than anybody puts in a row.
pub const PROXY_HOPS: usize = 16;

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

/// How often it is looked whether all threads still run.
pub const WATCH_PACE: Duration = Duration::from_millis(250);
/// A part that does not answer its readiness probe within this is not ready.
pub const PROBE_TIME: Duration = Duration::from_secs(1);
/// A readiness report is given again for this long: probes come every few seconds, and an attack far more often.
pub const PROBE_CACHE: Duration = Duration::from_millis(250);
/// Connections to the admin listener at once; more wait in its backlog.
pub const ADMIN_CONNECTIONS: usize = 64;
/// While others wait, an admin connection that has no whole request after this long loses its place: programs send theirs at once,
/// and a backlog of 128 that say nothing must not keep a probe waiting for a second.
pub const ADMIN_SILENCE: Duration = Duration::from_millis(200);
/// An admin connection, one request and its answer, ends after this long, whatever it is doing.
pub const ADMIN_CONNECTION_TIME: Duration = Duration::from_secs(30);
/// Longest body of an admin request: a list of some thousand names.
pub const ADMIN_BODY_BYTES: usize = 256 * 1024;
/// After a failed accept (no descriptors left) the admin listener waits this long.
pub const ADMIN_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A shard that does not answer the operator within this is given up.
pub const ADMIN_ANSWER_TIME: Duration = Duration::from_secs(5);
/// Rooms that the operator keeps on one shard though nobody is in them: each costs some hundred bytes for ever.
pub const ROOMS_STANDING: usize = 16 * 1024;
/// Entries in one page of the admin API.
pub const ADMIN_PAGE_ENTRIES: usize = 1_000;
/// Groups told by one answer of `/user/groupslist`, which knows no pages.
pub const GROUPS_LISTED: usize = 1_000;
/// How often a draining server looks whether everybody has gone.
pub const DRAIN_LOOK: Duration = Duration::from_millis(10);
/// How long a draining server waits, before the first goodbye, for what was said to be on its way to everybody: a commit
/// of a slow disk and two turns of a busy shard.
pub const DRAIN_HUSH: Duration = Duration::from_secs(1);
/// How long a stopping server waits for its talk log to be written.
pub const LOG_FINISH: Duration = Duration::from_secs(5);

// ------------------------------------------------------------------------------------------------------ history

/// How long a start waits for another process to release the data directory or the log files: a killed server needs some
/// hundred milliseconds to end, and one whose clients close at once drains as fast. Longer would only hide that one still runs.
pub const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Pause between two tries to take such a lock; nobody notices it, and it costs nothing.
pub const LOCK_RETRY: Duration = Duration::from_millis(20);
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
/// Conversations in one list, and whose mail a session is given when it comes: more than most people leave unread, and a bound
/// on what a session remembers and one answer holds.
pub const HISTORY_CONVERSATIONS: usize = 1_000;
/// Direct conversations in one page of those that changed: each costs some 10 rows, to find its first message of a time.
pub const CHANGED_CONVERSATIONS: usize = 128;
/// Lost tails remembered per log.
pub const HISTORY_LOST_TAILS: usize = 16;
/// Heads of logs that the writer remembers; a log beyond them is read again from the database when it is next used.
pub const HISTORY_HEADS: usize = 65_536;
/// Rows that retention deletes, or keys that run out, beside one commit: below a millisecond.
pub const HISTORY_SLICE_ROWS: usize = 256;
/// Talks indexed for search in one transaction of the index.
pub const HISTORY_INDEX_SLICE: usize = 512;
/// Between two rounds of an index that has caught up, while talks are committed: the tail that a search scans grows by what is
/// said in this time.
pub const HISTORY_INDEX_PACE: Duration = Duration::from_millis(200);
/// One search looks at the index or at talks for about this long, then says where to go on: a quarter of the 100 ms that a
/// search may take, since one window of the index may take as long again and a busy machine twice that.
pub const HISTORY_SEARCH_TIME: Duration = Duration::from_millis(25);
/// Terms of one search: the rest narrows nothing.
pub const HISTORY_SEARCH_TERMS: usize = 16;
/// Tokens that one search asks the index for: a dozen leave few messages to read, and each costs another list.
pub const HISTORY_SEARCH_NEEDLES: usize = 24;
/// Characters of a word that are indexed: more than any word of a language and most addresses have, and a bound on what a
/// message of 64 KiB without a space costs. What lies behind them is found until the message is indexed.
pub const HISTORY_WORD_CHARS: usize = 256;
/// Logs the search index can tell apart, and talks per log: together the 63 bits of a row number.
pub const HISTORY_LOGS: u64 = 1 << 27;
/// See [`HISTORY_LOGS`].
pub const HISTORY_LOG_TALKS: u64 = 1 << 36;
/// Pages of the write-ahead log after which they are copied into the database: 16 MiB.
pub const HISTORY_WAL_PAGES: u64 = 4_096;
/// A commit that has not ended after this long makes the store not ready: a disk that hangs says nothing. As long as SQLite waits for
/// another process.
pub const HISTORY_STALL: Duration = Duration::from_secs(5);
/// A write-ahead log that a reader keeps from being used again is told to the operator from this size on, and each time that it
/// has doubled: four times what it has between two checkpoints.
pub const HISTORY_WAL_WARN: u64 = 4 * 4_096 * HISTORY_WAL_PAGES;
/// A failing store is tried again this often while nobody talks.
pub const HISTORY_PROBE: Duration = Duration::from_secs(1);
/// Questions of one shard that the store has not answered; with more, those who ask get `busy`. Talks have `history.queue`.
pub const STORE_UNDERWAY: usize = 8 * 1024;
/// Questions of one connection that the store has not answered; with more the connection is not read. Each answer is a page of
/// up to [`HISTORY_PAGE_BYTES`], so a client that asks faster than it reads must not pile them up.
pub const QUESTIONS_UNDERWAY: u16 = 2;
/// Talks in answers of the store that a shard passes on in one turn: one full page, some milliseconds. With 256 answers, 500
/// sessions that came back together kept everybody else on the shard waiting for seconds.
pub const ANSWERED_TALKS_PER_TURN: usize = HISTORY_PAGE_TALKS;
/// Talks that come with the answer to a join of someone who comes back; the rest comes in pages. With 128 the next page was read
/// while the first was encoded, but three hundred took a fifth longer: another question costs more than that gains.
pub const RESUME_TALKS: usize = 512;
/// Talks given at once to a member that goes on from its shard's ring, before it is looked at whether they were taken.
pub const REPLAY_TALKS: usize = 256;
/// Sessions times kibibytes of direct messages that a shard hands out in one turn: each session is a write of some 6 us.
pub const DIRECTS_PER_TURN: usize = 512;
/// What a direct message counts for each session that is to have it, beside its text: about what its envelope takes on the wire.
pub const DIRECT_ENVELOPE_BYTES: usize = 128;
/// A direct message that counts at most this part of what may be underway is a small one: 128 KiB of the default 8 MiB.
pub const DIRECT_SMALL_SHARE: usize = 64;
/// Conversations of one device of which it is remembered how far they were given, some 200 KiB; with more it begins anew, and
/// a device that is behind in more than that may be given messages twice, with the same numbers.
pub const CONVERSATIONS_NOTED: usize = 4 * 1024;
/// Live direct messages that wait in memory while a device is given stored ones: more wait in the store. As many conversations are
/// noted whose live messages were left there; of others only the oldest time is.
pub const MAIL_LIVE: usize = 256;
/// Damages that a check lists one by one: a page that is gone holds some thirty rows, and the first hundreds tell the story.
pub const HISTORY_DAMAGES: usize = 1_000;
