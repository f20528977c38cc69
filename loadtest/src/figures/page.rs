//! Writes the results as Markdown, HTML and plots.

use std::{fs, path::Path};

use super::{Line, Load, Measured, Part, Results, Served, Target, Verdict, name};
use crate::{
    plot::{self, Group},
    report::{self, escape, number},
    table,
};

/// Writes everything into a directory.
pub(super) fn write(out: &Path, results: &Results) -> Result<(), String> {
    let json = serde_json::to_string_pretty(results).map_err(|error| error.to_string())?;
    let mut files = vec![
        ("figures.json".to_owned(), json),
        ("figures.md".to_owned(), markdown(results)),
        ("figures.html".to_owned(), html(results)),
    ];
    for (name, plot) in results.parts.iter().flat_map(|(part, measured)| plots(*part, measured)) {
        files.push((format!("{name}.svg"), plot::file(&plot).to_owned()));
    }
    for (name, text) in files {
        let path = out.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// All results as Markdown.
pub(super) fn markdown(results: &Results) -> String {
    let mut text = "# Figures\n\n".to_owned();
    text += &format!("{}\n\n", INTRODUCTION.replace('\n', " "));
    text += &table::markdown(&summary(results));
    for (part, measured) in &results.parts {
        text += &format!("\n## {}\n\n", title(*part));
        for sentence in about(measured) {
            text += &format!("{sentence}\n");
        }
        for (name, _) in plots(*part, measured) {
            text += &format!("\n![{name}]({name}.svg)\n");
        }
        for table in tables(measured) {
            text += &format!("\n{}", table::markdown(&table));
        }
        if !measured.troubles.is_empty() {
            text += "\nProblems:\n\n";
        }
        for trouble in &measured.troubles {
            text += &format!("- {trouble}\n");
        }
    }
    text
}

fn html(results: &Results) -> String {
    let mut body = format!("<p>{}</p>{}", escape(INTRODUCTION), table::html(&summary(results)));
    for (part, measured) in &results.parts {
        body += &format!("<h2>{}</h2>", escape(title(*part)));
        for sentence in about(measured) {
            body += &format!("<p>{}</p>", coded(&escape(&sentence)));
        }
        for (_, plot) in plots(*part, measured) {
            body += &plot;
        }
        for table in tables(measured) {
            body += &table::html(&table);
        }
        for trouble in &measured.troubles {
            body += &format!("<p class=bad>{}</p>", escape(trouble));
        }
    }
    report::page("Plaza: figures", &body)
}

const INTRODUCTION: &str = "Medians of the rounds; a ratio is the median of the ratios of each round, in which both sides \
ran directly after one another. The floor is one plain send() per member. CPU is the CPU time of all threads of the server, \
from schedstat, per delivery. Latency counts from the intended time of sending. The tool audited every member's stream and \
lists all problems. Targets have a tolerance of 5 %, except for lost messages and wrong gaps.";

fn title(part: Part) -> &'static str {
    match part {
        Part::Loads => "1,000 members at seven loads",
        Part::Shards => "Two shards compared with one",
        Part::Crowd => "A huge room",
        Part::Quiet => "A quiet room",
        Part::Rooms => "Many small rooms",
        Part::Memory => "Memory of idle connections and rooms",
        Part::Storm => "All connections at once",
        Part::History => "History on and off",
        Part::Stall => "Slow readers",
        Part::Beside => "Two users beside a huge room",
        Part::Joins => "Joins and leaves",
        Part::Presence => "Presence",
    }
}

fn about(measured: &Measured) -> Vec<String> {
    let mut about = vec![format!(
        "{} UTC; {}; {}; {:.0} s with `{}`.",
        measured.date, measured.machine, measured.server, measured.took_s, measured.command
    )];
    if measured.scale != 1.0 {
        about.push(format!(
            "Only {} of the members took part: this run tests the tool, not the server.",
            measured.scale
        ));
    }
    about
}

/// Marks the text between backquotes as code.
fn coded(text: &str) -> String {
    let mut parts = text.split('`');
    let mut coded = parts.next().unwrap_or_default().to_owned();
    for (index, part) in parts.enumerate() {
        coded += if index % 2 == 0 { "<code>" } else { "</code>" };
        coded += part;
    }
    coded
}

fn summary(results: &Results) -> Vec<Vec<String>> {
    let mut rows = vec![table::heads("part|targets|met|met within 5 %|missed|troubles")];
    for (part, measured) in &results.parts {
        let verdicts: Vec<Verdict> = measured
            .loads
            .iter()
            .flat_map(Load::judged)
            .chain(measured.lines.iter().map(|line| (line.value, line.target)))
            .filter_map(|(value, target)| Some(target?.judge(value)))
            .collect();
        let count = |wanted: Verdict| verdicts.iter().filter(|verdict| **verdict == wanted).count();
        rows.push(vec![
            format!("{} ({})", title(*part), name(*part)),
            verdicts.len().to_string(),
            count(Verdict::Met).to_string(),
            count(Verdict::Nearly).to_string(),
            count(Verdict::Missed).to_string(),
            measured.troubles.len().to_string(),
        ]);
    }
    rows
}

fn tables(measured: &Measured) -> Vec<Vec<Vec<String>>> {
    let mut tables = Vec::new();
    if !measured.loads.is_empty() {
        tables.push(judged(&measured.loads));
        tables.push(beside_others(&measured.loads));
    }
    if !measured.lines.is_empty() {
        tables.push(lines(&measured.lines));
    }
    tables
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), number)
}

