//! `ratio`: the floor and a server in turns, several rounds, and the medians as shares of the floor with one in flight.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;
use serde_json::{Value, json};

use crate::{
    report::{self, number},
    table,
};

/// The command line of `ratio`.
#[derive(Args, Clone, Debug)]
pub struct RatioOptions {
    /// Starts the server under test; it must print `listening on http://ADDR`.
    #[arg(long)]
    pub server_cmd: String,
    /// Where it listens, if it does not say so.
    #[arg(long)]
    pub url: Option<String>,
    /// The wire format of the server under test.
    #[arg(long, default_value = "proto")]
    pub dialect: String,
    /// Core of the servers.
    #[arg(long, default_value_t = 0)]
    pub server_core: usize,
    /// Core of the generator.
    #[arg(long, default_value_t = 1)]
    pub load_core: usize,
    /// Members.
    #[arg(long, short = 'n', default_value_t = 1_000)]
    pub members: usize,
    /// Talks in flight, one row each.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64")]
    pub in_flight: Vec<u32>,
    /// Talks per second, one row each.
    #[arg(long, value_delimiter = ',', default_value = "100,300,1000")]
    pub rates: Vec<u32>,
    /// Rounds.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Seconds of each measured stretch.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// More arguments for each run of the server under test, as in "--any-order --ready-on-upgrade".
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub more: String,
    /// Writes all figures of all rounds as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Writes the table as HTML.
    #[arg(long)]
    pub html: Option<PathBuf>,
}

/// A row of issue figures: the load, and the bounds that the project holds itself to on 1,000 members.
struct Row {
    load: String,
    flag: [String; 2],
    cpu_at_most: Option<f64>,
    deliveries_at_least: Option<f64>,
    p99_at_most: Option<f64>,
}

