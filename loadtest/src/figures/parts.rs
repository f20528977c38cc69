//! The parts: the runs, figures and targets of each.

use super::{
    Line, Load, Measured, Part, Served, Target,
    lab::{Lab, Run, Server, median, of, ratio},
};

/// Loads of the table: name, command line, greatest server time, least deliveries, greatest p99 in ms.
type Offered = (&'static str, &'static str, Option<f64>, Option<f64>, Option<f64>);
const LOADS: [Offered; 7] = [
    ("1 in flight", "--in-flight 1", Some(1.08), Some(0.95), None),
    ("4 in flight", "--in-flight 4", Some(0.40), Some(2.4), None),
    ("16 in flight", "--in-flight 16", Some(0.085), Some(11.0), None),
    ("64 in flight", "--in-flight 64", Some(0.032), Some(30.0), None),
    ("100 messages/s", "--rate 100", Some(1.15), None, Some(10.0)),
    ("300 messages/s", "--rate 300", Some(0.50), None, Some(20.0)),
    ("1,000 messages/s", "--rate 1000", Some(0.12), None, Some(20.0)),
];
/// The dialects of the older systems.
const OLD: [&str; 5] = ["communication", "chat-request", "chatroom", "action", "tutorial"];

/// Runs one part.
pub(super) fn run(part: Part, lab: &mut Lab, measured: &mut Measured) {
    match part {
        Part::Loads => measured.loads = loads(lab),
        Part::Shards => measured.lines = shards(lab),
        Part::Crowd => measured.lines = crowd(lab),
        Part::Quiet => measured.lines = quiet(lab),
        Part::Rooms => measured.lines = rooms(lab),
        Part::Memory => measured.lines = memory(lab),
        Part::Storm => measured.lines = storm(lab),
        Part::History => measured.lines = history(lab),
        Part::Stall => measured.lines = stall(lab),
        Part::Beside => measured.lines = beside(lab),
        Part::Joins => measured.lines = joins(lab),
        Part::Presence => measured.lines = presence(lab),
    }
}

/// A figure, as yet without a target.
fn line(what: impl Into<String>, value: Option<f64>, unit: &str) -> Line {
    Line {
        what: what.into(),
        value,
        unit: unit.to_owned(),
        target: None,
    }
}

impl Line {
    fn to(self, target: Option<Target>) -> Self {
        Self { target, ..self }
    }

    fn at_most(self, bound: f64) -> Self {
        self.to(Some(Target::AtMost(bound)))
    }

    fn exactly(self, bound: f64) -> Self {
        self.to(Some(Target::Exactly(bound)))
    }
}

fn loads(lab: &mut Lab) -> Vec<Load> {
    let members = lab.members(1_000);
    let seconds = lab.options.seconds;
    let floor = lab.floor("");
    let mut servers = vec![lab.one_shard()];
    if lab.options.rivals {
        servers.extend(lab.rivals());
    }
    // By load: one row a round, the floor first.
    let mut rounds: Vec<Vec<Vec<Option<Run>>>> = LOADS.iter().map(|_| Vec::new()).collect();
    for round in 1..=lab.options.rounds {
        eprintln!("  round {round} of {}", lab.options.rounds);
        for ((_, words, ..), rounds) in LOADS.iter().zip(&mut rounds) {
            let words = format!("fanout -n {members} {words} --seconds {seconds}");
            // The floor runs before every load, so that other activity of the machine affects all servers alike.
            let one = format!("fanout -n {members} --in-flight 1 --seconds {seconds}");
            let mut row = vec![lab.run(&floor, &one)];
            row.extend(servers.iter().map(|server| lab.run(server, &words)));
            rounds.push(row);
        }
    }
    let names: Vec<&str> = [&floor].into_iter().chain(&servers).map(|server| server.name).collect();
    LOADS
        .iter()
        .zip(&rounds)
        .map(|((name, _, cpu, deliveries, p99), rounds)| Load {
            name: (*name).to_owned(),
            servers: names
                .iter()
                .enumerate()
                .map(|(column, name)| served(name, column, rounds))
                .collect(),
            cpu_at_most: *cpu,
            deliveries_at_least: *deliveries,
            p99_at_most: *p99,
        })
        .collect()
}

