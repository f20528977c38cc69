//! Shared parts of the scenarios: connecting, sending messages on time, the progress line, draining, and counting lost messages.

use std::{
    io,
    process::ExitStatus,
    time::{Duration, Instant},
};

use crate::{
    audit::View,
    engine::{End, Engine, Happened, Id, Target},
    limits,
    options::Common,
    process::{self, Memory, Started},
    report::Sample,
};

#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Messages per second, each due at its own time even if the server is slow.
    PerSecond(f64),
    /// Messages in flight; a sender sends the next one when it has its own echo.
    InFlight(usize),
}

/// Sends messages on behalf of some members.
#[derive(Debug)]
struct Talker {
    pace: Pace,
    senders: Vec<Id>,
    began_ns: u64,
    offered: u64,
    /// No message is due from here on.
    until_ns: u64,
}

impl Talker {
    /// Begins now.
    fn begin(engine: &mut Engine, pace: Pace, senders: Vec<Id>, until_ns: u64) -> Self {
        let began_ns = engine.now_ns();
        if let Pace::InFlight(count) = pace {
            for &sender in senders.iter().cycle().take(count) {
                engine.talk(sender, engine.now_ns());
            }
        }
        Self {
            pace,
            senders,
            began_ns,
            offered: 0,
            until_ns,
        }
    }

    /// Sends the due messages; returns when the next one is due.
    fn say_what_is_due(&mut self, engine: &mut Engine) -> Option<u64> {
        let Pace::PerSecond(rate) = self.pace else { return None };
        if self.senders.is_empty() || rate <= 0.0 {
            return None;
        }
        loop {
            let due = self.began_ns + (self.offered as f64 * 1e9 / rate) as u64;
            if due >= self.until_ns {
                return None;
            }
            if due > engine.now_ns() {
                return Some(due);
            }
            engine.talk(self.senders[(self.offered % self.senders.len() as u64) as usize], due);
            self.offered += 1;
        }
    }

