//! A benchmark: what it is, its source, how it stands on every runtime and host, how small a change of it can be seen, and what
//! happened to it.

mod tables;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Path, Query};
use askama::Template;
use serde::Deserialize;
use speedwell_wire::Metric;

use self::tables::{Change, Event, Listed, Measured, VersionRow};
use super::{PageError, Shell, line_chart, render};
use crate::chart;
use crate::context::Context;
use crate::db::benchmarks::{self, Lacking, Standing, Version};
use crate::db::series::{self as db_series, SeriesName, SeriesPoint};
use crate::domain::query;
use crate::web::error::Error;
use crate::web::format;
use crate::web::timeline::asked::{Asked, End};
use crate::web::timeline::choose::version_of;

/// Points of each line of the chart and of each small history.
const HISTORY: i64 = 60;
/// Lines of the chart.
const MOST_LINES: usize = 6;
/// Small histories of one page.
const MOST_HISTORIES: usize = 40;
/// Breaks and changes of one page.
const MOST_EVENTS: i64 = 50;
/// Lines of a source that are shown.
const MOST_SOURCE_LINES: usize = 5000;

/// The query parameters that ask for series: this page was a chart once, and links to it are in mails, notes and bookmarks.
const OF_SERIES: [&str; 6] = ["runtime", "metric", "host", "version", "last", "before"];

#[derive(Template)]
#[template(path = "benchmarks.html")]
struct ListPage {
    shell: Shell,
    filter: String,
    benchmarks: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    q: String,
}

/// Every benchmark, or those with some words.
pub(super) async fn list(
    context: Data<Context>,
    Query(filter): Query<Filter>,
) -> Result<HttpResponse, PageError> {
    let asked = query::Query::parse(&filter.q).map_err(|message| Error::BadRequest {
        field: "q".to_owned(),
        message,
    })?;
    let (text, terms) = asked.map_or_else(Default::default, |asked| (asked.text, asked.terms));
    let metrics = Metric::MAIN.map(Metric::as_str);
    let benchmarks = benchmarks::list(&context.pool, &metrics, &terms).await?;
    render(&ListPage {
        shell: Shell::new("Benchmarks", "benchmarks"),
        filter: text,
        benchmarks: benchmarks.into_iter().map(Listed::new).collect(),
    })
}

#[derive(Template)]
#[template(path = "benchmark.html")]
struct Page {
    shell: Shell,
    name: String,
    encoded: String,
    description: String,
    suites: Vec<String>,
    versions: Vec<VersionRow>,
    measured: Vec<Measured>,
    older: Vec<Measured>,
    lacking: Vec<Lacking>,
    chart: Option<History>,
    changes: Vec<Change>,
    events: Vec<Event>,
    source: Source,
}

/// The chart of the newest version.
struct History {
    svg: String,
    legend: Vec<(usize, String)>,
    host: String,
    metric: String,
    /// The same points as a table, and more of them.
    link: String,
    /// What is not on it.
    absent: Vec<String>,
}

/// A version's script.
struct Source {
    version: String,
    sha256: String,
    /// Numbered lines; none: it was never sent.
    lines: Vec<String>,
    /// Lines that are not shown.
    cut: usize,
    /// It was sent, but is no text.
    is_binary: bool,
    /// The program that it came with, when it was measured elsewhere.
    origin: Option<String>,
}

/// The page of a benchmark. With a choice of series in the query it leads to the timeline of that choice.
pub(super) async fn benchmark(
    context: Data<Context>,
    name: Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    if pairs
        .iter()
        .any(|(key, _)| OF_SERIES.contains(&key.as_str()))
    {
        let asked = timeline_of(name.into_inner(), pairs)?;
        return Ok(HttpResponse::TemporaryRedirect()
            .insert_header((header::LOCATION, asked.address()))
            .finish());
    }
    let versions = benchmarks::list_versions(&context.pool, &name).await?;
    let Some(newest) = versions.first() else {
        return Err(Error::NotFound(format!("No suite has a benchmark {:?}.", *name)).into());
    };
    let wanted = pairs.iter().find(|(key, _)| key == "source");
    let shown = wanted.and_then(|(_, version)| {
        let mut all = versions.iter();
        all.find(|one| version_of(&one.identity) == *version)
    });
    let source = source(&context, shown.unwrap_or(newest)).await?;
    let ids: Vec<i64> = versions.iter().map(|one| one.id).collect();
    let metrics = Metric::MAIN.map(Metric::as_str);
    let standings = benchmarks::list_standings(&context.pool, &ids, &metrics).await?;
    let lacking = benchmarks::list_lacking(&context.pool, &ids[..1], &metrics).await?;
    let breaks = benchmarks::list_breaks(&context.pool, &ids, MOST_EVENTS).await?;
    let changes = benchmarks::list_changes(&context.pool, &ids, MOST_EVENTS).await?;
    // The newest version that was measured: a suite's next version may still wait for its first run.
    let current = standings.first().map(|one| one.benchmark_id);
    let (now, before): (Vec<&Standing>, Vec<&Standing>) = standings
        .iter()
        .partition(|one| Some(one.benchmark_id) == current);
    let keys: Vec<i64> = now
        .iter()
        .map(|one| one.series_id)
        .take(MOST_HISTORIES)
        .collect();
    let points = db_series::list_points(&context.pool, &keys, None, HISTORY).await?;
    let identity = versions.iter().find(|one| Some(one.id) == current);
    let identity = identity.map(|one| one.identity.clone()).unwrap_or_default();
    let measured = |one: &&Standing| {
        let version = versions
            .iter()
            .find(|version| version.id == one.benchmark_id);
        tables::measured(&name, version, one, &points)
    };
    render(&Page {
        shell: Shell::new(name.as_str(), "benchmarks"),
        encoded: format::encode(&name),
        description: newest.description.clone(),
        suites: tables::suites(&versions),
        measured: now.iter().map(measured).collect(),
        older: before.iter().map(measured).collect(),
        lacking,
        chart: history(&name, &identity, &now, &points),
        changes: changes.into_iter().map(Change::new).collect(),
        events: tables::events(&breaks, &versions),
        versions: tables::versions(&versions),
        source,
        name: name.into_inner(),
    })
}

