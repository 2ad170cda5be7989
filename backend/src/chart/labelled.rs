//! Few lines over a long time, each with its name at its end: no legend is needed. Own SVG, for plotters knows no shapes of
//! points and no labels that keep clear of each other.

use std::fmt::Write as _;

use super::{PALETTE, Point, escape};

/// What to draw.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// What it shows, for those who do not see it.
    pub label: String,
    /// Height of the drawing in pixels; its width is 960, and pages scale it.
    pub height: u32,
    /// Lines.
    pub lines: Vec<Named>,
    /// Texts under the x axis, at their x.
    pub ticks: Vec<(f64, String)>,
    /// Turns a value into text for the y axis.
    pub format: fn(f64) -> String,
    /// A value that is pointed out by a line, with its name: what the others are compared with.
    pub base: Option<(f64, String)>,
}

/// A line with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Shown at its end.
    pub name: String,
    /// Index into the palette, and into the shapes of points.
    pub colour: usize,
    /// Stretches without a break, oldest first; values on both sides of a break are not compared.
    pub stretches: Vec<Vec<Point>>,
}

const WIDTH: f64 = 960.0;
const LEFT: f64 = 70.0;
/// Room for the names.
const RIGHT: f64 = 170.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 34.0;
/// Least distance of two names.
const LINE_HEIGHT: f64 = 16.0;

struct Scale {
    x: (f64, f64),
    y: (f64, f64),
    height: f64,
}

impl Scale {
    fn new(chart: &Labelled) -> Self {
        let (mut x, mut y) = (
            (f64::INFINITY, f64::NEG_INFINITY),
            (f64::INFINITY, f64::NEG_INFINITY),
        );
        for point in chart
            .lines
            .iter()
            .flat_map(|line| line.stretches.iter().flatten())
            .filter(|one| drawn(one))
        {
            x = (x.0.min(point.x), x.1.max(point.x));
            for end in [point.value, point.low, point.high]
                .into_iter()
                .filter(|end| end.is_finite())
            {
                y = (y.0.min(end), y.1.max(end));
            }
        }
        if let Some((base, _)) = chart.base.as_ref().filter(|(base, _)| base.is_finite()) {
            y = (y.0.min(*base), y.1.max(*base));
        }
        Self {
            x: some_room(x, 0.02),
            y: some_room(y, 0.08),
            height: f64::from(chart.height),
        }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (value - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.y.0) / (self.y.1 - self.y.0);
        self.height - BOTTOM - share * (self.height - TOP - BOTTOM)
    }
}

fn drawn(point: &Point) -> bool {
    point.value.is_finite() && point.x.is_finite()
}

fn some_room((low, high): (f64, f64), share: f64) -> (f64, f64) {
    let span = high - low;
    if !span.is_finite() {
        return (0.0, 1.0);
    }
    let air = if span > 0.0 {
        span * share
    } else {
        low.abs().max(1.0) * 0.05
    };
    (low - air, high + air)
}

/// Round steps of the y axis: 1, 2 or 5 times a power of ten, about five of them.
fn steps((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= rough);
    let step = factor.unwrap_or(10.0) * power;
    if !(step.is_finite() && step > 0.0) {
        return Vec::new();
    }
    let first = (low / step).ceil();
    let all = (0..12).map(|index| (first + f64::from(index)) * step);
    all.take_while(|value| *value <= high).collect()
}

/// Draws.
pub fn svg(chart: &Labelled) -> String {
    let scale = Scale::new(chart);
    let mut text = format!(
        "<svg class=\"chart\" role=\"group\" aria-label=\"{}\" viewBox=\"0 0 {WIDTH} {}\">",
        escape(&chart.label),
        chart.height
    );
    axes(chart, &scale, &mut text);
    for line in &chart.lines {
        draw_line(line, &scale, &mut text);
    }
    name_lines(chart, &scale, &mut text);
    text.push_str("</svg>");
    text
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _written = text.write_fmt(arguments);
}

