//! `idle`, `storm` and `churn`: members arrive, stay and leave.

use std::{
    collections::VecDeque,
    iter,
    time::{Duration, Instant},
};

use super::{
    Figures, broken, conclude,
    fanout::{end_ns, live, spread},
    run::{Pace, Run},
};
use crate::{
    audit::View,
    engine::{Engine, Happened, Id},
    limits,
    options::{Churn, Idle, Storm},
    report::Report,
};

/// Silent members: the cost of a connection.
pub fn idle(options: &Idle) -> Result<Report, String> {
    let common = &options.common;
    let mut run = Run::prepare(common, options.members, 1)?;
    // A few connect and leave first, so that one-time allocations of the server are not counted per connection.
    let first = run.engine.add_room("warm-up");
    let places = iter::repeat_n(first, options.members.min(32));
    for id in run.arrive(places, None).map_err(broken)? {
        run.engine.leave(id);
    }
    run.go_on(common.warmup).map_err(broken)?;
    let before = run.memory();
    let in_one = options.room_size == 0 || !common.dialect.has_rooms();
    let size = if in_one { options.members } else { options.room_size };
    let name = |index: usize| {
        if index == 0 {
            common.room.clone()
        } else {
            format!("{}-{index}", common.room)
        }
    };
    let rooms = 0..options.members.div_ceil(size.max(1));
    let rooms: Vec<_> = rooms.map(|index| run.engine.add_room(name(index))).collect();
    let places = rooms.iter().flat_map(|room| iter::repeat_n(*room, size));
    let places = places.take(options.members);
    let started = Instant::now();
    let members = run.arrive(places, None).map_err(broken)?;
    let mut figures = Figures::from([("arrival_s".to_owned(), started.elapsed().as_secs_f64())]);
    let stretch = run.measure(0.0, common.seconds).map_err(broken)?;
    if let Some((before, after)) = before.zip(run.memory()) {
        for (name, before, after) in [
            ("bytes_per_conn", before.anon, after.anon),
            ("rss_bytes_per_conn", before.rss, after.rss),
            ("kernel_tcp_bytes_per_conn", before.kernel_tcp, after.kernel_tcp),
        ] {
            let each = (after as f64 - before as f64) / members.len().max(1) as f64;
            figures.insert(name.to_owned(), each);
        }
    }
    let name = format!("idle: {} members", options.members);
    Ok(conclude(&name, common, &mut run, Some(stretch), figures))
}

/// All members connect at once, are cut off, and reconnect at once.
pub fn storm(options: &Storm) -> Result<Report, String> {
    let common = &options.common;
    let mut run = Run::prepare(common, options.members, 1)?;
    let room = run.engine.add_room(common.room.clone());
    let mut figures = Figures::new();
    for wave in ["first", "again"] {
        let started = Instant::now();
        let mut open = || run.engine.open(room, View::from_start(), None);
        let members: Vec<Id> = (0..options.members).map(|_| open()).collect();
        let deadline = started + limits::ARRIVAL_TIME;
        let is_open = |id: &&Id| run.engine.conns()[**id].end.is_none();
        let mut waiting = members.iter().filter(is_open).count();
        while waiting > 0 && Instant::now() < deadline {
            for news in run.step(Duration::MAX).map_err(broken)? {
                match news {
                    Happened::Ready(_) => waiting = waiting.saturating_sub(1),
                    Happened::Ended(id) => {
                        let refused = run.engine.conns()[id].arrival_ns.is_none();
                        waiting = waiting.saturating_sub(usize::from(refused));
                    }
                    Happened::Echo(..) | Happened::Entered(_) => {}
                }
            }
        }
        figures.insert(format!("{wave}_s"), started.elapsed().as_secs_f64());
        figures.insert(format!("{wave}_p99_s"), arrival_p99(&run.engine, &members));
        let there = live(&run, &members);
        figures.insert(format!("{wave}_arrived"), there.len() as f64);
        if wave == "first" {
            run.go_on(common.warmup).map_err(broken)?;
            for id in there {
                run.engine.cut(id);
            }
        }
    }
    let name = format!("storm: {} members, twice", options.members);
    Ok(conclude(&name, common, &mut run, None, figures))
}

fn arrival_p99(engine: &Engine, members: &[Id]) -> f64 {
    let mut times: Vec<u64> = members.iter().filter_map(|id| engine.conns()[*id].arrival_ns).collect();
    times.sort_unstable();
    let rank = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(rank).map_or(0.0, |ns| *ns as f64 / 1e9)
}