/// The timeline of what the query asks for; `before` was the first position that is not shown.
fn timeline_of(name: String, pairs: Vec<(String, String)>) -> Result<Asked, Error> {
    let (own, before): (Vec<_>, Vec<_>) = pairs
        .into_iter()
        .filter(|(key, _)| key != "benchmark")
        .partition(|(key, _)| key != "before");
    let mut asked = Asked::parse(own)?;
    for (field, value) in before {
        let position: i32 = value.parse().map_err(|_not_one| Error::BadRequest {
            message: format!("{field}: {value:?} is no number"),
            field,
        })?;
        asked.to = Some(End::Position(position.saturating_sub(1)));
    }
    asked.benchmarks = vec![name];
    Ok(asked)
}

/// A version's script, as far as it was sent.
async fn source(context: &Context, version: &Version) -> Result<Source, Error> {
    let bytes = context.artefacts.get(&version.script_sha256).await?;
    let was_sent = bytes.is_some();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes.into()).ok());
    let is_binary = was_sent && text.is_none();
    let all: Vec<&str> = text.iter().flat_map(|text| text.lines()).collect();
    Ok(Source {
        version: version_of(&version.identity),
        origin: version.origin.clone(),
        sha256: version.script_sha256.clone(),
        cut: all.len().saturating_sub(MOST_SOURCE_LINES),
        lines: all
            .into_iter()
            .take(MOST_SOURCE_LINES)
            .map(str::to_owned)
            .collect(),
        is_binary,
    })
}

/// The lines of the host that measures most runtimes, in one metric: values of two hosts or metrics are never on one chart.
fn history(
    name: &str,
    identity: &str,
    now: &[&Standing],
    points: &[SeriesPoint],
) -> Option<History> {
    let first = now.first()?;
    let of_metric = now.iter().filter(|one| one.metric == first.metric);
    let of_metric: Vec<&&Standing> = of_metric.collect();
    let count = |host: &str| of_metric.iter().filter(|one| one.host == host).count();
    let host = of_metric
        .iter()
        .max_by_key(|one| (count(&one.host), std::cmp::Reverse(&one.host)))?
        .host
        .clone();
    let on_host = of_metric.iter().filter(|one| one.host == host);
    let (chosen, left): (Vec<_>, Vec<_>) = on_host
        .enumerate()
        .partition(|(place, _)| *place < MOST_LINES);
    let names: Vec<SeriesName> = chosen
        .iter()
        .map(|(_, one)| series_name(name, identity, one))
        .collect();
    let lines: Vec<&SeriesName> = names.iter().collect();
    let of_lines: Vec<SeriesPoint> = points
        .iter()
        .filter(|point| names.iter().any(|one| one.id == point.series_id))
        .cloned()
        .collect();
    let other_hosts = now.iter().filter(|one| one.host != host);
    let mut absent: Vec<String> = left.iter().map(|(_, one)| one.runtime.clone()).collect();
    absent.extend(other_hosts.map(|one| format!("{} on {}", one.runtime, one.host)));
    let legend = names.iter().enumerate();
    Some(History {
        svg: line_chart::draw(name, &first.metric, &lines, &of_lines),
        legend: legend
            .map(|(place, one)| (place % chart::PALETTE, one.runtime.clone()))
            .collect(),
        metric: format::metric_label(&first.metric),
        link: Asked {
            runtimes: names.iter().map(|one| one.runtime.clone()).collect(),
            ..tables::series_of(name, identity, "", &host, &first.metric)
        }
        .address(),
        host,
        absent,
    })
}

fn series_name(name: &str, identity: &str, one: &Standing) -> SeriesName {
    SeriesName {
        id: one.series_id,
        runtime: one.runtime.clone(),
        benchmark: name.to_owned(),
        identity: identity.to_owned(),
        suites: String::new(),
        metric: one.metric.clone(),
        counter_source: String::new(),
        host: one.host.clone(),
        detector: None,
        origin: None,
    }
}