fn axes(chart: &Labelled, scale: &Scale, text: &mut String) {
    let right = WIDTH - RIGHT;
    for value in steps(scale.y) {
        let y = scale.y(value);
        put(
            text,
            format_args!(
                "<line class=\"grid-line\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick end\" x=\"{}\" y=\"{:.1}\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                escape(&(chart.format)(value))
            ),
        );
    }
    let bottom = scale.height - 12.0;
    for (x, label) in chart.ticks.iter().filter(|(x, _)| x.is_finite()) {
        let x = scale.x(*x);
        if (LEFT..=right).contains(&x) {
            put(
                text,
                format_args!(
                    "<text class=\"tick\" x=\"{x:.1}\" y=\"{bottom}\">{}</text>",
                    escape(label)
                ),
            );
        }
    }
    if let Some((value, name)) = chart.base.as_ref().filter(|(value, _)| value.is_finite()) {
        let y = scale.y(*value);
        put(
            text,
            format_args!(
                "<line class=\"base-line\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"><title>{}</title></line>",
                escape(name)
            ),
        );
    }
}

fn draw_line(line: &Named, scale: &Scale, text: &mut String) {
    let colour = line.colour % PALETTE;
    let all = line
        .stretches
        .iter()
        .flatten()
        .filter(|point| drawn(point))
        .count();
    for stretch in &line.stretches {
        let points: Vec<&Point> = stretch.iter().filter(|point| drawn(point)).collect();
        if points.len() > 1 {
            let place = |x: f64, y: f64| format!("{:.1},{:.1}", scale.x(x), scale.y(y));
            let ends = |low: f64, value: f64| if low.is_finite() { low } else { value };
            let upper = points
                .iter()
                .map(|point| place(point.x, ends(point.high, point.value)));
            let lower = points
                .iter()
                .rev()
                .map(|point| place(point.x, ends(point.low, point.value)));
            let band: Vec<String> = upper.chain(lower).collect();
            let path: Vec<String> = points
                .iter()
                .map(|point| place(point.x, point.value))
                .collect();
            put(
                text,
                format_args!(
                    "<polygon class=\"sure s{colour}\" points=\"{}\"/><polyline class=\"line s{colour}\" points=\"{}\"/>",
                    band.join(" "),
                    path.join(" ")
                ),
            );
        }
        for point in points.into_iter().filter(|point| point.class != UNMARKED) {
            let mark = shape(
                line.colour,
                scale.x(point.x),
                scale.y(point.value),
                if all > 80 { 3.0 } else { 4.5 },
            );
            let title = if point.title.is_empty() {
                String::new()
            } else {
                format!("<title>{}</title>", escape(&point.title))
            };
            let mark = format!("<g class=\"mark s{colour}\">{mark}{title}</g>");
            if point.link.is_empty() {
                text.push_str(&mark);
            } else {
                put(
                    text,
                    format_args!(
                        "<a href=\"{}\" aria-label=\"{}\">{mark}</a>",
                        escape(&point.link),
                        escape(&point.title)
                    ),
                );
            }
        }
    }
}

/// The class of a point that its line runs through without a mark.
pub const UNMARKED: &str = "unmarked";

