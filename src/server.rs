//! The order in which everything starts and ends.

use std::{
    io,
    net::SocketAddr,
    panic::{self, AssertUnwindSafe},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{mpsc as unbounded, oneshot, watch};

use crate::{
    admin::{Api, Kept, KeptRoom},
    chat::{RoomName, ShardId, Talk, UserName},
    codec::{DIALECTS, DialectSettings, Dialects, Profile},
    config::{Chat, Config},
    history::{self, History},
    ingress::{Acceptor, Descriptors, Doorman, Listener, Site, bind},
    limits,
    observe::{
        Admin, AdminThread, Clocks, Metrics, Need, Phase, Readiness, RotatingFile, Rotation, RotationControl, TalkLog,
        TalkLogThread, Watch, what_to_do,
    },
    shard::{self, Observer, Shards, Store, Ticket, ToShard},
};

/// A running server. [`Server::drain`] ends it; dropping it ends it at once.
pub struct Server {
    addresses: Vec<SocketAddr>,
    readiness: Arc<Readiness>,
    shards: Arc<Shards>,
    site: Arc<Site>,
    acceptor: Acceptor,
    admin: Option<AdminThread>,
    threads: Vec<ShardThread>,
    talk_log: Option<TalkLogThread>,
    talk_file: Option<Arc<RotationControl>>,
    history: Option<History<Ticket>>,
    watches: Vec<Watch>,
    drain_timeout: Duration,
    failures: unbounded::UnboundedReceiver<String>,
}

/// What a shard is started with.
struct Surroundings<'a> {
    config: &'a Config,
    shards: &'a Arc<Shards>,
    site: &'a Arc<Site>,
    metrics: &'a Arc<Metrics>,
    talk_log: Option<TalkLog>,
    history: Option<History<Ticket>>,
    /// Takes the sentence of a shard that ends by itself.
    fail: unbounded::UnboundedSender<String>,
}

struct ShardThread {
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Server {
    /// Starts everything: logs, shards, then the admin listener, and the acceptor last, when there is somebody to serve.
    ///
    /// # Errors
    /// One sentence for the operator: what failed, and what to do.
    pub fn start(config: &Config, metrics: &Arc<Metrics>) -> Result<Self, String> {
        let sockets = config
            .server
            .listen
            .iter()
            .map(|listen| {
                let socket = bind(listen.address).map_err(|error| cannot_listen(listen.address, &error))?;
                let address = socket
                    .local_addr()
                    .map_err(|error| cannot_listen(listen.address, &error))?;
                let dialect = listen
                    .dialect
                    .and_then(|dialect| crate::codec::number_of(dialect.as_str()));
                let proxy = listen.proxy;
                Ok((
                    socket,
                    Listener {
                        address,
                        dialect,
                        proxy,
                        loopback: address.ip().is_loopback(),
                    },
                ))
            })
            .collect::<Result<Vec<_>, String>>()?;
        let (sockets, listeners): (Vec<_>, Vec<_>) = sockets.into_iter().unzip();
        let addresses = listeners.iter().map(|listener| listener.address).collect();
        if !config.server.memory {
            make_private(&config.server.data, "--data")?;
        }
        let readiness = Readiness::new();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let count = config.shard_count(cores);
        let shards = Arc::new(Shards::new(
            count,
            config.shard_settings(),
            profiles(config),
            fastrand::u64(..),
        ));
        let history = start_history(config, &shards, metrics)?;
        // Behind the store: who starts a second server on the same directory is told of that.
        let (talk_log, talk_log_thread, talk_file) = start_talk_log(config, metrics)?;
        let site = Arc::new(Site {
            listeners,
            http: ArcSwap::from_pointee(config.http.clone()),
            groups: config.chat.action(),
            legacy_pages: AtomicBool::new(config.chat.legacy_pages),
            draining: watch::Sender::new(false),
            metrics: metrics.clone(),
        });
        let (fail, failures) = unbounded::unbounded_channel();
        let surroundings = Surroundings {
            config,
            shards: &shards,
            site: &site,
            metrics,
            talk_log,
            history: history.clone(),
            fail,
        };
        let threads = (0..count)
            .map(|number| start_shard(number, &surroundings))
            .collect::<Result<Vec<_>, String>>()?;
        let kept = Kept::read((!config.server.memory).then_some(config.server.data.as_path()))?;
        for (room, set) in kept.rooms() {
            if !set_again(&shards, room, set) {
                return Err(format!(
                    "what was set of the room {room} could not be set again: its shard does not answer"
                ));
            }
        }
        if let Some(history) = &history {
            let (asked, noted) = (history.clone(), history.clone());
            readiness.register_fn("history", move || std::future::ready(healthy(&asked)));
            readiness.register_note("history", move || hampered(&noted));
        }
        for number in 0..count {
            let shards = shards.clone();
            readiness.register_fn(format!("shard {number}"), move || {
                let shards = shards.clone();
                async move { probe(&shards, number).await }
            });
        }
        let descriptors = Descriptors::of_process(count, sockets.len());
        let admin = match config.server.admin {
            None => None,
            Some(address) => {
                let api = Api::new(shards.clone(), config.chat.action(), kept);
                Some(
                    Admin::new(readiness.clone(), metrics.clone())
                        .connections(descriptors.admin)
                        .mount("/api/", api)
                        .start(address)?,
                )
            }
        };
        let acceptor = Acceptor::start(sockets, shards.clone(), descriptors.connections, metrics.clone())
            .map_err(|error| format!("the acceptor's thread cannot be started: {error}"))?;
        let mut watches = acceptor.watches().to_vec();
        watches.extend(admin.iter().map(AdminThread::watch));
        watches.extend(history.iter().flat_map(History::watches));
        watches.extend(talk_log_thread.iter().map(TalkLogThread::watch));
        report(&watches, &readiness);
        readiness.enter(Phase::Ready);
        Ok(Self {
            addresses,
            readiness,
            shards,
            site,
            acceptor,
            admin,
            threads,
            talk_log: talk_log_thread,
            talk_file,
            history,
            watches,
            drain_timeout: config.server.drain_timeout,
            failures,
        })
    }

    /// Where clients connect, with the ports that the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the admin listener is.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(AdminThread::address)
    }

