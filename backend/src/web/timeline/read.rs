//! Reads a timeline: its series, their points, and the values that they are divided by. Eight queries at most, whatever is asked for.

use speedwell_wire::Metric;

use super::asked::{Asked, End, LAST, MOST_POINTS};
use super::choose::{Chosen, choose};
use crate::context::Context;
use crate::db::timeline::{self, TimelineSeries, Wanted};
use crate::db::traces::Range;
use crate::domain::trace::{TracePoint, m4};
use crate::web::error::Error;

/// Series that are looked at when lines are chosen.
const MOST_SERIES: i64 = 2000;
/// Points that are drawn one by one; more are thinned out.
pub(in crate::web) const MOST_DOTS: usize = 400;

/// One line.
#[derive(Debug, Clone)]
pub(in crate::web) struct Line {
    /// Its series.
    pub(in crate::web) series: TimelineSeries,
    /// What tells it from the others of its panel.
    pub(in crate::web) label: String,
    /// Index into the palette.
    pub(in crate::web) colour: usize,
    /// Its points in branch order; at least one.
    pub(in crate::web) points: Vec<TracePoint>,
    /// What its values are divided by; one where nothing is asked for.
    pub(in crate::web) base: f64,
}

impl Line {
    /// Median and interval as they are drawn.
    pub(in crate::web) fn values(&self, point: &TracePoint) -> [f64; 3] {
        [point.median, point.low, point.high].map(|value| value / self.base)
    }

    /// Where the line is broken: the last point before and the first after.
    pub(in crate::web) fn breaks(&self) -> impl Iterator<Item = (&TracePoint, &TracePoint)> {
        let pairs = self.points.windows(2);
        pairs.filter_map(|pair| match pair {
            [before, after] if before.epoch() != after.epoch() => Some((before, after)),
            _ => None,
        })
    }

    /// The points to draw, by rising x, an epoch each. `columns`: pixel columns that the range is wide; 0: every point.
    pub(in crate::web) fn stretches(&self, axis: &Axis, columns: usize) -> Vec<Vec<&TracePoint>> {
        let epochs = self.points.chunk_by(|a, b| a.epoch() == b.epoch());
        epochs
            .map(|epoch| {
                let mut points: Vec<&TracePoint> = epoch.iter().collect();
                if axis.by_date {
                    points.sort_by_key(|point| (point.committed_at, point.position));
                }
                if columns == 0 {
                    return points;
                }
                let places: Vec<(f64, f64)> = points
                    .iter()
                    .map(|point| (axis.place(point), point.median))
                    .collect();
                let kept = m4(&places, axis.range, columns);
                kept.into_iter()
                    .filter_map(|index| points.get(index).copied())
                    .collect()
            })
            .collect()
    }
}

/// The x axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::web) struct Axis {
    /// In seconds since 1970; else branch positions.
    pub(in crate::web) by_date: bool,
    /// From the first to the last point.
    pub(in crate::web) range: (f64, f64),
}

impl Axis {
    /// Where a point lies.
    pub(in crate::web) fn place(&self, point: &TracePoint) -> f64 {
        if self.by_date {
            point.committed_at as f64
        } else {
            f64::from(point.position)
        }
    }

    /// The end of a range at a place.
    pub(in crate::web) fn end(&self, place: f64) -> End {
        if self.by_date {
            End::Time(place as i64)
        } else {
            End::Position(place as i32)
        }
    }
}

/// All that was read.
#[derive(Debug)]
pub(in crate::web) struct Timeline {
    /// What can be chosen: kind and name.
    pub(in crate::web) names: Vec<(String, String)>,
    /// What is drawn.
    pub(in crate::web) lines: Vec<Line>,
    /// What is left out, and why.
    pub(in crate::web) chosen: Chosen,
    /// Series whose points are not packed yet.
    pub(in crate::web) pending: Vec<String>,
    /// Lines that were not measured at the base.
    pub(in crate::web) without_base: Vec<String>,
    /// Lines that have no points in the range.
    pub(in crate::web) empty: Vec<String>,
    /// The x axis.
    pub(in crate::web) axis: Axis,
    /// By date for the sake of several branches, though positions were asked for.
    pub(in crate::web) forced_date: bool,
}

