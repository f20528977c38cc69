//! `joins`: connected members join and leave a room while the others are silent. Measures the server's cost of a join, its latency, and the
//! presence that the others receive.

use std::{
    collections::VecDeque,
    iter,
    time::{Duration, Instant},
};

use super::{Figures, broken, conclude, crowd::Presence, run::Run};
use crate::{
    engine::{Happened, Id},
    options::Joins,
    report::Report,
};

/// The room of the members that are not in the measured room.
const ELSEWHERE: &str = "elsewhere";

pub fn joins(options: &Joins) -> Result<Report, String> {
    let common = &options.common;
    if !common.dialect.is_native() {
        let dialect = common.dialect;
        return Err(format!(
            "{dialect:?} has no request for a join; use churn --silent, in which each visitor has its own connection"
        ));
    }
    // Each member pauses for a second after it has left, so that a slow answer does not disturb the schedule.
    let wanderers = ((options.joins * (options.stay + 1.0)).ceil() as usize).max(1);
    let mut run = Run::prepare(common, options.members + wanderers, 1)?;
    run.must.push("joins>0");
    let room = run.engine.add_room(common.room.clone());
    let elsewhere = run.engine.add_room(ELSEWHERE);
    let size = options.room_size.unwrap_or(options.members).min(options.members);
    let members = run.arrive(iter::repeat_n(room, size), None).map_err(broken)?;
    run.arrive(iter::repeat_n(elsewhere, options.members - size), None)
        .map_err(broken)?;
    let wanderers = run.arrive(iter::repeat_n(elsewhere, wanderers), None).map_err(broken)?;
    let mut traffic = Traffic {
        room: common.room.clone(),
        every: Duration::from_secs_f64(1.0 / options.joins.max(1e-3)),
        stay: Duration::from_secs_f64(options.stay),
        began: Instant::now(),
        asked: 0,
        wanderers,
        leaving: VecDeque::new(),
        waiting: Vec::new(),
        took_ms: Vec::new(),
    };
    traffic.go_on(&mut run, common.warmup)?;
    traffic.took_ms.clear();
    let (mark, presence, asked) = (run.mark(), Presence::of(&run, &members), traffic.asked);
    traffic.go_on(&mut run, common.seconds)?;
    let (stretch, extra) = (run.since(&mark), presence.since(&run));
    let asked = (traffic.asked - asked) as f64;
    let took = &mut traffic.took_ms;
    took.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let rank = (took.len() as f64 * share).ceil() as usize;
        took.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    };
    let mut figures = Figures::from([
        ("joins".to_owned(), asked),
        ("joins_per_s".to_owned(), asked / stretch.seconds),
        ("join_p50_ms".to_owned(), quantile(0.5)),
        ("join_p99_ms".to_owned(), quantile(0.99)),
    ]);
    figures.extend(extra);
    if let Some(cpu) = stretch.server_cpu_ns {
        figures.insert("cpu_us_per_join".to_owned(), cpu as f64 / 1e3 / asked.max(1.0));
    }
    // Joins without an answer by now failed.
    traffic.finish(&mut run, common.drain)?;
    figures.insert("stuck".to_owned(), traffic.waiting.len() as f64);
    figures.insert("lost".to_owned(), traffic.waiting.len() as f64);
    let name = format!(
        "joins: {} a second into a room of {size}, {} members",
        options.joins, options.members
    );
    Ok(conclude(&name, common, &mut run, Some(stretch), figures))
}

/// The members that are joining or leaving.
struct Traffic {
    room: String,
    every: Duration,
    stay: Duration,
    began: Instant,
    asked: u64,
    wanderers: Vec<Id>,
    leaving: VecDeque<(Instant, Id)>,
    /// Unanswered joins, with the time at which they were due.
    waiting: Vec<(Instant, Id)>,
    took_ms: Vec<f64>,
}

impl Traffic {
    fn go_on(&mut self, run: &mut Run, seconds: f64) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < end {
            self.send_in(run);
            self.turn(run)?;
        }
        Ok(())
    }

    /// Stops the joins, waits for answers and makes all visitors leave.
    fn finish(&mut self, run: &mut Run, seconds: f64) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < end && !(self.waiting.is_empty() && self.leaving.is_empty()) {
            self.turn(run)?;
        }
        Ok(())
    }

    fn send_in(&mut self, run: &mut Run) {
        loop {
            let due = self.began + self.every.mul_f64(self.asked as f64);
            if due > Instant::now() {
                return;
            }
            let id = self.wanderers[(self.asked % self.wanderers.len() as u64) as usize];
            self.asked += 1;
            self.waiting.push((due, id));
            run.engine.wander(id, &self.room, true);
        }
    }

    fn turn(&mut self, run: &mut Run) -> Result<(), String> {
        let now = Instant::now();
        while let Some(&(_, id)) = self.leaving.front().filter(|(at, _)| *at <= now) {
            self.leaving.pop_front();
            run.engine.wander(id, &self.room, false);
        }
        for news in run.step(Duration::from_millis(1)).map_err(broken)? {
            let Happened::Entered(id) = news else { continue };
            let Some(place) = self.waiting.iter().position(|(_, waiting)| *waiting == id) else {
                continue;
            };
            let (due, _) = self.waiting.swap_remove(place);
            self.took_ms.push(due.elapsed().as_secs_f64() * 1e3);
            self.leaving.push_back((Instant::now() + self.stay, id));
        }
        Ok(())
    }
}
