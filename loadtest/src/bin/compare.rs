//! Runs goose and locust at the same load against the same running server: one table, one plot.
//!
//! `cargo run --release -p plaza-loadtest --bin compare -- --url ws://127.0.0.1:8080`
//!
//! For both, a request is a message and its own echo, at the same rate, in the dialect of document 000. So their rows differ by the
//! generator, not by the server. Another row has the highest rate of each generator. The figures that the old systems published
//! follow, labelled as published.

use std::{
    env, fs, io,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use clap::Parser;
use plaza_loadtest::{
    limits,
    options::whole,
    people, plot, process,
    report::{self, number},
    table,
};
use serde::Serialize;
use serde_json::Value;

/// Runs goose and locust at the same load against the same server and writes one table and one plot.
#[derive(Debug, Parser)]
#[command(name = "compare", version)]
struct Options {
    /// The running server.
    #[arg(long, default_value = "ws://127.0.0.1:8080")]
    url: String,
    /// Another running server to drive in the same way, as NAME=URL; can be repeated.
    #[arg(long, value_parser = named)]
    also: Vec<(String, String)>,
    /// Allow targets that are not this machine.
    #[arg(long)]
    allow_remote: bool,
    /// Users; each sends one message per --pace-ms.
    #[arg(long, default_value_t = 50, value_parser = whole(1..=limits::MEMBERS))]
    users: usize,
    /// Milliseconds between two messages of a user, in the rows at the same load.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pace_ms: u64,
    /// Users in the rows with the highest rate of a generator.
    #[arg(long, default_value_t = 10, value_parser = whole(1..=limits::MEMBERS))]
    most_users: usize,
    /// Seconds of each run.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seconds: u64,
    /// The locust program. Default: the one in a virtual environment under target/, which is created if it is missing.
    #[arg(long)]
    locust: Option<PathBuf>,
    /// Path of the endpoint for a server that speaks document 000's dialect only, as in /ws.
    #[arg(long)]
    path: Option<String>,
    /// Directory for compare.md, compare.json, compare.svg and compare.html.
    #[arg(long, default_value = "target/compare")]
    out: PathBuf,
}

/// A line of the table.
#[derive(Clone, Debug, Default, Serialize)]
struct Row {
    server: String,
    generator: String,
    load: String,
    /// Offered load: requests per second of all users together.
    offered: Option<f64>,
    requests: u64,
    failed: u64,
    per_second: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// CPU time of the generator per request, in microseconds.
    generator_us: Option<f64>,
}

/// Set for the process that runs goose: this program again, so that no other needs to be built.
const AS_GOOSE: &str = "PLAZA_COMPARE_AS_GOOSE";

fn main() -> ExitCode {
    if env::var_os(AS_GOOSE).is_some() {
        return people::main();
    }
    match run(&Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("compare: {failed} requests failed");
            ExitCode::FAILURE
        }
        Err(problem) => {
            eprintln!("compare: {problem}");
            ExitCode::from(2)
        }
    }
}

/// Runs everything; returns how many requests failed.
fn run(options: &Options) -> Result<u64, String> {
    let mut servers = Vec::new();
    let named = [("Plaza".to_owned(), options.url.clone())];
    for (name, url) in named.iter().chain(&options.also) {
        servers.push((name.clone(), reachable(name, url, options.allow_remote)?));
    }
    let locust_program = match &options.locust {
        Some(program) => program.clone(),
        None => own_locust()?,
    };
    fs::create_dir_all(&options.out).map_err(|error| format!("{}: {error}", options.out.display()))?;
    let same = format!("{} users, one message per {} ms each", options.users, options.pace_ms);
    let most = format!("{} users, each sends after its echo", options.most_users);
    let offered = options.users as f64 * 1e3 / options.pace_ms.max(1) as f64;
    let loads = [
        (same, options.users, options.pace_ms, Some(offered)),
        (most, options.most_users, 0, None),
    ];
    let minutes = (servers.len() * loads.len() * 2) as f64 * options.seconds as f64 / 60.0;
    eprintln!("some {} minutes", number((minutes * 10.0).ceil() / 10.0));
    let mut rows = Vec::new();
    for (load, users, pace, offered) in loads {
        for (name, address) in &servers {
            for generator in ["goose", "locust"] {
                eprintln!("{name}: {generator}, {load}, {} s", options.seconds);
                let address = address.to_string();
                let mut row = match generator {
                    "goose" => goose(options, &address, users, pace)?,
                    _ => locust(options, &locust_program, &address, users, pace)?,
                };
                row.server.clone_from(name);
                row.load.clone_from(&load);
                row.offered = offered;
                rows.push(row);
            }
        }
    }
    let failed = rows.iter().map(|row| row.failed).sum();
    rows.extend(published());
    write(options, &rows)?;
    Ok(failed)
}