    /// Makes the talk log open its file again, after something moved it away.
    pub fn reopen_logs(&self) {
        if let Some(file) = &self.talk_file {
            file.reopen();
        }
    }

    /// Makes `/readyz` tell of a thread of the server log that has ended.
    pub fn watch_logs(&self, watches: Vec<Watch>) {
        self.readiness.register_note("logs", move || told(&watches));
    }

    /// Takes over what can change while the server runs.
    pub fn reconfigure(&mut self, config: &Config) {
        if let Some(file) = &self.talk_file {
            file.set_rotation(Rotation::from_config(&config.log));
        }
        self.site.http.store(Arc::new(config.http.clone()));
        // Relaxed: nothing is ordered by it.
        self.site
            .legacy_pages
            .store(config.chat.legacy_pages, Ordering::Relaxed);
        self.shards.settings.message_rate.set(rate_limit(&config.chat));
        if let Some(history) = &self.history {
            history.keep(config.retention());
        }
        self.drain_timeout = config.server.drain_timeout;
    }

    /// Says something to all members of a room in the server's name. `false`: the server is too busy, and it was not said.
    pub fn say_to_room(&self, room: &RoomName, text: &str) -> bool {
        self.shards.say_to_room(room.clone(), text.into())
    }

    /// Says something to all sessions of a user in the server's name. `false`: the server is too busy, and it was not said
    /// to all of them.
    pub fn say_to_user(&self, user: &UserName, text: &str) -> bool {
        self.shards.say_to_user(user, &text.into())
    }

    /// Connections there are, those in their handshake included.
    pub fn connections(&self) -> usize {
        self.shards.connections()
    }

    /// Waits until a part has ended that the server cannot do without, and says which and why. What is left of the server is of
    /// no use: it is to be dropped, and started anew.
    pub async fn failed(&mut self) -> String {
        let mut look = tokio::time::interval(limits::WATCH_PACE);
        loop {
            tokio::select! {
                // `None`: all shards have been stopped.
                Some(why) = self.failures.recv() => return why,
                _ = look.tick() => {}
            }
            let mut vital = self.watches.iter().filter(|watch| watch.need() == Need::Vital);
            if let Some(over) = vital.find(|watch| watch.has_ended()) {
                return over.sentence();
            }
        }
    }

