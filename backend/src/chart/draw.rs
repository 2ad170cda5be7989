//! The drawing itself.

use std::fmt::Write as _;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::{Band, Chart, Line, PALETTE, Point};

pub(super) type Area<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
pub(super) type Drawn<T> = Result<T, Box<dyn std::error::Error>>;

/// Placeholders: no page uses these colours, and they are found again by their text.
const GRID: RGBColor = RGBColor(2, 0, 0);
const TEXT: RGBColor = RGBColor(3, 0, 0);

pub(super) fn series_colour(index: usize) -> RGBColor {
    RGBColor(1, 0, u8::try_from(index % PALETTE).unwrap_or(0))
}

pub(super) fn draw(chart: &Chart, band: Option<&Band>) -> Drawn<String> {
    let mut text = String::new();
    let overlay = {
        let root =
            SVGBackend::with_string(&mut text, (chart.width, chart.height)).into_drawing_area();
        let (x, y) = ranges(chart);
        let mut builder = ChartBuilder::on(&root);
        if chart.spark {
            builder.margin(4);
        } else {
            builder
                .margin(8)
                .margin_right(60)
                .x_label_area_size(34)
                .y_label_area_size(74);
        }
        let mut area = builder.build_cartesian_2d(x.0..x.1, y.0..y.1)?;
        if !chart.spark {
            mesh(chart, &mut area)?;
        }
        for line in &chart.lines {
            draw_line(line, chart.spark, &mut area)?;
        }
        let mut text = String::new();
        if let Some(band) = band {
            mark_band(chart, band, &area, &mut text);
        }
        let overlay = text + &overlay(chart, &area);
        root.present()?;
        overlay
    };
    Ok(finish(&chart.label, chart.spark, &text, &overlay))
}

fn finite(chart: &Chart) -> impl Iterator<Item = &Point> {
    let points = chart
        .lines
        .iter()
        .flat_map(|line| line.stretches.iter().flatten());
    points.filter(|point| point.value.is_finite())
}

/// Ranges with some air; never empty. The y axis does not begin at zero: a 1 % step must be seen. The page says so.
fn ranges(chart: &Chart) -> ((f64, f64), (f64, f64)) {
    let mut x = (f64::INFINITY, f64::NEG_INFINITY);
    let mut y = x;
    for point in finite(chart) {
        x = (x.0.min(point.x), x.1.max(point.x));
        let ends = [point.value, point.low, point.high];
        for end in ends.into_iter().filter(|end| end.is_finite()) {
            y = (y.0.min(end), y.1.max(end));
        }
    }
    let lowest = y.0;
    let (low, high) = widen(y, 0.15);
    // No air below zero where nothing is: it would show times that cannot be.
    let low = if lowest >= 0.0 { low.max(0.0) } else { low };
    (widen(x, 0.03), (low, high))
}

fn widen((low, high): (f64, f64), share: f64) -> (f64, f64) {
    if !(low.is_finite() && high.is_finite()) {
        return (0.0, 1.0);
    }
    // A flat line gets 2 % of its value around it.
    let air = ((high - low) * share).max(high.abs() * 0.01);
    let air = if air > 0.0 && air.is_finite() {
        air
    } else {
        0.5
    };
    (low - air, high + air)
}

fn mesh(chart: &Chart, area: &mut Area<'_, '_>) -> Drawn<()> {
    let style = ("sans-serif", 13).into_font().color(&TEXT);
    area.configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .x_labels(0)
        .y_labels(6)
        .y_label_formatter(&|value| (chart.format)(*value))
        .label_style(style)
        .draw()?;
    Ok(())
}

fn draw_line(line: &Line, spark: bool, area: &mut Area<'_, '_>) -> Drawn<()> {
    let colour = series_colour(line.colour);
    for stretch in &line.stretches {
        let points: Vec<&Point> = stretch
            .iter()
            .filter(|point| point.value.is_finite())
            .collect();
        let upper = points
            .iter()
            .map(|point| (point.x, point.high.max(point.value)));
        let lower = points
            .iter()
            .rev()
            .map(|point| (point.x, point.low.min(point.value)));
        let band: Vec<(f64, f64)> = upper.chain(lower).collect();
        if line.connected && points.len() > 1 {
            if !spark {
                area.draw_series([Polygon::new(band, colour.mix(0.16))])?;
            }
            let path: Vec<(f64, f64)> = points.iter().map(|point| (point.x, point.value)).collect();
            area.draw_series([PathElement::new(path, colour.stroke_width(2))])?;
        }
    }
    Ok(())
}