impl Timeline {
    /// The lines of each panel: one metric from one source.
    pub(in crate::web) fn panels(&self) -> Vec<Vec<&Line>> {
        let mut panels: Vec<Vec<&Line>> = Vec::new();
        for line in &self.lines {
            let of_same = |panel: &&mut Vec<&Line>| {
                panel.first().is_some_and(|first| kind(first) == kind(line))
            };
            match panels.iter_mut().find(of_same) {
                Some(panel) => panel.push(line),
                None => panels.push(vec![line]),
            }
        }
        panels
    }

    /// Points of all lines.
    pub(in crate::web) fn count(&self) -> usize {
        self.lines.iter().map(|line| line.points.len()).sum()
    }

    /// The branches of the lines.
    pub(in crate::web) fn branches(&self) -> Vec<i64> {
        distinct(self.lines.iter().map(|line| line.series.branch_id))
    }

    /// The hosts of the lines.
    pub(in crate::web) fn hosts(&self) -> Vec<i64> {
        distinct(self.lines.iter().map(|line| line.series.host_id))
    }

    /// The lowest and the highest branch position.
    pub(in crate::web) fn positions(&self) -> (i32, i32) {
        let all = || self.lines.iter().flat_map(|line| &line.points);
        let positions = || all().map(|point| point.position);
        (
            positions().min().unwrap_or(0),
            positions().max().unwrap_or(0),
        )
    }
}

fn kind(line: &Line) -> (&str, &str) {
    (&line.series.metric, &line.series.counter_source)
}

