//! The one table of settings. The typed [`Config`], the file, the variables, the flags, `plaza config` and the example file
//! all follow from it; no setting stands anywhere else.

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
    /// The process: where it listens, what it keeps where, how many cores it uses, how it ends.
    server: Server {
        /// Where clients connect. `ADDR=DIALECT` fixes what plain /ws means on that address; `+proxy` at the end asks for
        /// the PROXY protocol on every connection. By default only this machine can connect.
        listen: Vec<Listen> = "127.0.0.1:8080", flag "listen" "ADDR[=DIALECT][+proxy]";
        /// Health, metrics and the admin API. Whoever reaches it may see and end everything: keep it to this machine.
        admin: Option<SocketAddr> = "127.0.0.1:8081", flag "admin" "ADDR";
        /// The data directory; made if missing, readable by its owner alone, and never shared by two servers.
        data: PathBuf = "./plaza-data", flag "data" "DIR";
        /// Keeps everything in memory and writes nothing into the data directory.
        memory: bool = "false", flag "memory" "";
        /// Shards, each a thread that serves its share of the connections; 0 is one per core.
        shards: usize = "0", within "0"..="256", flag "shards" "N";
        /// Binds each shard to a core of its own. Off, because it only helps where nothing else runs on the machine.
        pin_shards: bool = "false", flag "pin" "";
        /// How long a stopping server gives its clients to read what they still have to be told.
        drain_timeout: Duration = "10s", within "0s"..="10min", flag "drain-timeout" "TIME", change Reload;
    }

    /// What is believed of a request before it becomes a connection.
    http: Http {
        /// Pages of these origins may connect, besides those of the server's own host: "https://chat.example.org";
        /// "https://*.example.org" for every host below that name, one or more labels deep, and not the name itself; or
        /// those of apps and extensions, such as "capacitor://localhost", "tauri://localhost" or "moz-extension://*"
        /// (Firefox gives every installation another host). A page opened as a file in Electron sends "file://".
        allowed_origins: Vec<AllowedOrigin> = "", change Reload;
        /// Proxies whose X-Forwarded-For and PROXY protocol lines are believed. None by default: a client could write
        /// itself any address.
        trusted_proxies: Vec<IpNet> = "", change Reload;
        /// A connection whose request is not complete after this long is dropped.
        handshake_timeout: Duration = "10s", within "100ms"..="1min", change Reload;
        /// How long a connection that was answered a page may wait for the next request. Longer than a load balancer keeps
        /// an idle connection (most 60 s), or it sends a request into one that has just been closed and answers 502.
        keep_alive: Duration = "75s", within "1s"..="1h", change Reload;
    }

    /// The chat: presence, heartbeats, and what the five older systems' clients are given.
    chat: Chat {
        /// Rooms with more users than this get digests instead of each coming and going, and lists cut at this number:
        /// telling everybody of everybody grows with the square of the room.
        presence_events_max: usize = "500", within "0"..="100000";
        /// The pace of those digests.
        digest_every: Duration = "2s", within "100ms"..="1min";
        /// How old a list of users in an answer to an older client may be.
        list_cache: Duration = "1s", within "0s"..="1min";
        /// The pace of pings to clients of Plaza's own protocol: below the half minute after which the shortest-lived
        /// gateways forget a quiet connection.
        native_ping: Duration = "25s", within "1s"..="10min";
        /// Other paces for the older dialects than their originals had, such as { "chat-request" = "20s" }.
        legacy_pings: BTreeMap<String, Duration> = "", within "1s"..="10min";
        /// A connection that has sent nothing for this long, not even a pong, is gone. One that takes what it is sent all the time,
        /// but cannot keep up, has five times as long.
        dead_after: Duration = "60s", within "2s"..="1h";
        /// A user who has said nothing for this long is disconnected; pongs do not count. Off: people read.
        idle_kick: Option<Duration> = "off", within "10s"..="30d";
        /// The same for the dialect `action`, where a heartbeat message counts. Off: its original had a cleaner for six minutes of
        /// silence and never started it.
        action_silence: Option<Duration> = "off", within "10s"..="30d";
        /// The appIds that the dialect `action` accepts; 1 and 2 are its original's. The first shares the chat of all dialects.
        /// Each other one is a world of its own, whose users and rooms have names that begin with its number in ⟦ ⟧.
        action_app_ids: Vec<u32> = "1,2";
        /// Which room a group of the first app is; any other group is the room `group:<id>`.
        action_groups: BTreeMap<String, RoomName> = "1=lobby";
        /// The members of groups, such as { "7" = "1 2 31" }. Nobody else may enter such a group's room, whatever dialect
        /// they speak. The admin API changes it while the server runs.
        action_members: BTreeMap<String, UserNames> = "";
        /// Whether every user may enter every group that has no list of members, as in the original. If not, nobody may;
        /// the lobby is always open.
        action_open_groups: bool = "true";
        /// How many of the last talks a client of an older dialect is given on joining. None: its original gave none.
        legacy_history_on_join: usize = "0", within "0"..="1000";
        /// The rate limit of one session: messages, direct messages, topics and new names in a second. The server reads a
        /// faster sender no faster, and nothing is lost. Off: programs send a lot, and a room takes it.
        messages_per_second: Option<u32> = "off", within "1"..="1000000", change Reload;
        /// The burst that the rate limit allows after silence: people paste, and pages send again what was not acknowledged.
        /// It is at least what the rate gives in 0.2 s.
        messages_at_once: u32 = "20", within "1"..="1000000", change Reload;
        /// Rooms that one session may be in at once.
        rooms_per_session: usize = "256", within "1"..="256";
        /// Whether clients of the dialect `communication` see each other's addresses.
        communication_show_ip: bool = "false";
        /// The same for the dialect `tutorial`, whose original put the sender's address into every frame.
        tutorial_show_ip: bool = "false";
        /// Whether the pages of the older systems are served (/home/index, /home/room, /connect.proto).
        legacy_pages: bool = "true", change Reload;
    }

    /// How a shard writes to its members, and what it holds for them.
    flush: Flush {
        /// Talks wait for others to share their write only while flushes of their room begin at most this far apart: 0
        /// never waits.
        max: Duration = "11ms", within "0s"..="1s";
        /// Under load the next flush of a room waits for half of what the last one cost per talk that it had, and at most
        /// this many times its cost: more makes deliveries cheaper and later; 0 never waits.
        pace: f64 = "2.5", within "0"..="100";
        /// The most that one shard keeps of one room for members that lag.
        ring_bytes: ByteCount = "1MiB", within "64KiB"..="1GiB";
        /// The most that one shard keeps of all its rooms.
        ring_budget: ByteCount = "64MiB", within "1MiB"..="64GiB";
        /// A member whose socket takes nothing for this long is cut off.
        write_timeout: Duration = "10s", within "1s"..="10min";
        /// After this many writes a flush lets other rooms and the readers have their turn.
        yield_writes: usize = "128", within "1"..="65536";
        /// Messages that wait at a shard for its attention; what does not fit waits at the sender.
        inbox_messages: usize = "8192", within "64"..="1048576";
        /// With more than this on the way to one shard, new talks get `busy`; the same goes for direct messages by themselves.
        inflight_bytes: ByteCount = "8MiB", within "256KiB"..="4GiB";
    }

    /// What is stored, how surely, and how long.
    history: History {
        /// What has happened before a talk is acknowledged: "fsync", it is on the disk; "os", the operating system has it
        /// (lost with the power); "none".
        durability: Durability = "fsync", flag "durability" "WORD";
        /// The rooms whose talks are stored; * stands for any characters.
        rooms: Vec<RoomPattern> = "lobby";
        /// Stores the talks of every room, whatever `rooms` says.
        all: bool = "false";
        /// Talks older than this are deleted.
        max_age: Option<Duration> = "30d", within "1min"..="36500d", change Reload;
        /// The oldest talks of a room with more than this are deleted.
        max_bytes: Option<ByteCount> = "1GiB", within "1MiB"..="1024TiB", change Reload;
        /// The oldest talks of a room with more talks than this are deleted.
        max_count: Option<u64> = "off", within "1"..="1000000000000", change Reload;
        /// How long a talk sent again with the same key is known for the same. Longer than a phone is without network.
        key_window: Duration = "24h", within "1min"..="30d";
        /// Talks that wait for the disk; with more, new ones get `busy`.
        queue: usize = "8192", within "64"..="1048576";
    }

    /// The server log (what the program does) and the talk log (who said what in which room).
    log: Log {
        /// Which lines the server log has: error, warn, info, debug, trace, or such as "info,plaza::history=debug".
        filter: LogFilter = "info", flag "log" "FILTER", change Reload;
        /// How its lines look: "text" for people, "json" for programs.
        format: LogFormat = "text";
        /// Writes the server log into files of `dir` too. Off: it goes to standard error, where a service manager reads it.
        server_log: bool = "false";
        /// Writes the talk log into files of `dir`. Direct messages are never in it.
        talk_log: bool = "true";
        /// Where log files are; a relative path is below the data directory. With `server.memory` there are log files only
        /// where this is an absolute path.
        dir: PathBuf = "logs";
        /// A new file is begun at every full one of these (of UTC).
        rotate_every: Option<Duration> = "1d", within "1min"..="30d", change Reload;
        /// A new file is begun before one grows beyond this; only a line that is longer by itself makes a longer file.
        rotate_bytes: Option<ByteCount> = "64MiB", within "4KiB"..="1TiB", change Reload;
        /// Only this many files of each log are kept.
        keep_files: Option<u32> = "64", within "1"..="100000", change Reload;
        /// Files older than this are deleted.
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
