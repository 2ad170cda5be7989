//! A commit: its runs, each benchmark against the measured commit before.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use askama::Template;
use serde::Deserialize;
use speedwell_wire::{Direction, Metric};

use super::annotations::{Block, block as block_of};
use super::widgets::Badge;
use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::annotations::Subject;
use crate::db::compare::{self, CommitDetail, CommitRun, Comparison};
use crate::domain::compare::{Estimate, geometric_mean};
use crate::web::find::find_commit;
use crate::web::format::{self, Rounded};
use crate::web::session::Visitor;
use crate::web::timeline::asked::Asked;
use crate::web::verdict;

#[derive(Template)]
#[template(path = "commit.html")]
struct Page {
    shell: Shell,
    commit: CommitDetail,
    forge_link: Option<String>,
    committed: String,
    parents: Vec<(String, String)>,
    metrics: Vec<(&'static str, &'static str, bool)>,
    metric_label: String,
    runs: Vec<RunBlock>,
    annotations: Block,
}

struct RunBlock {
    run: CommitRun,
    measured: String,
    previous: Option<(String, String)>,
    mean: Option<Badge>,
    rows: Vec<Row>,
}

struct Row {
    benchmark: String,
    link: String,
    value: String,
    interval: String,
    previous: String,
    change: Option<Badge>,
    verdict: String,
    verdict_class: &'static str,
    samples: i32,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    metric: String,
}

pub(super) async fn commit(
    context: Data<Context>,
    visitor: Visitor,
    hash: Path<String>,
    choice: Query<Choice>,
) -> Result<HttpResponse, PageError> {
    let commit = find_commit(&context, &hash).await?;
    let metric = choice.metric.parse::<Metric>().unwrap_or(Metric::WallTime);
    let runs = compare::list_runs(&context.pool, commit.id).await?;
    let comparisons = compare::list_comparisons(&context.pool, &runs, metric.as_str()).await?;
    let blocks = runs.into_iter().map(|run| {
        let own: Vec<&Comparison> = comparisons
            .iter()
            .filter(|one| one.run_id == run.run_id)
            .collect();
        block(run, &own, metric)
    });
    let address = format!("/commits/{}", commit.hash);
    let annotations = block_of(&context, &visitor, Subject::Commit(commit.id), &address).await?;
    let page = Page {
        annotations,
        shell: Shell::new(
            format!("{} {}", format::short(&commit.hash), commit.subject),
            "home",
        ),
        forge_link: commit
            .commit_url
            .as_ref()
            .map(|template| template.replace("{commit}", &commit.hash)),
        committed: format::moment(commit.committed_at),
        parents: commit
            .parents
            .iter()
            .map(|hash| (hash.clone(), format::short(hash)))
            .collect(),
        metrics: Metric::ALL
            .iter()
            .map(|one| (one.as_str(), one.label(), *one == metric))
            .collect(),
        metric_label: metric.label().to_owned(),
        runs: blocks.collect(),
        commit,
    };
    render(&page)
}

fn pair(one: &Comparison) -> Option<(Estimate, Estimate)> {
    let new = Estimate {
        median: one.median,
        low: one.low,
        high: one.high,
    };
    let old = Estimate {
        median: one.previous_median?,
        low: one.previous_low?,
        high: one.previous_high?,
    };
    Some((new, old))
}

fn block(run: CommitRun, comparisons: &[&Comparison], metric: Metric) -> RunBlock {
    // Across environments nothing is compared.
    let comparable = run.same_environment == Some(true);
    let pairs: Vec<(Estimate, Estimate)> = comparisons
        .iter()
        .filter(|_| comparable)
        .filter_map(|one| pair(one))
        .collect();
    let mean = geometric_mean(&pairs).map(|ratio| Badge {
        text: format::percent(ratio.ratio - 1.0),
        class: class_of(ratio.ratio, ratio.is_significant(), metric).to_owned(),
        words: format!(
            "geometric mean of {} benchmarks, 95 % interval {} to {}",
            ratio.count,
            format::percent(ratio.low - 1.0),
            format::percent(ratio.high - 1.0)
        ),
    });
    RunBlock {
        measured: format::moment(run.finished_at),
        previous: run
            .previous_hash
            .as_ref()
            .map(|hash| (hash.clone(), format::short(hash))),
        rows: comparisons
            .iter()
            .map(|one| row(&run, one, comparable, metric))
            .collect(),
        mean,
        run,
    }
}

fn class_of(ratio: f64, significant: bool, metric: Metric) -> &'static str {
    let higher_is_better = metric.direction() == Direction::HigherIsBetter;
    match (significant, (ratio > 1.0) == higher_is_better) {
        (false, _) => "unchanged",
        (true, true) => "improved",
        (true, false) => "regressed",
    }
}

fn row(run: &CommitRun, one: &Comparison, comparable: bool, metric: Metric) -> Row {
    let ratio = pair(one)
        .filter(|_| comparable)
        .and_then(|(new, old)| new.against(&old));
    let change = ratio.map(|ratio| Badge {
        text: format::percent(ratio.ratio - 1.0),
        class: class_of(ratio.ratio, ratio.is_significant(), metric).to_owned(),
        words: format!(
            "95 % interval {} to {}, by the samples of the two runs alone",
            format::percent(ratio.low - 1.0),
            format::percent(ratio.high - 1.0)
        ),
    });
    let verdict = one.verdict.as_deref().unwrap_or_default();
    let shown = Rounded::new((one.median, one.low, one.high), metric.unit());
    Row {
        link: Asked::of(&one.benchmark, &run.runtime, &run.host, metric.as_str()).address(),
        benchmark: one.benchmark.clone(),
        interval: shown.interval(),
        value: shown.value,
        previous: one.previous_median.map_or_else(
            || "–".to_owned(),
            |value| format::value(value, metric.unit()),
        ),
        change,
        verdict: verdict::words(verdict, one.held.as_deref()),
        verdict_class: verdict::class(verdict, one.held.as_deref()),
        samples: one.sample_count,
    }
}
