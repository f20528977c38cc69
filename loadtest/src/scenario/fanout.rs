//! `fanout`, one room, and `rooms`, many: all members join before the first message and stay.

use std::iter;

use super::{
    Figures,
    apart::Apart,
    broken, conclude,
    run::{Pace, Run},
};
use crate::{
    engine::Id,
    options::{Fanout, Rooms},
    report::Report,
};

/// Senders of an open loop unless `--senders` says otherwise: enough that no single one is special.
const OPEN_LOOP_SENDERS: usize = 16;

pub fn fanout(options: &Fanout) -> Result<Report, String> {
    let common = &options.common;
    let (pace, senders) = match (options.offer.rate, options.offer.in_flight) {
        (Some(rate), _) => (Pace::PerSecond(rate), OPEN_LOOP_SENDERS),
        (None, Some(count)) => (Pace::InFlight(count), count),
        (None, None) => return Err("no load: give --rate or --in-flight".to_owned()),
    };
    let mut run = Run::prepare(common, options.members, 1)?;
    let room = run.engine.add_room(common.room.clone());
    let places = iter::repeat_n(room, options.members);
    let members = run.arrive(places, None).map_err(broken)?;
    let senders = spread(&live(&run, &members), options.senders.unwrap_or(senders));
    let until = end_ns(&run, common.warmup + common.seconds);
    run.talk(pace, senders, until);
    let stretch = run.measure(common.warmup, common.seconds).map_err(broken)?;
    run.drain(common.drain).map_err(broken)?;
    let name = match pace {
        Pace::PerSecond(rate) => format!("fanout: {} members, {rate} messages/s", options.members),
        Pace::InFlight(count) => format!("fanout: {} members, {count} in flight", options.members),
    };
    Ok(conclude(&name, common, &mut run, Some(stretch), Figures::new()))
}

/// Many small rooms and a few huge ones.
pub fn rooms(options: &Rooms) -> Result<Report, String> {
    let common = &options.common;
    if !common.dialect.has_rooms() {
        let dialect = common.dialect;
        return Err(format!("{dialect:?} has only one room; use proto, json, raw or nats"));
    }
    if options.small == 0 && options.big == 0 {
        return Err("no rooms: --small and --big are both 0; give at least one of them".to_owned());
    }
    if options.big_apart && options.big == 0 {
        return Err("--big-apart has no rooms to drive: --big is 0; give at least 1".to_owned());
    }
    let big = if options.big_apart { 0 } else { options.big };
    let total = options.small * options.small_size + big * options.big_size;
    let mut run = Run::prepare(common, total, 2)?;
    let apart = if options.big_apart {
        if options.big_rate > 0.0 {
            run.must.extend(["big_sent>0", "big_delivered>0"]);
        }
        let target = run.engine.target();
        Some(Apart::start(options, target.address, target.path.as_deref())?)
    } else {
        None
    };
    let mut talkers = Vec::new();
    let kinds = [
        ("small", options.small, options.small_size, options.rate),
        ("big", big, options.big_size, options.big_rate),
    ];
    for (class, (kind, count, size, rate)) in kinds.into_iter().enumerate() {
        if count == 0 {
            continue;
        }
        let rooms: Vec<_> = (0..count)
            .map(|index| run.engine.add_room(format!("{kind}-{index}")))
            .collect();
        let places = rooms.iter().flat_map(|room| iter::repeat_n(*room, size));
        let members = run.arrive(places, None).map_err(broken)?;
        for &id in &members {
            run.engine.conn_mut(id).class = class;
        }
        let first_of_each: Vec<Id> = members.iter().step_by(size.max(1)).copied().collect();
        talkers.push((rate, live(&run, &first_of_each)));
    }
    let until = end_ns(&run, common.warmup + common.seconds);
    for (rate, senders) in talkers {
        run.talk(Pace::PerSecond(rate), senders, until);
    }
    let stretch = run.measure(common.warmup, common.seconds).map_err(broken)?;
    run.drain(common.drain).map_err(broken)?;
    let name = format!(
        "rooms: {} of {} members at {} messages/s, {} of {} at {}",
        options.small, options.small_size, options.rate, options.big, options.big_size, options.big_rate
    );
    let of_big = apart.map_or(Ok(Figures::new()), Apart::figures)?;
    Ok(conclude(&name, common, &mut run, Some(stretch), of_big))
}

/// Those of `members` that are in their room.
pub(super) fn live(run: &Run, members: &[Id]) -> Vec<Id> {
    let is_live = |id: &Id| run.engine.conns()[*id].is_live();
    members.iter().copied().filter(is_live).collect()
}

/// This number of `members`, evenly spread, so that they are not adjacent in the server's lists.
pub(super) fn spread(members: &[Id], count: usize) -> Vec<Id> {
    let count = count.min(members.len());
    (0..count)
        .map(|index| members[(2 * index + 1) * members.len() / (2 * count)])
        .collect()
}

/// The time after this duration, in nanoseconds since the start of the run.
pub(super) fn end_ns(run: &Run, seconds: f64) -> u64 {
    run.engine.now_ns() + (seconds * 1e9) as u64
}