fn served(name: &str, column: usize, rounds: &[Vec<Option<Run>>]) -> Served {
    let run = |row: &Vec<Option<Run>>, column: usize| row.get(column).and_then(Option::as_ref).cloned();
    let own: Vec<Option<Run>> = rounds.iter().map(|row| run(row, column)).collect();
    let floor: Vec<Option<Run>> = rounds.iter().map(|row| run(row, 0)).collect();
    let figure = |figure: &str| median(own.iter().map(|run| of(run.as_ref(), figure)));
    let share = |figure: &str| {
        ratio(
            own.iter().map(Option::as_ref).zip(floor.iter().map(Option::as_ref)),
            figure,
        )
    };
    Served {
        name: name.to_owned(),
        cpu_us: figure("cpu_us"),
        cpu_share: share("cpu_us"),
        deliveries_per_s: figure("deliveries_per_s"),
        deliveries_times: share("deliveries_per_s"),
        p99_ms: figure("p99_ms"),
    }
}

/// Two servers in turns; the runs of both by round.
fn in_turns(
    lab: &mut Lab,
    rounds: usize,
    one: (&Server, &str),
    other: (&Server, &str),
) -> Vec<(Option<Run>, Option<Run>)> {
    (0..rounds)
        .map(|_| {
            let other = lab.run(other.0, other.1);
            (lab.run(one.0, one.1), other)
        })
        .collect()
}

fn pairs(rounds: &[(Option<Run>, Option<Run>)]) -> impl Iterator<Item = (Option<&Run>, Option<&Run>)> + Clone {
    rounds.iter().map(|(one, other)| (one.as_ref(), other.as_ref()))
}

fn medians(rounds: &[(Option<Run>, Option<Run>)], figure: &str) -> (Option<f64>, Option<f64>) {
    (
        median(pairs(rounds).map(|(one, _)| of(one, figure))),
        median(pairs(rounds).map(|(_, other)| of(other, figure))),
    )
}

fn shards(lab: &mut Lab) -> Vec<Line> {
    let (members, seconds, rounds) = (lab.members(1_000), lab.options.seconds, lab.few_rounds());
    // Neither is bound to a core: two shards need two.
    let server = |words: &str| Server {
        pinned: false,
        busy: false,
        ..lab.plaza(words)
    };
    let (one, two) = (server("--memory --shards 1"), server("--memory --shards 2"));
    let mut lines = Vec::new();
    for (name, load) in [
        ("1 in flight", "--in-flight 1"),
        ("300 messages/s", "--rate 300"),
        ("1,000 messages/s", "--rate 1000"),
    ] {
        let words = format!("fanout -n {members} {load} --seconds {seconds}");
        let runs = in_turns(lab, rounds, (&two, &words), (&one, &words));
        let share = ratio(pairs(&runs), "cpu_us");
        let (of_two, of_one) = medians(&runs, "cpu_us");
        let what = format!("{members} members, {name}: CPU per delivery, two shards / one shard");
        lines.push(line(what, share, "×").at_most(1.15));
        lines.push(line(format!("{name}: two shards"), of_two, "µs"));
        lines.push(line(format!("{name}: one shard"), of_one, "µs"));
    }
    lines
}

fn crowd(lab: &mut Lab) -> Vec<Line> {
    let (members, seconds) = (lab.members(15_000), lab.options.seconds * 2.0);
    let server = lab.one_shard();
    let words = format!("fanout -n {members} --rate 10 --seconds {seconds}");
    let runs: Vec<Option<Run>> = (0..lab.few_rounds()).map(|_| lab.run(&server, &words)).collect();
    let figure = |figure: &str| median(runs.iter().map(|run| of(run.as_ref(), figure)));
    let lost = runs.iter().map(|run| of(run.as_ref(), "lost"));
    let lost = lost.reduce(|one, other| Some(one? + other?)).flatten();
    let what = format!("{members} members in one room, 10 messages/s: lost, all rounds");
    vec![
        line(what, lost, "").exactly(0.0),
        line("p99", figure("p99_ms"), "ms").at_most(250.0),
        line("p50", figure("p50_ms"), "ms"),
        line("CPU per delivery", figure("cpu_us"), "µs"),
    ]
}

fn quiet(lab: &mut Lab) -> Vec<Line> {
    let (members, seconds) = (lab.members(100), lab.options.seconds * 2.0);
    let words = format!("fanout -n {members} --rate 10 --seconds {seconds}");
    let (plaza, floor) = (lab.one_shard(), lab.floor(""));
    let runs = in_turns(lab, lab.options.rounds, (&plaza, &words), (&floor, &words));
    let (own, floors) = medians(&runs, "p99_ms");
    let what = format!("{members} members, 10 messages/s: p99 / the floor's p99");
    vec![
        line(what, ratio(pairs(&runs), "p99_ms"), "×").at_most(1.5),
        line("p99", own, "ms"),
        line("the floor's p99", floors, "ms"),
    ]
}