/// The address of a server that accepts connections and may be driven.
fn reachable(name: &str, url: &str, allow_remote: bool) -> Result<SocketAddr, String> {
    let (address, _) = process::parse_url(url)?;
    if !address.ip().is_loopback() && !allow_remote {
        return Err(format!(
            "{address} is not this machine; a load test of somebody else's needs --allow-remote"
        ));
    }
    TcpStream::connect_timeout(&address, Duration::from_secs(2)).map_err(|error| {
        format!("{name}: no server accepts at {address} ({error}); start a server first, as in: cargo run --release")
    })?;
    Ok(address)
}

/// The locust of the virtual environment that scripts/locust.sh keeps; made by it if need be.
fn own_locust() -> Result<PathBuf, String> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let made = Command::new("sh")
        .arg(repository.join("scripts/locust.sh"))
        .arg("--prepare")
        .status()
        .map_err(|error| format!("scripts/locust.sh --prepare: {error}"))?;
    if !made.success() {
        return Err("could not install locust (scripts/locust.sh --prepare); give its path with --locust".to_owned());
    }
    Ok(repository.join("target/locust-venv/bin/locust"))
}

fn goose(options: &Options, address: &str, users: usize, pace_ms: u64) -> Result<Row, String> {
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let json = options.out.join("goose.json");
    let (users, seconds) = (users.to_string(), format!("{}s", options.seconds));
    let mut command = Command::new(own);
    command
        .args(["--host", &format!("ws://{address}"), "--users", &users])
        .args(["--increase-rate", &users, "--run-time", &seconds, "--report-file"])
        .arg(&json)
        .env(AS_GOOSE, "1")
        .env("PLAZA_DIALECT", "communication")
        .env("PLAZA_PACE_MS", pace_ms.to_string())
        .env("PLAZA_ALLOW_REMOTE", if options.allow_remote { "1" } else { "0" });
    if let Some(path) = &options.path {
        command.env("PLAZA_PATH", path);
    }
    let driven = drive(&mut command, &json, &options.out.join("goose.log"))?;
    let report = &driven.report;
    let talk = &report["raw_metrics"]["requests"]["WS talk"];
    if !talk.is_object() {
        return Err(driven.unsaid("goose reports no talk"));
    }
    let count = |name: &str| talk[name].as_u64().unwrap_or(0);
    let (good, failed) = (count("success_count"), count("fail_count"));
    // From the connection of the last user to the end of the last request.
    let moment = |action: &str| {
        let history = report["raw_metrics"]["history"].as_array()?;
        let step = history.iter().find(|step| step["action"] == action)?;
        second_of_day(step["timestamp"].as_str()?)
    };
    let seconds = match (moment("Maintaining"), moment("Finished")) {
        (Some(from), Some(to)) => (to - from).rem_euclid(86_400.0),
        _ => options.seconds as f64,
    };
    let times = times_us(&talk["raw_data"]["times_us"], 1.0);
    driven.row("goose", good + failed, failed, seconds, &times)
}

fn locust(options: &Options, program: &Path, address: &str, users: usize, pace_ms: u64) -> Result<Row, String> {
    let json = options.out.join("locust.json");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("locust/communication.py");
    let mut command = Command::new(program);
    let (users, seconds) = (users.to_string(), format!("{}s", options.seconds));
    command
        .arg("-f")
        .arg(script)
        .args(["--headless", "--only-summary", "--loglevel", "WARNING"])
        .args(["--host", &format!("ws://{address}"), "--users", &users])
        .args(["--spawn-rate", &users, "--run-time", &seconds])
        .args(["--reset-stats", "--json-file"])
        .arg(options.out.join("locust"))
        .arg("--html")
        .arg(options.out.join("locust.html"))
        .env("PLAZA_PACE_MS", pace_ms.to_string())
        .env("PLAZA_PATH", options.path.as_deref().unwrap_or("/ws/communication"));
    let driven = drive(&mut command, &json, &options.out.join("locust.log"))?;
    let mut rows = driven.report.as_array().into_iter().flatten();
    let talk = rows.find(|row| row["name"] == "talk");
    let talk = talk.ok_or_else(|| driven.unsaid("locust reports no talk"))?;
    let count = |name: &str| talk[name].as_u64().unwrap_or(0);
    let (requests, failed) = (count("num_requests"), count("num_failures"));
    let first = talk["start_time"].as_f64().unwrap_or(0.0);
    let last = talk["last_request_timestamp"].as_f64().unwrap_or(first);
    // The time between a user's first and last message has one interval less than there are messages.
    let seconds = last - first + pace_ms as f64 / 1e3;
    let times = times_us(&talk["response_times"], 1e3);
    driven.row("locust", requests, failed, seconds, &times)
}

