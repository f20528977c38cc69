//! Settings: defaults, overridden by a TOML file, then by `PLAZA_…` variables, then by flags.
//!
//! Invariants: a [`Config`] is typed, within its bounds and consistent; all mistakes of all sources are reported at once, each with its
//! place, what was seen, the bound and the fix; the source of each value is known. An unknown key is a mistake: nothing is guessed.
//!
//! `setting` describes one setting, `table` defines all of them. `value` and `scalars` read and show values, `layers` holds them
//! by source, and `sources` reads the sources.

mod layers;
mod log_filter;
mod scalars;
mod setting;
mod show;
mod sources;
mod table;
#[cfg(test)]
mod tests;
mod types;
mod value;

use std::{fmt, fs, net::SocketAddr, path::PathBuf};

pub use layers::{InForce, Mistake, Source};
pub use setting::{Change, Flag, Setting};
pub use show::{example, in_force};
pub use sources::{CONFIG_VARIABLE, FlagValue, Sources};
pub use table::{Chat, Config, Flush, GROUPS, History, Http, Log, SETTINGS, Server};
pub use types::{ByteCount, DialectName, Listen, LogFilter, ProxyProtocol, RoomPattern, UserNames};

use crate::{
    chat::{Access, Groups, RoomName, World},
    codec::action,
    limits,
};
use layers::Layers;

/// The settings in force, and their sources.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub config: Config,
    /// Each as text, in the order of the table.
    pub in_force: Vec<InForce>,
}

/// All mistakes in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

/// A setting that differs between two loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The key: `group.name`.
    pub key: String,
    /// Before, as TOML.
    pub before: String,
    /// Now, as TOML.
    pub now: String,
    /// Whether a running server can apply it.
    pub change: Change,
}

impl Loaded {
    /// Merges and checks the sources.
    pub fn from_sources(sources: &Sources) -> Result<Self, Mistakes> {
        let mut layers = Layers::gather(sources);
        let config = Config::resolve(&mut layers);
        check_together(&config, &mut layers);
        if layers.mistakes.is_empty() {
            Ok(Self {
                config,
                in_force: layers.in_force,
            })
        } else {
            Err(Mistakes(layers.mistakes))
        }
    }

    /// The settings that differ in a later load, for SIGHUP.
    pub fn changes(&self, later: &Self) -> Vec<Changed> {
        let pairs = SETTINGS.iter().zip(self.in_force.iter().zip(&later.in_force));
        pairs
            .filter(|(_, (before, now))| before.toml != now.toml)
            .map(|(setting, (before, now))| Changed {
                key: setting.key(),
                before: before.toml.clone(),
                now: now.toml.clone(),
                change: setting.change,
            })
            .collect()
    }
}

impl Config {
    /// The directory of log files; `None` if the disk must not be written.
    pub fn log_dir(&self) -> Option<PathBuf> {
        if self.log.dir.is_absolute() {
            Some(self.log.dir.clone())
        } else if self.server.memory {
            None
        } else {
            Some(self.server.data.join(&self.log.dir))
        }
    }