/// Members come and go while others send messages.
///
/// A visitor sends a message, stays, sends another one, and leaves after its echo: it must receive all messages between its own two.
pub fn churn(options: &Churn) -> Result<Report, String> {
    let common = &options.common;
    // Visitors overlap for as long as they stay; twice that leaves room for a slow server.
    let coming = (options.joins * options.stay * 2.0) as usize + 1;
    let mut run = Run::prepare(common, options.members + coming, 1)?;
    let room = run.engine.add_room(common.room.clone());
    let places = iter::repeat_n(room, options.members);
    let members = run.arrive(places, None).map_err(broken)?;
    let senders = spread(&live(&run, &members), 16);
    let total = common.warmup + common.seconds;
    let until = end_ns(&run, total);
    run.talk(Pace::PerSecond(options.rate), senders, until);
    run.must.push("joins>0");

    let mut comers = Comers {
        first: run.engine.conns().len(),
        leaving: VecDeque::new(),
        gone: 0,
        silent: options.silent,
    };
    let began = Instant::now();
    let stay_ns = (options.stay * 1e9) as u64;
    let mut opened = 0_u64;
    let before = run.mark();
    let presence = Presence::of(&run, &members);
    let now = run.engine.now_ns();
    run.engine.window = now + (common.warmup * 1e9) as u64..until;
    let mut stretch = None;
    // The measurement, then time for the last ones to leave.
    let last = Duration::from_secs_f64(total + options.stay + common.drain);
    while began.elapsed() < last {
        let talking = began.elapsed().as_secs_f64() < total;
        if talking {
            let due = (began.elapsed().as_secs_f64() * options.joins) as u64;
            while opened < due && comers.open(opened) < coming as u64 {
                run.engine.open(room, View::default(), None);
                opened += 1;
            }
        } else if stretch.is_none() {
            stretch = Some((run.since(&before), presence.since(&run)));
        } else if comers.open(opened) == 0 {
            break;
        }
        for news in run.step(Duration::from_millis(2)).map_err(broken)? {
            comers.take(&mut run.engine, news, stay_ns);
        }
        comers.send_away(&mut run.engine);
    }
    run.drain(common.drain).map_err(broken)?;
    let stuck = comers.open(opened);
    let mut figures = Figures::from([
        ("joins".to_owned(), opened as f64),
        ("joins_per_s".to_owned(), opened as f64 / total),
        ("stuck".to_owned(), stuck as f64),
        // A member that did not get its own echo has lost it; the audit counts the rest.
        ("lost".to_owned(), (run.lost(|_| true) + stuck) as f64),
    ]);
    let (stretch, presence) = stretch.unzip();
    figures.extend(presence.unwrap_or_default());
    let comers: Vec<Id> = (comers.first..run.engine.conns().len()).collect();
    figures.insert("arrival_p99_ms".to_owned(), arrival_p99(&run.engine, &comers) * 1e3);
    let name = format!(
        "churn: {} members stay, {} come per second",
        options.members, options.joins
    );
    Ok(conclude(&name, common, &mut run, stretch, figures))
}

/// The traffic to permanent members besides messages: joins, leaves, counts.
#[derive(Debug)]
pub(super) struct Presence {
    began: Instant,
    /// Members, and the bytes that each had received at the beginning.
    members: Vec<(Id, u64)>,
}

impl Presence {
    pub(super) fn of(run: &Run, members: &[Id]) -> Self {
        let bytes = |id: &Id| (*id, run.engine.conns()[*id].other_bytes);
        Self {
            began: Instant::now(),
            members: members.iter().map(bytes).collect(),
        }
    }

    /// Bytes per second and member since then, frame heads included: on average, and for the one that got most.
    pub(super) fn since(&self, run: &Run) -> Figures {
        let seconds = self.began.elapsed().as_secs_f64();
        let got = |(id, before): &(Id, u64)| (run.engine.conns()[*id].other_bytes - before) as f64 / seconds;
        let each: Vec<f64> = self.members.iter().map(got).collect();
        let mean = each.iter().sum::<f64>() / each.len().max(1) as f64;
        let most = each.iter().copied().fold(0.0, f64::max);
        Figures::from([
            ("presence_bytes_s".to_owned(), mean),
            ("presence_bytes_s_max".to_owned(), most),
        ])
    }
}

/// The visitors.
#[derive(Debug)]
struct Comers {
    first: Id,
    leaving: VecDeque<(u64, Id)>,
    gone: u64,
    silent: bool,
}

impl Comers {
    /// The number of `opened` connections that are still open.
    fn open(&self, opened: u64) -> u64 {
        opened.saturating_sub(self.gone)
    }

    fn take(&mut self, engine: &mut Engine, news: Happened, stay_ns: u64) {
        let now = engine.now_ns();
        match news {
            Happened::Ready(id) if id >= self.first && self.silent => self.leaving.push_back((now + stay_ns, id)),
            Happened::Ready(id) if id >= self.first => engine.talk(id, now),
            Happened::Echo(id, 0) if id >= self.first => self.leaving.push_back((now + stay_ns, id)),
            Happened::Echo(id, _) if id >= self.first => {
                engine.leave(id);
                self.gone += 1;
            }
            Happened::Ended(id) if id >= self.first => self.gone += 1,
            Happened::Ready(_) | Happened::Echo(..) | Happened::Entered(_) | Happened::Ended(_) => {}
        }
    }

    fn send_away(&mut self, engine: &mut Engine) {
        let now = engine.now_ns();
        while let Some(&(at, id)) = self.leaving.front().filter(|(at, _)| *at <= now) {
            self.leaving.pop_front();
            if !engine.conns()[id].is_live() {
                continue;
            }
            if self.silent {
                engine.leave(id);
                self.gone += 1;
            } else {
                engine.talk(id, at);
            }
        }
    }
}
