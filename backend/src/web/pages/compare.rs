//! Two to six subjects side by side: every benchmark's ratio with its interval and verdict, and what the means leave out.

mod benchmark;
mod choose;
mod export;
mod presets;
mod table;

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use askama::Template;
use speedwell_wire::{CounterSource, Metric};

use self::table::{Column, RowView, View};
use super::widgets::spark;
use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::comparisons;
use crate::db::traces::Range;
use crate::domain::comparison::{LeftOut, Mean, Verdict};
use crate::web::comparison::{
    self, Address, Choice, LETTERS, Loaded, Mark, Resolved, interval, parameter, ratio_text,
    source_words, verdict_class,
};
use crate::web::error::Error;
use crate::web::format;

pub(super) use benchmark::benchmark;
pub(super) use export::{csv, json, markdown};

/// Points of a row's small picture.
const HISTORY: usize = 60;

/// Names and values of an address.
pub(super) type Pairs = Query<Vec<(String, String)>>;

#[derive(Template)]
#[template(path = "compare.html")]
struct Page {
    shell: Shell,
    subjects: Vec<SubjectView>,
    marks: Vec<Mark>,
    /// Metric, source and direction in words.
    what: String,
    metrics: Vec<MetricOption>,
    hidden: Vec<(String, String)>,
    means: Vec<MeanView>,
    common: usize,
    columns: Vec<Column>,
    rows: Vec<RowView>,
    total: usize,
    view: View,
    left_out: Vec<(String, String, String)>,
    choose: String,
    query: String,
    /// Shows or hides the histories.
    history: String,
    noise_unknown: usize,
    time: bool,
}

/// A subject as pages show it.
struct SubjectView {
    letter: &'static str,
    runtime: String,
    /// Tag or hash.
    point: String,
    hash: String,
    short: String,
    subject: String,
    committed: String,
    host: String,
    run_id: i64,
    runs: usize,
    unused: usize,
    recipe: String,
    /// Makes it the base; empty for the base itself.
    rebase: String,
}

struct MetricOption {
    value: String,
    label: String,
    is_chosen: bool,
}

struct MeanView {
    letter: &'static str,
    label: String,
    /// Ratio, its interval, the verdict with class; absent without a common benchmark.
    mean: Option<MeanText>,
    better: usize,
    worse: usize,
    within: usize,
    words: (&'static str, &'static str),
}

struct MeanText {
    ratio: String,
    interval: String,
    verdict: &'static str,
    class: &'static str,
    choice: Option<String>,
}

/// The comparison, or the form where fewer than two subjects are named.
pub(super) async fn compare(
    context: Data<Context>,
    Query(pairs): Pairs,
) -> Result<HttpResponse, PageError> {
    if let Some(redirect) = choose::redirect(&pairs)? {
        return Ok(redirect);
    }
    let named = comparison::parse_subjects(&pairs)?;
    if named.len() < 2 || parameter(&pairs, "choose").is_some() {
        return choose::form(&context, &pairs, &named).await;
    }
    let choice = comparison::parse(&pairs)?;
    let view = View::parse(&pairs, choice.subjects.len())?;
    let loaded = comparison::load_all(&context.planned, &choice).await?;
    let histories = if view.history {
        histories(&context, &loaded).await?
    } else {
        HashMap::new()
    };
    render(&page(&choice, &loaded, view, &histories))
}

/// The newest points of the base's series as small pictures, by the benchmark's identity.
async fn histories(context: &Context, loaded: &Loaded) -> Result<HashMap<String, String>, Error> {
    let comparison = &loaded.comparison;
    let base = loaded.subjects.first().and_then(Resolved::newest);
    let (Some(run), Some(source)) = (base, comparison.source) else {
        return Ok(HashMap::new());
    };
    let metric = comparison.metric.as_str();
    let series = comparisons::list_series(&context.planned, run, metric, source.as_str()).await?;
    let keys: Vec<i64> = series.iter().map(|(_, id)| *id).collect();
    let newest = Range {
        newest: HISTORY,
        ..Range::default()
    };
    let traces = context
        .traces
        .list(&context.planned, &keys, &newest)
        .await?;
    let drawn = |(identity, id): &(String, i64)| {
        let trace = traces.iter().find(|trace| trace.series_id == *id)?;
        let values: Vec<f64> = trace.points.iter().map(|point| point.median).collect();
        let label = format!("the newest {} points of the base", values.len());
        Some((identity.clone(), spark(label, &values)))
    };
    Ok(series.iter().filter_map(drawn).collect())
}

