//! The table of settings. The typed [`Config`], the file, the variables, the flags, `plaza config` and the example file are all
//! derived from it; no setting is defined anywhere else.

#![allow(
    rustdoc::bare_urls,
    reason = "the same text becomes the example file, where addresses stand as they are"
)]

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::{
    layers::Layers,
    setting::{Change, Flag, Setting},
    types::{ByteCount, Listen, LogFilter, RoomPattern, UserNames},
    value::Value,
};
use crate::{chat::RoomName, history::Durability, observe::LogFormat, wire::origin::AllowedOrigin};

macro_rules! settings {
    ($(
        $(#[doc = $group_doc:literal])*
        $group:ident: $Group:ident {$(
            $(#[doc = $doc:literal])*
            $name:ident: $type:ty = $default:literal
                $(, within $min:literal..=$max:literal)? $(, flag $flag:literal $value:literal)? $(, change $change:ident)?;
        )*}
    )*) => {
        /// All settings, typed and within their bounds.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config {$(
            $(#[doc = $group_doc])*
            pub $group: $Group,
        )*}

        $(
            $(#[doc = $group_doc])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $Group {$(
                $(#[doc = $doc])*
                pub $name: $type,
            )*}
        )*

        /// Every setting, group by group.
        pub static SETTINGS: &[Setting] = &[$($(
            Setting {
                group: stringify!($group),
                name: stringify!($name),
                doc: &[$($doc),*],
                default: $default,
                bounds: settings!(@bounds $($min, $max)?),
                parts: <$type as Value>::PARTS,
                flag: settings!(@flag $($flag, $value)?),
                change: settings!(@change $($change)?),
                kind: <$type as Value>::kind,
            },
        )*)*];

        /// The groups and what they are about.
        pub static GROUPS: &[(&str, &[&str])] = &[$((stringify!($group), &[$($group_doc),*])),*];

        impl Config {
            /// Takes each setting from the topmost layer that has it.
            pub(super) fn resolve(layers: &mut Layers) -> Self {
                Self {$(
                    $group: $Group {$(
                        $name: layers.resolve(setting(stringify!($group), stringify!($name))),
                    )*},
                )*}
            }
        }
    };
    (@bounds) => { None };
    (@bounds $min:literal, $max:literal) => { Some(($min, $max)) };
    (@flag) => { None };
    (@flag $flag:literal, $value:literal) => { Some(Flag { name: $flag, value: $value }) };
    (@change) => { Change::Restart };
    (@change $change:ident) => { Change::$change };
}

settings! {
    /// The process: its addresses, its data, its threads, its end.
    server: Server {
        /// The addresses where clients connect. `ADDR=DIALECT` fixes what plain /ws means on that address; `+proxy` at the
        /// end requires the PROXY protocol on every connection. By default only this machine can connect.
        listen: Vec<Listen> = "127.0.0.1:8080", flag "listen" "ADDR[=DIALECT][+proxy]";
        /// The address of health, metrics and the admin API. It has no authentication: anyone who can connect to it has full
        /// control of the server, so keep it on this machine.
        admin: Option<SocketAddr> = "127.0.0.1:8081", flag "admin" "ADDR";
        /// The data directory. The server creates it if it is missing, readable by its owner alone. Two servers never share it.
        data: PathBuf = "./plaza-data", flag "data" "DIR";
        /// Keeps everything in memory and writes nothing into the data directory.
        memory: bool = "false", flag "memory" "";
        /// The number of shards. Each is a thread that serves its share of the connections; 0 is one per core.
        shards: usize = "0", within "0"..="256", flag "shards" "N";
        /// Pins each shard to a core of its own. Off by default: it only helps if nothing else runs on the machine.
        pin_shards: bool = "false", flag "pin" "";
        /// When the server drains, the time that clients have to receive what is still buffered for them.
        drain_timeout: Duration = "10s", within "0s"..="10min", flag "drain-timeout" "TIME", change Reload;
    }

    /// HTTP requests: which ones the server trusts, and how long they may take.
    http: Http {
        /// Pages of these origins may connect, besides those of the server's own host: "https://chat.example.org";
        /// "https://*.example.org" for every host below that name, one or more labels deep, but not the name itself; or
        /// those of apps and extensions, such as "capacitor://localhost", "tauri://localhost" or "moz-extension://*"
        /// (Firefox gives every installation another host). A page that Electron opens as a file sends "file://".
        allowed_origins: Vec<AllowedOrigin> = "", change Reload;
        /// Proxies whose X-Forwarded-For and PROXY protocol lines the server trusts. None by default: a client could claim
        /// any address.
        trusted_proxies: Vec<IpNet> = "", change Reload;
        /// The server drops a connection whose request is not complete after this time.
        handshake_timeout: Duration = "10s", within "100ms"..="1min", change Reload;
        /// The server closes an HTTP keep-alive connection that is idle for this time. Keep it above the idle timeout of a load
        /// balancer in front (mostly 60 s): otherwise the balancer sends a request into a connection that has just closed, and
        /// answers 502.
        keep_alive: Duration = "75s", within "1s"..="1h", change Reload;
    }

    /// The chat: presence, heartbeats, rate limits, and the clients of the five older systems.
    chat: Chat {
        /// Rooms with more users than this get presence digests instead of an event for each join and leave, and their lists
        /// are cut at this number. The cost of one event per join for each member grows with the square of the room.
        presence_events_max: usize = "500", within "0"..="100000";
        /// The interval between two digests of a room.
        digest_every: Duration = "2s", within "100ms"..="1min";
        /// The greatest age of the cached user list that answers an older client.
        list_cache: Duration = "1s", within "0s"..="1min";
        /// The interval of pings to clients of Plaza's own protocol. The default is below the 30 s after which some gateways
        /// drop an idle connection.
        native_ping: Duration = "25s", within "1s"..="10min";
        /// Ping intervals for older dialects, such as { "chat-request" = "20s" }. The default is that of the original server.
        legacy_pings: BTreeMap<String, Duration> = "", within "1s"..="10min";
        /// The server closes a connection that has sent nothing for this time, not even a pong. A slow consumer that still
        /// reads has five times as long.
        dead_after: Duration = "60s", within "2s"..="1h";
        /// The server disconnects a user who has sent nothing for this time; pongs do not count. Off by default: many only read.
        idle_kick: Option<Duration> = "off", within "10s"..="30d";
        /// The same for the dialect `action`, where a heartbeat message counts. Off by default: the original server had code to
        /// remove clients after six minutes of silence and never ran it.
        action_silence: Option<Duration> = "off", within "10s"..="30d";
        /// The appIds that the dialect `action` accepts; 1 and 2 are those of the original. The first shares the chat of all
        /// dialects. Each other app is isolated: the names of its users and rooms begin with its number in ⟦ ⟧.
        action_app_ids: Vec<u32> = "1,2";
        /// The rooms of the groups of the first app. Any other group is the room `group:<id>`.
        action_groups: BTreeMap<String, RoomName> = "1=lobby";
        /// The members of groups, such as { "7" = "1 2 31" }. Only they may enter the room of such a group, in any dialect.
        /// The admin API can change the list while the server runs.
        action_members: BTreeMap<String, UserNames> = "";
        /// Whether a group without a list of members is open to all users, as in the original, or to none. The lobby is always
        /// open.
        action_open_groups: bool = "true";
        /// The number of recent messages that a client of an older dialect gets when it joins. None by default, as in the
        /// originals.
        legacy_history_on_join: usize = "0", within "0"..="1000";
        /// The rate limit of one session: messages, direct messages, topics and new names per second. Above it the server
        /// reads from the session more slowly, and loses nothing. Off by default, because bots may send fast.
        messages_per_second: Option<u32> = "off", within "1"..="1000000", change Reload;
        /// The burst that the rate limit allows: users paste, and clients resend what was not acknowledged. The burst is never
        /// below what the rate allows in 0.2 s.
        messages_at_once: u32 = "20", within "1"..="1000000", change Reload;
        /// The number of rooms that one session may join.
        rooms_per_session: usize = "256", within "1"..="256";
        /// Whether clients of the dialect `communication` see each other's addresses.
        communication_show_ip: bool = "false";
        /// The same for the dialect `tutorial`, whose original server put the sender's address into each frame.
        tutorial_show_ip: bool = "false";
        /// Whether the server serves the pages of the older systems (/home/index, /home/room, /connect.proto).
        legacy_pages: bool = "true", change Reload;
    }

    /// How a shard writes to its members, and how much it buffers for them.
    flush: Flush {
        /// The longest interval between two flushes of a room that write coalescing may cause; 0 turns coalescing off.
        max: Duration = "11ms", within "0s"..="1s";
        /// Under load the next flush of a room is delayed by half of the last flush's duration for each message in it, and at
        /// most by this many times that duration. A larger value makes deliveries cheaper and later; 0 means no delay.
        pace: f64 = "2.5", within "0"..="100";
        /// The largest ring of one room on one shard: the recent events that a slow consumer can still catch up with.
        ring_bytes: ByteCount = "1MiB", within "64KiB"..="1GiB";
        /// The memory for all rings of one shard together.
        ring_budget: ByteCount = "64MiB", within "1MiB"..="64GiB";
        /// The server closes a connection whose socket has accepted no bytes for this time.
        write_timeout: Duration = "10s", within "1s"..="10min";
        /// After this many writes a flush yields to other rooms and to reads.
        yield_writes: usize = "128", within "1"..="65536";
        /// The capacity of a shard's inbox, in messages. The overflow waits at the shards that send.
        inbox_messages: usize = "8192", within "64"..="1048576";
        /// With more in-flight bytes to one shard than this, new messages get `busy`. Direct messages have a separate
        /// bound of the same size.
        inflight_bytes: ByteCount = "8MiB", within "256KiB"..="4GiB";
    }

    /// The store: which messages it keeps, how safely, and for how long.
    history: History {
        /// When the server acknowledges a message. "fsync": the message is on the disk. "os": the operating system has it, and
        /// a power cut may lose it. "none": the same, and a power cut may also damage the store.
        durability: Durability = "fsync", flag "durability" "WORD";
        /// The durable rooms, whose messages are stored; * stands for any characters.
        rooms: Vec<RoomPattern> = "lobby";
        /// Makes every room durable, whatever `rooms` says.
        all: bool = "false";
        /// The server deletes messages that are older than this.
        max_age: Option<Duration> = "30d", within "1min"..="36500d", change Reload;
        /// The server deletes the oldest messages of a room above this size.
        max_bytes: Option<ByteCount> = "1GiB", within "1MiB"..="1024TiB", change Reload;
        /// The server deletes the oldest messages of a room above this number.
        max_count: Option<u64> = "off", within "1"..="1000000000000", change Reload;
        /// How long the server remembers an idempotency key, and recognises a message that a client sends again. Longer than
        /// phones are usually offline. After 100,000 newer messages in the conversation it forgets the key earlier.
        key_window: Duration = "24h", within "1min"..="30d";
        /// The number of messages that may wait for the disk; above it new messages get `busy`.
        queue: usize = "8192", within "64"..="1048576";
    }

    /// The server log (what the program does) and the message log (who said what in which room).
    log: Log {
        /// Which lines the server log has: error, warn, info, debug, trace, or a list such as "info,plaza::history=debug".
        filter: LogFilter = "info", flag "log" "FILTER", change Reload;
        /// The format of its lines: "text" for people, "json" for programs.
        format: LogFormat = "text";
        /// Writes the server log into files of `dir` too. Off by default: it goes to standard error, where a service manager
        /// reads it.
        server_log: bool = "false";
        /// Writes the message log into files of `dir`. It never contains direct messages.
        message_log: bool = "true";
        /// The directory of log files; a relative path is below the data directory. With `server.memory` there are log files
        /// only if this is an absolute path.
        dir: PathBuf = "logs";
        /// The interval at which the server begins a new file, aligned to UTC: "1d" means at midnight.
        rotate_every: Option<Duration> = "1d", within "1min"..="30d", change Reload;
        /// The largest size of a file; a new one begins before it grows larger. Only a single longer line makes a larger file.
        rotate_bytes: Option<ByteCount> = "64MiB", within "4KiB"..="1TiB", change Reload;
        /// The number of files to keep of each log; the server deletes the oldest beyond it.
        keep_files: Option<u32> = "64", within "1"..="100000", change Reload;
        /// The server deletes files that are older than this.
        keep_age: Option<Duration> = "30d", within "1min"..="36500d", change Reload;
    }
}

/// The setting with this key, if there is one.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    let (group, name) = key.split_once('.')?;
    SETTINGS
        .iter()
        .find(|setting| setting.group == group && setting.name == name)
}

fn setting(group: &str, name: &str) -> &'static Setting {
    let mut settings = SETTINGS.iter();
    match settings.find(|setting| setting.group == group && setting.name == name) {
        Some(setting) => setting,
        None => unreachable!("the table that asks has it"),
    }
}
