//! `figures`: measures every figure that the project has a target for. The floor, Plaza and, on request, other servers take turns in rounds;
//! the results are medians of ratios within a round, as tables, plots and verdicts.
//!
//! Each part can run by itself. Results of earlier runs in the same directory stay, each part with its own date and commit.

mod lab;
mod page;
mod parts;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use lab::Lab;

use crate::{
    limits,
    options::{LEAST, real, whole},
};

/// The command line of `figures`.
#[derive(Args, Clone, Debug)]
pub struct FiguresOptions {
    /// The server's program. Default: `plaza` beside this program.
    #[arg(long)]
    pub plaza: Option<PathBuf>,
    /// Directory for figures.md, figures.json, figures.html and the plots. Existing parts stay unless they run again.
    #[arg(long, default_value = "target/figures")]
    pub out: PathBuf,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Part>,
    /// Also measure uWebSockets, nats-server and nginx with Nchan (loadtest/rivals/).
    #[arg(long)]
    pub rivals: bool,
    /// Rounds of the cheap parts; the heavy ones have at most three.
    #[arg(long, default_value_t = 5, value_parser = whole(1..=limits::ROUNDS))]
    pub rounds: usize,
    /// Seconds of each measured stretch.
    #[arg(long, default_value_t = 5.0, value_parser = real(LEAST..=limits::SECONDS))]
    pub seconds: f64,
    /// Core of the servers.
    #[arg(long, default_value_t = 0, value_parser = whole(0..=limits::CORE))]
    pub server_core: usize,
    /// Core of the generator.
    #[arg(long, default_value_t = 1, value_parser = whole(0..=limits::CORE))]
    pub load_core: usize,
    /// Use only this share of all members, to test the tool. The report marks such results, which say nothing about the server.
    #[arg(long, default_value_t = 1.0, value_parser = real(LEAST..=1.0))]
    pub scale: f64,
}

/// A part of the figures that can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// 1,000 members at seven loads, as shares of the floor.
    Loads,
    /// Two shards compared with one.
    Shards,
    /// 15,000 members in one room.
    Crowd,
    /// A quiet room compared with the floor.
    Quiet,
    /// 5,000 rooms of three.
    Rooms,
    /// Idle memory in every dialect, and of small rooms.
    Memory,
    /// 10,000 connections at once compared with a bare accept loop.
    Storm,
    /// History on compared with history off.
    History,
    /// Slow readers.
    Stall,
    /// Two users beside a huge room.
    Beside,
    /// Joins into rooms of different sizes.
    Joins,
    /// Presence that members receive, in every dialect.
    Presence,
}

/// All results so far, by part.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    pub parts: BTreeMap<Part, Measured>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    pub date: String,
    pub machine: String,
    /// The output of the server's `--version`.
    pub server: String,
    pub command: String,
    pub took_s: f64,
    /// The share of the members that took part; 1 unless the run only tests the tool.
    pub scale: f64,
    pub loads: Vec<Load>,
    pub lines: Vec<Line>,
    /// Runs that failed, or in which a message was lost.
    pub troubles: Vec<String>,
}

/// One load, and the results of the servers under it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Load {
    pub name: String,
    /// The floor with one message in flight in the same rounds, then each server.
    pub servers: Vec<Served>,
    pub cpu_at_most: Option<f64>,
    pub deliveries_at_least: Option<f64>,
    pub p99_at_most: Option<f64>,
}

/// Medians of one server under one load.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Served {
    pub name: String,
    pub cpu_us: Option<f64>,
    /// Relative to the floor.
    pub cpu_share: Option<f64>,
    pub deliveries_per_s: Option<f64>,
    /// Relative to the floor.
    pub deliveries_times: Option<f64>,
    pub p99_ms: Option<f64>,
}

/// One figure and its target.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Line {
    pub what: String,
    pub value: Option<f64>,
    pub unit: String,
    #[serde(alias = "aim")]
    pub target: Option<Target>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// Without tolerance: for lost messages and wrong gaps.
    Exactly(f64),
}

/// Whether a figure meets its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Met,
    /// Within the tolerance of 5 %.
    Nearly,
    Missed,
    None,
}

const TOLERANCE: f64 = 0.05;

impl Target {
    /// Compares a value with the target. A missing value counts as missed.
    pub fn judge(self, value: Option<f64>) -> Verdict {
        let Some(value) = value.filter(|value| value.is_finite()) else {
            return Verdict::Missed;
        };
        let (met, nearly) = match self {
            Self::AtMost(bound) => (value <= bound, value <= bound * (1.0 + TOLERANCE)),
            Self::AtLeast(bound) => (value >= bound, value >= bound * (1.0 - TOLERANCE)),
            Self::Exactly(bound) => (value == bound, false),
        };
        match (met, nearly) {
            (true, _) => Verdict::Met,
            (false, true) => Verdict::Nearly,
            (false, false) => Verdict::Missed,
        }
    }
}