    fn echoed(&mut self, engine: &mut Engine, id: Id) {
        let now = engine.now_ns();
        if matches!(self.pace, Pace::InFlight(_)) && now < self.until_ns && self.senders.contains(&id) {
            engine.talk(id, now);
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Mark {
    at: Instant,
    server_cpu_ns: Option<u64>,
    own_cpu_ns: u64,
    delivered: u64,
    sent: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    pub seconds: f64,
    /// CPU time of the server.
    pub server_cpu_ns: Option<u64>,
    /// CPU time of the generator, without idle turns.
    pub own_cpu_ns: u64,
    pub delivered: u64,
    pub sent: u64,
}

#[derive(Debug)]
pub struct Run {
    pub engine: Engine,
    talkers: Vec<Talker>,
    pub samples: Vec<Sample>,
    /// The server's process, if it is known.
    pub pid: Option<u32>,
    /// The prefix of the figures of the second class of members.
    pub second_class: &'static str,
    /// Further conditions for this run.
    pub must: Vec<&'static str>,
    quiet: bool,
    last: Mark,
    news: Vec<Happened>,
    /// The server that this run started; ends with it.
    server: Option<Started>,
}

impl Run {
    /// Starts the server if requested, and prepares the generator.
    pub fn prepare(common: &Common, members: usize, classes: usize) -> Result<Self, String> {
        let target = common.target()?;
        let files = process::raise_open_files();
        if members as u64 + limits::SPARE_FILES > files {
            let most = files.saturating_sub(limits::SPARE_FILES);
            return Err(format!(
                "{members} members need that many open files, and {most} are allowed; raise `ulimit -n`"
            ));
        }
        let server = match &common.server_cmd {
            Some(command) => Some(Started::start(
                command,
                common.server_core,
                target.as_ref().map(|(address, _)| *address),
            )?),
            None => None,
        };
        // After the start of the server, or it would inherit the core.
        if let Some(core) = common.load_core {
            process::pin_to_core(core).map_err(|error| format!("--load-core {core}: {error}"))?;
        }
        let pid = server.as_ref().map(Started::pid).or(common.pid);
        if let Some(pid) = pid
            && process::cpu_ns(pid).is_none()
        {
            return Err(format!("process {pid}: /proc has no entry for it"));
        }
        let (address, path) = match (target, &server) {
            (Some(target), _) => target,
            (None, Some(server)) => (server.address, None),
            (None, None) => return Err("no target: give --url or --server-cmd".to_owned()),
        };
        let sources = common
            .sources
            .unwrap_or(1)
            .max(members.div_ceil(limits::CONNECTIONS_PER_SOURCE));
        let (dialect, text_bytes, ready_on_upgrade) = (common.dialect, common.text, common.ready_on_upgrade);
        let target = Target {
            address,
            path,
            dialect,
            text_bytes,
            ready_on_upgrade,
            sources,
        };
        let engine = Engine::new(target, classes, common.busy).map_err(|error| error.to_string())?;
        let last = mark(&engine, pid);
        let (talkers, samples, news) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self {
            engine,
            talkers,
            samples,
            pid,
            second_class: "big_",
            must: Vec::new(),
            quiet: common.quiet,
            last,
            news,
            server,
        })
    }

    /// The exit status of the server that this run started, if it ended during the run.
    pub fn server_ended(&mut self) -> Option<ExitStatus> {
        self.server.as_mut()?.ended()
    }

    /// The server's memory now.
    pub fn memory(&self) -> Option<Memory> {
        self.pid.and_then(process::memory)
    }

    /// Opens `count` members of `room`, a bounded number of them at a time, and waits until all are in the room or closed.
    pub fn arrive(
        &mut self,
        rooms: impl IntoIterator<Item = usize>,
        receive_bytes: Option<usize>,
    ) -> io::Result<Vec<Id>> {
        let deadline = Instant::now() + limits::ARRIVAL_TIME;
        let mut rooms = rooms.into_iter();
        let (mut opened, mut under_way) = (Vec::new(), 0_usize);
        loop {
            while under_way < limits::CONNECTING_AT_ONCE {
                let Some(room) = rooms.next() else { break };
                opened.push(self.engine.open(room, View::from_start(), receive_bytes));
                under_way += 1;
            }
            if under_way == 0 || Instant::now() > deadline {
                return Ok(opened);
            }
            for news in self.step(Duration::MAX)? {
                match news {
                    Happened::Ready(_) | Happened::Ended(_) => under_way = under_way.saturating_sub(1),
                    Happened::Echo(..) | Happened::Entered(_) => {}
                }
            }
        }
    }

    /// Makes these members send from now on. A run without any sent or received message does not pass.
    pub fn talk(&mut self, pace: Pace, senders: Vec<Id>, until_ns: u64) {
        let asked = match pace {
            Pace::PerSecond(rate) => rate > 0.0,
            Pace::InFlight(_) => true,
        };
        if asked {
            self.must.extend(["sent>0", "delivered>0"]);
        }
        let talker = Talker::begin(&mut self.engine, pace, senders, until_ns);
        self.talkers.push(talker);
    }

    /// One turn: sends the due messages, waits at most `wait` for events, and returns them.
    pub fn step(&mut self, wait: Duration) -> io::Result<Vec<Happened>> {
        let mut due: Option<u64> = None;
        for talker in &mut self.talkers {
            if let Some(at) = talker.say_what_is_due(&mut self.engine) {
                due = Some(due.map_or(at, |due| due.min(at)));
            }
        }
        let wait = match due {
            Some(due) => wait.min(until(Duration::from_nanos(due.saturating_sub(self.engine.now_ns())))),
            None => wait,
        };
        let mut news = std::mem::take(&mut self.news);
        news.clear();
        self.engine.turn(wait, &mut news)?;
        for happened in &news {
            if let Happened::Echo(id, _) = happened {
                for talker in &mut self.talkers {
                    talker.echoed(&mut self.engine, *id);
                }
            }
        }
        if self.last.at.elapsed() >= Duration::from_secs(1) {
            self.sample();
        }
        Ok(news)
    }

    /// The resources used and the work done since the senders began.
    pub fn since(&self, before: &Mark) -> Stretch {
        between(before, &self.mark())
    }

    pub fn mark(&self) -> Mark {
        mark(&self.engine, self.pid)
    }

    pub fn go_on(&mut self, seconds: f64) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs_f64(seconds);
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            self.step(left)?;
        }
        Ok(())
    }

    /// Sends messages during the warm-up and the measurement; latencies count in the latter.
    pub fn measure(&mut self, warmup: f64, seconds: f64) -> io::Result<Stretch> {
        self.go_on(warmup)?;
        let now = self.engine.now_ns();
        self.engine.window = now..now + (seconds * 1e9) as u64;
        let before = mark(&self.engine, self.pid);
        self.go_on(seconds)?;
        Ok(between(&before, &mark(&self.engine, self.pid)))
    }

