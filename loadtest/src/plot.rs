//! Plots as SVG that stands alone: inside a page, where it takes the page's colours, and as a file of its own.

use std::fmt::Write as _;

use crate::report::{escape, number};

/// Several lines over one axis.
#[derive(Debug)]
pub struct Lines<'a> {
    /// What is seen.
    pub title: &'a str,
    /// Of the values.
    pub unit: &'a str,
    /// What the points stand at.
    pub axis: Axis,
    /// Where the points stand.
    pub x: &'a [f64],
    /// A name and a value for each point; what is not finite is left out.
    pub series: &'a [(&'a str, Vec<f64>)],
}

/// What runs from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Seconds.
    Seconds,
    /// Shares as numbers of nines: 0 is none, 1 is 90 %, 2 is 99 %.
    Nines,
}

/// The name of a group, a value for each of the series if there is one, and the value to be reached.
pub type Group = (String, Vec<Option<f64>>, Option<f64>);

/// Groups of bars beside each other, on a logarithmic scale if the values are far apart.
#[derive(Debug)]
pub struct Groups<'a> {
    /// What is seen.
    pub title: &'a str,
    /// The names of the bars of each group.
    pub series: &'a [String],
    /// From left to right.
    pub groups: &'a [Group],
    /// Whether each step is ten times the one before.
    pub logarithmic: bool,
}

const COLOURS: [&str; 6] = ["#2563eb", "#ea580c", "#16a34a", "#9333ea", "#0891b2", "#b45309"];
const WIDTH: f64 = 900.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 52.0;
const BOTTOM: f64 = 28.0;
const STYLE: &str = "<style>text{font:12px system-ui,sans-serif;fill:var(--ink,#1f2937)}\
    .title{font-size:14px;font-weight:600}.faint{fill:var(--faint,#6b7280)}\
    .grid{stroke:var(--grid,#e5e7eb)}.aim{stroke:var(--ink,#1f2937);stroke-width:1.5}</style>";

/// Lines; nothing if there is no point.
pub fn lines(plot: &Lines<'_>) -> String {
    const HEIGHT: f64 = 260.0;
    let (Some(first), Some(last)) = (plot.x.first(), plot.x.last()) else {
        return String::new();
    };
    let finite = plot.series.iter().flat_map(|(_, values)| values).copied();
    let most = finite.filter(|value| value.is_finite()).fold(0.0, f64::max);
    let (step, top) = steps(most);
    let across = |value: f64| LEFT + (value - first) / (last - first).max(1e-9) * (WIDTH - LEFT - RIGHT);
    let up = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
    let names: Vec<&str> = plot.series.iter().map(|(name, _)| *name).collect();
    let mut svg = begin(&format!("{} ({})", plot.title, plot.unit), HEIGHT, &names);
    let mut value = 0.0;
    while value <= top * 1.001 {
        rule(&mut svg, up(value), &label(value));
        value += step;
    }
    for (at, label) in ticks(plot.axis, *first, *last) {
        let anchor = if at - first < (last - first) * 0.02 {
            "start"
        } else {
            "middle"
        };
        let (x, y) = (across(at), HEIGHT - BOTTOM + 18.0);
        put(
            &mut svg,
            format_args!("<text class='faint' x='{x:.1}' y='{y}' text-anchor='{anchor}'>{label}</text>"),
        );
    }
    for ((name, values), colour) in plot.series.iter().zip(COLOURS) {
        let points: Vec<(f64, f64)> = plot
            .x
            .iter()
            .copied()
            .zip(values.iter().copied())
            .filter(|(_, value)| value.is_finite())
            .collect();
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1}", across(*x), up(*y)))
            .collect();
        put(
            &mut svg,
            format_args!(
                "<polyline fill='none' stroke='{colour}' stroke-width='2' stroke-linejoin='round' points='{}'/>",
                path.join(" ")
            ),
        );
        for (x, y) in points {
            let at = match plot.axis {
                Axis::Seconds => format!("{} s", number(x)),
                Axis::Nines => percent(x),
            };
            let told = format!("{name}, {at}: {} {}", number(y), plot.unit);
            put(
                &mut svg,
                format_args!(
                    "<circle cx='{:.1}' cy='{:.1}' r='2.5' fill='{colour}'><title>{}</title></circle>",
                    across(x),
                    up(y),
                    escape(&told)
                ),
            );
        }
    }
    svg + "</svg></figure>"
}

