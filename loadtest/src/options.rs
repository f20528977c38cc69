//! The command line of `plaza-load`.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{dialect::Dialect, figures::FiguresOptions, limits, marker::MARKER_BYTES, process, require::Requirements};

/// Drives a chat server with thousands of members, audits every member's stream, and measures latency and cost.
///
/// Exits with 1 if a message was lost, duplicated, reordered or torn, or if a condition of --require failed; with 2 if the run was
/// impossible.
#[derive(Debug, Parser)]
#[command(name = "plaza-load", version)]
pub struct Options {
    /// The kind of load.
    #[command(subcommand)]
    pub what: What,
}

/// The kinds of load.
#[derive(Debug, Subcommand)]
pub enum What {
    /// One room: every message goes to every member.
    Fanout(Fanout),
    /// Silent members: memory per connection.
    Idle(Idle),
    /// All members connect at once, are cut off, and reconnect at once.
    Storm(Storm),
    /// A share of the members stops reading for a while.
    Stall(Stall),
    /// Many small rooms and a few huge ones.
    Rooms(Rooms),
    /// Members come and go while others send messages.
    Churn(Churn),
    /// Connected members join and leave a room: the cost of a join, and the presence that the others receive.
    Joins(Joins),
    /// All figures with a target, for Plaza, the floor and, on request, other servers: tables, plots, verdicts.
    Figures(FiguresOptions),
}

/// The options of all kinds.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Where the server listens: ws://HOST:PORT, with a path if it is not the dialect's own.
    #[arg(long)]
    pub url: Option<String>,
    /// Allow a target that is not this machine.
    #[arg(long)]
    pub allow_remote: bool,
    /// Process id of the server, to measure its CPU time and memory.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Start the server with this command. It must print `listening on http://ADDR`, or --url must give the address.
    #[arg(long, conflicts_with = "pid")]
    pub server_cmd: Option<String>,
    /// Pin the server that --server-cmd starts to this core.
    #[arg(long, requires = "server_cmd", value_parser = whole(0..=limits::CORE))]
    pub server_core: Option<usize>,
    /// Pin the generator to this core.
    #[arg(long, value_parser = whole(0..=limits::CORE))]
    pub load_core: Option<usize>,
    /// Never sleep, so that neither the server's time nor the latencies include wake-ups of the generator. Needs a core for
    /// the generator alone.
    #[arg(long, requires = "load_core")]
    pub busy: bool,
    /// The wire format.
    #[arg(long, value_enum, default_value = "proto")]
    pub dialect: Dialect,
    /// Bytes of each text.
    #[arg(long, default_value_t = 64, value_parser = whole(MARKER_BYTES..=limits::TEXT_BYTES))]
    pub text: usize,
    /// The room, where the dialect has rooms.
    #[arg(long, default_value = "lobby")]
    pub room: String,
    /// Members are in the room once they are connected, without a request.
    #[arg(long)]
    pub ready_on_upgrade: bool,
    /// Spread the connections over this many source addresses, 127.0.0.1 and up.
    #[arg(long, value_parser = whole(1..=limits::SOURCES))]
    pub sources: Option<usize>,
    /// Seconds of warm-up before the measurement.
    #[arg(long, default_value_t = 2.0, value_parser = real(0.0..=limits::SECONDS))]
    pub warmup: f64,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 10.0, value_parser = real(LEAST..=limits::SECONDS))]
    pub seconds: f64,
    /// Seconds to wait for deliveries after the last message.
    #[arg(long, default_value_t = limits::DRAIN_TIME.as_secs_f64(), value_parser = real(0.0..=limits::SECONDS))]
    pub drain: f64,
    /// Allow members to see messages of different senders in different orders, as in systems without one order per room.
    #[arg(long)]
    pub any_order: bool,
    /// Conditions for the run to pass, such as lost=0,p99_ms<=20.
    #[arg(long)]
    pub require: Vec<Requirements>,
    /// Write the report as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write the report as a self-contained HTML page.
    #[arg(long)]
    pub html: Option<PathBuf>,
    /// Print no progress lines.
    #[arg(long)]
    pub quiet: bool,
}

/// The offered load.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct Offer {
    /// Messages per second, sent on time even if the server is slow.
    #[arg(long, value_parser = real(LEAST..=limits::PER_SECOND))]
    pub rate: Option<f64>,
    /// Messages in flight: a sender sends the next one when its own echo is back.
    #[arg(long, value_parser = whole(1..=limits::MEMBERS))]
    pub in_flight: Option<usize>,
}

/// One room.
#[derive(Args, Clone, Debug)]
pub struct Fanout {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub offer: Offer,
    /// Members.
    #[arg(long, short = 'n', default_value_t = 1_000, value_parser = whole(1..=limits::MEMBERS))]
    pub members: usize,
    /// Number of senders. Default: 16 with --rate, one per message in flight with --in-flight.
    #[arg(long, value_parser = whole(1..=limits::MEMBERS))]
    pub senders: Option<usize>,
}