/// How often each time was seen, ascending, in microseconds; `unit` is that of the report.
fn times_us(seen: &Value, unit: f64) -> Vec<(u64, u64)> {
    let seen = seen.as_object().into_iter().flatten();
    let in_us = |time: &str| Some((time.parse::<f64>().ok()? * unit) as u64);
    let pairs = seen.filter_map(|(time, count)| Some((in_us(time)?, count.as_u64()?)));
    let mut times: Vec<_> = pairs.collect();
    times.sort_unstable();
    times
}

/// The time in `2026-11-20T23:03:14.697Z` as seconds since midnight.
fn second_of_day(timestamp: &str) -> Option<f64> {
    let mut parts = timestamp.split_once('T')?.1.trim_end_matches('Z').split(':');
    let mut next = || parts.next()?.parse::<f64>().ok();
    Some(next()? * 3_600.0 + next()? * 60.0 + next()?)
}

/// The result of a generator.
struct Driven {
    /// Its CPU time.
    cpu_ns: u64,
    status: ExitStatus,
    report: Value,
    log: PathBuf,
}

impl Driven {
    /// Its row, unless it failed for a reason other than the failed requests in its report.
    fn row(
        &self,
        generator: &str,
        requests: u64,
        failed: u64,
        seconds: f64,
        times_us: &[(u64, u64)],
    ) -> Result<Row, String> {
        if !self.status.success() && (self.status.code().is_none() || failed == 0) {
            return Err(self.unsaid(&format!(
                "{generator} ended with {}, and its report has no failed request that explains this",
                self.status
            )));
        }
        let good = requests.saturating_sub(failed);
        let quantile_ms = |share| quantile(times_us, share).map(|us| us as f64 / 1e3);
        Ok(Row {
            generator: generator.to_owned(),
            requests,
            failed,
            per_second: requests as f64 / seconds.max(1.0),
            p50_ms: quantile_ms(0.5),
            p99_ms: quantile_ms(0.99),
            generator_us: (good > 0).then(|| self.cpu_ns as f64 / 1e3 / good as f64),
            ..Row::default()
        })
    }

    fn unsaid(&self, what: &str) -> String {
        format!("{what}; see {}", self.log.display())
    }
}

/// Runs a generator to its end with its output in `log`, and reads its report from `report`, after removing an earlier one.
fn drive(command: &mut Command, report: &Path, log: &Path) -> Result<Driven, String> {
    match fs::remove_file(report) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("{}: {error}", report.display())),
    }
    let (cpu_ns, status) = watch(command, log)?;
    let unread = |error: String| {
        let (program, report, log) = (command.get_program().display(), report.display(), log.display());
        format!("{program} ended with {status} and wrote no report: {report}: {error}; see {log}")
    };
    let text = fs::read_to_string(report).map_err(|error| unread(error.to_string()))?;
    Ok(Driven {
        cpu_ns,
        status,
        report: serde_json::from_str(&text).map_err(|error| unread(error.to_string()))?,
        log: log.to_owned(),
    })
}

/// Runs a program to its end; returns its CPU time.
fn watch(command: &mut Command, log: &Path) -> Result<(u64, ExitStatus), String> {
    let file = fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
    let both = file.try_clone().map_err(|error| error.to_string())?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(both)
        .spawn()
        .map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
    let mut cpu_ns = 0;
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok((cpu_ns, status));
        }
        cpu_ns = process::cpu_ns(child.id()).unwrap_or(0).max(cpu_ns);
        thread::sleep(Duration::from_millis(50));
    }
}

/// A percentile; `times` are ascending values with their counts.
fn quantile(times: &[(u64, u64)], share: f64) -> Option<u64> {
    let total: u64 = times.iter().map(|(_, count)| count).sum();
    let wanted = (total as f64 * share).ceil() as u64;
    let mut seen = 0;
    times.iter().find_map(|(value, count)| {
        seen += count;
        (seen >= wanted).then_some(*value)
    })
}

/// The generator of the published figures.
const PUBLISHED: &str = "locust, as published";

/// The figures that the old systems published.
fn published() -> Vec<Row> {
    let row = |server: &str, requests, failed, per_second| Row {
        server: server.to_owned(),
        generator: PUBLISHED.to_owned(),
        load: "limited by think time, times send() only".to_owned(),
        requests,
        failed,
        per_second,
        ..Row::default()
    };
    vec![
        row("document 000", 3_934, 5, 62.8),
        row("document 001", 0, 0, 256.9),
        row("document 002 (broken pipe)", 5_226, 1_560, 50.1),
    ]
}

