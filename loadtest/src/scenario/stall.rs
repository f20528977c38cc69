//! `stall`: a share of the members stops reading. The others must not notice. The slow ones must learn what they missed (native) or be
//! closed (legacy).

use std::iter;

use super::{
    Figures, broken, conclude,
    fanout::{end_ns, live, spread},
    run::{Pace, Run},
};
use crate::{
    engine::{Conn, Id},
    options::Stall,
    report::Report,
};

/// The outcome for a slow reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It got everything, but later.
    CaughtUp,
    /// It missed messages, got a gap that names exactly these, and continues.
    Reported,
    /// Its connection was ended.
    Ended,
    /// It missed messages without a gap, or with a wrong one.
    Unreported,
}

pub fn stall(options: &Stall) -> Result<Report, String> {
    let common = &options.common;
    let mut run = Run::prepare(common, options.members, 2)?;
    run.second_class = "slow_";
    let room = run.engine.add_room(common.room.clone());
    let slow_count = (options.members as f64 * options.percent / 100.0) as usize;
    let well_count = options.members - slow_count;
    let well = run.arrive(iter::repeat_n(room, well_count), None).map_err(broken)?;
    let slow = run
        .arrive(iter::repeat_n(room, slow_count), Some(options.receive_bytes))
        .map_err(broken)?;
    if common.dialect.is_native() {
        // One fast reader is decoded too: its numbers are compared with the gaps of the slow ones.
        for &id in slow.iter().chain(well.first()) {
            run.engine.conn_mut(id).exact = Some(Box::default());
        }
    }
    for &id in &slow {
        run.engine.conn_mut(id).class = 1;
    }
    let senders = spread(&live(&run, &well), 16);
    let until = end_ns(&run, common.warmup + 2.0 * options.stall_seconds);
    run.talk(Pace::PerSecond(options.rate), senders, until);

    run.measure(common.warmup, options.stall_seconds).map_err(broken)?;
    run.engine.close_interval();
    let p99_before = run.engine.latency[0].total.value_at_quantile(0.99) as f64 / 1e6;
    for latency in &mut run.engine.latency {
        latency.total.reset();
    }
    let before = run.memory();
    for &id in &slow {
        run.engine.set_reading(id, false).map_err(broken)?;
    }
    let stretch = run.measure(0.0, options.stall_seconds).map_err(broken)?;
    let during = run.memory();
    run.engine.close_interval();
    let p99 = run.engine.latency[0].total.value_at_quantile(0.99) as f64 / 1e6;
    for &id in &slow {
        run.engine.set_reading(id, true).map_err(broken)?;
    }
    run.drain(common.drain).map_err(broken)?;

    let ratio = if p99_before > 0.0 { p99 / p99_before } else { 0.0 };
    let mut figures = Figures::from([
        ("p99_before_ms".to_owned(), p99_before),
        ("p99_ms".to_owned(), p99),
        ("p99_ratio".to_owned(), ratio),
        ("slow".to_owned(), slow.len() as f64),
    ]);
    if let Some((before, during)) = before.zip(during) {
        let grown = |before: u64, during: u64| (during as f64 - before as f64) / 1_048_576.0;
        let kernel = grown(before.kernel_tcp, during.kernel_tcp);
        figures.insert("stall_anon_mib".to_owned(), grown(before.anon, during.anon));
        figures.insert("stall_kernel_tcp_mib".to_owned(), kernel);
    }
    let outcomes: Vec<_> = slow.iter().map(|id| outcome(&run, *id)).collect();
    let count = |wanted: Outcome| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    for (name, wanted) in [
        ("slow_caught_up", Outcome::CaughtUp),
        ("slow_told", Outcome::Reported),
        ("slow_ended", Outcome::Ended),
        ("slow_untold", Outcome::Unreported),
    ] {
        figures.insert(name.to_owned(), count(wanted) as f64);
    }
    let is_slow = |id: Id| slow.contains(&id);
    let conns = run.engine.conns().iter().enumerate();
    let ended = conns.filter(|(id, conn)| conn.end.is_some() && !is_slow(*id)).count();
    // The server may close the slow ones, which shows in `slow_ended`. Messages missed without a gap count as lost.
    figures.insert("ended".to_owned(), ended as f64);
    let lost = run.lost(|id| !is_slow(id)) + count(Outcome::Unreported) as u64;
    figures.insert("lost".to_owned(), lost as f64);
    let name = format!(
        "stall: {} of {} members stop reading, {} messages/s",
        slow_count, options.members, options.rate
    );
    Ok(conclude(&name, common, &mut run, Some(stretch), figures))
}

fn outcome(run: &Run, id: Id) -> Outcome {
    let conn: &Conn = &run.engine.conns()[id];
    let log = &run.engine.rooms[conn.room];
    if conn.end.is_some() {
        return Outcome::Ended;
    }
    let behind = conn.view.place.unwrap_or(0)..log.len();
    let missed = || {
        let skipped = conn.view.missing().iter().cloned();
        skipped.chain(iter::once(behind.clone())).flatten()
    };
    if missed().next().is_none() {
        return Outcome::CaughtUp;
    }
    let Some(exact) = &conn.exact else {
        return Outcome::Unreported;
    };
    let in_gap = |place: u32| {
        let seq = log.get(place).and_then(|entry| entry.server_seq);
        seq.is_some_and(|seq| exact.gaps.iter().any(|&(from, to)| (from..=to).contains(&seq)))
    };
    let all_reported = missed().all(in_gap);
    let missed: std::collections::HashSet<u32> = missed().collect();
    let received_in_gap = (0..log.len()).any(|place| !missed.contains(&place) && in_gap(place));
    if all_reported && !received_in_gap && exact.unreported == 0 {
        Outcome::Reported
    } else {
        Outcome::Unreported
    }
}