    /// Stops sending and waits until everything has arrived, at most this long.
    pub fn drain(&mut self, seconds: f64) -> io::Result<()> {
        // Messages that were due while the generator was delayed are sent nevertheless: leaving them out would flatter the server.
        while self.talkers.iter().any(|talker| self.engine.now_ns() < talker.until_ns) {
            self.step(Duration::from_millis(1))?;
        }
        self.step(Duration::ZERO)?;
        self.talkers.clear();
        let deadline = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < deadline && !self.all_arrived() {
            self.go_on(0.05)?;
        }
        self.engine.place_newcomers();
        self.engine.close_interval();
        Ok(())
    }

    fn all_arrived(&self) -> bool {
        let rooms = &self.engine.rooms;
        self.engine.conns().iter().filter(|conn| conn.is_live()).all(|conn| {
            let log = &rooms[conn.room];
            u64::from(log.len()) >= log.sent && conn.view.place.is_none_or(|place| place >= log.len())
        })
    }

    /// Lost messages, over the members that `counts` selects.
    pub fn lost(&self, counts: impl Fn(Id) -> bool) -> u64 {
        // Messages that the server refused with an error are not lost; the generator does not know which ones they were.
        let mut refused: u64 = self.engine.counts.refused.values().sum();
        let unsent: Vec<u64> = self
            .engine
            .rooms
            .iter()
            .map(|log| {
                let unseen = log.sent.saturating_sub(u64::from(log.len()));
                let excused = unseen.min(refused);
                refused -= excused;
                unseen - excused
            })
            .collect();
        let members = self.engine.conns().iter().enumerate();
        let arrived = members.filter(|(id, conn)| conn.arrival_ns.is_some() && counts(*id));
        arrived
            .map(|(_, conn)| {
                let log = &self.engine.rooms[conn.room];
                match (&conn.end, conn.view.place) {
                    // It left, or joined in the middle and received nothing: the skipped messages are lost.
                    (Some(End::Left), place) => conn.view.unseen(place.unwrap_or(0)),
                    (_, None) => 0,
                    (_, Some(_)) => conn.view.unseen(log.len()) + unsent[conn.room],
                }
            })
            .sum()
    }

    fn sample(&mut self) {
        let now = mark(&self.engine, self.pid);
        let stretch = between(&self.last, &now);
        let quantiles = self.engine.close_interval();
        let (p50, p99) = quantiles.first().copied().unwrap_or_default();
        let sample = Sample {
            at_s: self.engine.now_ns() as f64 / 1e9,
            deliveries_per_s: stretch.delivered as f64 / stretch.seconds,
            talks_per_s: stretch.sent as f64 / stretch.seconds,
            p50_ms: p50 as f64 / 1e6,
            p99_ms: p99 as f64 / 1e6,
            server_cores: stretch.server_cpu_ns.map(|ns| ns as f64 / 1e9 / stretch.seconds),
            load_cores: stretch.own_cpu_ns as f64 / 1e9 / stretch.seconds,
            anon_mib: self.memory().map(|memory| memory.anon as f64 / 1_048_576.0),
        };
        if !self.quiet {
            let live = self.engine.conns().iter().filter(|conn| conn.is_live()).count();
            eprintln!("{live:6} members  {sample}");
        }
        self.samples.push(sample);
        self.last = now;
    }
}

/// The wait of the poll for a message that is due after `left`: whole milliseconds, and 0 for the last one.
fn until(left: Duration) -> Duration {
    Duration::from_millis(left.saturating_sub(limits::SPIN_TIME).as_millis() as u64)
}

fn mark(engine: &Engine, pid: Option<u32>) -> Mark {
    Mark {
        at: Instant::now(),
        server_cpu_ns: pid.and_then(process::cpu_ns),
        own_cpu_ns: process::own_cpu_ns().saturating_sub(engine.idle_ns()),
        delivered: engine.counts.delivered,
        sent: engine.counts.sent,
    }
}

fn between(before: &Mark, after: &Mark) -> Stretch {
    let server = |(before, after): (u64, u64)| after.saturating_sub(before);
    Stretch {
        seconds: after.at.duration_since(before.at).as_secs_f64(),
        server_cpu_ns: before.server_cpu_ns.zip(after.server_cpu_ns).map(server),
        own_cpu_ns: after.own_cpu_ns.saturating_sub(before.own_cpu_ns),
        delivered: after.delivered - before.delivered,
        sent: after.sent - before.sent,
    }
}
