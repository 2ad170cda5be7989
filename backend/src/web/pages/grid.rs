//! A whole suite on one screen: a small chart for each benchmark, of one runtime or a few, on one host.

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use askama::Template;
use speedwell_wire::{Direction, Metric};

use super::{PageError, Shell, render};
use crate::chart::{self, Chart, Point};
use crate::context::Context;
use crate::db::timeline::{self, TimelineSeries, Wanted};
use crate::db::traces::{self, Range, Trace};
use crate::domain::drift::{Drift, drift};
use crate::domain::trace::TracePoint;
use crate::web::error::Error;
use crate::web::format;
use crate::web::timeline::asked::Asked;
use crate::web::timeline::choose::version_of;
use crate::web::timeline::read::{Axis, Line};

/// Runtimes in one small chart.
const MOST_RUNTIMES: usize = 4;
/// Points of each line that are shown when nothing is said.
const LAST: usize = 100;
/// Series that are looked at.
const MOST_SERIES: i64 = 2000;
/// Pixel columns of a small chart, each a few pixels wide.
const COLUMNS: usize = 50;

#[derive(Template)]
#[template(path = "grid.html")]
struct Page {
    shell: Shell,
    suite: String,
    suites: Vec<(String, bool)>,
    runtimes: Vec<(String, bool)>,
    hosts: Vec<(String, bool)>,
    metrics: Vec<(&'static str, &'static str, bool)>,
    metric: &'static str,
    better: &'static str,
    last: usize,
    by_change: bool,
    cells: Vec<Cell>,
    /// Benchmarks of the suite without a value here.
    missing: Vec<String>,
    pending: usize,
    left_out: Vec<String>,
    legend: Vec<(usize, String)>,
}

/// One small chart.
struct Cell {
    benchmark: String,
    link: String,
    svg: String,
    values: Vec<Value>,
    /// How much worse the worst line has become, for the order.
    worse: f64,
}

/// A line of a small chart in words.
struct Value {
    colour: usize,
    runtime: String,
    value: String,
    class: &'static str,
    change: String,
    words: String,
}

/// What is asked for besides what a timeline is.
#[derive(Debug, Default)]
struct Order {
    suite: String,
    by_change: bool,
}

/// `GET /grid`.
pub(super) async fn grid(
    context: Data<Context>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let mut order = Order::default();
    for (name, value) in &pairs {
        match (name.as_str(), value.as_str()) {
            ("suite", suite) => order.suite = suite.to_owned(),
            ("sort", "change") => order.by_change = true,
            ("sort", "" | "name") => order.by_change = false,
            ("sort", other) => {
                return Err(Error::BadRequest {
                    field: "sort".to_owned(),
                    message: format!("sort: {other:?} is neither name nor change"),
                }
                .into());
            }
            (_, _) => {}
        }
    }
    let asked = Asked::parse(pairs)?;
    render(&page(&context, &asked, &order).await?)
}

async fn page(context: &Context, asked: &Asked, order: &Order) -> Result<Page, Error> {
    let pool = &context.pool;
    let names = timeline::list_names(pool).await?;
    let suites = timeline::list_suites(pool).await?;
    let of_kind = |kind: &str| -> Vec<String> {
        let found = names.iter().filter(|(of, _)| of == kind);
        found.map(|(_, name)| name.clone()).collect()
    };
    let (runtimes, hosts) = (of_kind("runtime"), of_kind("host"));
    let mut chosen: Vec<String> = if asked.runtimes.is_empty() {
        runtimes.iter().take(1).cloned().collect()
    } else {
        asked.runtimes.clone()
    };
    let left_out = chosen.split_off(chosen.len().min(MOST_RUNTIMES));
    let metric = asked.metrics.first().copied().unwrap_or(Metric::WallTime);
    let suite = suite_of(context, &suites, order, chosen.first()).await?;
    let identities = timeline::list_suite(pool, &suite).await?;
    let wanted = Wanted {
        benchmarks: identities.iter().map(|(name, _)| name.clone()).collect(),
        metrics: vec![metric.as_str().to_owned()],
        runtimes: chosen.clone(),
        hosts: asked.hosts.iter().take(1).cloned().collect(),
    };
    let found = timeline::list_series(pool, &wanted, MOST_SERIES).await?;
    let (series, host) = on_one_host(found, &identities, asked);
    let pending = series.iter().filter(|one| !one.traced).count();
    let keys: Vec<i64> = series.iter().map(|one| one.id).collect();
    let last = asked.last.unwrap_or(LAST);
    let range = Range {
        newest: last,
        ..Range::default()
    };
    let found = traces::list_range(pool, &keys, &range).await?;
    let floors = timeline::list_floors(pool, &keys).await?;
    let mut cells = cells(&series, found, &floors, &chosen, metric);
    if order.by_change {
        cells.sort_by(|a, b| b.worse.total_cmp(&a.worse));
    }
    let missing = identities.iter().map(|(name, _)| name);
    let missing = missing.filter(|name| !cells.iter().any(|cell| cell.benchmark == **name));
    let on = |all: Vec<String>, chosen: &[String]| -> Vec<(String, bool)> {
        let with = |name: String| (name.clone(), chosen.contains(&name));
        all.into_iter().map(with).collect()
    };
    Ok(Page {
        shell: Shell::new(format!("{suite} at a glance"), "timeline"),
        suites: on(suites, std::slice::from_ref(&suite)),
        runtimes: on(runtimes, &chosen),
        hosts: on(hosts, std::slice::from_ref(&host)),
        metrics: Metric::ALL
            .iter()
            .map(|one| (one.as_str(), one.label(), *one == metric))
            .collect(),
        metric: metric.label(),
        better: match metric.direction() {
            Direction::HigherIsBetter => "more is better",
            Direction::LowerIsBetter => "less is better",
        },
        last,
        by_change: order.by_change,
        missing: missing.cloned().collect(),
        legend: if chosen.len() > 1 {
            chosen.iter().cloned().enumerate().collect()
        } else {
            Vec::new()
        },
        pending,
        left_out,
        cells,
        suite,
    })
}

