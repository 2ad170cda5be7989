//! A set of series as one file of columns.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{self, Data, Query};
use serde::Deserialize;
use speedwell_wire::Metric;
use utoipa::IntoParams;

use crate::columnar::{Column, parquet};
use crate::context::Context;
use crate::db::series::{self, SeriesName};
use crate::db::series_export::{self, ExportRow, Selection};
use crate::web::error::Error;
use crate::web::format;

/// Rows of one file.
const MOST_ROWS: i64 = 500_000;
/// Series of one file.
const MOST_SERIES: i64 = 50_000;

/// Which series; at least a runtime, a benchmark or a host.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Only this runtime's.
    runtime: Option<String>,
    /// Only this benchmark's.
    benchmark: Option<String>,
    /// Only this metric's.
    metric: Option<String>,
    /// Only this host's.
    host: Option<String>,
}

/// Every measurement of a set of series as Parquet: a row for each, with names, commit, times, summary and verdict. Opens with pyarrow,
/// pandas, DuckDB and others.
#[utoipa::path(get, path = "/api/v1/series.parquet", params(Asked),
    responses((status = 200, content_type = "application/vnd.apache.parquet"), (status = 400, body = super::ErrorBodySchema),
        (status = 413, body = super::ErrorBodySchema)))]
pub(super) async fn series_parquet(
    context: Data<Context>,
    Query(asked): Query<Asked>,
) -> Result<HttpResponse, Error> {
    if asked.runtime.is_none() && asked.benchmark.is_none() && asked.host.is_none() {
        return Err(Error::BadRequest {
            field: "runtime".to_owned(),
            message: "give at least one of runtime, benchmark and host: the whole database is a backup's business".to_owned(),
        });
    }
    let selection = Selection {
        runtime: asked.runtime,
        benchmark: asked.benchmark,
        metric: asked.metric,
        host: asked.host,
    };
    let rows = series_export::list(&context.pool, &selection, MOST_ROWS + 1).await?;
    if i64::try_from(rows.len()).unwrap_or(i64::MAX) > MOST_ROWS {
        return Err(Error::TooLarge(format!(
            "more than {MOST_ROWS} measurements: narrow the choice by runtime, benchmark, metric or host"
        )));
    }
    let (runtime, benchmark) = (selection.runtime.as_deref(), selection.benchmark.as_deref());
    let metric = selection.metric.as_deref();
    let names = series::list(&context.pool, runtime, benchmark, metric, 0, MOST_SERIES).await?;
    let bytes = web::block(move || parquet(&columns(&rows, &names)))
        .await
        .map_err(anyhow::Error::from)??;
    Ok(HttpResponse::Ok()
        .content_type("application/vnd.apache.parquet")
        // It is compressed already.
        .insert_header((header::CONTENT_ENCODING, "identity"))
        .insert_header((
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"series.parquet\"",
        ))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(bytes))
}

fn columns(rows: &[ExportRow], names: &[SeriesName]) -> Vec<(&'static str, Column)> {
    let known: HashMap<i64, &SeriesName> = names.iter().map(|one| (one.id, one)).collect();
    let named = |get: fn(&SeriesName) -> &str| {
        let name = |row: &ExportRow| {
            known
                .get(&row.series_id)
                .map_or("", |one| get(one))
                .to_owned()
        };
        Column::Text(rows.iter().map(name).collect())
    };
    let unit = |row: &ExportRow| {
        let metric = known.get(&row.series_id)?.metric.parse::<Metric>().ok()?;
        Some(format::unit_name(metric.unit()).to_owned())
    };
    let origin = |row: &ExportRow| known.get(&row.series_id)?.origin.clone();
    let text = |get: fn(&ExportRow) -> String| Column::Text(rows.iter().map(get).collect());
    let whole = |get: fn(&ExportRow) -> i64| Column::Integer(rows.iter().map(get).collect());
    let number = |get: fn(&ExportRow) -> f64| Column::Number(rows.iter().map(get).collect());
    vec![
        ("series", whole(|row| row.series_id)),
        ("runtime", named(|one| &one.runtime)),
        ("benchmark", named(|one| &one.benchmark)),
        ("benchmark_identity", named(|one| &one.identity)),
        (
            "origin",
            Column::SomeText(rows.iter().map(origin).collect()),
        ),
        ("metric", named(|one| &one.metric)),
        ("unit", Column::SomeText(rows.iter().map(unit).collect())),
        ("counter_source", named(|one| &one.counter_source)),
        ("host", named(|one| &one.host)),
        ("commit", text(|row| row.hash.clone())),
        (
            "position",
            Column::SomeInteger(rows.iter().map(|row| row.position.map(i64::from)).collect()),
        ),
        (
            "committed_at",
            Column::Moment(rows.iter().map(|row| row.committed_at).collect()),
        ),
        (
            "measured_at",
            Column::Moment(rows.iter().map(|row| row.measured_at).collect()),
        ),
        ("run", whole(|row| row.run_id)),
        ("environment", whole(|row| row.environment_id)),
        ("samples", whole(|row| i64::from(row.sample_count))),
        ("median", number(|row| row.median)),
        ("interval_low", number(|row| row.interval_low)),
        ("interval_high", number(|row| row.interval_high)),
        ("mean", number(|row| row.mean)),
        ("median_absolute_deviation", number(|row| row.mad)),
        ("min", number(|row| row.min)),
        ("max", number(|row| row.max)),
        (
            "verdict",
            Column::SomeText(rows.iter().map(|row| row.verdict.clone()).collect()),
        ),
        (
            "change",
            Column::SomeNumber(rows.iter().map(|row| row.change).collect()),
        ),
    ]
}
