//! The report of a run: text for the terminal, JSON for programs, one HTML page with plots that needs nothing else.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::table;

/// One second of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sample {
    /// Since the start of the run.
    pub at_s: f64,
    /// Talks that arrived at members.
    pub deliveries_per_s: f64,
    /// Talks sent.
    pub talks_per_s: f64,
    /// Latency of those that arrived in this second.
    pub p50_ms: f64,
    /// See `p50_ms`.
    pub p99_ms: f64,
    /// Cores that the server used.
    pub server_cores: Option<f64>,
    /// Cores that the generator used.
    pub load_cores: f64,
    /// The server's own memory.
    pub anon_mib: Option<f64>,
}

/// A run and its verdict.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What was run.
    pub name: String,
    /// In which wire format.
    pub dialect: String,
    /// On what.
    pub machine: String,
    /// Every figure by name.
    pub figures: BTreeMap<String, f64>,
    /// What had to hold.
    pub required: Vec<String>,
    /// What did not.
    pub missed: Vec<String>,
    /// Connections that ended by themselves, by reason.
    pub ended: BTreeMap<String, u64>,
    /// Errors of the native protocol, by code.
    pub refused: BTreeMap<String, u64>,
    /// Second by second.
    pub samples: Vec<Sample>,
    /// Share of the deliveries, and the latency in ms that it stayed under.
    pub percentiles: Vec<(f64, f64)>,
}

impl fmt::Display for Sample {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:5.0} s  {:>11.0} deliveries/s  {:>7.0} talks/s  p50 {:8.2} ms  p99 {:8.2} ms  generator {:3.0} %",
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
    /// For the terminal.
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
        let mut rows: Vec<Vec<String>> = vec![vec!["figure".to_owned(), "value".to_owned()]];
        rows.extend(
            self.figures
                .iter()
                .map(|(name, value)| vec![name.clone(), number(*value)]),
        );
        let causes = self.ended.iter().chain(&self.refused);
        let causes: String = causes
            .map(|(why, count)| format!("<li>{count} × {}</li>", escape(why)))
            .collect();
        let series = |title: &str, unit: &str, lines: &[(&str, Vec<f64>)]| {
            let at: Vec<f64> = self.samples.iter().map(|sample| sample.at_s).collect();
            plot(title, "seconds", unit, &at, lines)
        };
        let each = |value: fn(&Sample) -> f64| self.samples.iter().map(value).collect::<Vec<_>>();
        let plots = [
            series(
                "Deliveries per second",
                "1/s",
                &[("deliveries", each(|sample| sample.deliveries_per_s))],
            ),
            series(
                "Latency, second by second",
                "ms",
                &[
                    ("p50", each(|sample| sample.p50_ms)),
                    ("p99", each(|sample| sample.p99_ms)),
                ],
            ),
            series(
                "Cores used",
                "cores",
                &[
                    ("server", each(|sample| sample.server_cores.unwrap_or(0.0))),
                    ("generator", each(|sample| sample.load_cores)),
                ],
            ),
            series(
                "Memory of the server",
                "MiB",
                &[("anonymous", each(|sample| sample.anon_mib.unwrap_or(0.0)))],
            ),
            plot(
                "Latency by share of deliveries (each step to the right is a tenth of what is left)",
                "nines",
                "ms",
                &self
                    .percentiles
                    .iter()
                    .map(|(share, _)| -(1.0 - share.min(0.99999)).log10())
                    .collect::<Vec<_>>(),
                &[("latency", self.percentiles.iter().map(|(_, ms)| *ms).collect())],
            ),
        ];
        page(
            &self.name,
            &format!(
                "<p>Dialect {}; {}</p>{verdict}{}<ul>{causes}</ul>{}",
                escape(&self.dialect),
                escape(&self.machine),
                plots.concat(),
                table::html(&rows)
            ),
        )
    }
}

