//! Self-contained SVG plots, as files and for a page, whose colours they use.
//!
//! plotters draws axes, legends and marks. It supports neither style sheets nor tooltips, so this module adds both to its output.

use std::error::Error;

use plotters::{
    coord::{Shift, ranged1d::ValueFormatter},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::report::{escape, number};

#[derive(Debug)]
pub struct Lines<'a> {
    pub title: &'a str,
    /// The unit of the values.
    pub unit: &'a str,
    pub x: &'a [f64],
    /// Formats a place on the axis.
    pub at: fn(&f64) -> String,
    /// A name and its points; values that are not finite are left out.
    pub series: &'a [(&'a str, Vec<f64>)],
}

/// The name of a group, a value for each series if there is one, and the target.
pub type Group = (String, Vec<Option<f64>>, Option<f64>);

/// The page names these colours: [`themed`].
const INK: RGBColor = RGBColor(0x1f, 0x29, 0x37);
const FAINT: RGBColor = RGBColor(0x6b, 0x72, 0x80);
const GRID: RGBColor = RGBColor(0xe5, 0xe7, 0xeb);
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x25, 0x63, 0xeb),
    RGBColor(0xea, 0x58, 0x0c),
    RGBColor(0x16, 0xa3, 0x4a),
    RGBColor(0x93, 0x33, 0xea),
    RGBColor(0x08, 0x91, 0xb2),
    RGBColor(0xb4, 0x53, 0x09),
];
const WIDTH: u32 = 900;
const FONT: &str = "system-ui,sans-serif";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// Lines; nothing if there is no point.
pub fn lines(plot: &Lines<'_>) -> String {
    let (Some(first), Some(last)) = (plot.x.first(), plot.x.last()) else {
        return String::new();
    };
    let points_of = |values: &[f64]| -> Vec<(f64, f64)> {
        let points = plot.x.iter().copied().zip(values.iter().copied());
        points.filter(|(_, value)| value.is_finite()).collect()
    };
    let (mut names, mut tips, mut top) = (Vec::new(), Vec::new(), 0.0_f64);
    for (name, values) in plot.series {
        names.push(*name);
        for (x, y) in points_of(values) {
            top = top.max(y * 1.05);
            tips.push(format!("{name}, {}: {} {}", (plot.at)(&x), number(y), plot.unit));
        }
    }
    let title = format!("{} ({})", plot.title, plot.unit);
    figure(&title, 260, &names, ("circle", tips), |area| {
        let mut chart = ChartBuilder::on(area)
            .set_label_area_size(LabelAreaPosition::Left, 64)
            .set_label_area_size(LabelAreaPosition::Bottom, 28)
            .build_cartesian_2d(*first..last.max(first + 1e-9), 0.0..top.max(1e-9))?;
        mesh(&mut chart, plot.at)?;
        for ((_, values), colour) in plot.series.iter().zip(COLOURS) {
            let points = points_of(values);
            chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
            chart.draw_series(points.into_iter().map(|at| Circle::new(at, 2, colour.filled())))?;
        }
        Ok(())
    })
}

/// A bar for each row, followed by its value and unit.
pub fn bars(title: &str, unit: &str, rows: &[(String, f64)]) -> String {
    let most = rows.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    figure(title, 46 + 26 * rows.len() as u32, &[], ("rect", Vec::new()), |area| {
        for ((name, value), row) in rows.iter().zip(0_i32..) {
            let (top, middle) = (26 * row, 26 * row + 10);
            let width = ((value / most * 340.0) as i32).max(1);
            area.draw(&Rectangle::new(
                [(430, top), (430 + width, top + 18)],
                COLOURS[0].filled(),
            ))?;
            area.draw_text(name, &words(HPos::Right, 12), (420, middle))?;
            let value = format!("{} {unit}", number(*value));
            area.draw_text(&value, &words(HPos::Left, 12), (438 + width, middle))?;
        }
        Ok(())
    })
}

