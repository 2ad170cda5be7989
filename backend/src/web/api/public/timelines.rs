//! A timeline's points, thinned out for a drawing of a given width.

use actix_web::web::{Data, Json, Query};
use serde::Serialize;
use speedwell_wire::Unit;
use utoipa::ToSchema;

use crate::context::Context;
use crate::db::timeline::ChangeMark;
use crate::domain::trace::TracePoint;
use crate::web::error::Error;
use crate::web::timeline::asked::Asked;
use crate::web::timeline::details::{self, Details, compare_key};
use crate::web::timeline::marks::{self, Marks};
use crate::web::timeline::read::{Line, MOST_DOTS, Timeline, metric_of, read};
use crate::web::verdict;

/// Pixels when none are asked for.
const WIDTH: usize = 1200;

/// Lines with their points by columns, and what stands on the chart.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TimelineAnswer {
    /// `x` is in seconds since 1970; else branch positions.
    by_date: bool,
    /// From the first to the last point.
    range: [f64; 2],
    /// Points in the range; those of `lines` are fewer when they were thinned out.
    points: usize,
    /// The lines.
    lines: Vec<TimelineLine>,
    /// Change points.
    changes: Vec<TimelineChange>,
    /// Releases.
    releases: Vec<TimelineMark>,
    /// Breaks, with what changed there.
    breaks: Vec<TimelineBreak>,
}

/// One line. Values are divided by the one at `base` when that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TimelineLine {
    /// What tells it from the others.
    label: String,
    /// Index into the palette.
    colour: usize,
    /// The panel that it is drawn in: one for each metric and source.
    panel: usize,
    /// The runtime.
    runtime: String,
    /// The benchmark.
    benchmark: String,
    /// The benchmark's identity.
    version: String,
    /// The metric.
    metric: String,
    /// Its unit.
    unit: Option<&'static str>,
    /// Where its values come from.
    counter_source: String,
    /// The host.
    host: String,
    /// Places on the x axis, rising within an epoch.
    x: Vec<f64>,
    /// Medians.
    value: Vec<f64>,
    /// Lower ends of their 95 % intervals.
    low: Vec<f64>,
    /// Upper ends.
    high: Vec<f64>,
    /// Branch positions.
    position: Vec<i32>,
    /// When the commits were made, in seconds since 1970.
    committed_at: Vec<i64>,
    /// Samples that count.
    samples: Vec<u32>,
    /// The newest run of each.
    run: Vec<i64>,
    /// Number of the point's stretch: nothing is compared or drawn from one to another.
    stretch: Vec<usize>,
    /// Details of the points when they are few; else empty.
    commit: Vec<Option<TimelineCommit>>,
}

/// A point's commit.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TimelineCommit {
    /// Its hash.
    hash: String,
    /// Its subject.
    subject: String,
    /// The verdict.
    verdict: Option<String>,
    /// Why the verdict is held back.
    held: Option<String>,
    /// The verdict in words, with how far the point is from those before it.
    words: String,
    /// Names the point in `/compare?a=…&b=…`.
    key: String,
}

/// A change point.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TimelineChange {
    /// Index of the line.
    line: usize,
    /// Place.
    x: f64,
    /// Value there.
    value: f64,
    /// `suspected` or `confirmed`.
    state: String,
    /// Direction.
    better: bool,
    /// Size as a ratio minus one.
    change: f64,
    /// Its 95 % interval.
    change_low: f64,
    /// Upper end.
    change_high: f64,
    /// The commit.
    hash: String,
    /// The regression that it belongs to.
    regression: Option<i64>,
}

/// A release.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TimelineMark {
    /// Place.
    x: f64,
    /// The tag.
    name: String,
    /// Whether it is no preview.
    is_final: bool,
}

/// A break.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TimelineBreak {
    /// Place.
    x: f64,
    /// Indices of the lines.
    lines: Vec<usize>,
    /// What changed.
    words: String,
}

/// The points of a choice of series. Parameters as of the page `/timeline`: `benchmark`, `metric`, `runtime`, `host` (each again and again), `version`,
/// `from`, `to`, `last`, `x`, `base`; and `width` in pixels.
#[utoipa::path(get, path = "/api/v1/timeline",
    params(
        ("benchmark" = Option<Vec<String>>, Query, description = "Names of benchmarks"),
        ("metric" = Option<Vec<String>>, Query, description = "Names of metrics"),
        ("runtime" = Option<Vec<String>>, Query, description = "Names of runtimes"),
        ("host" = Option<Vec<String>>, Query, description = "Names of hosts"),
        ("version" = Option<String>, Query, description = "Beginning of a benchmark's identity"),
        ("from" = Option<String>, Query, description = "Branch position or day"),
        ("to" = Option<String>, Query, description = "Branch position or day, included"),
        ("last" = Option<usize>, Query, description = "The newest so many points of each line; default 500 without `from`"),
        ("x" = Option<String>, Query, description = "`position` or `date`"),
        ("base" = Option<String>, Query, description = "Tag or commit that each line is divided by"),
        ("width" = Option<usize>, Query, description = "Pixels of the drawing; default 1200")
    ),
    responses((status = 200, body = TimelineAnswer), (status = 400, body = super::ErrorBodySchema)))]