    /// Ends the server politely: readiness goes first, then the listeners; everybody is told goodbye, and has the drain
    /// timeout to read it. Blocks. Returns how many connections had to be cut off.
    pub fn drain(mut self) -> usize {
        self.readiness.enter(Phase::Draining);
        self.acceptor.stop();
        self.site.draining.send_replace(true);
        let end = Instant::now() + self.drain_timeout;
        self.quiesce(end.min(Instant::now() + limits::DRAIN_HUSH));
        for number in 0..self.threads.len() {
            self.shards.tell(number, ToShard::Drain, end);
        }
        while self.shards.connections() > 0 && Instant::now() < end {
            thread::sleep(limits::DRAIN_LOOK);
        }
        let left = self.shards.connections();
        self.stop();
        left
    }

    /// Waits until what has been said is in the inboxes of those who are to hear it before the goodbye, at most until then.
    fn quiesce(&self, end: Instant) {
        // Counted from the second round on: by then every shard has stopped reading.
        self.all_quiesced(end);
        let mut rounds = 0;
        while rounds < 2 && Instant::now() < end {
            if self.all_quiesced(end) {
                rounds += 1;
            } else {
                rounds = 0;
                thread::sleep(limits::DRAIN_LOOK);
            }
        }
    }

    fn all_quiesced(&self, end: Instant) -> bool {
        let (answer, answers) = mpsc::channel();
        for number in 0..self.threads.len() {
            self.shards.tell(number, ToShard::Quiesce(answer.clone()), end);
        }
        (0..self.threads.len()).fold(true, |all, _| {
            let left = end.saturating_duration_since(Instant::now());
            answers.recv_timeout(left).unwrap_or(false) && all
        })
    }

