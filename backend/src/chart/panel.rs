//! A panel of the timeline: many lines with bands, direct labels at their ends, change points, breaks, releases, on a linear or a
//! logarithmic axis. Panels of one width have their x axes below each other.

mod labels;
mod scale;

use plotters::prelude::*;

use super::draw::{Area, Drawn, escape, finish, push, series_colour};
use super::{PALETTE, Point, failed};
use labels::labels;
use scale::Scale;

/// Pixels of the drawing beside and around the area of the lines.
const LEFT: u32 = 84;
const RIGHT: u32 = 200;
const TOP: u32 = 30;
const BOTTOM: u32 = 40;

/// What to draw.
#[derive(Debug, Clone)]
pub struct Panel {
    /// What it shows, for those who do not see it.
    pub label: String,
    /// Width of the drawing in pixels.
    pub width: u32,
    /// Its height.
    pub height: u32,
    /// The x axis' ends; the same for all panels of a page.
    pub x: (f64, f64),
    /// Texts under the x axis, at their x.
    pub ticks: Vec<(f64, String)>,
    /// Turns a value into text for the y axis.
    pub format: fn(f64) -> String,
    /// Logarithmic y axis, as far as all values are positive.
    pub log: bool,
    /// A line across at this value.
    pub level: Option<f64>,
    /// The lines.
    pub lines: Vec<Trend>,
    /// Releases and annotations: lines from top to bottom with a word.
    pub marks: Vec<Mark>,
    /// Breaks: dashed lines from top to bottom.
    pub breaks: Vec<Mark>,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Trend {
    /// Index into the palette.
    pub colour: usize,
    /// Its label.
    pub name: String,
    /// Stretches without a break, by rising x.
    pub stretches: Vec<Vec<Point>>,
    /// Whether each point is drawn, as a link with its title.
    pub dots: bool,
    /// Its change points.
    pub changes: Vec<Change>,
}

/// A change point.
#[derive(Debug, Clone)]
pub struct Change {
    /// Where.
    pub x: f64,
    /// The value there.
    pub value: f64,
    /// Confirmed ones are full, suspected ones hollow.
    pub confirmed: bool,
    /// Whether it is for the better.
    pub better: bool,
    /// Whether the value rises.
    pub rises: bool,
    /// In words.
    pub title: String,
    /// Where a click leads.
    pub link: String,
}

/// Something at a place of the x axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Where.
    pub x: f64,
    /// The word beside it; empty for none.
    pub text: String,
    /// In words.
    pub title: String,
    /// A class of `style.css`.
    pub class: &'static str,
}

/// Draws. A panel that plotters cannot draw becomes an empty one that says so.
pub fn panel(panel: &Panel) -> String {
    draw(panel).unwrap_or_else(|error| failed(&*error))
}

fn draw(panel: &Panel) -> Drawn<String> {
    let scale = Scale::of(panel);
    let mut text = String::new();
    let (under, over) = {
        let root =
            SVGBackend::with_string(&mut text, (panel.width, panel.height)).into_drawing_area();
        let (from, to) = widen(panel.x);
        let mut area = ChartBuilder::on(&root)
            .margin_left(LEFT)
            .margin_right(RIGHT)
            .margin_top(TOP)
            .margin_bottom(BOTTOM)
            .build_cartesian_2d(from..to, scale.low..scale.high)?;
        let under = frame(panel, &scale, &area);
        for line in &panel.lines {
            draw_line(line, &scale, &mut area)?;
        }
        let mut over = String::new();
        for line in &panel.lines {
            points(line, &scale, &area, &mut over);
        }
        for line in &panel.lines {
            changes(line, &scale, &area, &mut over);
        }
        labels(panel, &scale, &area, &mut over);
        root.present()?;
        (under, over)
    };
    // The grid lies under the lines, which plotters has written behind the opening tag.
    let text = match text.split_once(">\n") {
        Some((opening, rest)) => format!("{opening}>\n{under}{rest}"),
        None => text,
    };
    Ok(finish(&panel.label, false, &text, &over))
}

fn widen((from, to): (f64, f64)) -> (f64, f64) {
    let space = (to - from) * 0.01;
    if space > 0.0 && space.is_finite() {
        (from - space, to + space)
    } else if from.is_finite() {
        (from - 1.0, from + 1.0)
    } else {
        (0.0, 1.0)
    }
}