/// The suite that is asked for, else the one that the runtime runs.
async fn suite_of(
    context: &Context,
    suites: &[String],
    order: &Order,
    runtime: Option<&String>,
) -> Result<String, Error> {
    if !order.suite.is_empty() {
        return match suites.contains(&order.suite) {
            true => Ok(order.suite.clone()),
            false => Err(Error::NotFound(format!(
                "There is no suite {:?}.",
                order.suite
            ))),
        };
    }
    let own = match runtime {
        Some(runtime) => timeline::find_suite(&context.pool, runtime).await?,
        None => None,
    };
    Ok(own.or_else(|| suites.first().cloned()).unwrap_or_default())
}

/// The series of the suite's own versions of its benchmarks, on the host that has most of them.
fn on_one_host(
    all: Vec<TimelineSeries>,
    identities: &[(String, String)],
    asked: &Asked,
) -> (Vec<TimelineSeries>, String) {
    let mut all: Vec<TimelineSeries> = all
        .into_iter()
        .filter(|one| {
            identities
                .iter()
                .any(|(_, identity)| *identity == one.identity)
        })
        .collect();
    let mut hosts: Vec<&str> = all.iter().map(|one| one.host.as_str()).collect();
    hosts.sort_unstable();
    let busiest = hosts
        .chunk_by(|a, b| a == b)
        .rev()
        .max_by_key(|same| same.len());
    let host = asked.hosts.first().cloned();
    let host = host.or_else(|| {
        busiest
            .and_then(|same| same.first())
            .map(|host| (*host).to_owned())
    });
    let host = host.unwrap_or_default();
    all.retain(|one| one.host == host);
    (all, host)
}

fn cells(
    series: &[TimelineSeries],
    mut traces: Vec<Trace>,
    floors: &[(i64, f64)],
    runtimes: &[String],
    metric: Metric,
) -> Vec<Cell> {
    let mut cells = Vec::new();
    for same in series.chunk_by(|a, b| a.benchmark == b.benchmark) {
        // Values from different sources are never laid over each other: the first source is shown.
        let source = same
            .first()
            .map(|one| one.counter_source.clone())
            .unwrap_or_default();
        let mut lines: Vec<Line> = Vec::new();
        for one in same.iter().filter(|one| one.counter_source == source) {
            let place = traces.iter().position(|trace| trace.series_id == one.id);
            let Some(trace) = place.map(|index| traces.swap_remove(index)) else {
                continue;
            };
            lines.push(Line {
                label: one.runtime.clone(),
                colour: runtimes
                    .iter()
                    .position(|name| *name == one.runtime)
                    .unwrap_or(0),
                series: one.clone(),
                points: trace.points,
                base: 1.0,
            });
        }
        lines.sort_by_key(|line| line.colour);
        if !lines.is_empty() {
            cells.push(cell(&lines, floors, metric));
        }
    }
    cells
}

