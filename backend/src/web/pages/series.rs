//! The series page: one benchmark and metric of one or more runtimes over commits.

pub(super) mod selection;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use askama::Template;
use speedwell_wire::{Metric, Unit};

use super::widgets::{Badge, verdict_class, verdict_words};
use super::{PageError, Shell, render};
use crate::chart::{self, Chart, Line, Point};
use crate::context::Context;
use crate::db::series::{self, SeriesName, SeriesPoint};
use crate::web::error::Error;
use crate::web::format;

use selection::{Choices, Selection, choose};

#[derive(Template)]
#[template(path = "series.html")]
struct Page {
    shell: Shell,
    benchmark: String,
    metric_label: String,
    better: &'static str,
    choices: Choices,
    chart: String,
    legend: Vec<Legend>,
    rows: Vec<Row>,
    older: Option<String>,
}

/// A line of the chart.
pub(super) struct Legend {
    pub(super) colour: usize,
    pub(super) name: String,
    pub(super) source: String,
    detector: String,
}

/// One point in the table.
pub(super) struct Row {
    pub(super) runtime: String,
    pub(super) point: SeriesPoint,
    pub(super) short: String,
    pub(super) day: String,
    pub(super) value: String,
    pub(super) interval: String,
    badge: Option<Badge>,
}

pub(super) async fn series(
    context: Data<Context>,
    benchmark: Path<String>,
    pairs: Vec<(String, String)>,
) -> Result<HttpResponse, PageError> {
    let selection = Selection::parse(pairs)?;
    let all = series::list_of_benchmark(&context.pool, &benchmark).await?;
    if all.is_empty() {
        return Err(Error::NotFound(format!(
            "Nothing was measured for a benchmark {benchmark:?} yet."
        ))
        .into());
    }
    let (chosen, choices) = choose(&all, &selection);
    let last = choices.last;
    let keys: Vec<i64> = chosen.iter().map(|one| one.id).collect();
    let points = series::list_points(&context.pool, &keys, selection.before, last).await?;
    let metric = choices
        .metrics
        .iter()
        .find(|(_, _, on)| *on)
        .map(|(name, _, _)| name.clone())
        .unwrap_or_default();
    let unit_metric = metric.parse::<Metric>().ok();
    let better = match unit_metric.map(Metric::direction) {
        Some(speedwell_wire::Direction::HigherIsBetter) => "more is better",
        Some(speedwell_wire::Direction::LowerIsBetter) | None => "less is better",
    };
    let older = points
        .first()
        .filter(|_| chosen.len() == 1)
        .map(|first| first.position);
    let page = Page {
        shell: Shell::new(benchmark.as_str(), "benchmarks"),
        metric_label: format::metric_label(&metric),
        better,
        chart: draw(&benchmark, &metric, &chosen, &points),
        legend: legend(&chosen),
        rows: rows(&chosen, &points, &metric),
        older: older
            .filter(|position| *position > 0 && points.len() as i64 >= last)
            .map(|position| older_link(&benchmark, &chosen, &metric, last, position)),
        choices,
        benchmark: benchmark.into_inner(),
    };
    render(&page)
}

fn older_link(
    benchmark: &str,
    chosen: &[&SeriesName],
    metric: &str,
    last: i64,
    before: i32,
) -> String {
    let first = chosen.first();
    let text = |get: fn(&SeriesName) -> &str| format::encode(first.map_or("", |one| get(one)));
    format!(
        "/benchmarks/{}?version={}&runtime={}&host={}&metric={metric}&last={last}&before={before}",
        format::encode(benchmark),
        selection::version_of(&text(|one| &one.identity)),
        text(|one| &one.runtime),
        text(|one| &one.host)
    )
}

/// Each line's name and what is known of all its points.
pub(super) fn legend(chosen: &[&SeriesName]) -> Vec<Legend> {
    let entries = chosen.iter().enumerate().map(|(colour, one)| Legend {
        colour: colour % chart::PALETTE,
        name: format!("{} on {}", one.runtime, one.host),
        source: one.counter_source.clone(),
        detector: one.detector.clone().unwrap_or_else(|| "not yet".to_owned()),
    });
    entries.collect()
}

/// One runtime: its measured commits side by side. Several: by the time of the commits, which branches share.
pub(super) fn draw(
    benchmark: &str,
    metric: &str,
    chosen: &[&SeriesName],
    points: &[SeriesPoint],
) -> String {
    chart::svg(&chart_of(benchmark, metric, chosen, points))
}