/// A whole page around `body`.
pub fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>{title}</title><style>\
         body{{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}}\
         table{{border-collapse:collapse}}td,th{{border-bottom:1px solid #ccc;padding:.2em 1em;text-align:left}}\
         td:not(:first-child){{font-variant-numeric:tabular-nums;text-align:right}}\
         .ok{{color:#176117}}.bad{{color:#a01010;font-weight:bold}}figure{{margin:1.5em 0}}\
         </style></head><body><h1>{title}</h1>{body}</body></html>\n"
    )
}

/// A line plot as inline SVG.
pub fn plot(title: &str, x_name: &str, y_name: &str, x: &[f64], lines: &[(&str, Vec<f64>)]) -> String {
    const COLOURS: [&str; 4] = ["#1f5fa8", "#c2410c", "#15803d", "#7e22ce"];
    const WIDTH: f64 = 860.0;
    const HEIGHT: f64 = 260.0;
    const LEFT: f64 = 80.0;
    const TOP: f64 = 30.0;
    const RIGHT: f64 = 20.0;
    const BOTTOM: f64 = 40.0;
    let (Some(first), Some(last)) = (x.first(), x.last()) else {
        return String::new();
    };
    let top = lines
        .iter()
        .flat_map(|(_, values)| values)
        .copied()
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max);
    let top = if top > 0.0 { top * 1.05 } else { 1.0 };
    let across = |value: f64| LEFT + (value - first) / (last - first).max(1e-9) * (WIDTH - LEFT - RIGHT);
    let up = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"100%\" role=\"img\" font-family=\"sans-serif\" \
         font-size=\"12\"><title>{0}</title><text x=\"{LEFT}\" y=\"18\" font-size=\"14\">{0}</text>",
        escape(title)
    );
    for step in 0..=4 {
        let value = top * f64::from(step) / 4.0;
        let y = up(value);
        let right = WIDTH - RIGHT;
        svg += &format!(
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            number(value)
        );
        let at = first + (last - first) * f64::from(step) / 4.0;
        svg += &format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            across(at),
            HEIGHT - BOTTOM + 16.0,
            number(at)
        );
    }
    svg += &format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><text x=\"8\" y=\"{TOP}\">{}</text>",
        WIDTH - RIGHT,
        HEIGHT - 6.0,
        escape(x_name),
        escape(y_name)
    );
    for (index, ((name, values), colour)) in lines.iter().zip(COLOURS).enumerate() {
        let points = x.iter().zip(values).filter(|(_, value)| value.is_finite());
        let points: Vec<_> = points
            .map(|(x, y)| format!("{:.1},{:.1}", across(*x), up(*y)))
            .collect();
        svg += &format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>\
             <text x=\"{}\" y=\"18\" fill=\"{colour}\" text-anchor=\"end\">{}</text>",
            points.join(" "),
            WIDTH - RIGHT - 90.0 * index as f64,
            escape(name)
        );
    }
    svg + "</svg></figure>"
}

/// A bar for each row, as inline SVG.
pub fn bars(title: &str, unit: &str, rows: &[(String, f64)]) -> String {
    let most = rows.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let height = 34 + 24 * rows.len();
    let mut svg = format!(
        "<figure><svg viewBox=\"0 0 860 {height}\" width=\"100%\" role=\"img\" font-family=\"sans-serif\" \
         font-size=\"12\" xmlns=\"http://www.w3.org/2000/svg\"><title>{0}</title><text x=\"4\" y=\"18\" \
         font-size=\"14\">{0}</text>",
        escape(title)
    );
    for (index, (name, value)) in rows.iter().enumerate() {
        let y = 30 + 24 * index;
        let width = (value / most * 400.0).max(1.0);
        svg += &format!(
            "<text x=\"330\" y=\"{0}\" text-anchor=\"end\">{1}</text><rect x=\"340\" y=\"{y}\" width=\"{width:.1}\" \
             height=\"16\" fill=\"#1f5fa8\"/><text x=\"{2:.1}\" y=\"{0}\">{3} {4}</text>",
            y + 13,
            escape(name),
            346.0 + width,
            number(*value),
            escape(unit)
        );
    }
    svg + "</svg></figure>"
}

/// A number as people write it: four significant digits, and no decimals where they say nothing.
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

/// Text for HTML and SVG.
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
            samples: vec![
                Sample {
                    at_s: 1.0,
                    ..Sample::default()
                },
                Sample {
                    at_s: 2.0,
                    ..Sample::default()
                },
            ],
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
        assert_eq!(html.matches("<svg").count(), 5);
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