    /// The number of shards on a machine with this many cores.
    pub fn shard_count(&self, cores: usize) -> usize {
        match self.server.shards {
            0 => cores.clamp(1, limits::SHARDS),
            shards => shards,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::resolve(&mut Layers::default())
    }
}

impl Http {
    /// Whether this is the address of a trusted proxy. An IPv4 address in IPv6 form counts as IPv4.
    pub fn trusts(&self, address: SocketAddr) -> bool {
        let address = address.ip().to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

impl Chat {
    /// The settings of the dialect `action`.
    pub fn action(&self) -> action::ActionSettings {
        action::ActionSettings::new(self.action_app_ids.clone(), self.action_groups.clone())
    }

    /// Which users may enter which room.
    pub fn access(&self) -> Access {
        let groups = if self.action_open_groups {
            Groups::Open
        } else {
            let rooms = self.action_groups.values().cloned().collect();
            Groups::Closed {
                prefix: action::GROUP_PREFIX,
                rooms,
            }
        };
        let mut access = Access::new(groups);
        let action = self.action();
        for (group, members) in &self.action_members {
            // The check of the settings has refused groups that cannot be rooms.
            if let Ok(room) = action.room(World::Common, group) {
                access.set(room, Some(members.0.clone()));
            }
        }
        access
    }
}

impl History {
    /// Whether this room is durable.
    pub fn keeps(&self, room: &RoomName) -> bool {
        self.all || self.rooms.iter().any(|pattern| pattern.matches(room))
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => writeln!(f, "plaza: the configuration has a mistake:")?,
            mistakes => writeln!(f, "plaza: the configuration has {mistakes} mistakes:")?,
        }
        self.0.iter().try_for_each(|mistake| writeln!(f, "  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

/// Reads the file; the error is one sentence.
pub fn read_file(path: &str) -> Result<String, String> {
    let size = fs::metadata(path).map(|metadata| metadata.len());
    let content = match size {
        Ok(size) if size > limits::CONFIG_FILE_BYTES => {
            let bound = limits::CONFIG_FILE_BYTES;
            return Err(format!(
                "the configuration file {path} has {size} bytes; at most {bound} are read; is it the right file?"
            ));
        }
        Ok(_) => fs::read_to_string(path),
        Err(error) => Err(error),
    };
    content.map_err(|error| {
        format!("the configuration file {path} cannot be read: {error}; check the path given with --config or {CONFIG_VARIABLE}")
    })
}

/// Refuses settings that contradict each other.
fn check_together(config: &Config, layers: &mut Layers) {
    let Config {
        server,
        http,
        chat,
        flush,
        history: _,
        log,
    } = config;
    let mut mistakes = Vec::new();
    let mut refuse = |key: &str, sentence: String| {
        mistakes.push(Mistake {
            source: layers.source(key),
            sentence,
        });
    };
    if server.listen.is_empty() {
        refuse(
            "server.listen",
            "server.listen is empty, so nobody could connect; give at least one address".to_owned(),
        );
    }
    let mut taken: Vec<SocketAddr> = Vec::new();
    for listen in &server.listen {
        if listen.address.port() != 0 && taken.contains(&listen.address) {
            let sentence = format!("server.listen has {} twice; give each address once", listen.address);
            refuse("server.listen", sentence);
        }
        taken.push(listen.address);
        if listen.proxy == ProxyProtocol::Required && http.trusted_proxies.is_empty() {
            let sentence = format!(
                "server.listen asks for the PROXY protocol on {}, but http.trusted_proxies is empty, so nobody could \
                 connect there; list the proxies' addresses",
                listen.address
            );
            refuse("server.listen", sentence);
        }
    }
    if let Some(admin) = server.admin.filter(|admin| admin.port() != 0 && taken.contains(admin)) {
        refuse(
            "server.admin",
            format!("server.admin has {admin}, and so does server.listen; give it a port of its own"),
        );
    }
    if chat.native_ping >= chat.dead_after {
        let sentence = "chat.native_ping is not shorter than chat.dead_after, so that every quiet client would be taken for \
                        dead; make it half as long or less";
        refuse("chat.native_ping", sentence.to_owned());
    }
    for (dialect, pace) in &chat.legacy_pings {
        if let Err(problem) = DialectName::parse(dialect) {
            refuse(
                "chat.legacy_pings",
                format!("chat.legacy_pings has the key {dialect:?}, {problem}; give one of these"),
            );
        }
        if *pace >= chat.dead_after {
            let sentence = format!(
                "chat.legacy_pings has an interval for {dialect:?} that is not shorter than chat.dead_after; make it shorter"
            );
            refuse("chat.legacy_pings", sentence);
        }
    }
    let action = chat.action();
    for group in chat.action_members.keys() {
        match action.room(World::Common, group) {
            Ok(room) if room == RoomName::lobby() => {
                let sentence = format!(
                    "chat.action_members has the group {group:?}, which is the lobby, where the users of all dialects meet; \
                     make it another room with chat.action_groups"
                );
                refuse("chat.action_members", sentence);
            }
            Ok(_) => {}
            Err(fault) => {
                refuse(
                    "chat.action_members",
                    format!("chat.action_members has the group {group:?}, which cannot be a room: {fault}"),
                );
            }
        }
    }
    if flush.ring_bytes > flush.ring_budget {
        let sentence = "flush.ring_bytes is more than flush.ring_budget, which all rooms of a shard share; make the budget the \
                        larger one";
        refuse("flush.ring_bytes", sentence.to_owned());
    }
    if log.server_log && config.log_dir().is_none() {
        let sentence = "log.server_log asks for a file, but with server.memory nothing is written into the data directory; \
                        set log.dir to an absolute path, or leave the log on standard error";
        refuse("log.server_log", sentence.to_owned());
    }
    layers.mistakes.append(&mut mistakes);
}
