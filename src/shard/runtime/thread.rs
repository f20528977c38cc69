//! The thread of a shard: a current-thread runtime with four tasks, which serve the sockets, empty the inbox, flush the rooms, and
//! run the timers.
//!
//! Invariant: the tasks share the engine through a `RefCell`, and hold no borrow across an await. A connection has no task of its
//! own: one task serves all sockets that the poller reports as readable or writable.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{Notify, oneshot},
    task::{JoinSet, LocalSet, yield_now},
};

use crate::shard::{
    bus::inbox::{Inbox, Outbox},
    bus::message::ToShard,
    connection::notification::IoRequest,
    connection::reader::Reading,
    engine::{Clock, Counts, Engine, Gauges},
    owner::Observer,
    runtime::handle::Shards,
    runtime::newcomers::{Arrivals, Arriving},
    runtime::poller::{Poller, Registry, Watched},
    runtime::transport::{Load, Transport},
    store::{port::StorePort, ticket},
};
use crate::{
    chat::{SessionId, ShardId},
    codec::{DialectId, Handshake},
    limits,
};

/// Serves newcomers, and calls [`Local::open`] with those that become connections.
pub(crate) trait Newcomers: Clone + 'static {
    /// Serves a socket whose first bytes have arrived.
    fn serve(&self, local: &Rc<Local>, arriving: Arriving);

    /// How long a newcomer may be silent at present.
    fn patience(&self) -> Duration;

    /// Counts newcomers that were closed because they were silent for too long.
    fn gave_up(&self, count: usize);
}

/// The metrics, which take a shard's counts once per tick.
pub(crate) trait Report {
    fn report(&self, shard: ShardId, counts: Counts<'_>, now: &Gauges);
}

/// The state that the tasks of a shard share.
pub(crate) struct Local {
    me: ShardId,
    engine: RefCell<Engine<Transport, SystemClock>>,
    registry: Rc<Registry>,
    arrivals: Arrivals,
    unread: RefCell<Unread>,
    flusher: RefCell<Option<Waker>>,
    /// Notified when a turn has panicked in any task.
    broken: Notify,
    shards: Arc<Shards>,
}

/// Notifies [`Local::broken`] if a panic unwinds through a turn.
struct TurnGuard<'a>(&'a Notify);

/// Connections whose sockets were not read until empty, so that no edge of the poller will report them.
#[derive(Default)]
struct Unread {
    queue: VecDeque<SessionId>,
    /// The task that serves sockets, while it sleeps.
    server: Option<Waker>,
}

/// The clocks of the system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock(Instant);

/// Runs one shard until `stop` resolves. Blocks the thread.
///
/// # Errors
/// When the runtime cannot be made.
#[expect(
    clippy::too_many_arguments,
    reason = "called once; each is another part of the shard"
)]
pub(crate) fn run(
    me: ShardId,
    shards: Arc<Shards>,
    newcomers: impl Newcomers,
    report: impl Report + 'static,
    observer: Rc<dyn Observer>,
    store: StorePort,
    seed: u64,
    stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // The default polls for I/O once in 61 tasks; with 31 a burst of readers is served in smaller batches.
        .event_interval(31)
        .build()?;
    let outbox = Outbox::new(usize::from(me.0), shards.inboxes.clone());
    let mut engine = Engine::new(
        me,
        shards.settings.clone(),
        shards.profiles.clone(),
        SystemClock(Instant::now()),
        shards.directory.clone(),
        outbox,
        observer,
        seed,
    );
    engine.use_store(store);
    let poller = {
        let _guard = runtime.enter();
        Poller::new()?
    };
    let local = Rc::new(Local {
        me,
        engine: RefCell::new(engine),
        registry: Rc::new(poller.registry()?),
        arrivals: Arrivals::default(),
        unread: RefCell::default(),
        flusher: RefCell::new(None),
        broken: Notify::new(),
        shards,
    });
    LocalSet::new().block_on(&runtime, async {
        let mut tasks = JoinSet::new();
        tasks.spawn_local(local.clone().serve_sockets(poller, newcomers.clone()));
        tasks.spawn_local(local.clone().receive_messages());
        tasks.spawn_local(local.clone().flush_rooms());
        tasks.spawn_local(local.clone().keep_time(newcomers, report));
        until_stopped(stop, tasks, &local.broken).await;
    });
    Ok(())
}

/// Waits for `stop`, which also resolves if its sender is dropped.
///
/// # Panics
/// When a task of the shard has panicked, or a turn that another task began. The runtime would catch these panics silently.
async fn until_stopped(stop: oneshot::Receiver<()>, mut tasks: JoinSet<()>, broken: &Notify) {
    tokio::select! {
        _ = stop => {}
        ended = tasks.join_next() => match ended.and_then(Result::err).and_then(|error| error.try_into_panic().ok()) {
            Some(panic) => std::panic::resume_unwind(panic),
            None => unreachable!("the tasks of a shard have no end"),
        },
        () = broken.notified() => std::panic::resume_unwind(Box::new("a turn of the shard was not ended")),
    }
}