/// The grid with its texts, breaks and marks.
fn frame(panel: &Panel, scale: &Scale, area: &Area<'_, '_>) -> String {
    let mut text = String::new();
    let right = panel.width - RIGHT;
    let bottom = panel.height - BOTTOM;
    for value in scale.ticks() {
        let (_, y) = area.backend_coord(&(panel.x.0, scale.place(value)));
        let words = escape(&(panel.format)(value));
        push(
            &mut text,
            format_args!(
                "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y}\" y2=\"{y}\" class=\"rule\"/>"
            ),
        );
        push(
            &mut text,
            format_args!(
                "<text x=\"{}\" y=\"{}\" class=\"tick end\">{words}</text>",
                LEFT - 8,
                y + 4
            ),
        );
    }
    if let Some(level) = panel.level {
        let (_, y) = area.backend_coord(&(panel.x.0, scale.place(level)));
        push(
            &mut text,
            format_args!(
                "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y}\" y2=\"{y}\" class=\"level\"/>"
            ),
        );
    }
    for (x, label) in &panel.ticks {
        let (x, _) = area.backend_coord(&(*x, scale.low));
        push(
            &mut text,
            format_args!(
                "<line x1=\"{x}\" x2=\"{x}\" y1=\"{bottom}\" y2=\"{}\" class=\"rule\"/>",
                bottom + 5
            ),
        );
        push(
            &mut text,
            format_args!(
                "<text x=\"{x}\" y=\"{}\" class=\"tick\">{}</text>",
                bottom + 20,
                escape(label)
            ),
        );
    }
    across(panel, scale, area, &mut text);
    text
}

/// Releases, annotations and breaks from top to bottom.
fn across(panel: &Panel, scale: &Scale, area: &Area<'_, '_>, text: &mut String) {
    let bottom = panel.height - BOTTOM;
    // A word is left out where the one before it still stands.
    let mut free = 0;
    for (mark, is_break) in panel
        .marks
        .iter()
        .map(|mark| (mark, false))
        .chain(panel.breaks.iter().map(|mark| (mark, true)))
    {
        let (x, _) = area.backend_coord(&(mark.x, scale.low));
        let class = if is_break { "break" } else { mark.class };
        push(
            text,
            format_args!(
                "<line x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{bottom}\" class=\"{class}\"><title>{}</title></line>",
                TOP - 6,
                escape(&mark.title)
            ),
        );
        if !mark.text.is_empty() && x >= free {
            let width = i32::try_from(mark.text.chars().count()).unwrap_or(0) * 7 + 8;
            push(
                text,
                format_args!(
                    "<text x=\"{x}\" y=\"{}\" class=\"mark-word\">{}</text>",
                    TOP - 10,
                    escape(&mark.text)
                ),
            );
            free = x + width;
        }
    }
}

fn draw_line(line: &Trend, scale: &Scale, area: &mut Area<'_, '_>) -> Drawn<()> {
    let colour = series_colour(line.colour);
    for stretch in &line.stretches {
        let points: Vec<&Point> = stretch
            .iter()
            .filter(|point| point.value.is_finite())
            .collect();
        if points.len() < 2 {
            continue;
        }
        let end = |x: f64, value: f64| (x, scale.place(value).clamp(scale.low, scale.high));
        let ends = coarse(&points, area);
        let upper = ends.iter().map(|(x, _, high)| end(*x, *high));
        let lower = ends.iter().rev().map(|(x, low, _)| end(*x, *low));
        let band: Vec<(f64, f64)> = upper.chain(lower).collect();
        area.draw_series([Polygon::new(band, colour.mix(0.16))])?;
        let path: Vec<(f64, f64)> = points
            .iter()
            .map(|point| end(point.x, point.value))
            .collect();
        area.draw_series([PathElement::new(path, colour.stroke_width(2))])?;
    }
    Ok(())
}

/// The band's ends at each point; of many points, the lowest and the highest of every few pixels: a band needs no more.
fn coarse(points: &[&Point], area: &Area<'_, '_>) -> Vec<(f64, f64, f64)> {
    const MANY: usize = 150;
    const PIXELS: i32 = 6;
    let ends = |point: &Point| {
        (
            point.x,
            point.low.min(point.value),
            point.high.max(point.value),
        )
    };
    if points.len() <= MANY {
        return points.iter().map(|point| ends(point)).collect();
    }
    let column = |point: &Point| area.backend_coord(&(point.x, 0.0)).0 / PIXELS;
    let groups = points.chunk_by(|a, b| column(a) == column(b));
    let of_group = |group: &[&Point]| {
        let first = group.first().map(|point| ends(point))?;
        let widest = group
            .iter()
            .map(|point| ends(point))
            .fold(first, |all, one| {
                (all.0, all.1.min(one.1), all.2.max(one.2))
            });
        Some(widest)
    };
    // Where the line ends, the band ends.
    let last = points.last().map(|point| ends(point));
    groups.filter_map(of_group).chain(last).collect()
}

