//! The report of a run: text for the terminal, JSON for programs, and a self-contained HTML page with plots.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{
    plot::{self, Lines},
    table,
};

/// One second of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sample {
    pub at_s: f64,
    pub deliveries_per_s: f64,
    pub talks_per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub server_cores: Option<f64>,
    /// Cores that the generator used, without idle time.
    pub load_cores: f64,
    pub anon_mib: Option<f64>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub name: String,
    pub dialect: String,
    pub machine: String,
    pub figures: BTreeMap<String, f64>,
    pub required: Vec<String>,
    pub missed: Vec<String>,
    /// Connections that ended by themselves, by reason.
    pub ended: BTreeMap<String, u64>,
    pub refused: BTreeMap<String, u64>,
    pub samples: Vec<Sample>,
    /// A share of the deliveries, and its greatest latency in ms.
    pub percentiles: Vec<(f64, f64)>,
}

impl fmt::Display for Sample {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:5.0} s  {:>11.0} deliveries/s  {:>7.0} messages/s  p50 {:8.2} ms  p99 {:8.2} ms  generator {:3.0} %",
            self.at_s,
            self.deliveries_per_s,
            self.talks_per_s,
            self.p50_ms,
            self.p99_ms,
            self.load_cores * 100.0
        )?;
        if let (Some(cores), Some(mib)) = (self.server_cores, self.anon_mib) {
            write!(out, "  server {:3.0} %, {mib:.1} MiB", cores * 100.0)?;
        }
        Ok(())
    }
}

impl Report {
    pub fn text(&self) -> String {
        let mut text = format!("{} ({})\n{}\n", self.name, self.dialect, self.machine);
        for (name, value) in &self.figures {
            text += &format!("  {name:28} {}\n", number(*value));
        }
        for (reason, count) in self.ended.iter().chain(&self.refused) {
            text += &format!("  {count} x {reason}\n");
        }
        if self.missed.is_empty() {
            text += &format!("PASSED: {}\n", self.required.join(", "));
        }
        for missed in &self.missed {
            text += &format!("FAILED: {missed}\n");
        }
        text
    }

    /// One page that works offline.
    pub fn html(&self) -> String {
        let verdict = if self.missed.is_empty() {
            format!("<p class=ok>Passed: {}</p>", escape(&self.required.join(", ")))
        } else {
            self.missed
                .iter()
                .map(|missed| format!("<p class=bad>Failed: {}</p>", escape(missed)))
                .collect()
        };
        let cards: String = CARDS
            .iter()
            .filter_map(|(name, label, unit)| Some((self.figures.get(*name)?, label, unit)))
            .map(|(value, label, unit)| format!("<div><b>{}</b> {unit}<span>{label}</span></div>", number(*value)))
            .collect();
        let mut rows = vec![table::heads("figure|value|means")];
        let row = |(name, value): (&String, &f64)| vec![name.clone(), number(*value), meaning(name).to_owned()];
        rows.extend(self.figures.iter().map(row));
        let causes = self.ended.iter().chain(&self.refused);
        let causes: String = causes
            .map(|(why, count)| format!("<li>{count} × {}</li>", escape(why)))
            .collect();
        let at: Vec<f64> = self.samples.iter().map(|sample| sample.at_s).collect();
        let series = |title, unit, series: &[(&str, Vec<f64>)]| {
            plot::lines(&Lines {
                title,
                unit,
                x: &at,
                at: |seconds| format!("{} s", plot::label(*seconds)),
                series,
            })
        };
        let each = |value: fn(&Sample) -> f64| self.samples.iter().map(value).collect::<Vec<_>>();
        let nines: Vec<f64> = self
            .percentiles
            .iter()
            .map(|(share, _)| -(1.0 - share.min(0.99999)).log10())
            .collect();
        let mut plots = vec![
            series(
                "Deliveries, second by second",
                "per second",
                &[("deliveries", each(|sample| sample.deliveries_per_s))],
            ),
            series(
                "Latency from the intended time of sending, second by second",
                "ms",
                &[
                    ("p50", each(|sample| latency(sample.p50_ms))),
                    ("p99", each(|sample| latency(sample.p99_ms))),
                ],
            ),
            plot::lines(&Lines {
                title: "Latency by share of deliveries, over the whole measurement",
                unit: "ms",
                x: &nines,
                at: plot::percent,
                series: &[("latency", self.percentiles.iter().map(|(_, ms)| *ms).collect())],
            }),
        ];
        let mut cores = vec![("generator", each(|sample| sample.load_cores))];
        if self.samples.iter().any(|sample| sample.server_cores.is_some()) {
            let used = each(|sample| sample.server_cores.unwrap_or(f64::NAN));
            cores.insert(0, ("server", used));
            plots.push(series("Cores in use", "cores", &cores));
            plots.push(series(
                "Memory of the server",
                "MiB",
                &[("anonymous", each(|sample| sample.anon_mib.unwrap_or(f64::NAN)))],
            ));
        } else {
            plots.push(series("Cores in use", "cores", &cores));
        }
        page(
            &self.name,
            &format!(
                "<p>Dialect {}; {}</p>{verdict}<div class=cards>{cards}</div><ul>{causes}</ul>{}{}",
                escape(&self.dialect),
                escape(&self.machine),
                plots.concat(),
                table::html(&rows)
            ),
        )
    }
}

