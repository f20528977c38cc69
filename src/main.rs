//! The plaza program: arguments → settings → server → drain.

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
};

use plaza::{
    cli::{self, SettingFlags, Task},
    codec::DIALECTS,
    config::{Change, Loaded},
    observe::{Logs, Metrics},
    output,
    server::{Server, log_settings},
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let environment = match environment() {
        Ok(environment) => environment,
        Err(sentence) => {
            complain(&sentence);
            return ExitCode::from(cli::EX_USAGE);
        }
    };
    match cli::read(env::args_os(), environment.clone()) {
        Task::Serve { loaded, flags } => match serve(*loaded, &flags, &environment) {
            Ok(()) => ExitCode::SUCCESS,
            Err(sentence) => {
                complain(&sentence);
                ExitCode::FAILURE
            }
        },
        Task::History { command, data } => command.run(&data),
        Task::Print(text) => match output::print(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(sentence) => {
                if !sentence.is_empty() {
                    complain(&sentence);
                }
                ExitCode::FAILURE
            }
        },
        Task::Refuse { message, code } => {
            // A closed pipe has no reader.
            let _ = io::stderr().write_all(message.as_bytes());
            ExitCode::from(code)
        }
    }
}

/// Prints an error. If standard error is closed, the exit code is all there is; a panic would change it.
fn complain(sentence: &str) {
    let _ = writeln!(io::stderr(), "plaza: {sentence}");
}

/// Runs the server until a signal ends it. The error is one sentence.
fn serve(loaded: Loaded, flags: &SettingFlags, environment: &[(String, String)]) -> Result<(), String> {
    let names: Vec<&'static str> = DIALECTS.iter().map(|dialect| dialect.name()).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let metrics = Metrics::new(loaded.config.shard_count(cores), &names);
    let logs = Logs::install(&log_settings(&loaded.config), &metrics)?;
    metrics.follow_total(metrics.logs.server_dropped.clone(), logs.dropped_lines());
    let open_files = raise_open_files();
    let signals = Signals::install()?;
    let mut server = Server::start(&loaded.config, &metrics)?;
    server.watch_logs(logs.watches());
    for address in server.addresses() {
        let _ = writeln!(
            io::stdout(),
            "plaza {} listening on http://{address}",
            env!("CARGO_PKG_VERSION")
        );
    }
    if let Some(address) = server.admin_address() {
        let _ = writeln!(io::stdout(), "health and metrics on http://{address}");
        if !address.ip().to_canonical().is_loopback() {
            let _ = writeln!(
                io::stderr(),
                "plaza: WARNING: the admin listener on {address} has no authentication: anyone who can connect to it has full \
                 control of the server. Keep it on 127.0.0.1 (--admin), or put a firewall or an authenticating proxy in front \
                 of it."
            );
        }
    }
    tracing::debug!(open_files, "the limit of open files; every connection needs one");
    signals.wait(loaded, &mut server, |loaded, server| {
        reload(loaded, flags, environment, &logs, server);
    })?;
    tracing::info!(
        connections = server.connections(),
        "draining; a second signal ends the server at once"
    );
    let left = server.drain();
    if left > 0 {
        tracing::warn!(left, "closed the connections that were still open at the drain timeout");
    }
    Ok(())
}

/// Raises the soft limit of open files to the hard one, and returns it. Every connection is a descriptor, and shells and services
/// start programs with 1,024.
fn raise_open_files() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // If the system refuses, the soft limit stays.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The signals that the server handles.
struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn install() -> Result<Self, String> {
        let sentence = |error: std::io::Error| format!("signals cannot be received: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(sentence)?;
        let on = |kind| {
            let _entered = runtime.enter();
            signal(kind).map_err(sentence)
        };
        let (terminate, interrupt, hang_up) = (
            on(SignalKind::terminate())?,
            on(SignalKind::interrupt())?,
            on(SignalKind::hangup())?,
        );
        Ok(Self {
            runtime,
            terminate,
            interrupt,
            hang_up,
        })
    }

    /// Waits for the first signal that stops the server; a second one then ends the process at once. The error is one sentence
    /// about the part of the server that has failed.
    fn wait(
        self,
        mut loaded: Loaded,
        server: &mut Server,
        mut reload: impl FnMut(&mut Loaded, &mut Server),
    ) -> Result<(), String> {
        let Self {
            runtime,
            mut terminate,
            mut interrupt,
            mut hang_up,
        } = self;
        let name = runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => break Ok("SIGTERM"),
                    _ = interrupt.recv() => break Ok("SIGINT"),
                    _ = hang_up.recv() => reload(&mut loaded, server),
                    why = server.failed() => break Err(why),
                }
            }
        })?;
        tracing::info!(signal = name, "stopping on a signal");
        // This thread lives until the process ends, by the drain or by the second signal.
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
            std::process::exit(1);
        });
        Ok(())
    }
}

/// SIGHUP: reopens the logs, and applies the settings that may change while the server runs.
fn reload(
    loaded: &mut Loaded,
    flags: &SettingFlags,
    environment: &[(String, String)],
    logs: &Logs,
    server: &mut Server,
) {
    server.reopen_logs();
    if let Some(file) = logs.file() {
        file.reopen();
    }
    match flags.load(environment.to_vec()) {
        Ok(later) => {
            for changed in loaded.changes(&later) {
                let (key, before, now) = (&changed.key, &changed.before, &changed.now);
                match changed.change {
                    Change::Reload => tracing::info!(key, before, now, "changed a setting"),
                    Change::Restart => {
                        tracing::warn!(key, before, now, "this setting takes effect at the next start");
                    }
                }
            }
            logs.set_filter(later.config.log.filter.as_str());
            server.reconfigure(&later.config);
            *loaded = later;
        }
        Err(mistakes) => tracing::error!(%mistakes, "could not reload the settings; the old ones stay in force"),
    }
}

/// The environment variables. A `PLAZA_` variable that is not UTF-8 is an error; it does not count as absent.
fn environment() -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    for (name, value) in env::vars_os() {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => variables.push((name, value)),
            (Ok(name), Err(value)) if name.starts_with("PLAZA_") => {
                return Err(format!(
                    "{name} is {value:?}, which is not UTF-8; give it another value, or unset it"
                ));
            }
            (Ok(_) | Err(_), _) => {}
        }
    }
    Ok(variables)
}