fn cell(lines: &[Line], floors: &[(i64, f64)], metric: Metric) -> Cell {
    let first = lines.first().map(|line| &line.series);
    let benchmark = first.map(|one| one.benchmark.clone()).unwrap_or_default();
    let mut asked = Asked {
        benchmarks: vec![benchmark.clone()],
        metrics: vec![metric],
        runtimes: lines
            .iter()
            .map(|line| line.series.runtime.clone())
            .collect(),
        ..Asked::default()
    };
    if let Some(one) = first {
        asked.hosts = vec![one.host.clone()];
        asked.version = version_of(&one.identity);
    }
    let mut worse = f64::NEG_INFINITY;
    let mut values = Vec::new();
    for line in lines {
        let found = drift(&line.points);
        if let Some(found) = &found {
            let logarithm = found.ratio.ratio.ln();
            worse = worse.max(match metric.direction() {
                Direction::HigherIsBetter => -logarithm,
                Direction::LowerIsBetter => logarithm,
            });
        }
        let floor = floors.iter().find(|(id, _)| *id == line.series.id);
        values.push(value(line, found, floor.map(|(_, floor)| *floor), metric));
    }
    Cell {
        link: asked.address(),
        svg: small(&benchmark, lines, metric),
        benchmark,
        values,
        worse,
    }
}

fn value(line: &Line, found: Option<Drift>, floor: Option<f64>, metric: Metric) -> Value {
    let last = line
        .points
        .last()
        .map(|point| format::value(point.median, metric.unit()));
    let (class, change, words) = match found {
        None => (
            "too_few",
            "–".to_owned(),
            "one point: nothing to compare".to_owned(),
        ),
        Some(found) => {
            let ratio = found.ratio;
            let beyond = floor.is_none_or(|floor| (ratio.ratio - 1.0).abs() > floor);
            let rose = ratio.ratio > 1.0;
            let better = rose == (metric.direction() == Direction::HigherIsBetter);
            let (class, verdict) = match (ratio.is_significant() && beyond, better) {
                (false, _) => ("unchanged", "within the noise"),
                (true, true) => ("improved", "better"),
                (true, false) => ("regressed", "worse"),
            };
            let interval = format!(
                "{} to {}",
                format::percent(ratio.low - 1.0),
                format::percent(ratio.high - 1.0)
            );
            let words = format!("{interval}, {verdict}");
            (class, format::percent(ratio.ratio - 1.0), words)
        }
    };
    Value {
        colour: line.colour,
        runtime: line.series.runtime.clone(),
        value: last.unwrap_or_default(),
        class,
        change,
        words,
    }
}

/// The chart: measured commits at equal distances, by date when branches differ.
fn small(benchmark: &str, lines: &[Line], metric: Metric) -> String {
    let branch = lines.first().map(|line| line.series.branch_id);
    let by_date = lines
        .iter()
        .any(|line| Some(line.series.branch_id) != branch);
    let mut lines: Vec<Line> = lines.to_vec();
    let mut places: Vec<i32> = lines
        .iter()
        .flat_map(|line| line.points.iter().map(|point| point.position))
        .collect();
    places.sort_unstable();
    places.dedup();
    let rank = |position: i32| {
        let index = places.binary_search(&position).unwrap_or(0);
        i32::try_from(index).unwrap_or(i32::MAX)
    };
    for point in lines.iter_mut().flat_map(|line| &mut line.points) {
        point.position = rank(point.position);
    }
    let mut axis = Axis {
        by_date,
        range: (0.0, 1.0),
    };
    let all = || lines.iter().flat_map(|line| &line.points);
    let place = |found: (f64, f64), point: &TracePoint| {
        let place = axis.place(point);
        (found.0.min(place), found.1.max(place))
    };
    axis.range = all().fold((f64::INFINITY, f64::NEG_INFINITY), place);
    let point = |point: &TracePoint| Point {
        x: axis.place(point),
        value: point.median,
        low: point.low,
        high: point.high,
        ..Point::default()
    };
    let drawn = lines.iter().map(|line| {
        let stretches = line.stretches(&axis, COLUMNS);
        chart::Line {
            colour: line.colour,
            stretches: stretches
                .into_iter()
                .map(|stretch| stretch.into_iter().map(point).collect())
                .collect(),
            connected: true,
        }
    });
    chart::svg(&Chart {
        label: format!("{} of {benchmark} over commits", metric.label()),
        width: 260,
        height: 84,
        lines: drawn.collect(),
        ticks: Vec::new(),
        format: |value| value.to_string(),
        spark: true,
    })
}