fn write(options: &Options, rows: &[Row]) -> Result<(), String> {
    let mut cells = vec![table::heads(
        "server|generator|load|offered/s|requests|failed|requests/s|p50 ms|p99 ms|generator CPU, µs/request",
    )];
    let known = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
    for row in rows {
        let count = |value: u64| known((row.requests > 0).then_some(value as f64));
        cells.push(vec![
            row.server.clone(),
            row.generator.clone(),
            row.load.clone(),
            known(row.offered),
            count(row.requests),
            count(row.failed),
            number(row.per_second),
            known(row.p50_ms),
            known(row.p99_ms),
            known(row.generator_us),
        ]);
    }
    let bar = |row: &Row| match row.generator.as_str() {
        PUBLISHED => (format!("{}, as published", row.server), row.per_second),
        generator => (format!("{}, {generator}: {}", row.server, row.load), row.per_second),
    };
    let bars: Vec<_> = rows.iter().map(bar).collect();
    let svg = plot::bars("Echoes per second", "1/s", &bars);
    let about = [
        "A request is a message and its own echo, in the wire format of document 000. Both generators offer the same load to the \
        same server, so their rows differ by the generator; rows with the same generator and load compare the servers.",
        "`generator CPU` is the CPU time of the generator per request, its start included. With `each sends after its echo` the \
        generator is at its limit, so that row measures the slower generator and not the server. locust counts whole \
        milliseconds.",
        "The last rows are the figures that the old systems published. Those were limited by think time and measured only \
        `send()`, so they cannot be compared with the rows above. A dash means unknown.",
    ];
    let head = format!("{} UTC; {}", process::date()?, process::machine());
    let markdown = format!(
        "# goose and locust at the same load\n\n{head}\n\n![echoes per second](compare.svg)\n\n{}\n{}\n",
        table::markdown(&cells),
        about.join("\n\n")
    );
    let json = serde_json::to_string_pretty(rows).map_err(|error| error.to_string())?;
    let paragraph = |text: &&str| format!("<p>{}</p>", report::escape(&text.replace('`', "")));
    let about: String = about.iter().map(paragraph).collect();
    let page = report::page(
        "goose and locust at the same load",
        &format!("<p>{}</p>{svg}{}{about}", report::escape(&head), table::html(&cells)),
    );
    for (name, text) in [
        ("compare.md", markdown.as_str()),
        ("compare.json", &json),
        ("compare.svg", plot::file(&svg)),
        ("compare.html", &page),
    ] {
        let path = options.out.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let out = options.out.display();
    println!("{markdown}\nwritten to {out}: compare.md, compare.html, compare.svg, compare.json");
    Ok(())
}

fn named(text: &str) -> Result<(String, String), String> {
    let named = text.split_once('=');
    let (name, url) = named.ok_or_else(|| format!("`{text}`: write it as NAME=ws://HOST:PORT"))?;
    Ok((name.to_owned(), url.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Runs `sh -c script` with the path of the report as `$1`, where an earlier run has left one.
    fn driven(script: &str) -> Result<Driven, String> {
        let scratch = tempfile::tempdir().unwrap();
        let report = scratch.path().join("report.json");
        fs::write(&report, "\"earlier\"").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(&report);
        drive(&mut command, &report, &scratch.path().join("its.log"))
    }

    #[test]
    fn a_generator_without_a_report_of_its_own_fails_and_its_log_is_named() {
        for script in ["exit 3", "exit 0", "echo no json >$1"] {
            let why = driven(script).map(|driven| driven.report).unwrap_err();
            assert!(why.contains("report.json") && why.contains("its.log"), "{why}");
        }
    }

    #[test]
    fn a_generator_that_fails_without_a_failed_talk_fails_the_comparison() {
        let row = |driven: &Driven, failed| driven.row("goose", 1, failed, 1.0, &[]);
        let fails = driven("echo '\"own\"' >$1; exit 3").unwrap();
        assert_eq!(fails.report, "own");
        let why = row(&fails, 0).unwrap_err();
        assert!(why.contains("exit status: 3") && why.contains("its.log"), "{why}");
        // Both generators end with this code when a request has failed; the table then has a row for it.
        assert_eq!(row(&fails, 1).unwrap().failed, 1);
        let dies = driven("echo 1 >$1; kill -9 $$").unwrap();
        assert!(row(&dies, 1).is_err());
        assert!(row(&driven("echo 1 >$1").unwrap(), 0).is_ok());
    }

    #[test]
    fn a_quantile_counts_every_value() {
        let times = [(1, 98), (5, 1), (9, 1)];
        let quantiles = [0.5, 0.98, 0.99, 1.0].map(|share| quantile(&times, share));
        assert_eq!(quantiles, [1, 1, 5, 9].map(Some));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn a_timestamp_is_a_second_of_its_day() {
        assert_eq!(second_of_day("2026-11-20T01:02:03.5Z"), Some(3_723.5));
        assert_eq!(second_of_day("yesterday"), None);
    }

    #[test]
    fn published_figures_are_labelled_as_published() {
        assert!(published().iter().all(|row| row.generator.contains("as published")));
    }
}