impl Local {
    /// Runs one turn of the engine, and then its I/O requests.
    fn turn<R>(self: &Rc<Self>, act: impl FnOnce(&mut Engine<Transport, SystemClock>) -> R) -> R {
        let _guard = TurnGuard(&self.broken);
        let mut engine = self.engine.borrow_mut();
        engine.begin_turn();
        let result = act(&mut engine);
        engine.end_turn();
        while let Some(request) = engine.io_requests().pop() {
            self.carry_out(&mut engine, request);
        }
        if engine.flush_due().is_some()
            && let Some(flusher) = self.flusher.borrow_mut().take()
        {
            flusher.wake();
        }
        result
    }

    /// All shards, including this one.
    pub(crate) fn shards(&self) -> &Shards {
        &self.shards
    }

    fn carry_out(self: &Rc<Self>, engine: &mut Engine<Transport, SystemClock>, request: IoRequest) {
        match request {
            IoRequest::Read(id) => self.unread.borrow_mut().put(id),
            IoRequest::Shut(id) => {
                if let Some(socket) = engine.socket(id) {
                    socket.shut();
                }
            }
        }
    }

    /// Opens a connection whose handshake is complete; `first` are bytes that arrived after it.
    pub(crate) fn open(
        self: &Rc<Self>,
        arriving: Arriving,
        first: &[u8],
        handshake: Handshake,
        dialect: Option<DialectId>,
    ) {
        let (stream, load) = arriving.into_parts();
        let transport = Transport::new(stream, load);
        self.turn(|engine| {
            let id = engine.open(transport, handshake, dialect);
            let connection = Watched::Connection(id.slot());
            let watched = engine.socket(id).map_or(Ok(()), |socket| {
                self.registry.watch_writable(socket.source(), connection)
            });
            if let Err(error) = watched {
                tracing::warn!(%error, "a connection could not be watched");
                engine.hung_up(id);
            }
            if !first.is_empty() {
                let mut first = first.to_vec();
                engine.receive(id, &mut first);
            }
        });
    }

    async fn serve_sockets(self: Rc<Self>, mut poller: Poller, newcomers: impl Newcomers) {
        let mut scratch = vec![0; limits::READ_BYTES].into_boxed_slice();
        loop {
            let polled = poll_fn(|context| {
                let polled = poller.poll_events(context);
                let mut unread = self.unread.borrow_mut();
                if polled.is_pending() && !unread.queue.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                unread.server = Some(context.waker().clone());
                polled
            })
            .await;
            if let Err(error) = polled {
                tracing::error!(%error, "a shard cannot poll its sockets; trying again");
                tokio::time::sleep(limits::ACCEPT_BACKOFF.1).await;
            }
            self.turn(|engine| {
                // Taken before the events: a connection that becomes unread in this turn waits for the next one.
                let unread = std::mem::take(&mut self.unread.borrow_mut().queue);
                for ready in poller.events() {
                    let slot = match ready.slot {
                        Watched::Connection(slot) => slot,
                        Watched::Newcomer(place) => {
                            if let Some(arriving) = self.arrivals.ready(&self.registry, place, ready) {
                                newcomers.serve(&self, arriving);
                            }
                            continue;
                        }
                    };
                    let Some(id) = engine.id_at(slot) else {
                        continue;
                    };
                    if ready.writable {
                        engine.writable(id);
                    }
                    if ready.readable {
                        self.read(engine, &mut scratch, id, !ready.ended);
                    }
                }
                for id in unread {
                    self.read(engine, &mut scratch, id, false);
                }
            });
            yield_now().await;
        }
    }