fn page(choice: &Choice, loaded: &Loaded, view: View, histories: &HashMap<String, String>) -> Page {
    let comparison = &loaded.comparison;
    let address = Address::of(&choice.subjects).with_metric(choice.metric, choice.source);
    let whole = view.on(&address);
    let columns = loaded.columns();
    let shown = view.apply(comparison);
    let history = if view.history { "" } else { "1" };
    let means: Vec<MeanView> = columns
        .iter()
        .map(|column| mean_view(loaded, *column))
        .collect();
    let common = columns
        .first()
        .and_then(|column| comparison.mean(*column, &columns));
    let unknown = |row: &&crate::domain::comparison::Row| {
        row.others.iter().flatten().any(|one| !one.noise_is_known)
    };
    Page {
        shell: Shell::new(title(&loaded.subjects), "compare"),
        subjects: loaded
            .subjects
            .iter()
            .enumerate()
            .map(|(index, one)| subject_view(choice, index, one))
            .collect(),
        marks: loaded.marks.clone(),
        what: source_words(comparison.metric, comparison.source),
        metrics: metrics(loaded),
        hidden: whole.without(&["metric", "source", "only", "match", "sort"]),
        common: common.map_or(0, |mean| mean.ratio.count),
        means,
        columns: table::columns(loaded, &view, &whole),
        rows: table::rows(loaded, &shown, &address, histories),
        total: comparison
            .rows
            .iter()
            .filter(|row| row.is_compared())
            .count(),
        left_out: left_out(&comparison.left_out(&columns)),
        choose: address.with("choose", "1").query(),
        query: address.query(),
        history: whole.with("history", history).query(),
        noise_unknown: shown.iter().copied().filter(unknown).count(),
        time: comparison.metric.unit() == speedwell_wire::Unit::Seconds,
        view,
    }
}

fn title(subjects: &[Resolved]) -> String {
    let labels: Vec<String> = subjects.iter().map(Resolved::label).collect();
    labels.join(" against ")
}

fn subject_view(choice: &Choice, index: usize, one: &Resolved) -> SubjectView {
    let run = one.newest();
    let hash = run.map(|run| run.hash.clone()).unwrap_or_default();
    let mut order = choice.subjects.clone();
    let rebase = if index == 0 || index >= order.len() {
        String::new()
    } else {
        order.swap(0, index);
        Address::of(&order)
            .with_metric(choice.metric, choice.source)
            .query()
    };
    SubjectView {
        letter: LETTERS.get(index).copied().unwrap_or_default(),
        runtime: one.subject.runtime.clone(),
        point: one.point(),
        short: format::short(&hash),
        hash,
        subject: run.map(|run| run.subject.clone()).unwrap_or_default(),
        committed: run
            .map(|run| format::day(run.committed_at))
            .unwrap_or_default(),
        host: run.map(|run| run.host.clone()).unwrap_or_default(),
        run_id: run.map(|run| run.run_id).unwrap_or_default(),
        runs: one.runs.len(),
        unused: one.unused,
        recipe: recipe_words(one),
        rebase,
    }
}

/// How a runtime is built, in a few words: what two runtimes of one branch differ by.
fn recipe_words(one: &Resolved) -> String {
    use speedwell_wire::Method;
    let Some(recipe) = &one.recipe else {
        return String::new();
    };
    let mut words = vec![format!(
        "{} {}",
        recipe.method.name(),
        recipe.method.variant()
    )];
    match &recipe.method {
        Method::Cpython { configure, .. } => words.extend(configure.iter().cloned()),
        Method::Pypy { options, .. } => words.extend(options.iter().cloned()),
        Method::Prebuilt { .. } | Method::Package { .. } => {}
    }
    words.extend(
        recipe
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    words.extend(recipe.arguments.iter().cloned());
    words.join(" ")
}

/// Every metric that all subjects have, once more for each source that it is counted by.
fn metrics(loaded: &Loaded) -> Vec<MetricOption> {
    let chosen = (loaded.comparison.metric, loaded.comparison.source);
    let mut kinds = loaded.kinds.clone();
    if let (metric, Some(source)) = chosen
        && !kinds.contains(&(metric, source))
    {
        kinds.push((metric, source));
    }
    let option = |(metric, source): &(Metric, CounterSource)| MetricOption {
        value: format!("{metric}:{source}"),
        label: match source {
            CounterSource::Software => metric.label().to_owned(),
            CounterSource::Pmu | CounterSource::PmuEmulated | CounterSource::Valgrind => {
                format!("{} ({source})", metric.label())
            }
        },
        is_chosen: chosen == (*metric, Some(*source)),
    };
    kinds.iter().map(option).collect()
}

fn mean_view(loaded: &Loaded, column: usize) -> MeanView {
    let comparison = &loaded.comparison;
    let metric = comparison.metric;
    let mean = comparison.mean(column, &loaded.columns());
    MeanView {
        letter: LETTERS.get(column + 1).copied().unwrap_or_default(),
        label: loaded
            .subjects
            .get(column + 1)
            .map(Resolved::label)
            .unwrap_or_default(),
        mean: mean.map(|mean| mean_text(&mean, metric)),
        better: comparison.count(column, Verdict::Better),
        worse: comparison.count(column, Verdict::Worse),
        within: comparison.count(column, Verdict::Within),
        words: (Verdict::Better.words(metric), Verdict::Worse.words(metric)),
    }
}

fn mean_text(mean: &Mean, metric: Metric) -> MeanText {
    MeanText {
        ratio: format!("{}×", ratio_text(&mean.ratio)),
        interval: interval(&mean.ratio),
        verdict: mean.verdict.words(metric),
        class: verdict_class(mean.verdict),
        choice: mean
            .choice()
            .map(|(low, high)| format!("{low:.2} – {high:.2}")),
    }
}

/// Benchmark, letter of the subject, reason.
fn left_out(all: &[LeftOut]) -> Vec<(String, String, String)> {
    let each = all.iter().map(|one| {
        let letter = LETTERS.get(one.subject).copied().unwrap_or_default();
        (one.benchmark.clone(), letter.to_owned(), one.reason.clone())
    });
    each.collect()
}
