//! The timeline's panels: a metric from one source each, below each other with one x axis.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use speedwell_wire::Direction;

use crate::chart::Point;
use crate::chart::panel::{Change, Mark, Panel, Trend, panel};
use crate::domain::trace::TracePoint;
use crate::web::format::{self, Rounded};
use crate::web::timeline::asked::Asked;
use crate::web::timeline::details::Details;
use crate::web::timeline::marks::Marks;
use crate::web::timeline::read::{Axis, Line, Timeline, metric_of};
use crate::web::verdict;

/// Pixels of the drawing; the page scales it.
const WIDTH: u32 = 1200;
/// Points that all lines together may have in the picture.
const BUDGET: usize = 6000;

/// A panel of the page.
pub(super) struct Picture {
    pub(super) title: String,
    /// The source of its values, and which way is better.
    pub(super) about: String,
    pub(super) svg: String,
}

/// Draws all panels.
pub(super) fn pictures(
    read: &Timeline,
    marks: &Marks,
    details: &Details,
    asked: &Asked,
    dots: bool,
) -> Vec<Picture> {
    let panels = read.panels();
    let count = panels.len();
    let columns = if dots {
        0
    } else {
        (BUDGET / 4 / read.lines.len().max(1)).clamp(60, 900)
    };
    let ticks = ticks(read);
    let drawn = panels.into_iter().map(|lines| {
        let metric = lines.first().map_or("", |line| line.series.metric.as_str());
        let normalised = !asked.base.is_empty();
        let trends = lines.iter().map(|line| {
            let index = read
                .lines
                .iter()
                .position(|one| one.series.id == line.series.id);
            trend(line, index, read, marks, details, columns)
        });
        let label = format::metric_label(metric);
        let picture = Panel {
            label: format!("{label} over commits, {} lines", lines.len()),
            width: WIDTH,
            height: if count == 1 { 430 } else { 300 },
            x: read.axis.range,
            ticks: ticks.clone(),
            format: if normalised {
                |value| format!("{value:.3}")
            } else {
                format::axis(metric)
            },
            log: asked.log,
            level: normalised.then_some(1.0),
            lines: trends.collect(),
            marks: words(marks),
            breaks: breaks(&lines, read, marks),
        };
        Picture {
            about: about(&lines, asked),
            svg: panel(&picture),
            title: label,
        }
    });
    drawn.collect()
}

pub(super) fn about(lines: &[&Line], asked: &Asked) -> String {
    let first = lines.first();
    let source = first.map_or("", |line| line.series.counter_source.as_str());
    let better = match first
        .and_then(|line| metric_of(line))
        .map(|metric| metric.direction())
    {
        Some(Direction::HigherIsBetter) => "more is better",
        Some(Direction::LowerIsBetter) | None => "less is better",
    };
    let detector = detectors(lines);
    let scale = if asked.log { ", logarithmic" } else { "" };
    if asked.base.is_empty() {
        format!("{better}, source {source}, {detector}{scale}; the axis does not begin at zero")
    } else {
        format!(
            "each line divided by its value at {}, {better}, source {source}, {detector}{scale}",
            asked.base
        )
    }
}

/// What judges the points of the lines and looks for changes in them.
fn detectors(lines: &[&Line]) -> String {
    let names: BTreeSet<&str> = lines
        .iter()
        .map(|line| line.series.detector.as_deref().unwrap_or("none yet"))
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    format!("detector {}", names.join(", "))
}

/// Six days or positions along the axis, at points that are there.
pub(super) fn ticks(read: &Timeline) -> Vec<(f64, String)> {
    const COUNT: u32 = 6;
    let (from, to) = read.axis.range;
    let all = || read.lines.iter().flat_map(|line| &line.points);
    let mut ticks: Vec<(f64, String)> = Vec::new();
    for index in 0..COUNT {
        let target = from + (to - from) * f64::from(index) / f64::from(COUNT - 1);
        let distance = |point: &&TracePoint| (read.axis.place(point) - target).abs();
        let nearest = all().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        let Some(point) = nearest else { continue };
        let day = day(point.committed_at);
        let (place, text) = if read.axis.by_date {
            (target, day_of(target))
        } else {
            (
                read.axis.place(point),
                format!("{} · {day}", point.position),
            )
        };
        // Of a range that is one point, the word is written once.
        let far = |last: &(f64, String)| {
            place > last.0 && (place - last.0) >= (to - from) / f64::from(COUNT) * 0.8
        };
        if ticks.last().is_none_or(far) {
            ticks.push((place, text));
        }
    }
    ticks
}

