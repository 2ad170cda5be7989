//! A whole suite on one screen: a small chart for each benchmark, of one runtime or a few, on one host.

mod cells;

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use askama::Template;
use speedwell_wire::{Direction, Metric};

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::timeline::{self, TimelineSeries, Wanted};
use crate::db::traces::Range;
use crate::web::error::Error;
use crate::web::timeline::asked::Asked;

use cells::{Cell, cells};

/// Runtimes in one small chart.
const MOST_RUNTIMES: usize = 4;
/// Points of each line that are shown when nothing is said.
const LAST: usize = 100;
/// Series that are looked at.
const MOST_SERIES: i64 = 2000;

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
    let pool = &context.planned;
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
    let found = context.traces.list(pool, &keys, &range).await?;
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
        Some(runtime) => timeline::find_suite(&context.planned, runtime).await?,
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