/// A shape for each line, so that colour is not all that tells them apart.
fn shape(index: usize, x: f64, y: f64, size: f64) -> String {
    let corners = |places: &[(f64, f64)]| {
        let places = places
            .iter()
            .map(|(dx, dy)| format!("{:.1},{:.1}", x + dx * size, y + dy * size));
        format!(
            "<polygon points=\"{}\"/>",
            places.collect::<Vec<_>>().join(" ")
        )
    };
    match index % 5 {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{size}\"/>"),
        1 => corners(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
        2 => corners(&[(0.0, -1.2), (1.1, 0.9), (-1.1, 0.9)]),
        3 => corners(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
        _ => corners(&[(0.0, 1.2), (1.1, -0.9), (-1.1, -0.9)]),
    }
}

/// The names at the ends of their lines, moved apart where they would touch.
fn name_lines(chart: &Labelled, scale: &Scale, text: &mut String) {
    let mut names: Vec<(f64, f64, f64, &Named)> = Vec::new();
    for line in &chart.lines {
        let last = line.stretches.iter().flatten().rfind(|point| drawn(point));
        if let Some(last) = last {
            let (x, y) = (scale.x(last.x), scale.y(last.value));
            names.push((y, x, y, line));
        }
    }
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut lowest = f64::NEG_INFINITY;
    for name in &mut names {
        name.0 = name.0.max(lowest + LINE_HEIGHT).max(TOP);
        lowest = name.0;
    }
    // Pushed below the drawing: the others make room.
    let mut highest = scale.height - BOTTOM + 6.0;
    for name in names.iter_mut().rev() {
        name.0 = name.0.min(highest);
        highest = name.0 - LINE_HEIGHT;
    }
    let begin = WIDTH - RIGHT + 12.0;
    for (y, x, end, line) in names {
        let colour = line.colour % PALETTE;
        put(
            text,
            format_args!(
                "<line class=\"leader s{colour}\" x1=\"{:.1}\" y1=\"{end:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"line-name s{colour}\" x=\"{begin:.1}\" y=\"{:.1}\">{}</text>",
                x + 6.0,
                begin - 3.0,
                y + 4.0,
                escape(&cut(&line.name))
            ),
        );
    }
}

fn cut(name: &str) -> String {
    if name.chars().count() <= 22 {
        return name.to_owned();
    }
    name.chars().take(21).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[&[f64]]) -> Labelled {
        let line = |(index, values): (usize, &&[f64])| Named {
            name: format!("<{index}>"),
            colour: index,
            stretches: vec![
                values
                    .iter()
                    .enumerate()
                    .map(|(x, value)| Point {
                        x: x as f64,
                        value: *value,
                        low: value - 0.1,
                        high: value + 0.1,
                        title: "a & b".to_owned(),
                        link: "/runs/1".to_owned(),
                        class: "",
                    })
                    .collect(),
            ],
        };
        Labelled {
            label: "\"quoted\"".to_owned(),
            height: 260,
            lines: values.iter().enumerate().map(line).collect(),
            ticks: vec![(0.0, "<t>".to_owned()), (f64::NAN, "n".to_owned())],
            format: |value| format!("{value:.2}"),
            base: Some((0.0, "base".to_owned())),
        }
    }

    #[test]
    fn any_values_are_drawn_and_text_stays_text() {
        for values in [
            &[][..],
            &[f64::NAN],
            &[1.0],
            &[2.0, 2.0],
            &[1e-300, 1e300],
            &[f64::INFINITY, 1.0],
        ] {
            let text = svg(&chart(&[values]));
            assert!(
                text.starts_with("<svg") && text.ends_with("</svg>"),
                "{text}"
            );
            assert!(
                !text.contains("NaN") && !text.contains("inf"),
                "{values:?}: {text}"
            );
            assert!(!text.contains("<0>") && !text.contains("<t>"), "{text}");
        }
        let text = svg(&chart(&[&[1.0, 2.0]]));
        assert!(text.contains("aria-label=\"&quot;quoted&quot;\"") && text.contains("a &amp; b"));
        assert_eq!(text.matches("<a href=\"/runs/1\"").count(), 2);
    }

    #[test]
    fn names_of_lines_that_end_together_keep_apart_within_the_drawing() {
        let text = svg(&chart(&[&[1.0; 2], &[1.0; 2], &[1.0; 2], &[0.99; 2]]));
        let mut places: Vec<f64> = text
            .split("class=\"line-name")
            .skip(1)
            .map(|rest| {
                rest.split("y=\"")
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect();
        assert_eq!(places.len(), 4);
        places.sort_by(f64::total_cmp);
        for pair in places.windows(2) {
            assert!(pair[1] - pair[0] >= LINE_HEIGHT - 0.11, "{places:?}");
        }
        assert!(places[0] > 0.0 && places[3] < 260.0, "{places:?}");
    }

    #[test]
    fn the_steps_of_an_axis_are_round() {
        assert_eq!(steps((0.0, 10.0)), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert!(steps((1.0, 1.0)).is_empty() && steps((f64::NAN, 1.0)).is_empty());
    }
}