fn day(seconds: i64) -> String {
    DateTime::<Utc>::from_timestamp(seconds, 0)
        .map(format::day)
        .unwrap_or_default()
}

fn day_of(place: f64) -> String {
    day(place as i64)
}

fn trend(
    line: &Line,
    index: Option<usize>,
    read: &Timeline,
    marks: &Marks,
    details: &Details,
    columns: usize,
) -> Trend {
    let stretches = line.stretches(&read.axis, columns);
    let dot = |point: &&TracePoint| dot(line, point, &read.axis, details);
    let own = marks.changes.iter().filter(|(of, ..)| Some(*of) == index);
    Trend {
        colour: line.colour,
        name: line.label.clone(),
        stretches: stretches
            .iter()
            .map(|stretch| stretch.iter().map(dot).collect())
            .collect(),
        dots: columns == 0,
        changes: own
            .map(|(_, place, value, change)| Change {
                x: *place,
                value: *value,
                confirmed: change.state == "confirmed",
                better: change.better,
                rises: change.change > 0.0,
                title: format!(
                    "{} {}: {} ({} to {}), {}\n{}",
                    line.label,
                    if change.better { "better" } else { "worse" },
                    format::percent(change.change),
                    format::percent(change.change_low),
                    format::percent(change.change_high),
                    change.state,
                    format::short(&change.hash)
                ),
                link: change.regression_id.map_or_else(
                    || format!("/commits/{}", change.hash),
                    |id| format!("/regressions/{id}"),
                ),
            })
            .collect(),
    }
}

fn dot(line: &Line, point: &TracePoint, axis: &Axis, details: &Details) -> Point {
    let [value, low, high] = line.values(point);
    let place = Point {
        x: axis.place(point),
        value,
        low,
        high,
        ..Point::default()
    };
    let Some(detail) = details.get(&(line.series.id, point.position)) else {
        return place;
    };
    let held = detail.held.as_deref();
    let shown = Rounded::of((point.median, point.low, point.high), &line.series.metric);
    Point {
        title: format!(
            "{} {}\n{}\n{}, 95 % interval {} to {}, {} samples\n{}",
            line.label,
            format::short(&detail.hash),
            detail.subject,
            shown.value,
            shown.low,
            shown.high,
            point.samples,
            verdict::line(detail.verdict.as_deref(), held, detail.change)
        ),
        link: format!("/commits/{}", detail.hash),
        class: verdict::class(detail.verdict.as_deref().unwrap_or_default(), held),
        ..place
    }
}

/// Releases and annotations; previews have no word.
fn words(marks: &Marks) -> Vec<Mark> {
    let releases = marks.releases.iter().map(|(place, one)| Mark {
        x: *place,
        text: if one.release_final {
            one.name.clone()
        } else {
            String::new()
        },
        title: match one.own_commits {
            0 => format!("release {}", one.name),
            own => format!(
                "release {}, tagged beside the branch with {own} commits of its own",
                one.name
            ),
        },
        class: "release",
    });
    let notes = marks.notes.iter().filter_map(|(place, note)| {
        Some(Mark {
            x: (*place)?,
            text: "✎".to_owned(),
            title: format!("{}: {}", note.actor, note.message),
            class: "annotation",
        })
    });
    let mut all: Vec<Mark> = releases.chain(notes).collect();
    all.sort_by(|a, b| a.x.total_cmp(&b.x));
    all
}

/// The breaks of a panel's lines.
fn breaks(lines: &[&Line], read: &Timeline, marks: &Marks) -> Vec<Mark> {
    let is_here = |index: &usize| {
        let line = read.lines.get(*index);
        line.is_some_and(|line| lines.iter().any(|one| one.series.id == line.series.id))
    };
    let own = marks
        .breaks
        .iter()
        .filter(|one| one.lines.iter().any(is_here));
    own.map(|one| Mark {
        x: one.place,
        text: String::new(),
        title: format!(
            "{}: {}. Values on both sides are not compared.",
            one.host, one.words
        ),
        class: "break",
    })
    .collect()
}