fn distinct(keys: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut keys: Vec<i64> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Reads what is asked for.
///
/// # Errors
/// When the base is not known, or the database fails.
pub(in crate::web) async fn read(context: &Context, asked: &Asked) -> Result<Timeline, Error> {
    let names = timeline::list_names(&context.planned).await?;
    let all = timeline::list_series(&context.planned, &wanted(asked, &names), MOST_SERIES).await?;
    let mut chosen = choose(all, asked);
    let (traced, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut chosen.series)
        .into_iter()
        .partition(|one| one.traced);
    let keys: Vec<i64> = traced.iter().map(|one| one.id).collect();
    let mut found = context
        .traces
        .list(&context.planned, &keys, &range(asked))
        .await?;
    let bases = bases(context, asked, &traced).await?;
    let label = labels(&traced);
    let mut without_base = Vec::new();
    let mut empty = Vec::new();
    let mut lines = Vec::new();
    for (series, label) in traced.into_iter().zip(label) {
        let place = found.iter().position(|one| one.series_id == series.id);
        let Some(trace) = place.map(|index| found.swap_remove(index)) else {
            empty.push(label);
            continue;
        };
        match bases.as_ref().map(|bases| base_of(bases, series.id)) {
            Some(None) => without_base.push(label),
            base => lines.push(Line {
                colour: colour(&lines, &label),
                points: trace.points,
                base: base.flatten().unwrap_or(1.0),
                series,
                label,
            }),
        }
    }
    let branches = distinct(lines.iter().map(|line| line.series.branch_id));
    let mut read = Timeline {
        names,
        chosen,
        pending: labels(&waiting),
        without_base,
        empty,
        axis: Axis {
            by_date: asked.by_date || branches.len() > 1,
            range: (0.0, 0.0),
        },
        forced_date: !asked.by_date && branches.len() > 1,
        lines,
    };
    read.axis.range = extent(&read);
    Ok(read)
}

/// The same words have the same colour in every panel.
fn colour(lines: &[Line], label: &str) -> usize {
    let same = lines.iter().find(|line| line.label == label);
    let next = lines.iter().map(|line| line.colour + 1).max();
    same.map_or_else(|| next.unwrap_or(0), |line| line.colour)
}

fn extent(read: &Timeline) -> (f64, f64) {
    let points = read.lines.iter().flat_map(|line| &line.points);
    let ends = points.map(|point| read.axis.place(point));
    ends.fold(None, |found: Option<(f64, f64)>, place| {
        let (low, high) = found.unwrap_or((place, place));
        Some((low.min(place), high.max(place)))
    })
    .unwrap_or((0.0, 1.0))
}

/// With nothing chosen, the first benchmark that has been measured.
fn wanted(asked: &Asked, names: &[(String, String)]) -> Wanted {
    let first = names.iter().find(|(kind, _)| kind == "benchmark");
    let metrics = if asked.metrics.is_empty() {
        // Which one it is, the series that there are decide.
        let usual = Metric::MAIN.into_iter().chain([Metric::Instructions]);
        usual.map(|one| one.as_str().to_owned()).collect()
    } else {
        asked
            .metrics
            .iter()
            .map(|one| one.as_str().to_owned())
            .collect()
    };
    Wanted {
        benchmarks: if asked.benchmarks.is_empty() {
            first.map(|(_, name)| name.clone()).into_iter().collect()
        } else {
            asked.benchmarks.clone()
        },
        metrics,
        runtimes: asked.runtimes.clone(),
        hosts: asked.hosts.clone(),
    }
}

fn range(asked: &Asked) -> Range {
    let mut range = Range::default();
    match asked.from {
        Some(End::Position(position)) => range.from_position = position,
        Some(End::Time(seconds)) => range.from_time = seconds,
        None => {}
    }
    match asked.to {
        Some(End::Position(position)) => range.to_position = position,
        Some(End::Time(seconds)) => range.to_time = seconds,
        None => {}
    }
    let usual = if asked.from.is_some() {
        MOST_POINTS
    } else {
        LAST
    };
    range.newest = asked.last.unwrap_or(usual);
    range
}

/// Series and value at the base; absent when none is asked for.
async fn bases(
    context: &Context,
    asked: &Asked,
    series: &[TimelineSeries],
) -> Result<Option<Vec<(i64, f64)>>, Error> {
    if asked.base.is_empty() || series.is_empty() {
        return Ok(None);
    }
    let branches = distinct(series.iter().map(|one| one.branch_id));
    let places = timeline::find_base(&context.planned, &branches, &asked.base).await?;
    let many = |branch: &i64| places.iter().filter(|(of, _)| of == branch).count() > 1;
    let problem = if places.is_empty() {
        Some("no tag, and no beginning of a hash (seven digits), of a commit on these branches")
    } else if branches.iter().any(many) {
        Some("the beginning of several commits: give more digits")
    } else {
        None
    };
    if let Some(problem) = problem {
        return Err(Error::BadRequest {
            field: "base".to_owned(),
            message: format!("base: {:?} is {problem}", asked.base),
        });
    }
    let at = |one: &TimelineSeries| {
        let place = places.iter().find(|(branch, _)| *branch == one.branch_id);
        place.map(|(_, position)| (one.id, *position))
    };
    let (keys, positions): (Vec<i64>, Vec<i32>) = series.iter().filter_map(at).unzip();
    let found = context
        .traces
        .list_at(&context.planned, &keys, &positions)
        .await?;
    Ok(Some(
        found
            .into_iter()
            .map(|(id, point)| (id, point.median))
            .collect(),
    ))
}

/// A value that others can be divided by.
fn base_of(bases: &[(i64, f64)], series: i64) -> Option<f64> {
    let found = bases.iter().find(|(id, _)| *id == series);
    found
        .map(|(_, value)| *value)
        .filter(|value| value.is_finite() && *value != 0.0)
}

/// What tells series from each other, in words; of a single one its runtime.
fn labels(series: &[TimelineSeries]) -> Vec<String> {
    let varies = |get: fn(&TimelineSeries) -> &str| {
        let mut all = series.iter().map(get);
        let first = all.next();
        all.any(|one| Some(one) != first)
    };
    let benchmarks = varies(|one| &one.benchmark);
    let hosts = varies(|one| &one.host);
    let runtimes = varies(|one| &one.runtime) || !(benchmarks || hosts);
    let label = |one: &TimelineSeries| {
        let mut parts = Vec::new();
        if benchmarks {
            parts.push(one.benchmark.clone());
        }
        if runtimes {
            parts.push(one.runtime.clone());
        }
        if hosts {
            parts.push(one.host.clone());
        }
        parts.join(", ")
    };
    series.iter().map(label).collect()
}

/// A metric by its name.
pub(in crate::web) fn metric_of(line: &Line) -> Option<Metric> {
    line.series.metric.parse().ok()
}