/// Plaza compared with its targets.
fn judged(loads: &[Load]) -> Vec<Vec<String>> {
    let heads = "load|CPU / floor|at most||deliveries/s × floor|at least||p99 ms|at most|";
    let mut rows = vec![table::heads(heads)];
    for load in loads {
        let mut row = vec![load.name.clone()];
        for (value, target) in load.judged() {
            let bound = target.map(bound).map_or_else(String::new, number);
            row.extend([shown(value), bound, verdict(value, target)]);
        }
        rows.push(row);
    }
    rows
}

/// The measured values of all servers.
fn beside_others(loads: &[Load]) -> Vec<Vec<String>> {
    let heads = "load|server|CPU µs per delivery|/ floor|deliveries/s|× floor|p99 ms";
    let mut rows = vec![table::heads(heads)];
    for load in loads {
        for server in &load.servers {
            let name = server.name.replace("floor", "floor, 1 in flight");
            let mut row = vec![load.name.clone(), name];
            row.extend([server.cpu_us, server.cpu_share].map(shown));
            row.extend([server.deliveries_per_s, server.deliveries_times, server.p99_ms].map(shown));
            rows.push(row);
        }
    }
    rows
}

fn lines(lines: &[Line]) -> Vec<Vec<String>> {
    let mut rows = vec![table::heads("figure|measured|unit|target|verdict")];
    for line in lines {
        let target = line.target.map_or_else(String::new, |target| {
            let word = match target {
                Target::AtMost(_) => "at most",
                Target::AtLeast(_) => "at least",
                Target::Exactly(_) => "exactly",
            };
            format!("{word} {}", number(bound(target)))
        });
        rows.push(vec![
            line.what.clone(),
            shown(line.value),
            line.unit.clone(),
            target,
            verdict(line.value, line.target),
        ]);
    }
    rows
}

fn verdict(value: Option<f64>, target: Option<Target>) -> String {
    let verdict = target.map_or(Verdict::None, |target| target.judge(value));
    verdict.words().to_owned()
}

fn bound(target: Target) -> f64 {
    match target {
        Target::AtMost(bound) | Target::AtLeast(bound) | Target::Exactly(bound) => bound,
    }
}

/// The plots of a part by name.
fn plots(part: Part, measured: &Measured) -> Vec<(&'static str, String)> {
    match part {
        Part::Loads => load_plots(&measured.loads),
        Part::Memory => {
            let row = |line: &Line| Some((line.what.clone(), line.value?));
            let rows: Vec<_> = measured.lines.iter().filter_map(row).collect();
            vec![("memory", plot::bars("Memory, each", "bytes", &rows))]
        }
        Part::Presence => {
            let row = |line: &Line| {
                let dialect = line.what.rsplit_once(", ")?.1.split(':').next()?;
                Some((dialect.to_owned(), line.value?))
            };
            let rows: Vec<_> = measured.lines.iter().filter_map(row).collect();
            vec![("presence", plot::bars("Presence, to each member", "bytes/s", &rows))]
        }
        Part::Shards
        | Part::Crowd
        | Part::Quiet
        | Part::Rooms
        | Part::Storm
        | Part::History
        | Part::Stall
        | Part::Beside
        | Part::Joins => Vec::new(),
    }
}