/// Silent members.
#[derive(Args, Clone, Debug)]
pub struct Idle {
    #[command(flatten)]
    pub common: Common,
    /// Members.
    #[arg(long, short = 'n', default_value_t = 1_000, value_parser = whole(1..=limits::MEMBERS))]
    pub members: usize,
    /// Members per room, where the dialect has rooms; 0: all in one.
    #[arg(long, default_value_t = 0, value_parser = whole(0..=limits::MEMBERS))]
    pub room_size: usize,
}

/// All members at once.
#[derive(Args, Clone, Debug)]
pub struct Storm {
    #[command(flatten)]
    pub common: Common,
    /// Members.
    #[arg(long, short = 'n', default_value_t = 10_000, value_parser = whole(1..=limits::MEMBERS))]
    pub members: usize,
}

/// Slow readers.
#[derive(Args, Clone, Debug)]
pub struct Stall {
    #[command(flatten)]
    pub common: Common,
    /// Messages per second.
    #[arg(long, default_value_t = 200.0, value_parser = real(LEAST..=limits::PER_SECOND))]
    pub rate: f64,
    /// Members.
    #[arg(long, short = 'n', default_value_t = 5_000, value_parser = whole(1..=limits::MEMBERS))]
    pub members: usize,
    /// Percentage of members that stop reading.
    #[arg(long, default_value_t = 10.0, value_parser = real(0.0..=100.0))]
    pub percent: f64,
    /// Seconds without reading. The run first measures the same time with all members reading.
    #[arg(long, default_value_t = 8.0, value_parser = real(LEAST..=limits::SECONDS))]
    pub stall_seconds: f64,
    /// Receive buffer of the members that will stop, in bytes.
    #[arg(long, default_value_t = 4_096)]
    pub receive_bytes: usize,
}

/// Many rooms.
#[derive(Args, Clone, Debug)]
pub struct Rooms {
    #[command(flatten)]
    pub common: Common,
    /// Small rooms.
    #[arg(long, default_value_t = 5_000, value_parser = whole(0..=limits::MEMBERS))]
    pub small: usize,
    /// Members of each.
    #[arg(long, default_value_t = 3, value_parser = whole(1..=limits::MEMBERS))]
    pub small_size: usize,
    /// Messages per second over all small rooms.
    #[arg(long, default_value_t = 5_000.0, value_parser = real(0.0..=limits::PER_SECOND))]
    pub rate: f64,
    /// Huge rooms.
    #[arg(long, default_value_t = 0, value_parser = whole(0..=limits::MEMBERS))]
    pub big: usize,
    /// Members of each.
    #[arg(long, default_value_t = 1_000, value_parser = whole(1..=limits::MEMBERS))]
    pub big_size: usize,
    /// Messages per second over all huge rooms.
    #[arg(long, default_value_t = 10.0, value_parser = real(0.0..=limits::PER_SECOND))]
    pub big_rate: f64,
    /// Drive the huge rooms from another process, so that reading them does not delay the deliveries of the small ones.
    #[arg(long, requires = "big", conflicts_with = "busy")]
    pub big_apart: bool,
}

/// Members that come and go.
#[derive(Args, Clone, Debug)]
pub struct Churn {
    #[command(flatten)]
    pub common: Common,
    /// Messages per second of the members that stay.
    #[arg(long, default_value_t = 50.0, value_parser = real(0.0..=limits::PER_SECOND))]
    pub rate: f64,
    /// Members that stay.
    #[arg(long, short = 'n', default_value_t = 500, value_parser = whole(1..=limits::MEMBERS))]
    pub members: usize,
    /// Members that join, per second.
    #[arg(long, default_value_t = 50.0, value_parser = real(LEAST..=limits::PER_SECOND))]
    pub joins: f64,
    /// Seconds until each of them leaves.
    #[arg(long, default_value_t = 2.0, value_parser = real(0.0..=limits::SECONDS))]
    pub stay: f64,
    /// Visitors send nothing. Otherwise each sends a message when it joins and when it leaves, so that the audit knows exactly
    /// which messages it must receive.
    #[arg(long)]
    pub silent: bool,
}

/// Only joins and leaves.
#[derive(Args, Clone, Debug)]
pub struct Joins {
    #[command(flatten)]
    pub common: Common,
    /// Members that stay, over all rooms.
    #[arg(long, short = 'n', default_value_t = 10_000, value_parser = whole(1..=limits::MEMBERS))]
    pub members: usize,
    /// Members in the room that others join; the rest is in another room. Default: all.
    #[arg(long, value_parser = whole(1..=limits::MEMBERS))]
    pub room_size: Option<usize>,
    /// Joins per second; a leave follows each.
    #[arg(long, default_value_t = 500.0, value_parser = real(LEAST..=limits::PER_SECOND))]
    pub joins: f64,
    /// Seconds from a join to its leave. Visitors are members too, so a small room needs short visits.
    #[arg(long, default_value_t = 0.02, value_parser = real(0.0..=limits::SECONDS))]
    pub stay: f64,
}