fn rooms(lab: &mut Lab) -> Vec<Line> {
    let (small, seconds) = (lab.members(5_000), lab.options.seconds);
    // One message per room and second.
    let words = format!("rooms --small {small} --small-size 3 --rate {small} --seconds {seconds}");
    let (plaza, floor) = (lab.one_shard(), lab.floor(""));
    let runs = in_turns(lab, lab.few_rounds(), (&plaza, &words), (&floor, &words));
    let (own, floors) = medians(&runs, "cpu_us");
    let what = format!("{small} rooms of 3 members, {small} messages/s: CPU per delivery / the floor's");
    vec![
        line(what, ratio(pairs(&runs), "cpu_us"), "×").at_most(2.0),
        line("CPU per delivery", own, "µs"),
        line("the floor's", floors, "µs"),
        line("p99", medians(&runs, "p99_ms").0, "ms"),
    ]
}

fn memory(lab: &mut Lab) -> Vec<Line> {
    const AIM: Option<Target> = Some(Target::AtMost(1.2 * 1024.0));
    let members = lab.members(15_000);
    let words = format!("idle -n {members} --seconds 2");
    let mut lines = Vec::new();
    let mut in_one_room = None;
    for dialect in ["proto", "json"].into_iter().chain(OLD) {
        let server = Server {
            dialect,
            ..lab.one_shard()
        };
        let run = lab.run(&server, &words);
        let bytes = of(run.as_ref(), "bytes_per_conn");
        if dialect == "proto" {
            in_one_room = bytes;
        }
        lines.push(line(format!("{members} idle connections, {dialect}: each"), bytes, "bytes").to(AIM));
    }
    let server = lab.one_shard();
    let run = lab.run(&server, &format!("{words} --room-size 3"));
    // The cost of rooms of three, compared with the same members in one room.
    let in_rooms = of(run.as_ref(), "bytes_per_conn");
    let room = in_rooms
        .zip(in_one_room)
        .map(|(in_rooms, in_one)| (in_rooms - in_one) * 3.0);
    let what = format!("{} idle rooms of 3: each room, beside its members", members / 3);
    lines.push(line(what, room, "bytes").at_most(1024.0));
    if lab.options.rivals {
        for rival in lab.rivals() {
            let run = lab.run(&rival, &words);
            let what = format!("{members} idle connections, {}: each", rival.name);
            lines.push(line(what, of(run.as_ref(), "bytes_per_conn"), "bytes"));
        }
    }
    lines
}

fn storm(lab: &mut Lab) -> Vec<Line> {
    let members = lab.members(10_000);
    let words = format!("storm -n {members} --warmup 1");
    let (plaza, bare) = (lab.one_shard(), lab.floor("--accept-only"));
    let runs = in_turns(lab, lab.options.rounds, (&plaza, &words), (&bare, &words));
    let mut lines = Vec::new();
    for (wave, name) in [("first_s", "at once"), ("again_s", "again, after a cut")] {
        let (own, bare) = medians(&runs, wave);
        let what = format!("{members} connections {name}, accepted and joined / a bare accept-and-101 loop");
        lines.push(line(what, ratio(pairs(&runs), wave), "×").at_most(1.5));
        lines.push(line(format!("{name}: Plaza"), own, "s"));
        lines.push(line(format!("{name}: the bare loop"), bare, "s"));
    }
    lines
}

fn history(lab: &mut Lab) -> Vec<Line> {
    let (members, seconds) = (lab.members(1_000), lab.options.seconds);
    let words = |room: &str| format!("fanout -n {members} --rate 1000 --seconds {seconds} --room {room}");
    let mut runs = Vec::new();
    for _ in 0..lab.options.rounds {
        // The same server; only the room differs: the lobby is durable, the hall is not.
        let mut in_room = |room: &str| {
            let server = lab.plaza(&format!("--shards 1 --durability os --data {}", lab.data().display()));
            lab.run(&server, &words(room))
        };
        let off = in_room("hall");
        runs.push((in_room("lobby"), off));
    }
    let (on, off) = medians(&runs, "cpu_us");
    let what = format!("{members} members, 1,000 messages/s, history on (`os`) / off: CPU per delivery");
    vec![
        line(what, ratio(pairs(&runs), "cpu_us"), "×").at_most(1.25),
        line("history on", on, "µs"),
        line("history off", off, "µs"),
        line("p99, history on", medians(&runs, "p99_ms").0, "ms"),
    ]
}