/// Points as links with titles, tick texts, and a mark at every break.
fn overlay(chart: &Chart, area: &Area<'_, '_>) -> String {
    let mut text = String::new();
    let bottom = i64::from(chart.height) - 14;
    if !chart.spark {
        let y = area.as_coord_spec().get_y_range().start;
        for (x, label) in &chart.ticks {
            let (px, _) = area.backend_coord(&(*x, y));
            push(
                &mut text,
                format_args!(
                    "<text x=\"{px}\" y=\"{bottom}\" class=\"tick\">{}</text>",
                    escape(label)
                ),
            );
        }
    }
    for line in &chart.lines {
        mark_breaks(chart, line, area, &mut text);
        let points = line
            .stretches
            .iter()
            .flatten()
            .filter(|point| point.value.is_finite());
        let all: Vec<&Point> = points.collect();
        let shown = if chart.spark && line.connected {
            &all[all.len().saturating_sub(1)..]
        } else {
            &all[..]
        };
        for point in shown {
            let (x, y) = area.backend_coord(&(point.x, point.value));
            let (_, low) = area.backend_coord(&(point.x, point.low.min(point.value)));
            let (_, high) = area.backend_coord(&(point.x, point.high.max(point.value)));
            let radius = if chart.spark { 3 } else { 5 };
            let colour = line.colour % PALETTE;
            let mut mark = String::new();
            if low != high && !chart.spark {
                push(
                    &mut mark,
                    format_args!(
                        "<line x1=\"{x}\" x2=\"{x}\" y1=\"{low}\" y2=\"{high}\" class=\"whisker s{colour}\"/>"
                    ),
                );
            }
            push(
                &mut mark,
                format_args!(
                    "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" class=\"point s{colour} {}\">",
                    point.class
                ),
            );
            if !point.title.is_empty() {
                push(
                    &mut mark,
                    format_args!("<title>{}</title>", escape(&point.title)),
                );
            }
            mark.push_str("</circle>");
            if point.link.is_empty() {
                text.push_str(&mark);
            } else {
                push(
                    &mut text,
                    format_args!("<a href=\"{}\">{mark}</a>", escape(&point.link)),
                );
            }
        }
    }
    text
}

/// A stretch of the x axis, as far as it is on the chart, under the points.
fn mark_band(chart: &Chart, band: &Band, area: &Area<'_, '_>, text: &mut String) {
    let shown = area.as_coord_spec().get_x_range();
    let y = area.as_coord_spec().get_y_range();
    let within = |x: f64| x.max(shown.start).min(shown.end);
    let (left, top) = area.backend_coord(&(within(band.from), y.end));
    let (right, bottom) = area.backend_coord(&(within(band.to), y.start));
    if band.from.is_finite() && band.to.is_finite() && left < right && !chart.spark {
        push(
            text,
            format_args!(
                "<rect class=\"range\" x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
                right - left,
                (bottom - top).max(0),
                escape(&band.title)
            ),
        );
    }
}

fn mark_breaks(chart: &Chart, line: &Line, area: &Area<'_, '_>, text: &mut String) {
    if chart.spark {
        return;
    }
    for pair in line.stretches.windows(2) {
        let (Some(before), Some(after)) = (pair[0].last(), pair[1].first()) else {
            continue;
        };
        let (x, _) = area.backend_coord(&((before.x + after.x) / 2.0, after.value));
        let bottom = chart.height - 42;
        push(
            text,
            format_args!(
                "<line x1=\"{x}\" x2=\"{x}\" y1=\"8\" y2=\"{bottom}\" class=\"break\"><title>The environment changed \
                 here: values on both sides are not compared.</title></line>"
            ),
        );
    }
}

/// Colours become variables; the picture gets its name.
pub(super) fn finish(label: &str, spark: bool, text: &str, overlay: &str) -> String {
    let mut text = text
        .replace(&hex(GRID), "var(--grid)")
        .replace(&hex(TEXT), "var(--muted)");
    for index in 0..PALETTE {
        text = text.replace(
            &hex(series_colour(index)),
            &format!("var(--series-{index})"),
        );
    }
    let kind = if spark { "spark" } else { "chart" };
    let label = escape(label);
    // With links inside it is no plain picture: a role of `img` would hide them from a screen reader.
    let role = if spark { "img" } else { "group" };
    let opening = format!("<svg class=\"{kind}\" role=\"{role}\" aria-label=\"{label}\" ");
    let text = text.replacen("<svg ", &opening, 1);
    let (body, _) = text.rsplit_once("</svg>").unwrap_or((&text, ""));
    let title = if spark {
        String::new()
    } else {
        format!("<title>{label}</title>")
    };
    format!("{}{overlay}</svg>\n", insert_after_opening(body, &title))
}

fn insert_after_opening(body: &str, title: &str) -> String {
    match body.split_once('>') {
        Some((opening, rest)) => format!("{opening}>{title}{rest}"),
        None => body.to_owned(),
    }
}

fn hex(colour: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2)
}

/// Writing to a String cannot fail.
pub(super) fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    if text.write_fmt(arguments).is_err() {
        tracing::error!("formatting failed");
    }
}

/// Text as a part of markup: what would end it is written otherwise, control characters are left out.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other if other.is_control() && other != '\n' => {}
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Line;

    fn y_range(values: &[f64]) -> (f64, f64) {
        let points = values.iter().map(|value| Point {
            value: *value,
            low: *value,
            high: *value,
            ..Point::default()
        });
        let chart = Chart {
            label: String::new(),
            width: 600,
            height: 200,
            lines: vec![Line {
                colour: 0,
                stretches: vec![points.collect()],
                connected: true,
            }],
            ticks: Vec::new(),
            format: |value| value.to_string(),
            spark: false,
        };
        ranges(&chart).1
    }

    #[test]
    fn the_axis_has_air_but_not_below_zero() {
        let (low, high) = y_range(&[10.0, 11.0]);
        assert!(low > 9.5 && low < 10.0 && high > 11.0, "{low} {high}");
        assert_eq!(y_range(&[0.01, 0.25]).0, 0.0);
        assert_eq!(y_range(&[0.0, 0.0]), (0.0, 0.5));
        assert!(y_range(&[-1.0, 1.0]).0 < -1.0);
        assert_eq!(y_range(&[f64::NAN]), (0.0, 1.0));
    }
}