impl Common {
    /// The address and the path of the target; `None` for a server that will print its address.
    pub fn target(&self) -> Result<Option<(SocketAddr, Option<String>)>, String> {
        let Some(url) = &self.url else {
            return match self.server_cmd {
                Some(_) => Ok(None),
                None => Err("no target: give --url, or --server-cmd to start a server".to_owned()),
            };
        };
        let (address, path) = process::parse_url(url)?;
        if !address.ip().is_loopback() && !self.allow_remote {
            return Err(format!(
                "{address} is not this machine; a load test of somebody else's needs --allow-remote"
            ));
        }
        Ok(Some((address, path)))
    }
}

/// The least value where 0 is invalid: a message per thousand seconds, a phase of a millisecond.
pub const LEAST: f64 = 1e-3;

/// Reads a whole number between these bounds, both included.
pub fn whole(bounds: RangeInclusive<usize>) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| {
        let (least, most) = bounds.clone().into_inner();
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        number.ok_or_else(|| format!("it takes a whole number from {least} to {most}"))
    }
}

/// Reads a number between these bounds, both included; NaN and infinity are outside.
pub fn real(bounds: RangeInclusive<f64>) -> impl Fn(&str) -> Result<f64, String> + Clone {
    move |text| {
        let (least, most) = bounds.clone().into_inner();
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        number.ok_or_else(|| format!("it takes a number from {least} to {most}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn common(arguments: &[&str]) -> Common {
        let start = ["plaza-load", "idle"].into_iter().chain(arguments.iter().copied());
        let What::Idle(idle) = Options::parse_from(start).what else {
            panic!("asked for idle")
        };
        idle.common
    }

    #[test]
    fn a_target_elsewhere_is_refused_unless_allowed() {
        let url = "ws://192.0.2.1:80";
        assert!(common(&["--url", url]).target().unwrap_err().contains("--allow-remote"));
        assert!(common(&["--url", url, "--allow-remote"]).target().is_ok());
        assert!(common(&["--url", "ws://127.0.0.9:80"]).target().is_ok());
        assert!(common(&[]).target().is_err());
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_what_was_seen_and_the_bound() {
        for (words, bound) in [
            ("idle --seconds inf", "0.001 to 1000000"),
            ("idle --seconds nan", "0.001 to 1000000"),
            ("idle --seconds 0", "0.001 to 1000000"),
            ("idle --warmup 1e300", "0 to 1000000"),
            ("idle --drain=-1", "0 to 1000000"),
            ("idle --text 31", "32 to 65536"),
            ("idle --text 65537", "32 to 65536"),
            ("idle --sources 255", "1 to 254"),
            ("idle --load-core 1024", "0 to 1023"),
            ("idle -n 0", "1 to 1000000"),
            ("storm -n 0", "1 to 1000000"),
            ("stall -n 0", "1 to 1000000"),
            ("stall --percent 300", "0 to 100"),
            ("stall --percent nan", "0 to 100"),
            ("stall --rate 0", "0.001 to"),
            ("stall --stall-seconds inf", "0.001 to"),
            ("fanout --rate 1 -n 0", "1 to 1000000"),
            ("fanout --rate 1 --senders 0", "1 to 1000000"),
            ("fanout --rate nan", "0.001 to"),
            ("fanout --rate inf", "0.001 to"),
            ("fanout --rate 0", "0.001 to"),
            ("fanout --in-flight 0", "1 to 1000000"),
            ("rooms --small-size 0", "1 to 1000000"),
            ("rooms --big-size 18446744073709551615", "1 to 1000000"),
            ("rooms --big-rate nan", "0 to"),
            ("churn --joins inf", "0.001 to"),
            ("churn --stay nan", "0 to 1000000"),
            ("joins --joins 0", "0.001 to"),
            ("joins --room-size 0", "1 to 1000000"),
            ("figures --rounds 0", "1 to 1000"),
            ("figures --seconds inf", "0.001 to 1000000"),
            ("figures --scale 2", "0.001 to 1"),
        ] {
            let start = ["plaza-load"].into_iter().chain(words.split(' '));
            let message = Options::try_parse_from(start).map(|_| words).unwrap_err().to_string();
            let seen = words.rsplit([' ', '=']).next().unwrap_or_default();
            assert!(
                message.contains(&format!("'{seen}'")) && message.contains(bound),
                "{words}: {message}"
            );
        }
    }

    #[test]
    fn silence_and_rooms_of_one_kind_can_be_asked_for() {
        for words in [
            "rooms --small 0 --big 1 --warmup 0",
            "rooms --small 1 --big 0",
            "rooms --rate 0 --big 1",
            "churn --silent --rate 0",
            "idle --room-size 0 --text 32",
            "stall --percent 0",
            "joins --stay 0",
            "figures --scale 0.05 --rounds 1 --seconds 1",
        ] {
            let start = ["plaza-load"].into_iter().chain(words.split(' '));
            assert!(Options::try_parse_from(start).is_ok(), "{words}");
        }
    }
}