fn load_plots(loads: &[Load]) -> Vec<(&'static str, String)> {
    let Some(first) = loads.first() else { return Vec::new() };
    // The floor is the reference.
    let names = first.servers.iter().map(|server| server.name.clone());
    let names: Vec<String> = names.filter(|name| name != "floor").collect();
    let groups = |of: fn(&Served) -> Option<f64>, target: fn(&Load) -> Option<f64>, wanted: fn(&Load) -> bool| {
        let group = |load: &Load| -> Group {
            let values = load.servers.iter().filter(|server| server.name != "floor").map(of);
            (load.name.clone(), values.collect(), target(load))
        };
        loads.iter().filter(|load| wanted(load)).map(group).collect::<Vec<_>>()
    };
    let plot = |title: &str, groups: Vec<Group>| plot::groups(title, &names, &groups);
    let closed = |load: &Load| load.deliveries_at_least.is_some();
    vec![
        (
            "loads-cpu",
            plot(
                "Server CPU per delivery as a share of the floor's; less is better, dashes are Plaza's targets",
                groups(|server| server.cpu_share, |load| load.cpu_at_most, |_| true),
            ),
        ),
        (
            "loads-deliveries",
            plot(
                "Deliveries per second as a multiple of the floor's; more is better",
                groups(|one| one.deliveries_times, |load| load.deliveries_at_least, closed),
            ),
        ),
        (
            "loads-p99",
            plot(
                "p99 in ms, from the intended time of sending; less is better",
                groups(|server| server.p99_ms, |load| load.p99_at_most, |_| true),
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::{super::PLAZA, *};

    fn results() -> Results {
        let served = |name: &str, cpu: f64| Served {
            name: name.to_owned(),
            cpu_us: Some(3.0 * cpu),
            cpu_share: Some(cpu),
            deliveries_per_s: Some(1e6),
            deliveries_times: Some(1.0 / cpu),
            p99_ms: Some(4.0),
        };
        let loads = Measured {
            scale: 1.0,
            command: "plaza-load figures --only loads".to_owned(),
            loads: vec![Load {
                name: "1 in flight".to_owned(),
                servers: vec![served("floor", 1.0), served(PLAZA, 0.8), served("NATS", 1.6)],
                cpu_at_most: Some(1.08),
                deliveries_at_least: Some(2.0),
                p99_at_most: None,
            }],
            ..Measured::default()
        };
        let crowd = Measured {
            scale: 0.1,
            lines: vec![Line {
                what: "lost <all>".to_owned(),
                value: Some(0.0),
                unit: String::new(),
                target: Some(Target::Exactly(0.0)),
            }],
            troubles: vec!["one | other".to_owned()],
            ..Measured::default()
        };
        Results {
            parts: [(Part::Loads, loads), (Part::Crowd, crowd)].into(),
        }
    }

    #[test]
    fn every_figure_has_its_verdict_and_a_trial_says_that_it_is_one() {
        let text = markdown(&results());
        assert!(
            text.contains("| 1 in flight | 0.8000 | 1.080 | met | 1.250 | 2 | missed |"),
            "{text}"
        );
        assert!(text.contains("| lost <all> | 0 |  | exactly 0 | met |"), "{text}");
        assert!(text.contains("this run tests the tool") && text.contains("- one | other"));
    }

    #[test]
    fn the_page_works_offline_and_its_plots_show_all_servers() {
        let html = html(&results());
        for foreign in ["src=", "href=", "@import", "url(", "<script", "<link"] {
            assert!(!html.contains(foreign), "{foreign}");
        }
        assert!(html.contains("<code>plaza-load figures --only loads</code>") && html.contains("lost &lt;all&gt;"));
        assert_eq!(html.matches("<svg").count(), 3);
        assert!(html.contains("NATS, 1 in flight: 1.6"));
    }

    #[test]
    fn results_come_back_from_their_file() {
        let json = serde_json::to_string(&results()).unwrap_or_default();
        let back: Results = serde_json::from_str(&json).unwrap_or_default();
        assert_eq!(markdown(&back), markdown(&results()));
    }
}
