//! The overview: each runtime at a glance.

use actix_web::HttpResponse;
use actix_web::web::Data;
use askama::Template;
use chrono::Utc;
use speedwell_wire::Metric;

use super::widgets::{Badge, spark, verdict_class, verdict_words};
use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::overview::{self, BenchmarkOverview, RuntimeOverview};
use crate::domain::compare::{Estimate, geometric_mean};
use crate::web::format;

/// Points of a small chart.
const HISTORY: i64 = 40;

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    shell: Shell,
    runtimes: Vec<Card>,
}

struct Card {
    row: RuntimeOverview,
    head_day: String,
    head_state: String,
    measured_ago: String,
    mean: Option<Mean>,
    benchmarks: Vec<Tile>,
    improved: usize,
    regressed: usize,
    held: usize,
}

struct Mean {
    badge: Badge,
    interval: String,
    count: usize,
    against: String,
    hash: String,
}

struct Tile {
    name: String,
    link: String,
    description: String,
    spark: String,
    value: String,
    badge: Option<Badge>,
}

pub(super) async fn overview(context: Data<Context>) -> Result<HttpResponse, PageError> {
    let rows = overview::list_runtimes(&context.pool, None).await?;
    let benchmarks = overview::list_benchmarks(&context.pool, &rows, HISTORY).await?;
    let runtimes = rows
        .into_iter()
        .map(|row| {
            let own: Vec<&BenchmarkOverview> = benchmarks
                .iter()
                .filter(|one| one.runtime_id == row.id)
                .collect();
            card(row, &own)
        })
        .collect();
    render(&Page {
        shell: Shell::new("Overview", "home").refreshing(60),
        runtimes,
    })
}

fn card(row: RuntimeOverview, benchmarks: &[&BenchmarkOverview]) -> Card {
    let count = |state: &str| {
        benchmarks
            .iter()
            .filter(|one| one.held.is_none() && one.state.as_deref() == Some(state))
            .count()
    };
    let held = benchmarks.iter().filter(|one| one.held.is_some()).count();
    let now = Utc::now();
    let head_state = match (
        row.head_job_state.as_deref(),
        row.head_hash == row.measured_hash,
    ) {
        _ if row.head_hash.is_none() => "waiting for the history",
        (_, true) => "measured",
        (Some("running"), _) => "being measured",
        (Some("queued"), _) => "waiting in the queue",
        (Some("failed"), _) => "failed",
        (Some("cancelled"), _) => "cancelled",
        (Some(_) | None, _) => "not asked for",
    };
    Card {
        head_day: row.head_committed_at.map(format::day).unwrap_or_default(),
        head_state: head_state.to_owned(),
        measured_ago: row
            .measured_at
            .map(|at| format::ago(at, now))
            .unwrap_or_default(),
        mean: mean(&row, benchmarks),
        improved: count("improved"),
        regressed: count("regressed"),
        held,
        benchmarks: benchmarks.iter().map(|one| tile(&row, one)).collect(),
        row,
    }
}

fn mean(row: &RuntimeOverview, benchmarks: &[&BenchmarkOverview]) -> Option<Mean> {
    let pairs: Vec<(Estimate, Estimate)> = benchmarks
        .iter()
        .filter_map(|one| {
            let old = Estimate {
                median: one.reference_median?,
                low: one.reference_low?,
                high: one.reference_high?,
            };
            let new = Estimate {
                median: one.median,
                low: one.low,
                high: one.high,
            };
            let more = one.metric == Metric::RequestsPerSecond.as_str();
            Some(if more {
                (per_request(&new), per_request(&old))
            } else {
                (new, old)
            })
        })
        .collect();
    let ratio = geometric_mean(&pairs)?;
    let class = match (ratio.is_significant(), ratio.ratio < 1.0) {
        (false, _) => "unchanged",
        (true, true) => "improved",
        (true, false) => "regressed",
    };
    let hash = row.reference_hash.clone()?;
    let against = match &row.reference_tag {
        Some(tag) => format!("release {tag}"),
        None => format!("the oldest measured commit {}", format::short(&hash)),
    };
    let interval = format!(
        "{} to {}",
        format::percent(ratio.low - 1.0),
        format::percent(ratio.high - 1.0)
    );
    let words = format!(
        "Geometric mean of the times of {} benchmarks (of servers: per request); 95 % interval {interval}",
        ratio.count
    );
    let badge = Badge {
        text: format::percent(ratio.ratio - 1.0),
        class: class.to_owned(),
        words,
    };
    Some(Mean {
        badge,
        interval,
        count: ratio.count,
        against,
        hash,
    })
}

/// A throughput as the time of one request: less is better, as everywhere in the mean.
fn per_request(rate: &Estimate) -> Estimate {
    Estimate {
        median: 1.0 / rate.median,
        low: 1.0 / rate.high,
        high: 1.0 / rate.low,
    }
}

fn tile(row: &RuntimeOverview, one: &BenchmarkOverview) -> Tile {
    let held = if one.held.is_some() { " held" } else { "" };
    let badge = one.state.as_ref().map(|state| Badge {
        text: one.change.map_or_else(
            || "new".to_owned(),
            |change| format!("{}{held}", format::percent(change)),
        ),
        class: verdict_class(state, one.held.as_deref()).to_owned(),
        words: format!(
            "against the commits before it: {}",
            verdict_words(state, one.held.as_deref())
        ),
    });
    Tile {
        link: format!(
            "/benchmarks/{}?runtime={}&host={}",
            format::encode(&one.name),
            format::encode(&row.name),
            format::encode(row.host.as_deref().unwrap_or_default())
        ),
        name: one.name.clone(),
        description: one.description.clone(),
        spark: spark(
            format!("{}: the newest {} values", one.name, one.history.len()),
            &one.history,
        ),
        value: format::metric_value(one.median, &one.metric),
        badge,
    }
}