    /// Reads a socket until it is empty, at most [`limits::READS_PER_TURN`] times. `short_is_empty`: a read that does not fill the
    /// buffer has emptied the socket, because later bytes cause another edge. That does not hold after an edge that reported an end,
    /// nor without an edge: then only `WouldBlock` says that the socket is empty.
    fn read(
        &self,
        engine: &mut Engine<Transport, SystemClock>,
        scratch: &mut [u8],
        id: SessionId,
        short_is_empty: bool,
    ) {
        for _ in 0..limits::READS_PER_TURN {
            match engine.reading(id) {
                Reading::Over | Reading::Paused => return,
                Reading::On | Reading::Discard => {}
            }
            let Some(socket) = engine.socket(id) else { return };
            match socket.try_read(scratch) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(0) | Err(_) => return engine.hung_up(id),
                Ok(read) => {
                    let Some(bytes) = scratch.get_mut(..read) else { return };
                    engine.receive(id, bytes);
                    if short_is_empty && read < scratch.len() {
                        return;
                    }
                }
            }
        }
        self.unread.borrow_mut().put(id);
    }

    async fn receive_messages(self: Rc<Self>) {
        let me = usize::from(self.me.0);
        let shards = self.shards.clone();
        let (inbox, arrivals) = (&shards.inboxes[me], &shards.arrivals[me]);
        let (stored, answers) = (&shards.stored[me], &shards.answers[me]);
        loop {
            poll_fn(|context| {
                // A wake-up may mean that a full inbox has room again.
                match inbox.poll_ready(context, || self.turn(Engine::retry_overflow)) {
                    Poll::Pending if arrivals.is_empty() && stored.is_empty() && answers.is_empty() => Poll::Pending,
                    Poll::Pending | Poll::Ready(()) => Poll::Ready(()),
                }
            })
            .await;
            self.turn(|engine| {
                let mut weight = 0;
                for _ in 0..limits::INBOX_BATCH {
                    if weight >= limits::ANSWERED_MESSAGES_PER_TURN {
                        break;
                    }
                    let Some(message) = inbox.pop() else { break };
                    weight += message.weight();
                    if let ToShard::Room(event) = &message {
                        shards.directory.events.take(self.me, event.weight());
                    }
                    engine.handle(message);
                }
                for _ in 0..limits::INBOX_BATCH {
                    let Some(outcome) = stored.pop() else { break };
                    engine.stored(outcome);
                }
                while weight < limits::ANSWERED_MESSAGES_PER_TURN {
                    let Some(outcome) = answers.pop() else { break };
                    weight += ticket::weight(&outcome);
                    engine.stored(outcome);
                }
            });
            inbox.wake_starved(&shards.inboxes);
            for _ in 0..limits::ARRIVALS_PER_TURN {
                let Some(arrived) = arrivals.pop() else { break };
                let load = Load::new(shards.load[me].clone());
                if let Err(error) = self.arrivals.watch(&self.registry, arrived, load) {
                    tracing::warn!(%error, "an accepted socket could not be watched");
                }
            }
            yield_now().await;
        }
    }

    async fn flush_rooms(self: Rc<Self>) {
        let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
        let mut slept_for = 0;
        loop {
            poll_fn(|context| {
                let engine = self.engine.borrow();
                let now = engine.clock().micros();
                match engine.flush_due() {
                    Some(due) if due <= now => return Poll::Ready(()),
                    Some(due) => {
                        if slept_for != due {
                            slept_for = due;
                            sleep
                                .as_mut()
                                .reset(tokio::time::Instant::now() + Duration::from_micros(due - now));
                        }
                        if sleep.as_mut().poll(context).is_ready() {
                            return Poll::Ready(());
                        }
                    }
                    None => {}
                }
                *self.flusher.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            })
            .await;
            self.turn(|engine| engine.flush());
            // The sockets are served between two steps of a flush, and between two flushes.
            yield_now().await;
        }
    }

    async fn keep_time(self: Rc<Self>, newcomers: impl Newcomers, report: impl Report) {
        let tick = Duration::from_millis(limits::WHEEL_TICK_MS);
        let mut ticks = tokio::time::interval(tick);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let me = usize::from(self.me.0);
        loop {
            ticks.tick().await;
            self.turn(Engine::tick);
            newcomers.gave_up(self.arrivals.give_up(newcomers.patience()));
            let mut engine = self.engine.borrow_mut();
            let now = Gauges {
                inbox: self.shards.inboxes.get(me).map_or(0, Inbox::len),
                overflow: self.shards.inboxes.get(me).map_or(0, Inbox::overflow),
                ..engine.gauges()
            };
            report.report(self.me, engine.counts(), &now);
        }
    }
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.notify_one();
        }
    }
}

impl Unread {
    fn put(&mut self, id: SessionId) {
        self.queue.push_back(id);
        if let Some(server) = self.server.take() {
            server.wake();
        }
    }
}

impl Clock for SystemClock {
    fn micros(&self) -> u64 {
        self.0.elapsed().as_micros() as u64 + 1
    }

    fn unix_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::{panic, rc::Rc};

    use tokio::task::spawn_local;

    use super::*;

    fn run_until_stopped(begin: impl FnOnce(&mut JoinSet<()>, Rc<Notify>)) -> std::thread::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (_keep, stop) = oneshot::channel();
        panic::catch_unwind(panic::AssertUnwindSafe(|| {
            LocalSet::new().block_on(&runtime, async {
                let (mut tasks, broken) = (JoinSet::new(), Rc::new(Notify::new()));
                tasks.spawn_local(std::future::pending());
                begin(&mut tasks, broken.clone());
                until_stopped(stop, tasks, &broken).await;
            });
        }))
    }

    #[test]
    fn a_task_that_panics_ends_the_shard() {
        let ended = run_until_stopped(|tasks, _| {
            tasks.spawn_local(async { panic!("this panic belongs to the test") });
        });
        assert!(ended.is_err());
    }

    #[test]
    fn a_turn_that_panics_in_another_task_ends_the_shard() {
        let ended = run_until_stopped(|_, broken| {
            spawn_local(async move {
                let _guard = TurnGuard(&broken);
                panic!("this panic belongs to the test");
            });
        });
        assert!(ended.is_err());
    }

    #[test]
    fn a_shard_that_is_stopped_ends_without_a_panic() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (tell, stop) = oneshot::channel();
        drop(tell);
        LocalSet::new().block_on(&runtime, async {
            let mut tasks = JoinSet::new();
            tasks.spawn_local(std::future::pending());
            until_stopped(stop, tasks, &Notify::new()).await;
        });
    }
}