/// The same before it is drawn; with one line, x is the index among the measured positions.
pub(super) fn chart_of(
    benchmark: &str,
    metric: &str,
    chosen: &[&SeriesName],
    points: &[SeriesPoint],
) -> Chart {
    let by_time = chosen.len() > 1;
    let mut places: Vec<i32> = points.iter().map(|point| point.position).collect();
    places.sort_unstable();
    places.dedup();
    let place = |point: &SeriesPoint| {
        if by_time {
            point.committed_at.timestamp() as f64
        } else {
            places.binary_search(&point.position).unwrap_or(0) as f64
        }
    };
    let lines = chosen.iter().enumerate().map(|(colour, one)| {
        let own: Vec<&SeriesPoint> = points
            .iter()
            .filter(|point| point.series_id == one.id)
            .collect();
        let stretches = own
            .chunk_by(|before, after| {
                (before.environment_id, before.host_epoch)
                    == (after.environment_id, after.host_epoch)
            })
            .map(|stretch| {
                stretch
                    .iter()
                    .map(|point| dot(one, metric, point, place(point)))
                    .collect()
            });
        Line {
            colour,
            stretches: stretches.collect(),
            connected: true,
        }
    });
    let step = points.len().div_ceil(6).max(1);
    let mut ticks: Vec<(f64, String)> = points
        .iter()
        .rev()
        .step_by(step)
        .map(|point| {
            let day = format::day(point.committed_at);
            let text = if by_time {
                day
            } else {
                format!("{} {}", day, format::short(&point.hash).split_at(7).0)
            };
            (place(point), text)
        })
        .collect();
    if by_time {
        ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
        ticks.dedup_by(|a, b| (a.0 - b.0).abs() < 86_400.0 * 20.0);
    }
    Chart {
        label: format!(
            "{} of {benchmark} over commits",
            format::metric_label(metric)
        ),
        width: 960,
        height: 380,
        lines: lines.collect(),
        ticks,
        format: axis_format(metric),
        spark: false,
    }
}

pub(super) fn axis_format(metric: &str) -> fn(f64) -> String {
    match metric.parse::<Metric>().map(Metric::unit) {
        Ok(Unit::Seconds) => |value| format::value(value, Unit::Seconds),
        Ok(Unit::Bytes) => |value| format::value(value, Unit::Bytes),
        Ok(Unit::Count) => |value| format::value(value, Unit::Count),
        Ok(Unit::Joules) => |value| format::value(value, Unit::Joules),
        Ok(Unit::PerSecond) => |value| format::value(value, Unit::PerSecond),
        Ok(Unit::Ratio) | Err(_) => |value| format::value(value, Unit::Ratio),
    }
}

fn dot(series: &SeriesName, metric: &str, point: &SeriesPoint, x: f64) -> Point {
    let verdict = point.verdict.as_deref().unwrap_or_default();
    let change = point
        .change
        .map(|change| format!(" ({})", format::percent(change)))
        .unwrap_or_default();
    Point {
        x,
        value: point.median,
        low: point.interval_low,
        high: point.interval_high,
        title: format!(
            "{} {}\n{}\n{}, 95 % interval {} to {}, {} samples\n{}{change}",
            series.runtime,
            format::short(&point.hash),
            point.subject,
            format::metric_value(point.median, metric),
            format::metric_value(point.interval_low, metric),
            format::metric_value(point.interval_high, metric),
            point.sample_count,
            verdict_words(verdict, point.held.as_deref()),
        ),
        link: format!("/commits/{}", point.hash),
        class: verdict_class(verdict, point.held.as_deref()),
    }
}

/// The points, newest first.
pub(super) fn rows(chosen: &[&SeriesName], points: &[SeriesPoint], metric: &str) -> Vec<Row> {
    let name = |id: i64| {
        chosen
            .iter()
            .find(|one| one.id == id)
            .map(|one| one.runtime.clone())
            .unwrap_or_default()
    };
    let mut rows: Vec<Row> = points
        .iter()
        .map(|point| Row {
            runtime: name(point.series_id),
            short: format::short(&point.hash),
            day: format::day(point.committed_at),
            value: format::metric_value(point.median, metric),
            interval: format!(
                "{} – {}",
                format::metric_value(point.interval_low, metric),
                format::metric_value(point.interval_high, metric)
            ),
            badge: point.verdict.as_ref().map(|state| Badge {
                text: point.change.map_or_else(|| "–".to_owned(), format::percent),
                class: verdict_class(state, point.held.as_deref()).to_owned(),
                words: verdict_words(state, point.held.as_deref()),
            }),
            point: point.clone(),
        })
        .collect();
    rows.reverse();
    rows
}
