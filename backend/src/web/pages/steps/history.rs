//! One step over commits: each statement less the one it is compared with, run by run.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use askama::Template;
use speedwell_wire::{Metric, Unit};

use super::SUITE;
use super::selection::{Choices, Selection, choose};
use crate::chart;
use crate::context::Context;
use crate::db::series::{self as stored, SeriesName, SeriesPoint};
use crate::db::suites;
use crate::web::error::Error;
use crate::web::format;
use crate::web::pages::{PageError, Shell, line_chart, render};

#[derive(Template)]
#[template(path = "step.html")]
struct Page {
    shell: Shell,
    name: String,
    description: String,
    baseline: Option<String>,
    choices: Choices,
    chart: String,
    legend: Vec<Legend>,
    rows: Vec<Row>,
}

/// A line of the chart.
struct Legend {
    colour: usize,
    name: String,
    source: String,
}

/// One point in the table.
struct Row {
    runtime: String,
    point: SeriesPoint,
    short: String,
    day: String,
    value: String,
    interval: String,
}

/// One step over commits.
pub(in crate::web::pages) async fn history(
    context: Data<Context>,
    name: Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let selection = Selection::parse(pairs)?;
    let all = suites::list_versions(&context.pool, SUITE).await?;
    let newest = all.iter().find(|one| one.name == *name);
    let benchmark = newest.ok_or_else(|| {
        Error::NotFound(format!(
            "The suite {SUITE} has no step {:?}.",
            name.as_str()
        ))
    })?;
    let own = stored::list_of_benchmark(&context.pool, &name).await?;
    let base = match &benchmark.baseline {
        Some(baseline) => stored::list_of_benchmark(&context.pool, baseline).await?,
        None => Vec::new(),
    };
    let counted: Vec<SeriesName> = own.into_iter().filter(is_counted).collect();
    let (chosen, choices) = choose(&counted, &selection);
    let pairs: Vec<(i64, Option<i64>)> = chosen
        .iter()
        .map(|one| (one.id, same_elsewhere(one, &base)))
        .collect();
    let keys: Vec<i64> = pairs
        .iter()
        .flat_map(|(own, base)| [Some(*own), *base])
        .flatten()
        .collect();
    let points = stored::list_points(&context.pool, &keys, None, choices.last).await?;
    let points = match benchmark.baseline {
        Some(_) => differences(&pairs, &points),
        None => points,
    };
    let metric = Metric::Instructions.as_str();
    render(&Page {
        shell: Shell::new(format!("What {} costs", benchmark.name), "suites"),
        chart: line_chart::draw(&benchmark.name, metric, &chosen, &points),
        legend: legend(&chosen),
        rows: rows(&chosen, &points),
        name: benchmark.name.clone(),
        description: benchmark.description.clone(),
        baseline: benchmark.baseline.clone(),
        choices,
    })
}

fn is_counted(one: &SeriesName) -> bool {
    one.metric == Metric::Instructions.as_str()
}

/// The series of the baseline for the same runtime, host and source.
fn same_elsewhere(one: &SeriesName, base: &[SeriesName]) -> Option<i64> {
    let same = |other: &&SeriesName| {
        (
            &other.runtime,
            &other.host,
            &other.counter_source,
            &other.metric,
        ) == (&one.runtime, &one.host, &one.counter_source, &one.metric)
    };
    base.iter().find(same).map(|found| found.id)
}

/// Each point less its baseline's in the same run. A point whose run has none is left out, and no verdict is taken over: it was
/// made of the whole statement.
fn differences(pairs: &[(i64, Option<i64>)], points: &[SeriesPoint]) -> Vec<SeriesPoint> {
    let difference = |point: &SeriesPoint| {
        let base = pairs.iter().find(|(own, _)| *own == point.series_id)?.1?;
        let base = points
            .iter()
            .find(|other| other.series_id == base && other.run_id == point.run_id)?;
        Some(SeriesPoint {
            median: point.median - base.median,
            interval_low: point.interval_low - base.interval_high,
            interval_high: point.interval_high - base.interval_low,
            min: point.min - base.max,
            max: point.max - base.min,
            verdict: None,
            change: None,
            threshold: None,
            ..point.clone()
        })
    };
    points.iter().filter_map(difference).collect()
}

/// Each line's name, and what counted it.
fn legend(chosen: &[&SeriesName]) -> Vec<Legend> {
    let entries = chosen.iter().enumerate().map(|(colour, one)| Legend {
        colour: colour % chart::PALETTE,
        name: format!("{} on {}", one.runtime, one.host),
        source: one.counter_source.clone(),
    });
    entries.collect()
}

/// The points, newest first.
fn rows(chosen: &[&SeriesName], points: &[SeriesPoint]) -> Vec<Row> {
    let name = |id: i64| {
        let series = chosen.iter().find(|one| one.id == id);
        series.map(|one| one.runtime.clone()).unwrap_or_default()
    };
    let count = |value| format::value(value, Unit::Count);
    let rows = points.iter().rev().map(|point| Row {
        runtime: name(point.series_id),
        short: format::short(&point.hash),
        day: format::day(point.committed_at),
        value: count(point.median),
        interval: format!(
            "{} – {}",
            count(point.interval_low),
            count(point.interval_high)
        ),
        point: point.clone(),
    });
    rows.collect()
}
