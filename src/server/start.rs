//! Starts the parts in order. The listening addresses come first, so that a second server fails before it touches any file. Then come the
//! store, the message log, the shards, the rooms that the operator has set, and the admin listener. The acceptor comes last.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt,
    path::Path,
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
    thread,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{
    Server, settings,
    shard_thread::ShardThread,
    store,
    supervise::{report_shards, report_store, report_threads},
};
use crate::{
    admin::{AdminListener, AdminThread, Api, KeptRooms},
    chat::{ChatMessage, RoomName, ShardId},
    codec::DialectId,
    config::{Config, Listen},
    history::{self, History},
    ingress::{Acceptor, Descriptors, HttpServer, Listener, Site, bind},
    observe::{
        Clocks, MessageLog, MessageLogThread, Metrics, Readiness, RotatingFile, RotationControl, ServerPhase,
        log_files_fix,
    },
    shard::{self, Observer, Shards, StorePort, Ticket},
};

impl Server {
    /// Returns once clients can connect.
    ///
    /// # Errors
    /// One sentence for the operator: what failed, and what to do.
    pub fn start(config: &Config, metrics: &Arc<Metrics>) -> Result<Self, String> {
        let bound = config.server.listen.iter().map(listen).collect::<Result<Vec<_>, _>>()?;
        let (sockets, listeners): (Vec<_>, Vec<_>) = bound.into_iter().unzip();
        let addresses = listeners.iter().map(|listener| listener.address).collect();
        if !config.server.memory {
            make_private(&config.server.data, "--data")?;
        }
        let count = config.shard_count(thread::available_parallelism().map_or(1, usize::from));
        let shards = Arc::new(Shards::new(
            count,
            settings::shard(config),
            settings::profiles(config),
            fastrand::u64(..),
        ));
        let history = store::start(config, &shards, metrics)?;
        // After the store: if two servers start on one directory, the error of the store names the other one.
        let (message_log, message_log_thread, message_file) = start_message_log(config, metrics)?;
        let site = Arc::new(Site {
            listeners,
            http: ArcSwap::from_pointee(config.http.clone()),
            groups: config.chat.action(),
            legacy_pages: AtomicBool::new(config.chat.legacy_pages),
            draining: watch::Sender::new(false),
            metrics: metrics.clone(),
        });
        let threads = (0..count)
            .map(|number| start_shard(number, config, &shards, &site, history.clone(), message_log.clone()))
            .collect::<Result<Vec<_>, String>>()?;
        let rooms = KeptRooms::read((!config.server.memory).then_some(config.server.data.as_path()))?;
        rooms.restore(&shards)?;
        let readiness = Readiness::new();
        let descriptors = Descriptors::of_process(count, sockets.len());
        let admin = match config.server.admin {
            None => None,
            Some(address) => {
                let api = Api::new(shards.clone(), config.chat.action(), rooms);
                let listener = AdminListener::new(readiness.clone(), metrics.clone(), api);
                Some(listener.connections(descriptors.admin).start(address)?)
            }
        };
        let acceptor = Acceptor::start(sockets, shards.clone(), descriptors.connections, metrics.clone())
            .map_err(|error| format!("the acceptor's thread cannot be started: {error}"))?;
        let mut watches = acceptor.watches().to_vec();
        watches.extend(admin.iter().map(AdminThread::watch));
        watches.extend(history.iter().flat_map(History::watches));
        watches.extend(message_log_thread.iter().map(MessageLogThread::watch));
        report_threads(&readiness, &watches);
        report_shards(&readiness, &shards, count);
        if let Some(history) = &history {
            report_store(&readiness, history);
        }
        readiness.enter(ServerPhase::Ready);
        Ok(Self {
            addresses,
            readiness,
            shards,
            site,
            acceptor,
            admin,
            threads,
            message_log: message_log_thread,
            message_file,
            history,
            watches,
            drain_timeout: config.server.drain_timeout,
        })
    }
}

fn listen(listen: &Listen) -> Result<(TcpListener, Listener), String> {
    let failed = |error| cannot_listen(listen.address, &error);
    let socket = bind(listen.address).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let listener = Listener {
        address,
        dialect: listen.dialect.and_then(|dialect| DialectId::named(dialect.as_str())),
        proxy: listen.proxy,
        loopback: address.ip().is_loopback(),
    };
    Ok((socket, listener))
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    let fix = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there: stop it, or choose another port with --listen",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address; choose one it has with --listen",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose a higher one with --listen",
        _ => "choose another with --listen",
    };
    format!("cannot listen on {address}: {error}; {fix}")
}

fn start_shard(
    number: usize,
    config: &Config,
    shards: &Arc<Shards>,
    site: &Arc<Site>,
    history: Option<History<Ticket>>,
    message_log: Option<MessageLog>,
) -> Result<ShardThread, String> {
    let stored = config.history.clone();
    let id = ShardId(number as u16);
    let store = match history {
        None => StorePort::without_store(id),
        Some(history) => {
            let queue = stored.queue;
            StorePort::new(id, history, Arc::new(move |room: &RoomName| stored.keeps(room)), queue)
        }
    };
    let server = HttpServer::new(site.clone());
    let report = shard::Reporter::new(site.metrics.clone(), number);
    let shards = shards.clone();
    ShardThread::start(number, config.server.pin_shards, move |stopped| {
        let observer: Rc<dyn Observer> = Rc::new(Recorder(message_log));
        let seed = fastrand::u64(..);
        shard::run(id, shards, server, report, observer, store, seed, stopped)
    })
}

/// The message log, its thread, and the control of its file; `None` if it is off or has no directory.
type StartedMessageLog = (
    Option<MessageLog>,
    Option<MessageLogThread>,
    Option<Arc<RotationControl>>,
);

fn start_message_log(config: &Config, metrics: &Metrics) -> Result<StartedMessageLog, String> {
    let Some(dir) = config.log_dir().filter(|_| config.log.message_log) else {
        return Ok((None, None, None));
    };
    make_private(&dir, "log.dir")?;
    let failed = |error: io::Error| {
        format!(
            "the message log cannot be written in {}: {error}; {}, or set log.message_log = false",
            dir.display(),
            log_files_fix(&error)
        )
    };
    let errors = metrics.logs.write_errors.clone();
    let file = RotatingFile::open(
        &dir,
        "messages",
        "jsonl",
        settings::rotation(config),
        Clocks::system(),
        errors,
    )
    .map_err(failed)?;
    let control = file.control();
    let (log, thread) = MessageLog::start(file, metrics.logs.message_log_dropped.clone()).map_err(failed)?;
    Ok((Some(log), Some(thread), Some(control)))
}

/// Creates a missing directory that only its owner can read. `setting` names the setting that chose it.
fn make_private(dir: &Path, setting: &str) -> Result<(), String> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| format!("{}: choose another with {setting}", history::no_directory(dir, &error)))
}

/// Passes messages on to the message log, if there is one.
struct Recorder(Option<MessageLog>);

impl Observer for Recorder {
    fn talk(&self, room: &RoomName, message: &ChatMessage) {
        if let Some(log) = &self.0 {
            log.record(room, message);
        }
    }
}
