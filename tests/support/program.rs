//! A server inside the test, and the program as a child process.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use plaza::{
    codec::DIALECTS,
    config::{Config, Loaded, Sources},
    observe::Metrics,
    server::Server,
};

/// A server inside the test, stopped on drop.
pub struct Running {
    pub server: Server,
    pub metrics: Arc<Metrics>,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

/// Settings of a test's server: two shards, free ports, no store.
pub fn config() -> Config {
    let mut config = Config::default();
    config.server.memory = true;
    config.server.shards = 2;
    config.server.listen[0].address.set_port(0);
    config.server.admin = Some("127.0.0.1:0".parse().unwrap());
    config
}

/// The same with a store in this directory.
pub fn stored(dir: &Path) -> Config {
    let mut config = config();
    config.server.memory = false;
    config.server.data = dir.to_owned();
    config.log.message_log = false;
    config
}

/// The same with these settings, as `group.name` and value.
pub fn settings(words: &[(&str, &str)]) -> Config {
    let own = [
        ("server.listen", "127.0.0.1:0"),
        ("server.admin", "127.0.0.1:0"),
        ("server.memory", "true"),
        ("server.shards", "2"),
        ("server.drain_timeout", "100ms"),
    ];
    let variable = |(key, value): &(&str, &str)| {
        let name = format!("PLAZA_{}", key.replace('.', "_").to_uppercase());
        (name, (*value).to_owned())
    };
    let sources = Sources {
        environment: own.iter().chain(words).map(variable).collect(),
        ..Sources::default()
    };
    Loaded::from_sources(&sources).unwrap().config
}

/// A server with the settings of [`config`].
pub fn start() -> Running {
    start_with(|_| {})
}

/// The same with changed settings.
pub fn start_with(change: impl FnOnce(&mut Config)) -> Running {
    let mut config = config();
    change(&mut config);
    Running::start(&config)
}

impl Running {
    pub fn start(config: &Config) -> Self {
        let names: Vec<&'static str> = DIALECTS.iter().map(|dialect| dialect.name()).collect();
        let metrics = Metrics::new(config.shard_count(2), &names);
        let server = Server::start(config, &metrics).unwrap();
        let address = server.addresses()[0];
        let admin = server.admin_address().unwrap();
        Self {
            server,
            metrics,
            address,
            admin,
        }
    }
}

/// The program as a child process.
pub struct Program {
    pub child: Child,
    pub addresses: Vec<SocketAddr>,
    pub admin: SocketAddr,
}

impl Program {
    /// Starts `plaza serve` with these arguments and free ports, and waits until it listens.
    pub fn start(arguments: &[&str]) -> Self {
        Self::from_command(program(), arguments)
    }

    /// The same, run by another command.
    pub fn from_command(mut command: Command, arguments: &[&str]) -> Self {
        let ports = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut child = command
            .args(ports)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut addresses = Vec::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let admin = loop {
            let Some(Ok(line)) = lines.next() else {
                let mut errors = String::new();
                child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
                panic!("the server ended before it listened: {errors}");
            };
            let address = line.split_once("http://").unwrap().1.parse().unwrap();
            if line.contains("listening on") {
                addresses.push(address);
            } else {
                break address;
            }
        };
        Self {
            child,
            addresses,
            admin,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    pub fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    /// The exit status; fails if the program does not end in time.
    pub fn ended(&mut self, within: Duration) -> ExitStatus {
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the server still runs after {within:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A line of /proc/PID/status, in KiB.
    pub fn memory(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, without the settings in the caller's environment.
pub fn program() -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_plaza")))
}

pub fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PLAZA_") {
            command.env_remove(name);
        }
    }
    command
}