/// There is none before the measurement.
fn latency(ms: f64) -> f64 {
    if ms > 0.0 { ms } else { f64::NAN }
}

/// The figures at the top of a page, if the run has them.
const CARDS: [(&str, &str, &str); 10] = [
    ("lost", "messages lost", ""),
    ("deliveries_per_s", "deliveries", "/s"),
    ("p50_ms", "p50", "ms"),
    ("p99_ms", "p99", "ms"),
    ("big_p99_ms", "p99 in big rooms", "ms"),
    ("cpu_us", "server CPU per delivery", "µs"),
    ("cpu_us_per_join", "server CPU per join and leave", "µs"),
    ("bytes_per_conn", "memory per connection", "bytes"),
    ("first_s", "all connected", "s"),
    ("slow_untold", "slow readers with a missing or wrong gap", ""),
];

/// The description of a figure.
fn meaning(name: &str) -> &'static str {
    match name.strip_prefix("big_").unwrap_or(name) {
        "lost" => "messages that a member should have received and did not",
        "duplicated" => "messages that a member received again",
        "reordered" => "messages after a later one of the same sender",
        "disagreed" => "messages in another order than at other members",
        "torn" => "invalid frames, and messages that differ from the sent bytes or between members",
        "misnumbered" => "messages whose `prev` is not the message before them",
        "not_arrived" => "members that never got into their room",
        "ended" => "connections that ended unexpectedly",
        "refused" => "messages refused with an error",
        "sent" => "messages sent in total",
        "delivered" => "messages that arrived at members in total",
        "p50_ms" | "p90_ms" | "p99_ms" | "p999_ms" | "max_ms" => "from the intended time of sending to each delivery",
        "cpu_us" => "server CPU per delivery",
        "cpu_us_per_join" => "server CPU per join and leave",
        "server_cores" => "cores that the server used",
        "load_cores" => "cores that the generator used, without idle time; near 1 the generator was the limit",
        "bytes_per_conn" => "the server's own memory per connection",
        "kernel_tcp_mib" => "kernel memory of all TCP sockets of this machine",
        "anon_mib" | "rss_mib" => "the server's memory at the end",
        "presence_bytes_s" => "other messages per second to each member that stays",
        "presence_bytes_s_max" => "the same for the member with the most",
        "slow_told" => "slow readers whose gaps named exactly the missed messages",
        "slow_untold" => "slow readers that missed messages without a gap, or with a wrong one",
        "p99_ratio" => "p99 of the others while some are slow, over p99 before",
        "stall_anon_mib" => "growth of the server's memory while some are slow",
        "stall_kernel_tcp_mib" => "growth of the kernel's memory for all TCP sockets meanwhile",
        _ => "",
    }
}