impl Verdict {
    pub fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Nearly => "met within 5 %",
            Self::Missed => "missed",
            Self::None => "",
        }
    }
}

impl Load {
    /// Plaza's figures and the targets of this load.
    pub fn judged(&self) -> [(Option<f64>, Option<Target>); 3] {
        let plaza = self.servers.iter().find(|server| server.name == PLAZA);
        let figure = |of: fn(&Served) -> Option<f64>| plaza.and_then(of);
        [
            (figure(|server| server.cpu_share), self.cpu_at_most.map(Target::AtMost)),
            (
                figure(|server| server.deliveries_times),
                self.deliveries_at_least.map(Target::AtLeast),
            ),
            (figure(|server| server.p99_ms), self.p99_at_most.map(Target::AtMost)),
        ]
    }
}

impl Measured {
    /// The number of figures that missed their target or could not be measured.
    pub fn missed(&self) -> usize {
        let judged = self.loads.iter().flat_map(Load::judged);
        let lines = self.lines.iter().map(|line| (line.value, line.target));
        let missed = |(value, target): &(Option<f64>, Option<Target>)| {
            target.is_some_and(|target| target.judge(*value) == Verdict::Missed)
        };
        judged.chain(lines).filter(missed).count() + self.troubles.len()
    }
}

/// The name that the server under test has in tables.
pub const PLAZA: &str = "Plaza";

/// Runs the selected parts. `Ok(false)`: a target was missed.
pub fn figures(options: &FiguresOptions) -> Result<bool, String> {
    let mut lab = Lab::new(options)?;
    let parts = if options.only.is_empty() {
        Part::value_variants().to_vec()
    } else {
        options.only.clone()
    };
    fs::create_dir_all(&options.out).map_err(|error| format!("{}: {error}", options.out.display()))?;
    let path = options.out.join("figures.json");
    let mut results: Results = match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?,
        Err(_) => Results::default(),
    };
    let began = Instant::now();
    let mut missed = 0;
    for part in parts {
        let started = Instant::now();
        eprintln!("{} ({} min so far)", name(part), minutes(began.elapsed()));
        let mut measured = Measured {
            date: crate::process::date()?,
            machine: crate::process::machine(),
            server: lab.version.clone(),
            command: command(options, part),
            scale: options.scale,
            ..Measured::default()
        };
        parts::run(part, &mut lab, &mut measured);
        measured.troubles = std::mem::take(&mut lab.troubles);
        measured.took_s = started.elapsed().as_secs_f64();
        missed += measured.missed();
        results.parts.insert(part, measured);
        // After every part, so that an interrupted run keeps what it has.
        page::write(&options.out, &results)?;
    }
    println!("{}", page::markdown(&results));
    println!(
        "written to {}: figures.md, figures.json, figures.html",
        options.out.display()
    );
    Ok(missed == 0)
}

/// The name of a part on the command line.
fn name(part: Part) -> String {
    part.to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

/// The command that repeats this part.
fn command(options: &FiguresOptions, part: Part) -> String {
    let mut command = format!("plaza-load figures --only {}", name(part));
    let usual = FiguresOptions::usual();
    if options.rivals && matches!(part, Part::Loads | Part::Memory) {
        command += " --rivals";
    }
    if options.rounds != usual.rounds {
        command += &format!(" --rounds {}", options.rounds);
    }
    if options.seconds != usual.seconds {
        command += &format!(" --seconds {}", options.seconds);
    }
    if options.scale != usual.scale {
        command += &format!(" --scale {}", options.scale);
    }
    command
}

impl FiguresOptions {
    /// As they are when nothing is said.
    fn usual() -> Self {
        Self {
            plaza: None,
            out: PathBuf::new(),
            only: Vec::new(),
            rivals: false,
            rounds: 5,
            seconds: 5.0,
            server_core: 0,
            load_core: 1,
            scale: 1.0,
        }
    }
}

fn minutes(time: Duration) -> u64 {
    time.as_secs() / 60
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_tolerance_of_five_percent_unless_it_is_exact() {
        let judge = |target: Target, value| target.judge(Some(value));
        assert_eq!(judge(Target::AtMost(1.0), 1.0), Verdict::Met);
        assert_eq!(judge(Target::AtMost(1.0), 1.04), Verdict::Nearly);
        assert_eq!(judge(Target::AtMost(1.0), 1.06), Verdict::Missed);
        assert_eq!(judge(Target::AtLeast(30.0), 29.0), Verdict::Nearly);
        assert_eq!(judge(Target::AtLeast(30.0), 28.0), Verdict::Missed);
        assert_eq!(judge(Target::Exactly(0.0), 0.0), Verdict::Met);
        assert_eq!(judge(Target::Exactly(0.0), 1.0), Verdict::Missed);
        assert_eq!(Target::AtMost(1.0).judge(None), Verdict::Missed);
        assert_eq!(Target::AtMost(1.0).judge(Some(f64::NAN)), Verdict::Missed);
    }
}