/// Groups of bars on a logarithmic scale. A dashed line across a group is the target.
pub fn groups(title: &str, series: &[String], groups: &[Group]) -> String {
    let all = groups
        .iter()
        .flat_map(|(_, values, target)| values.iter().flatten().chain(target));
    let positive = all.copied().filter(|value| value.is_finite() && *value > 0.0);
    let (least, most) = positive.fold((f64::MAX, 0.0_f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    if most <= 0.0 {
        return String::new();
    }
    let bottom = 10_f64.powf(least.log10().floor());
    let top = 10_f64.powf((most * 1.3).log10().ceil());
    let bar = (0.8 / series.len().max(1) as f64).min(48.0 * groups.len() as f64 / f64::from(WIDTH));
    // From left to right in each group: where a bar begins, counted in groups, and its value.
    let bars_of = |place: usize| {
        groups
            .iter()
            .zip(0_u32..)
            .filter_map(move |((name, values, _), group)| {
                let value = values.get(place).copied().flatten().filter(|value| value.is_finite())?;
                let start = f64::from(group) + bar * (place as f64 - values.len() as f64 / 2.0);
                Some((name, start, value))
            })
    };
    let names: Vec<&str> = series.iter().map(String::as_str).collect();
    let tips = series.iter().enumerate().flat_map(|(place, server)| {
        bars_of(place).map(move |(name, _, value)| format!("{server}, {name}: {}", number(value)))
    });
    figure(title, 320, &names, ("rect", tips.collect()), |area| {
        let mut chart = ChartBuilder::on(area)
            .set_label_area_size(LabelAreaPosition::Left, 64)
            .set_label_area_size(LabelAreaPosition::Bottom, 28)
            .build_cartesian_2d(-0.5..groups.len() as f64 - 0.5, (bottom..top).log_scale())?;
        let name = |at: &f64| {
            let group = groups.get(at.round() as usize).filter(|_| at.fract() == 0.0);
            group.map_or_else(String::new, |(name, ..)| name.clone())
        };
        mesh(&mut chart, name)?;
        for (place, colour) in (0..series.len()).zip(COLOURS) {
            let rectangles = bars_of(place).map(|(_, start, value)| {
                let mut bar = Rectangle::new([(start, bottom), (start + bar, value.max(bottom))], colour.filled());
                bar.set_margin(0, 0, 1, 1);
                bar
            });
            chart.draw_series(rectangles)?;
        }
        for place in 0..series.len() {
            chart.draw_series(bars_of(place).map(|(_, start, value)| {
                Text::new(short(value), (start + bar / 2.0, value * 1.1), words(HPos::Center, 10))
            }))?;
        }
        for ((_, values, target), group) in groups.iter().zip(0_u32..) {
            let Some(target) = target else { continue };
            let half = (bar * values.len() as f64 / 2.0 + 0.05).min(0.5);
            let ends = [(f64::from(group) - half, *target), (f64::from(group) + half, *target)];
            chart.draw_series(DashedLineSeries::new(ends, 4, 3, INK.stroke_width(2)))?;
        }
        Ok(())
    })
}

/// The SVG alone, as a file, without the elements of a figure.
pub fn file(figure: &str) -> &str {
    figure.trim_start_matches("<figure>").trim_end_matches("</figure>")
}

/// Draws below a title and the names of the series. The first marks of this kind get these tooltips, in order.
fn figure(
    title: &str,
    height: u32,
    names: &[&str],
    (mark, tips): (&str, Vec<String>),
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> String {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
    let drawn = (|| {
        let below = root.titled(title, (FONT, 14).into_font().style(FontStyle::Bold).color(&INK))?;
        let (legend, plot) = below.split_vertically(18);
        draw(&plot)?;
        let mut x = 64;
        for (name, colour) in names.iter().zip(COLOURS) {
            legend.draw(&Rectangle::new([(x, 3), (x + 10, 13)], colour.filled()))?;
            legend.draw_text(name, &words(HPos::Left, 12), (x + 14, 8))?;
            x += 34 + 7 * name.chars().count() as i32;
        }
        Drawn::Ok(root.present()?)
    })();
    drop(root);
    match drawn {
        Ok(()) => format!("<figure>{}</figure>", themed(&svg, title, mark, tips)),
        Err(fault) => format!("<p class=bad>{}</p>", escape(&fault.to_string())),
    }
}

/// Adds what plotters does not support: a name for screen readers, tooltips, the page's colours.
fn themed(svg: &str, title: &str, mark: &str, tips: Vec<String>) -> String {
    let named = svg.replacen('>', &format!(" role=\"img\"><title>{}</title>", escape(title)), 1);
    let mut tips = tips.into_iter();
    let opening = format!("<{mark} ");
    let mut parts = named.split(&opening);
    let mut svg = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        svg += &opening;
        svg += &match (tips.next(), part.split_once("/>")) {
            (Some(tips), Some((mark_itself, rest))) => {
                format!("{mark_itself}><title>{}</title></{mark}>{rest}", escape(&tips))
            }
            _ => part.to_owned(),
        };
    }
    [("ink", INK), ("faint", FAINT), ("grid", GRID)]
        .into_iter()
        .fold(svg, |svg, (name, RGBColor(r, g, b))| {
            svg.replace(
                &format!("\"#{r:02X}{g:02X}{b:02X}\""),
                &format!("\"var(--{name},#{r:02x}{g:02x}{b:02x})\""),
            )
        })
}

/// The lines and labels behind a plot.
fn mesh<X, Y>(chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>, at: impl Fn(&f64) -> String) -> Drawn
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style((FONT, 12, &FAINT))
        .x_label_formatter(&at)
        .y_label_formatter(&|value| label(*value))
        .y_labels(6)
        .draw()?;
    Ok(())
}

fn words(side: HPos, size: u32) -> TextStyle<'static> {
    TextStyle::from((FONT, size).into_font())
        .color(&INK)
        .pos(Pos::new(side, VPos::Center))
}

/// A number on an axis, without trailing zeros.
pub fn label(value: f64) -> String {
    let text = number(value);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A share from its number of nines: 0 is none, 1 is 90 %, 2 is 99 %.
pub fn percent(nines: &f64) -> String {
    let share = 100.0 * (1.0 - 10_f64.powf(-nines));
    let digits = (nines.ceil() as usize).saturating_sub(2);
    format!("{share:.digits$} %")
}

/// Two digits, for small spaces.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_as_many_digits_as_they_need() {
        assert_eq!(
            [0.0, 1.0, 2.0, 3.0, 4.0].map(|nines| percent(&nines)),
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
        let svg = super::groups("CPU", &series, &groups);
        assert_eq!(svg.matches("</rect>").count(), 3, "{svg}");
        assert!(svg.contains("<title>NATS, 64: 0.09000</title>"), "{svg}");
    }
}