/// A bar for each row, with its value and unit behind it.
pub fn bars(title: &str, unit: &str, rows: &[(String, f64)]) -> String {
    let most = rows.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let height = 44.0 + 26.0 * rows.len() as f64;
    let mut svg = begin(title, height, &[]);
    for (index, (name, value)) in rows.iter().enumerate() {
        let y = 38.0 + 26.0 * index as f64;
        let width = (value / most * 340.0).max(1.0);
        put(
            &mut svg,
            format_args!(
                "<text x='420' y='{0}' text-anchor='end'>{1}</text><rect x='430' y='{y}' width='{width:.1}' height='18' \
                 rx='2' fill='{2}'/><text x='{3:.1}' y='{0}'>{4} {5}</text>",
                y + 13.0,
                escape(name),
                COLOURS[0],
                438.0 + width,
                number(*value),
                escape(unit)
            ),
        );
    }
    svg + "</svg></figure>"
}

/// Groups of bars. A short line across a group is the value to be reached.
pub fn groups(plot: &Groups<'_>) -> String {
    const HEIGHT: f64 = 320.0;
    let values = plot
        .groups
        .iter()
        .flat_map(|(_, values, aim)| values.iter().flatten().chain(aim));
    let positive = values.copied().filter(|value| value.is_finite() && *value > 0.0);
    let (least, most) = positive.fold((f64::MAX, 0.0_f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    if most <= 0.0 {
        return String::new();
    }
    let (bottom, top, step) = if plot.logarithmic {
        (
            10_f64.powf(least.log10().floor()),
            10_f64.powf((most * 1.3).log10().ceil()),
            10.0,
        )
    } else {
        let (step, top) = steps(most * 1.1);
        (0.0, top, step)
    };
    let height = |value: f64| {
        let share = if plot.logarithmic {
            (value.max(bottom) / bottom).log10() / (top / bottom).log10()
        } else {
            value / top
        };
        share.max(0.004) * (HEIGHT - TOP - BOTTOM)
    };
    let names: Vec<&str> = plot.series.iter().map(String::as_str).collect();
    let mut svg = begin(plot.title, HEIGHT, &names);
    let mut value = bottom;
    while value <= top * 1.001 {
        rule(&mut svg, HEIGHT - BOTTOM - height(value), &label(value));
        value = if plot.logarithmic { value * step } else { value + step };
    }
    let group_width = (WIDTH - LEFT - RIGHT) / plot.groups.len() as f64;
    let bar = (group_width * 0.8 / plot.series.len().max(1) as f64).min(48.0);
    for (index, (name, values, aim)) in plot.groups.iter().enumerate() {
        let middle = LEFT + group_width * (index as f64 + 0.5);
        let start = middle - bar * values.len() as f64 / 2.0;
        for (place, value) in values.iter().enumerate() {
            let Some(value) = value.filter(|value| value.is_finite()) else {
                continue;
            };
            let (x, tall) = (start + bar * place as f64, height(value));
            let colour = COLOURS[place % COLOURS.len()];
            let told = format!(
                "{}, {name}: {}",
                plot.series.get(place).map_or("", String::as_str),
                number(value)
            );
            put(
                &mut svg,
                format_args!(
                    "<rect x='{:.1}' y='{:.1}' width='{:.1}' height='{tall:.1}' rx='2' fill='{colour}'>\
                     <title>{}</title></rect><text x='{:.1}' y='{:.1}' text-anchor='middle' \
                     style='font-size:10px'>{}</text>",
                    x + 1.0,
                    HEIGHT - BOTTOM - tall,
                    bar - 2.0,
                    escape(&told),
                    x + bar / 2.0,
                    HEIGHT - BOTTOM - tall - 4.0,
                    short(value)
                ),
            );
        }
        if let Some(aim) = aim {
            let (y, half) = (
                HEIGHT - BOTTOM - height(*aim),
                (bar * values.len() as f64 / 2.0 + 6.0).min(group_width / 2.0),
            );
            put(
                &mut svg,
                format_args!(
                    "<line class='aim' stroke-dasharray='4 3' x1='{:.1}' x2='{:.1}' y1='{y:.1}' y2='{y:.1}'>\
                     <title>aim: {}</title></line>",
                    middle - half,
                    middle + half,
                    number(*aim)
                ),
            );
        }
        put(
            &mut svg,
            format_args!(
                "<text class='faint' x='{middle:.1}' y='{}' text-anchor='middle'>{}</text>",
                HEIGHT - BOTTOM + 18.0,
                escape(name)
            ),
        );
    }
    svg + "</svg></figure>"
}

/// The SVG alone, as a file: a figure's own elements are taken off.
pub fn file(figure: &str) -> &str {
    figure.trim_start_matches("<figure>").trim_end_matches("</figure>")
}

fn begin(title: &str, height: f64, names: &[&str]) -> String {
    let title = escape(title);
    let mut svg = format!(
        "<figure><svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' role='img'>\
         <title>{title}</title>{STYLE}<text class='title' x='4' y='18'>{title}</text>"
    );
    let mut x = LEFT;
    for (name, colour) in names.iter().zip(COLOURS) {
        put(
            &mut svg,
            format_args!(
                "<rect x='{x:.0}' y='27' width='10' height='10' rx='2' fill='{colour}'/><text x='{:.0}' y='36'>{}</text>",
                x + 14.0,
                escape(name)
            ),
        );
        x += 34.0 + 7.0 * name.chars().count() as f64;
    }
    svg
}

fn rule(svg: &mut String, y: f64, label: &str) {
    put(
        svg,
        format_args!(
            "<line class='grid' x1='{LEFT}' y1='{y:.1}' x2='{}' y2='{y:.1}'/>\
             <text class='faint' x='{}' y='{:.1}' text-anchor='end'>{label}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0
        ),
    );
}

/// A step of 1, 2 or 5 times a power of ten that parts the axis into some five, and the end of the axis.
fn steps(most: f64) -> (f64, f64) {
    let most = if most > 0.0 { most } else { 1.0 };
    let rough = most / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    (step, (most / step).ceil() * step)
}

fn ticks(axis: Axis, first: f64, last: f64) -> Vec<(f64, String)> {
    match axis {
        Axis::Seconds => {
            let (step, _) = steps((last - first) * 0.6);
            let start = (first / step).ceil();
            (0..12)
                .map(|index| (start + f64::from(index)) * step)
                .take_while(|at| *at <= last + 1e-9)
                .map(|at| (at, format!("{} s", label(at))))
                .collect()
        }
        Axis::Nines => (0..=5)
            .map(f64::from)
            .filter(|nines| (first..=last).contains(nines))
            .map(|nines| (nines, percent(nines)))
            .collect(),
    }
}

/// A number on an axis: without zeros that say nothing.
fn label(value: f64) -> String {
    let text = number(value);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A share that is written as its number of nines.
fn percent(nines: f64) -> String {
    let share = 100.0 * (1.0 - 10_f64.powf(-nines));
    let digits = (nines.ceil() as usize).saturating_sub(2);
    format!("{share:.digits$} %")
}

/// Two digits, for where there is little room.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        big if big >= 10.0 => number(value.round()),
        middle => {
            let digits = (1.0 - middle.log10().floor()).clamp(0.0, 4.0) as usize;
            format!("{value:.digits$}")
        }
    }
}

fn put(svg: &mut String, piece: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _ = svg.write_fmt(piece);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_hold_the_largest_value() {
        assert_eq!(steps(9.3), (2.0, 10.0));
        assert_eq!(steps(0.4), (0.1, 0.4));
        let (step, top) = steps(1_234_567.0);
        assert!(step == 500_000.0 && top == 1_500_000.0, "{step} {top}");
    }

    #[test]
    fn shares_have_as_many_digits_as_they_need() {
        assert_eq!(
            [0.0, 1.0, 2.0, 3.0, 4.0].map(percent),
            ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]
        );
    }

    #[test]
    fn a_group_without_a_value_has_no_bar_and_small_values_are_seen() {
        let series = ["Plaza".to_owned(), "NATS".to_owned()];
        let groups = [
            ("1".to_owned(), vec![Some(0.8), None], Some(1.08)),
            ("64".to_owned(), vec![Some(0.02), Some(0.09)], None),
        ];
        let svg = super::groups(&Groups {
            title: "CPU",
            series: &series,
            groups: &groups,
            logarithmic: true,
        });
        // Two of them are the legend.
        assert_eq!(svg.matches("<rect").count(), 2 + 3);
        assert_eq!(svg.matches("class='aim'").count(), 1);
    }
}