pub(super) async fn timeline(
    context: Data<Context>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<TimelineAnswer>, Error> {
    let asked = Asked::parse(pairs)?;
    let read = read(&context, &asked).await?;
    let marks = marks::read(&context, &read).await?;
    let few = read.count() <= MOST_DOTS;
    let details = if few {
        details::details(&context, &details::every(&read)).await?
    } else {
        Details::new()
    };
    let width = if asked.width == 0 { WIDTH } else { asked.width };
    let columns = if few { 0 } else { width };
    Ok(Json(answer(&read, marks, &details, columns)))
}

fn answer(read: &Timeline, marks: Marks, details: &Details, columns: usize) -> TimelineAnswer {
    let panels = read.panels();
    let panel_of = |line: &Line| {
        let holds = |panel: &Vec<&Line>| panel.iter().any(|one| one.series.id == line.series.id);
        panels.iter().position(holds).unwrap_or(0)
    };
    let lines = read
        .lines
        .iter()
        .map(|one| line(one, panel_of(one), read, details, columns));
    TimelineAnswer {
        by_date: read.axis.by_date,
        range: [read.axis.range.0, read.axis.range.1],
        points: read.count(),
        lines: lines.collect(),
        changes: changes(marks.changes),
        releases: marks
            .releases
            .into_iter()
            .map(|(x, one)| TimelineMark {
                x,
                name: one.name,
                is_final: one.release_final,
            })
            .collect(),
        breaks: marks
            .breaks
            .into_iter()
            .map(|one| TimelineBreak {
                x: one.place,
                lines: one.lines,
                words: format!("{}: {}", one.host, one.words),
            })
            .collect(),
    }
}

fn changes(found: Vec<(usize, f64, f64, ChangeMark)>) -> Vec<TimelineChange> {
    let change = |(line, x, value, one): (usize, f64, f64, ChangeMark)| TimelineChange {
        line,
        x,
        value,
        state: one.state,
        better: one.better,
        change: one.change,
        change_low: one.change_low,
        change_high: one.change_high,
        hash: one.hash,
        regression: one.regression_id,
    };
    found.into_iter().map(change).collect()
}

fn line(
    line: &Line,
    panel: usize,
    read: &Timeline,
    details: &Details,
    columns: usize,
) -> TimelineLine {
    let stretches = line.stretches(&read.axis, columns);
    let points: Vec<&TracePoint> = stretches.iter().flatten().copied().collect();
    let numbers = stretches
        .iter()
        .enumerate()
        .flat_map(|(number, points)| points.iter().map(move |_| number));
    let column = |index: usize| -> Vec<f64> {
        let values = points.iter().map(|point| line.values(point));
        values.filter_map(|all| all.get(index).copied()).collect()
    };
    let commit = |point: &&TracePoint| {
        let detail = details.get(&(line.series.id, point.position))?;
        Some(TimelineCommit {
            hash: detail.hash.clone(),
            subject: detail.subject.clone(),
            verdict: detail.verdict.clone(),
            held: detail.held.clone(),
            words: verdict::line(
                detail.verdict.as_deref(),
                detail.held.as_deref(),
                detail.change,
            ),
            key: compare_key(line, &detail.hash),
        })
    };
    TimelineLine {
        label: line.label.clone(),
        colour: line.colour,
        panel,
        runtime: line.series.runtime.clone(),
        benchmark: line.series.benchmark.clone(),
        version: line.series.identity.clone(),
        metric: line.series.metric.clone(),
        unit: metric_of(line).map(|metric| unit_name(metric.unit())),
        counter_source: line.series.counter_source.clone(),
        host: line.series.host.clone(),
        x: points.iter().map(|point| read.axis.place(point)).collect(),
        value: column(0),
        low: column(1),
        high: column(2),
        position: points.iter().map(|point| point.position).collect(),
        committed_at: points.iter().map(|point| point.committed_at).collect(),
        samples: points.iter().map(|point| point.samples).collect(),
        run: points.iter().map(|point| point.run_id).collect(),
        stretch: numbers.collect(),
        commit: if details.is_empty() {
            Vec::new()
        } else {
            points.iter().map(commit).collect()
        },
    }
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "seconds",
        Unit::Count => "count",
        Unit::Bytes => "bytes",
        Unit::Ratio => "ratio",
        Unit::PerSecond => "per_second",
        Unit::Joules => "joules",
    }
}