/// Runs it and prints the table.
pub fn ratio(options: &RatioOptions) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let floor = own.with_file_name("floor");
    if !floor.exists() {
        return Err(format!("{}: not there; build the whole package", floor.display()));
    }
    let scratch = std::env::temp_dir().join(format!("plaza-ratio-{}.json", std::process::id()));
    let rows = rows(options);
    let mut floors: Vec<Value> = Vec::new();
    let mut runs: Vec<Vec<Value>> = rows.iter().map(|_| Vec::new()).collect();
    for round in 1..=options.rounds {
        for (row, runs) in rows.iter().zip(&mut runs) {
            // The floor goes before every run, so that what else the machine does meets both alike.
            let one = ["--in-flight".to_owned(), "1".to_owned()];
            let floor_command = floor.to_string_lossy().into_owned();
            floors.push(run(&own, options, &floor_command, "raw", None, &one, "", &scratch)?);
            let (url, more) = (options.url.as_deref(), options.more.as_str());
            let figures = run(
                &own,
                options,
                &options.server_cmd,
                &options.dialect,
                url,
                &row.flag,
                more,
                &scratch,
            )?;
            let shown = |name: &str| figures[name].as_f64().map_or_else(|| "–".to_owned(), number);
            let (cpu, rate, p99) = (shown("cpu_us"), shown("deliveries_per_s"), shown("p99_ms"));
            eprintln!(
                "round {round}, {}: {cpu} µs, {rate} deliveries/s, p99 {p99} ms",
                row.load
            );
            runs.push(figures);
        }
    }
    // Only scratch; where it cannot be removed nothing depends on it.
    let _ = fs::remove_file(&scratch);
    let cells = cells(&rows, &floors, &runs);
    let medians = (
        median(&floors, "cpu_us"),
        median(&floors, "deliveries_per_s"),
        median(&floors, "p99_ms"),
    );
    let head = format!(
        "{} members, medians of {}; the floor with one in flight: {} µs per delivery, {} deliveries/s, p99 {} ms",
        options.members,
        options.rounds,
        number(medians.0),
        number(medians.1),
        number(medians.2),
    );
    println!("{head}\n{}\n\n{}", crate::process::machine(), table::markdown(&cells));
    if let Some(path) = &options.json {
        let loads: Vec<_> = rows.iter().map(|row| row.load.as_str()).collect();
        let all = json!({"floor": floors, "loads": loads, "runs": runs, "table": cells, "head": head});
        fs::write(path, format!("{all:#}")).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if let Some(path) = &options.html {
        let body = format!("<p>{}</p>{}", report::escape(&head), table::html(&cells));
        let page = report::page("Plaza and the floor", &body);
        fs::write(path, page).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn rows(options: &RatioOptions) -> Vec<Row> {
    let closed = options.in_flight.iter().map(|&count| {
        let bound = match count {
            1 => Some((1.08, 0.95)),
            4 => Some((0.40, 2.4)),
            16 => Some((0.085, 11.0)),
            64 => Some((0.032, 30.0)),
            _ => None,
        };
        Row {
            load: format!("{count} in flight"),
            flag: ["--in-flight".to_owned(), count.to_string()],
            cpu_at_most: bound.map(|(cpu, _)| cpu),
            deliveries_at_least: bound.map(|(_, deliveries)| deliveries),
            p99_at_most: None,
        }
    });
    let open = options.rates.iter().map(|&rate| {
        let bound = match rate {
            100 => Some((1.15, 10.0)),
            300 => Some((0.50, 20.0)),
            1000 => Some((0.12, 20.0)),
            _ => None,
        };
        Row {
            load: format!("{rate} talks/s"),
            flag: ["--rate".to_owned(), rate.to_string()],
            cpu_at_most: bound.map(|(cpu, _)| cpu),
            deliveries_at_least: None,
            p99_at_most: bound.map(|(_, p99)| p99),
        }
    });
    closed.chain(open).collect()
}

/// One run of this program against a fresh server; its figures.
#[expect(clippy::too_many_arguments, reason = "a command line, spelled out once")]
fn run(
    own: &Path,
    options: &RatioOptions,
    server: &str,
    dialect: &str,
    url: Option<&str>,
    load: &[String; 2],
    more: &str,
    scratch: &Path,
) -> Result<Value, String> {
    let mut command = Command::new(own);
    command
        .args(["fanout", "--quiet", "--server-cmd", server, "--dialect", dialect])
        .args(load);
    command.args(["-n".to_owned(), options.members.to_string()]);
    command.args(["--server-core".to_owned(), options.server_core.to_string()]);
    command.args(["--load-core".to_owned(), options.load_core.to_string()]);
    command.args(["--seconds".to_owned(), options.seconds.to_string()]);
    command.arg("--json").arg(scratch).args(more.split_whitespace());
    if let Some(url) = url {
        command.args(["--url", url]);
    }
    let output = command
        .output()
        .map_err(|error| format!("{}: {error}", own.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        return Err(format!("{server}, {} {}: {}\n{said}", load[0], load[1], output.status));
    }
    let text = fs::read_to_string(scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let report: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    Ok(report["figures"].clone())
}

fn cells(rows: &[Row], floors: &[Value], runs: &[Vec<Value>]) -> Vec<Vec<String>> {
    let heads = [
        "load",
        "CPU µs",
        "CPU / floor",
        "at most",
        "deliveries/s",
        "× floor",
        "at least",
        "p99 ms",
        "at most",
    ];
    let mut cells = vec![heads.map(str::to_owned).to_vec()];
    let (floor_cpu, floor_deliveries) = (median(floors, "cpu_us"), median(floors, "deliveries_per_s"));
    let bound = |bound: Option<f64>| bound.map_or_else(String::new, number);
    for (row, runs) in rows.iter().zip(runs) {
        let (cpu, deliveries, p99) = (
            median(runs, "cpu_us"),
            median(runs, "deliveries_per_s"),
            median(runs, "p99_ms"),
        );
        cells.push(vec![
            row.load.clone(),
            number(cpu),
            number(cpu / floor_cpu),
            bound(row.cpu_at_most),
            number(deliveries),
            number(deliveries / floor_deliveries),
            bound(row.deliveries_at_least),
            number(p99),
            bound(row.p99_at_most),
        ]);
    }
    cells
}

/// The median of a figure over several runs; not a number when none has it.
fn median(runs: &[Value], name: &str) -> f64 {
    let mut values: Vec<f64> = runs.iter().filter_map(|run| run[name].as_f64()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.get(middle.wrapping_sub(1))) {
        (Some(upper), Some(lower)) if values.len().is_multiple_of(2) => (lower + upper) / 2.0,
        (Some(middle), _) => *middle,
        (None, _) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        let runs = |values: &[f64]| values.iter().map(|value| json!({"x": value})).collect::<Vec<_>>();
        assert_eq!(median(&runs(&[9.0, 1.0, 5.0]), "x"), 5.0);
        assert_eq!(median(&runs(&[4.0, 1.0, 9.0, 2.0]), "x"), 3.0);
        assert!(median(&runs(&[]), "x").is_nan());
    }

    #[test]
    fn the_table_shows_shares_of_the_floor() {
        let row = Row {
            load: "1 in flight".to_owned(),
            flag: [String::new(), String::new()],
            cpu_at_most: Some(1.08),
            deliveries_at_least: None,
            p99_at_most: None,
        };
        let floor = [json!({"cpu_us": 4.0, "deliveries_per_s": 100.0})];
        let cells = cells(
            &[row],
            &floor,
            &[vec![json!({"cpu_us": 2.0, "deliveries_per_s": 250.0, "p99_ms": 1.5})]],
        );
        assert_eq!(
            cells[1],
            ["1 in flight", "2", "0.5000", "1.080", "250", "2.500", "", "1.500", ""]
        );
    }
}