fn stall(lab: &mut Lab) -> Vec<Line> {
    let members = lab.members(5_000);
    let words = format!("stall -n {members} --percent 10 --rate 200");
    let mut lines = Vec::new();
    for (dialect, kind, rounds) in [
        ("proto", "native", lab.few_rounds()),
        ("communication", "older format", 1),
    ] {
        let server = Server {
            dialect,
            small_buffers: true,
            ..lab.one_shard()
        };
        let runs: Vec<Option<Run>> = (0..rounds).map(|_| lab.run(&server, &words)).collect();
        let figure = |figure: &str| median(runs.iter().map(|run| of(run.as_ref(), figure)));
        let worst = |figure: &str| {
            runs.iter()
                .map(|run| of(run.as_ref(), figure))
                .reduce(|one, other| Some(one?.max(other?)))
                .flatten()
        };
        let what =
            format!("{members} members, 10 % stop reading for 8 s, 200 messages/s, {kind}: p99 of the others / before");
        lines.push(line(what, figure("p99_ratio"), "×").at_most(1.2));
        lines.push(line(format!("{kind}: p99 of the others"), figure("p99_ms"), "ms"));
        let what = format!("{kind}: the server's memory grows by");
        lines.push(line(what, figure("stall_anon_mib"), "MiB").at_most(16.0));
        let what = format!("{kind}: the kernel's memory for all sockets grows by");
        lines.push(line(what, figure("stall_kernel_tcp_mib"), "MiB"));
        for (what, name, target) in [
            ("slow readers", "slow", None),
            ("slow readers that got exact gaps", "slow_told", None),
            ("slow readers closed by the server", "slow_ended", None),
            (
                "slow readers that caught up, so that nothing was tested",
                "slow_caught_up",
                Some(Target::Exactly(0.0)),
            ),
            (
                "slow readers with a missing or wrong gap",
                "slow_untold",
                Some(Target::Exactly(0.0)),
            ),
        ] {
            lines.push(line(format!("{kind}: {what}"), worst(name), "").to(target));
        }
    }
    lines
}

fn beside(lab: &mut Lab) -> Vec<Line> {
    let (members, seconds) = (lab.members(15_000), lab.options.seconds * 2.0);
    // Two generators share a core.
    let server = Server {
        busy: false,
        ..lab.one_shard()
    };
    let two = "rooms --small 1 --small-size 2 --rate 20";
    let words = format!("{two} --big 1 --big-size {members} --big-rate 10 --big-apart --seconds {seconds}");
    let runs: Vec<Option<Run>> = (0..lab.few_rounds()).map(|_| lab.run(&server, &words)).collect();
    let figure = |figure: &str| median(runs.iter().map(|run| of(run.as_ref(), figure)));
    let what = format!("two users beside a room of {members} with 10 messages/s: their p99");
    vec![
        line(what, figure("p99_ms"), "ms").at_most(15.0),
        line("their slowest delivery", figure("max_ms"), "ms"),
        line("p99 in the big room", figure("big_p99_ms"), "ms"),
    ]
}

fn joins(lab: &mut Lab) -> Vec<Line> {
    let (members, seconds) = (lab.members(10_000), lab.options.seconds * 2.0);
    let server = lab.one_shard();
    let sizes = [10, 100, members];
    let words = |size: usize| {
        format!("joins -n {members} --room-size {size} --joins 500 --stay 0.01 --room hall --seconds {seconds}")
    };
    let rounds: Vec<Vec<Option<Run>>> = (0..lab.few_rounds())
        .map(|_| sizes.iter().map(|size| lab.run(&server, &words(*size))).collect())
        .collect();
    let column = |column: usize| rounds.iter().map(move |row| row.get(column).and_then(Option::as_ref));
    let what = format!("500 joins and leaves a second: CPU of one in a room of {members} / in a room of 10");
    let mut lines = vec![line(what, ratio(column(2).zip(column(0)), "cpu_us_per_join"), "×").at_most(1.0)];
    for (index, size) in sizes.iter().enumerate() {
        for (what, figure, unit) in [
            ("CPU of a join and its leave", "cpu_us_per_join", "µs"),
            ("p99 of the answer to a join", "join_p99_ms", "ms"),
        ] {
            let value = median(column(index).map(|run| of(run, figure)));
            lines.push(line(format!("room of {size}: {what}"), value, unit));
        }
    }
    lines
}

fn presence(lab: &mut Lab) -> Vec<Line> {
    let (members, seconds) = (lab.members(10_000), lab.options.seconds * 2.0);
    let mut lines = Vec::new();
    for dialect in ["proto", "json"].into_iter().chain(OLD) {
        let server = Server {
            dialect,
            ..lab.one_shard()
        };
        let words = format!("churn -n {members} --joins 500 --stay 0.5 --silent --rate 0 --seconds {seconds}");
        let run = lab.run(&server, &words);
        let what = format!("500 newcomers a second in a room of {members}, {dialect}: presence to each member");
        lines.push(line(what, of(run.as_ref(), "presence_bytes_s_max"), "bytes/s").at_most(1024.0));
    }
    lines
}