    fn stop(&mut self) {
        self.acceptor.stop();
        for ShardThread { stop, thread } in self.threads.drain(..) {
            drop(stop);
            // A panic there has been printed already.
            let _ = thread.join();
        }
        if let Some(history) = self.history.take() {
            history.stop();
        }
        if let Some(talk_log) = self.talk_log.take() {
            talk_log.finish(limits::LOG_FINISH);
        }
        if let Some(admin) = self.admin.take() {
            admin.stop();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes readiness follow the threads: without a vital one the server is not ready, the end of another one is told beside it.
fn report(watches: &[Watch], readiness: &Readiness) {
    let mut useful = Vec::new();
    for watch in watches {
        match watch.need() {
            Need::Useful(_) => useful.push(watch.clone()),
            Need::Vital => {
                let watch = watch.clone();
                readiness.register_fn(watch.part().to_owned(), move || {
                    let ended = watch.has_ended().then(|| watch.sentence());
                    std::future::ready(ended.map_or(Ok(()), Err))
                });
            }
        }
    }
    readiness.register_note("threads", move || told(&useful));
}

/// What is to be told of those that have ended, if any has.
fn told(watches: &[Watch]) -> Option<String> {
    let ended = watches.iter().filter(|watch| watch.has_ended());
    let sentences: Vec<String> = ended.map(Watch::sentence).collect();
    (!sentences.is_empty()).then(|| sentences.join("; "))
}

fn start_shard(number: usize, around: &Surroundings<'_>) -> Result<ShardThread, String> {
    let (stop, stopped) = oneshot::channel();
    let pin = around.config.server.pin_shards;
    let kept = around.config.history.clone();
    let most = kept.queue;
    let history = around.history.clone();
    let store = history.map(|history| Store::new(history, Arc::new(move |room: &RoomName| kept.keeps(room)), most));
    let doorman = Doorman::new(around.site.clone());
    let report = shard::Reporter::new(around.metrics.clone(), number);
    let (shards, talk_log, fail) = (around.shards.clone(), around.talk_log.clone(), around.fail.clone());
    let thread = thread::Builder::new()
        .name(format!("shard-{number}"))
        .spawn(move || {
            if pin {
                pin_to_core(number);
            }
            let observer: Rc<dyn Observer> = Rc::new(Talks(talk_log));
            watched(number, &fail, || {
                shard::run(
                    ShardId(number as u16),
                    shards,
                    doorman,
                    report,
                    observer,
                    store,
                    fastrand::u64(..),
                    stopped,
                )
            });
        })
        .map_err(|error| format!("the thread of shard {number} cannot be started: {error}; try fewer with --shards"))?;
    Ok(ShardThread { stop, thread })
}

/// Runs a shard and says how it failed, if it did. Its rooms and connections are gone with it, and requests to it would wait for
/// ever: the server ends, so that whatever supervises it starts it again.
fn watched(number: usize, fail: &unbounded::UnboundedSender<String>, shard: impl FnOnce() -> io::Result<()>) {
    let ended = panic::catch_unwind(AssertUnwindSafe(shard));
    let why = match ended {
        Ok(Ok(())) => return,
        Ok(Err(error)) => {
            format!("shard {number} cannot run: {error}; allow more open files (ulimit -n), or use fewer --shards")
        }
        Err(_) => {
            format!("shard {number} has ended by a defect, which is told above; start the server again, and report it")
        }
    };
    // The server may be stopping already.
    let _ = fail.send(why);
}

fn pin_to_core(number: usize) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    match cores.get(number % cores.len().max(1)) {
        Some(core) if core_affinity::set_for_current(*core) => {}
        Some(_) | None => tracing::warn!(shard = number, "the shard could not be bound to a core and runs on any"),
    }
}

/// Tells the home of a room what the operator set of it in an earlier life; before anybody can join it. Whether it had room.
fn set_again(shards: &Shards, room: &RoomName, set: &KeptRoom) -> bool {
    // The answer is for an operator that asks; here nobody does.
    let (answer, _) = oneshot::channel();
    let home = usize::from(shards.home_of(room).0);
    let order = shard::Order::Keep {
        room: room.clone(),
        topic: set.topic.clone(),
        members: set.members.clone(),
        answer,
    };
    let until = Instant::now() + limits::ADMIN_ANSWER_TIME;
    shards.tell(home, ToShard::Admin(Box::new(order)), until)
}

/// Asks a shard to answer: it does when its inbox is emptied.
async fn probe(shards: &Shards, number: usize) -> Result<(), String> {
    let (answer, answered) = oneshot::channel();
    if !shards.try_tell(number, ToShard::Probe(answer)) {
        return Err("its inbox is full".to_owned());
    }
    answered.await.map(drop).map_err(|_| "it has ended".to_owned())
}

fn profiles(config: &Config) -> Arc<[Profile]> {
    DIALECTS
        .iter()
        .map(|dialect| {
            let mut profile = dialect.profile();
            if dialect.name() == crate::codec::NATIVE {
                profile.ping_every = config.chat.native_ping;
            }
            if let Some(pace) = config.chat.legacy_pings.get(dialect.name()) {
                profile.ping_every = *pace;
            }
            if dialect.name() == crate::codec::action::NAME {
                profile.silent_after = config.chat.action_silence;
            }
            profile
        })
        .collect()
}

/// The talk log, its thread, and what rotates its file; nothing when there is none.
type StartedTalkLog = (Option<TalkLog>, Option<TalkLogThread>, Option<Arc<RotationControl>>);

fn start_talk_log(config: &Config, metrics: &Metrics) -> Result<StartedTalkLog, String> {
    let Some(dir) = config.log_dir().filter(|_| config.log.talk_log) else {
        return Ok((None, None, None));
    };
    make_private(&dir, "log.dir")?;
    let sentence = |error: io::Error| {
        format!(
            "the talk log cannot be written in {}: {error}; {}, or set log.talk_log = false",
            dir.display(),
            what_to_do(&error)
        )
    };
    let file = RotatingFile::open(
        &dir,
        "talk",
        "jsonl",
        Rotation::from_config(&config.log),
        Clocks::system(),
        metrics.logs.write_errors.clone(),
    )
    .map_err(sentence)?;
    let control = file.control();
    let (log, thread) = TalkLog::start(file, metrics.logs.talk_dropped.clone()).map_err(sentence)?;
    Ok((Some(log), Some(thread), Some(control)))
}

/// Opens the store, unless nothing is to be kept.
fn start_history(config: &Config, shards: &Arc<Shards>, metrics: &Metrics) -> Result<Option<History<Ticket>>, String> {
    if config.server.memory {
        return Ok(None);
    }
    let deliver = shards.clone();
    let settings = config.store_settings();
    let history = History::start(settings, Arc::new(move |outcomes| deliver.deliver(outcomes)))
        .map_err(|fault| fault.to_string())?;
    let (seconds, talks) = (
        metrics.history.commit_seconds.clone(),
        metrics.history.commit_talks.clone(),
    );
    let observed = history.stats().on_commit.set(Box::new(move |count, took| {
        seconds.observe(took.as_secs_f64());
        talks.observe(count as f64);
    }));
    debug_assert!(observed.is_ok(), "a store that has just started is told once");
    let scraped = history.clone();
    metrics.before_scrape(move |metrics| {
        let stats = scraped.stats();
        let metrics = &metrics.history;
        metrics.queue_talks.set(scraped.queue_depth() as i64);
        metrics.disk_bytes.set(stats.disk_bytes.load(Ordering::Relaxed) as i64);
        metrics.wal_bytes.set(stats.wal_bytes.load(Ordering::Relaxed) as i64);
        metrics
            .wal_held_seconds
            .set(stats.wal_held_seconds.load(Ordering::Relaxed) as i64);
        follow(&metrics.expired_talks, &stats.retired);
        follow(&metrics.commit_failures, &stats.failed_commits);
        follow(&metrics.damage, &stats.damage);
    });
    Ok(Some(history))
}

/// Brings a counter up to what a total has become.
fn follow(counter: &Counter, total: &AtomicU64) {
    counter.inc_by(total.load(Ordering::Relaxed).saturating_sub(counter.get()));
}

fn healthy(history: &History<Ticket>) -> Result<(), String> {
    match history.health() {
        // Talks are taken, and all that is well is served: no reason to send newcomers away.
        history::Health::Well | history::Health::Hampered(_) => Ok(()),
        history::Health::Failing(fault) => Err(fault.to_string()),
    }
}

fn hampered(history: &History<Ticket>) -> Option<String> {
    match history.health() {
        history::Health::Hampered(fault) => Some(fault.to_string()),
        history::Health::Well | history::Health::Failing(_) => None,
    }
}

/// Makes a directory that only its owner reads, if it is not there; `setting` is what says where.
fn make_private(dir: &std::path::Path, setting: &str) -> Result<(), String> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| format!("{}: choose another with {setting}", history::no_directory(dir, &error)))
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

fn message_rate(chat: &Chat) -> shard::SharedRate {
    let rate = shard::SharedRate::default();
    rate.set(rate_limit(chat));
    rate
}

fn rate_limit(chat: &Chat) -> Option<shard::MessageRate> {
    chat.messages_per_second.map(|per_second| shard::MessageRate {
        per_second,
        at_once: chat.messages_at_once,
    })
}

/// Passes talks on to the talk log.
struct Talks(Option<TalkLog>);

impl Observer for Talks {
    fn talk(&self, room: &RoomName, talk: &Talk) {
        if let Some(log) = &self.0 {
            log.record(room, talk);
        }
    }
}

impl Config {
    fn retention(&self) -> history::Retention {
        history::Retention {
            age: self.history.max_age,
            talks: self.history.max_count,
            bytes: self.history.max_bytes.map(|bytes| bytes.0),
        }
    }