/// Points as links with titles; where they are too many, only those that stand alone.
fn points(line: &Trend, scale: &Scale, area: &Area<'_, '_>, text: &mut String) {
    let colour = line.colour % PALETTE;
    for stretch in line
        .stretches
        .iter()
        .filter(|stretch| line.dots || stretch.len() == 1)
    {
        for point in stretch.iter().filter(|point| point.value.is_finite()) {
            let (x, y) = area.backend_coord(&(point.x, scale.place(point.value)));
            let mark = format!(
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"4\" class=\"point s{colour} {}\"><title>{}</title></circle>",
                point.class,
                escape(&point.title)
            );
            linked(&point.link, &mark, text);
        }
    }
}

fn linked(link: &str, mark: &str, text: &mut String) {
    if link.is_empty() {
        text.push_str(mark);
    } else {
        push(
            text,
            format_args!("<a href=\"{}\">{mark}</a>", escape(link)),
        );
    }
}

/// Change points: triangles that point the way of the values, full when confirmed.
fn changes(line: &Trend, scale: &Scale, area: &Area<'_, '_>, text: &mut String) {
    for change in line
        .changes
        .iter()
        .filter(|change| change.value.is_finite())
    {
        let (x, y) = area.backend_coord(&(change.x, scale.place(change.value)));
        let (tip, foot) = if change.rises {
            (y - 20, y - 9)
        } else {
            (y + 20, y + 9)
        };
        let direction = if change.better {
            "improved"
        } else {
            "regressed"
        };
        let state = if change.confirmed {
            "confirmed"
        } else {
            "suspected"
        };
        let mark = format!(
            "<path d=\"M{x},{tip} L{},{foot} L{},{foot} Z\" class=\"change {direction} {state}\"><title>{}</title></path>",
            x - 7,
            x + 7,
            escape(&change.title)
        );
        linked(&change.link, &mark, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(values: &[&[f64]], log: bool) -> String {
        let lines = values.iter().enumerate().map(|(colour, values)| Trend {
            colour,
            name: format!("<line {colour}> with a name that is far too long"),
            stretches: vec![
                values
                    .iter()
                    .enumerate()
                    .map(|(index, value)| Point {
                        x: index as f64,
                        value: *value,
                        low: value * 0.9,
                        high: value * 1.1,
                        title: "\"Tom\" & <b>".to_owned(),
                        link: "/commits/a".to_owned(),
                        class: "",
                    })
                    .collect(),
            ],
            dots: true,
            changes: vec![Change {
                x: 1.0,
                value: values.get(1).copied().unwrap_or(f64::NAN),
                confirmed: colour == 0,
                better: false,
                rises: true,
                title: "<worse>".to_owned(),
                link: "/regressions/1".to_owned(),
            }],
        });
        panel(&Panel {
            label: "Times & <more>".to_owned(),
            width: 960,
            height: 300,
            x: (0.0, 3.0),
            ticks: vec![(0.0, "<first>".to_owned())],
            format: |value| format!("{value:.1} s"),
            log,
            level: None,
            lines: lines.collect(),
            marks: vec![Mark {
                x: 1.0,
                text: "v<1>".to_owned(),
                title: "release".to_owned(),
                class: "release",
            }],
            breaks: vec![Mark {
                x: 2.0,
                text: String::new(),
                title: "<kernel>".to_owned(),
                class: "",
            }],
        })
    }

    #[test]
    fn lines_marks_and_labels_are_drawn_and_escaped() {
        let text = drawn(&[&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]], false);
        assert!(text.starts_with("<svg class=\"chart\"") && text.trim_end().ends_with("</svg>"));
        for part in [
            "class=\"change regressed confirmed\"",
            "class=\"change regressed suspected\"",
            "class=\"break\"",
            "v&lt;1&gt;",
            "line-name t1",
            "var(--series-1)",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("<b>") && !text.contains("<line 0>") && !text.contains("#0100"));
        assert_eq!(text.matches("<a href=\"/commits/a\">").count(), 6);
        // The grid lies under the lines.
        assert!(text.find("class=\"rule\"").unwrap() < text.find("<polygon").unwrap());
    }

    #[test]
    fn nothing_one_constant_and_odd_values_are_drawn() {
        for values in [
            &[][..],
            &[1.0],
            &[2.0, 2.0],
            &[f64::NAN, 1.0, 2.0],
            &[0.0, -1.0, 1.0],
            &[1e-300, 1e300, 1.0],
            &[1e-9, 1e9],
        ] {
            for log in [false, true] {
                let text = drawn(&[values], log);
                assert!(
                    text.starts_with("<svg") && !text.contains("NaN") && !text.contains("inf"),
                    "{values:?} {log}: {text}"
                );
            }
        }
    }
}