pub fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\"><title>{title}</title><style>{STYLE}</style>\
         </head><body><h1>{title}</h1>{body}</body></html>\n"
    )
}

const STYLE: &str = ":root{--ink:#1f2937;--faint:#6b7280;--grid:#e5e7eb;--paper:#fff;--card:#f8fafc;color-scheme:light dark}\
    @media(prefers-color-scheme:dark){:root{--ink:#e5e7eb;--faint:#9ca3af;--grid:#374151;--paper:#111827;--card:#1f2937}}\
    body{font:15px/1.55 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:var(--ink);\
    background:var(--paper)}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}\
    table{border-collapse:collapse;margin:1rem 0;font-size:14px;display:block;overflow-x:auto}\
    td,th{border-bottom:1px solid var(--grid);padding:.3em .8em;text-align:left;vertical-align:top}\
    th{color:var(--faint);font-weight:600}td.n{font-variant-numeric:tabular-nums;text-align:right;white-space:nowrap}\
    th.n{text-align:right}.ok{color:#15803d}.bad{color:#dc2626;font-weight:600}\
    .cards{display:flex;flex-wrap:wrap;gap:.7rem;margin:1rem 0}.cards div{background:var(--card);border:1px solid var(--grid);\
    border-radius:8px;padding:.6rem 1rem;min-width:7rem}.cards b{font-size:1.3rem}\
    .cards span{display:block;color:var(--faint);font-size:13px}\
    code,pre{font:13px ui-monospace,monospace;background:var(--card);border-radius:4px;padding:.1em .3em}\
    pre{padding:.6em 1em;overflow-x:auto}figure{margin:1.4rem 0}svg{width:100%;height:auto}";

/// A number for people: four significant digits, without trailing zeros.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    if value == value.trunc() || value.abs() >= 1000.0 {
        return table::grouped(value);
    }
    let digits = (3.0 - value.abs().log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.digits$}")
}

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            name: "fanout <1>".to_owned(),
            figures: BTreeMap::from([("lost".to_owned(), 3.0), ("p99_ms".to_owned(), 1.23456)]),
            missed: vec!["lost=0: it was 3".to_owned()],
            ended: BTreeMap::from([("closed 1013 & <more>".to_owned(), 2)]),
            samples: [1.0, 2.0]
                .map(|at_s| Sample {
                    at_s,
                    ..Sample::default()
                })
                .to_vec(),
            percentiles: vec![(0.0, 0.1), (0.5, 1.0), (1.0, 9.0)],
            ..Report::default()
        }
    }

    #[test]
    fn the_page_needs_nothing_else_and_its_elements_close() {
        let html = report().html();
        for foreign in ["src=", "href=", "@import", "url(", "<script", "<link"] {
            assert!(!html.contains(foreign), "{foreign}");
        }
        for element in [
            "html", "head", "body", "svg", "figure", "table", "tr", "td", "th", "text", "title", "ul", "li",
        ] {
            let opened = html.matches(&format!("<{element} ")).count() + html.matches(&format!("<{element}>")).count();
            assert_eq!(opened, html.matches(&format!("</{element}>")).count(), "{element}");
        }
        // Without the server's process there is nothing to say of its memory.
        assert_eq!(html.matches("<svg").count(), 4);
    }

    #[test]
    fn what_came_from_elsewhere_is_escaped() {
        let html = report().html();
        assert!(html.contains("fanout &lt;1&gt;") && !html.contains("<1>"));
        assert!(html.contains("closed 1013 &amp; &lt;more&gt;"));
    }

    #[test]
    fn the_text_says_what_failed() {
        let text = report().text();
        assert!(
            text.contains("FAILED: lost=0: it was 3") && !text.contains("PASSED"),
            "{text}"
        );
    }

    #[test]
    fn numbers_are_short() {
        let shown: Vec<_> = [0.0, 3.0, 1.23456, 0.012345, 123.456, 1_234_567.8, f64::NAN]
            .map(number)
            .to_vec();
        assert_eq!(shown, ["0", "3", "1.235", "0.01235", "123.5", "1,234,568", "–"]);
    }
}