    fn store_settings(&self) -> history::Settings {
        let kept = &self.history;
        let retention = self.retention();
        let mut settings = history::Settings::new(&self.server.data);
        settings.durability = match kept.durability {
            crate::config::Durability::Fsync => history::Durability::Fsync,
            crate::config::Durability::Os => history::Durability::Os,
            crate::config::Durability::None => history::Durability::None,
        };
        settings.retention = retention;
        settings.directs = retention;
        settings.keys.age = kept.key_window;
        settings.queue = kept.queue;
        settings
    }

    fn shard_settings(&self) -> shard::Settings {
        let (chat, flush) = (&self.chat, &self.flush);
        shard::Settings {
            dialects: Dialects::configured(&DialectSettings {
                action: chat.action(),
                communication_show_ip: chat.communication_show_ip,
                tutorial_show_ip: chat.tutorial_show_ip,
            }),
            access: chat.access(),
            home: crate::chat::RoomSettings {
                presence_events_max: chat.presence_events_max,
                digest_every_ms: chat.digest_every.as_millis() as u64,
                list_cache_ms: chat.list_cache.as_millis() as u64,
                key_window_ms: self.history.key_window.as_millis() as u64,
            },
            dead_after: chat.dead_after,
            idle_kick: chat.idle_kick,
            message_rate: message_rate(chat),
            write_timeout: flush.write_timeout,
            pace: flush.pace as f32,
            flush_max: flush.max,
            yield_writes: flush.yield_writes,
            ring_bytes: flush.ring_bytes.0 as usize,
            ring_budget: flush.ring_budget.0 as usize,
            rooms_per_session: chat.rooms_per_session,
            legacy_history: chat.legacy_history_on_join as u32,
            inbox_messages: flush.inbox_messages,
            underway_bytes: flush.inflight_bytes.0 as usize,
            ..shard::Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_ends_by_itself_is_told_and_one_that_is_stopped_is_not() {
        let (fail, mut failures) = unbounded::unbounded_channel();
        watched(0, &fail, || Ok(()));
        assert!(failures.try_recv().is_err());
        watched(1, &fail, || Err(io::ErrorKind::OutOfMemory.into()));
        assert!(
            failures
                .try_recv()
                .is_ok_and(|why| why.starts_with("shard 1 cannot run: "))
        );
        watched(2, &fail, || panic!("this panic belongs to the test"));
        assert!(
            failures
                .try_recv()
                .is_ok_and(|why| why.starts_with("shard 2 has ended "))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_vital_thread_that_ended_makes_the_server_not_ready_and_another_one_is_told_of() {
        let readiness = Readiness::new();
        let (vital, first) = Watch::over("the history's writer", Need::Vital);
        let (useful, second) = Watch::over("the talk log's thread", Need::Useful("nothing is written"));
        report(&[first, second], &readiness);
        readiness.enter(Phase::Ready);
        assert!(readiness.failures().await.is_empty() && readiness.notes().is_empty());
        drop(useful);
        assert!(readiness.notes()["threads"].starts_with("the talk log's thread has ended"));
        drop(vital);
        tokio::time::advance(limits::PROBE_CACHE).await;
        let failures = readiness.failures().await;
        assert!(
            failures["the history's writer"].contains("has ended by a defect"),
            "{failures:?}"
        );
    }

    #[tokio::test]
    async fn the_end_of_a_vital_thread_ends_the_server_with_a_sentence() {
        let mut config = Config::default();
        config.server.memory = true;
        config.server.shards = 1;
        config
            .server
            .listen
            .iter_mut()
            .for_each(|listen| listen.address.set_port(0));
        config.server.admin = None;
        let mut server = Server::start(&config, &Metrics::new(1, &[])).expect("it starts");
        let (useful, watch) = Watch::over("the talk log's thread", Need::Useful("nothing is written"));
        drop(useful);
        server.watches.push(watch);
        let (vital, watch) = Watch::over("the history's writer", Need::Vital);
        server.watches.push(watch);
        let soon = tokio::time::timeout(2 * limits::WATCH_PACE, server.failed()).await;
        assert!(soon.is_err(), "{soon:?}");
        drop(vital);
        let why = tokio::time::timeout(Duration::from_secs(20), server.failed()).await;
        assert!(why.is_ok_and(|why| why.starts_with("the history's writer has ended by a defect")));
    }

    #[test]
    fn telling_a_shard_that_has_ended_comes_to_an_end() {
        let settings = shard::Settings {
            inbox_messages: 1,
            ..shard::Settings::default()
        };
        let shards = Shards::new(1, settings, profiles(&Config::default()), 7);
        let soon = Instant::now();
        assert!(shards.tell(0, ToShard::Drain, soon));
        assert!(!shards.tell(0, ToShard::Drain, soon));
    }

    #[tokio::test(start_paused = true)]
    async fn shard_that_does_not_run_makes_the_server_not_ready() {
        let settings = shard::Settings {
            inbox_messages: 2,
            ..shard::Settings::default()
        };
        // Nobody empties its inbox.
        let shards = Arc::new(Shards::new(1, settings, profiles(&Config::default()), 7));
        let readiness = Readiness::new();
        let asked = shards.clone();
        readiness.register_fn("shard 0", move || {
            let shards = asked.clone();
            async move { probe(&shards, 0).await }
        });
        readiness.enter(Phase::Ready);
        let silent = readiness.failures().await;
        assert!(silent.contains_key("shard 0"), "{silent:?}");
        while shards.try_tell(0, ToShard::Drain) {}
        tokio::time::advance(limits::PROBE_CACHE).await;
        let full = readiness.failures().await;
        assert_eq!(full.get("shard 0").map(String::as_str), Some("its inbox is full"));
    }
}
