//! One benchmark of a comparison: the distribution of its samples, and every metric of all subjects side by side.

use std::collections::BTreeSet;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use askama::Template;
use speedwell_wire::{CounterSource, Metric, Unit};

use super::table::Cell;
use super::{MetricOption, Pairs, SubjectView, subject_view, table};
use crate::chart::distribution::{self, Distribution, Strip};
use crate::context::Context;
use crate::db::comparisons::{self, Missing, SampledValue};
use crate::domain::comparison::{Comparison, Entry, compare};
use crate::domain::summary::quantile_of_sorted;
use crate::web::comparison::{
    self, Address, Choice, LETTERS, Mark, Resolved, marks, resolve_all, runs_of,
};
use crate::web::error::Error;
use crate::web::format;
use crate::web::pages::{PageError, Shell, render};

/// The quantiles of the table, with their names.
const QUANTILES: [(f64, &str); 7] = [
    (0.0, "Smallest"),
    (0.05, "5\u{a0}%"),
    (0.25, "25\u{a0}%"),
    (0.5, "Median"),
    (0.75, "75\u{a0}%"),
    (0.95, "95\u{a0}%"),
    (1.0, "Largest"),
];

#[derive(Template)]
#[template(path = "compare_benchmark.html")]
struct Page {
    shell: Shell,
    name: String,
    subjects: Vec<SubjectView>,
    marks: Vec<Mark>,
    metrics: Vec<MetricOption>,
    hidden: Vec<(String, String)>,
    /// Of the chosen metric.
    what: String,
    chart: String,
    quantile_names: Vec<&'static str>,
    quantiles: Vec<Quantiles>,
    rows: Vec<MetricRow>,
    back: String,
    links: Vec<(String, String)>,
}

/// What one subject's samples are.
struct Quantiles {
    letter: &'static str,
    label: String,
    /// Why there are none; empty when there are.
    reason: String,
    values: Vec<String>,
    count: usize,
    processes: usize,
    runs: usize,
    warmups: usize,
}

/// One metric from one source.
struct MetricRow {
    label: String,
    /// Chooses it for the distribution.
    link: String,
    is_chosen: bool,
    base: String,
    interval: String,
    cells: Vec<Cell>,
}

pub(in crate::web::pages) async fn benchmark(
    context: Data<Context>,
    name: Path<String>,
    Query(pairs): Pairs,
) -> Result<HttpResponse, PageError> {
    let choice = comparison::parse(&pairs)?;
    let subjects = resolve_all(&context.pool, &choice.subjects).await?;
    let runs = runs_of(&subjects);
    let wanted = choice.metric.unwrap_or(Metric::WallTime);
    let values =
        comparisons::list_of_benchmark(&context.pool, &runs, &name, wanted.as_str()).await?;
    let missing = comparisons::list_missing(&context.pool, &runs, None, Some(&name)).await?;
    if values.is_empty() && missing.is_empty() {
        let labels: Vec<String> = subjects.iter().map(Resolved::label).collect();
        let message = format!(
            "None of {} has run a benchmark {:?}.",
            labels.join(", "),
            name.as_str()
        );
        return Err(Error::NotFound(message).into());
    }
    render(&page(&choice, &name, &subjects, &values, &missing, wanted))
}

fn page(
    choice: &Choice,
    name: &str,
    subjects: &[Resolved],
    values: &[SampledValue],
    missing: &[Missing],
    wanted: Metric,
) -> Page {
    let compared = all_metrics(subjects, values, missing, choice);
    let chosen = compared
        .iter()
        .find(|one| one.metric == wanted)
        .and_then(|one| one.source);
    let address = Address::of(&choice.subjects);
    let own = format!("/compare/{}", format::encode(name));
    let rows = compared.iter().filter_map(|one| {
        let is_chosen = (one.metric, one.source) == (wanted, chosen);
        metric_row(one, is_chosen, &own, &address)
    });
    let (chart, quantiles) = distribution(name, subjects, values, &compared, wanted, chosen);
    let labels: Vec<String> = subjects.iter().map(Resolved::label).collect();
    let runs = subjects.iter().filter_map(|one| {
        let run = one.newest()?;
        Some((
            format!("counters of run {}", run.run_id),
            format!("/runs/{}/counters", run.run_id),
        ))
    });
    let encoded = format::encode(name);
    let mut links: Vec<(String, String)> =
        vec![("the benchmark".to_owned(), format!("/benchmarks/{encoded}"))];
    let of_runtimes: String = choice
        .subjects
        .iter()
        .map(|one| format!("&runtime={}", format::encode(&one.runtime)))
        .collect();
    links.push((
        "its timeline".to_owned(),
        format!("/timeline?benchmark={encoded}&metric={wanted}{of_runtimes}"),
    ));
    links.extend(runs);
    Page {
        shell: Shell::new(format!("{name}: {}", labels.join(" against ")), "compare"),
        subjects: subjects
            .iter()
            .enumerate()
            .map(|(index, one)| subject_view(choice, index, one))
            .collect(),
        marks: marks(subjects, &LETTERS),
        metrics: options(&compared, wanted, chosen),
        hidden: address.pairs().to_vec(),
        what: comparison::source_words(wanted, chosen),
        chart,
        quantile_names: QUANTILES.iter().map(|(_, name)| *name).collect(),
        quantiles,
        rows: rows.collect(),
        back: address.with_metric(choice.metric, choice.source).query(),
        links,
        name: name.to_owned(),
    }
}

/// Every metric from every source that any subject has, in the order pages list them, each compared by itself.
fn all_metrics(
    subjects: &[Resolved],
    values: &[SampledValue],
    missing: &[Missing],
    choice: &Choice,
) -> Vec<Comparison> {
    let kinds: BTreeSet<(Metric, CounterSource)> = values
        .iter()
        .filter_map(|one| {
            Some((
                one.value.metric.parse().ok()?,
                one.value.counter_source.parse().ok()?,
            ))
        })
        .collect();
    let of_kind = |(metric, source): (Metric, CounterSource)| {
        let own = values
            .iter()
            .filter(|one| one.value.metric == metric.as_str());
        let mut entries: Vec<Entry> = own
            .filter_map(|one| comparison::entry(&one.value))
            .collect();
        for one in missing.iter().filter(|one| {
            one.metric
                .as_deref()
                .is_none_or(|name| name == metric.as_str())
        }) {
            entries.extend(comparison::unavailable(subjects, one));
        }
        compare(metric, Some(source), subjects.len(), &entries)
    };
    let is_wanted = |(metric, source): &(Metric, CounterSource)| {
        choice.metric != Some(*metric) || choice.source.is_none_or(|wanted| wanted == *source)
    };
    kinds.into_iter().filter(is_wanted).map(of_kind).collect()
}

fn options(
    compared: &[Comparison],
    wanted: Metric,
    chosen: Option<CounterSource>,
) -> Vec<MetricOption> {
    let option = |one: &Comparison| MetricOption {
        value: one
            .source
            .map_or_else(String::new, |source| format!("{}:{source}", one.metric)),
        label: match one.source {
            Some(CounterSource::Software) | None => one.metric.label().to_owned(),
            Some(source) => format!("{} ({source})", one.metric.label()),
        },
        is_chosen: (one.metric, one.source) == (wanted, chosen),
    };
    compared.iter().map(option).collect()
}

fn metric_row(
    one: &Comparison,
    is_chosen: bool,
    own: &str,
    address: &Address,
) -> Option<MetricRow> {
    // One benchmark: one row.
    let row = one.rows.first()?;
    let (base, interval) = table::base(&row.base, one.metric);
    let query = address.with_metric(Some(one.metric), one.source).query();
    Some(MetricRow {
        label: comparison::source_words(one.metric, one.source),
        link: format!("{own}?{query}"),
        is_chosen,
        base,
        interval,
        cells: row
            .others
            .iter()
            .map(|cell| table::cell(cell, one.metric))
            .collect(),
    })
}

/// The picture and the table of the chosen metric's samples. Only samples of the compared version and source are in it.
fn distribution(
    name: &str,
    subjects: &[Resolved],
    values: &[SampledValue],
    compared: &[Comparison],
    wanted: Metric,
    chosen: Option<CounterSource>,
) -> (String, Vec<Quantiles>) {
    let found = compared
        .iter()
        .find(|one| (one.metric, one.source) == (wanted, chosen));
    let row = found.and_then(|one| one.rows.first());
    let mut strips = Vec::new();
    let mut table = Vec::new();
    for (index, (subject, letter)) in subjects.iter().zip(LETTERS).enumerate() {
        let side = row.and_then(|row| match index.checked_sub(1) {
            None => row.base.as_ref().ok().copied(),
            Some(column) => match row.others.get(column)? {
                Ok(one) => Some(one.side),
                Err(other) => other.side,
            },
        });
        let own: Vec<&SampledValue> = values
            .iter()
            .filter(|one| {
                side.is_some()
                    && usize::try_from(one.value.subject) == Ok(index)
                    && one.value.metric == wanted.as_str()
                    && Some(one.value.counter_source.as_str()) == chosen.map(CounterSource::as_str)
                    && row.is_some_and(|row| row.identity == one.value.identity)
            })
            .collect();
        let quantiles = quantiles(letter, subject, &own, wanted);
        if let (Some(side), true) = (side, quantiles.1.len() > 1) {
            let estimate = side.estimate;
            strips.push(Strip {
                name: format!("{letter}: {}", subject.label()),
                values: quantiles.1,
                median: (estimate.median, estimate.low, estimate.high),
            });
        }
        table.push(quantiles.0);
    }
    let chart = if strips.is_empty() {
        String::new()
    } else {
        distribution::svg(&Distribution {
            label: format!("{}: every value of {name} by subject", wanted.label()),
            strips,
            format: formatter(wanted.unit()),
        })
    };
    (chart, table)
}

fn quantiles(
    letter: &'static str,
    subject: &Resolved,
    own: &[&SampledValue],
    metric: Metric,
) -> (Quantiles, Vec<f64>) {
    let mut values = Vec::new();
    let mut processes = BTreeSet::new();
    let mut warmups = 0;
    for one in own {
        let each = one
            .sample_values
            .iter()
            .zip(&one.sample_process)
            .zip(&one.sample_warmup);
        for ((value, process), warmup) in each {
            if *warmup {
                warmups += 1;
            } else {
                values.push(*value);
                processes.insert((one.value.run_id, *process));
            }
        }
    }
    values.sort_by(f64::total_cmp);
    let texts = QUANTILES
        .iter()
        .filter_map(|(share, _)| quantile_of_sorted(&values, *share))
        .map(|value| format::value(value, metric.unit()));
    let quantiles = Quantiles {
        letter,
        label: subject.label(),
        reason: if !own.is_empty() && own.iter().all(|one| one.sample_values.is_empty()) {
            "its samples are no longer kept, only their summary".to_owned()
        } else if values.is_empty() {
            "no values that can be compared".to_owned()
        } else {
            String::new()
        },
        values: texts.collect(),
        count: values.len(),
        processes: processes.len(),
        runs: own.len(),
        warmups,
    };
    (quantiles, values)
}

fn formatter(unit: Unit) -> fn(f64) -> String {
    match unit {
        Unit::Seconds => |value| format::value(value, Unit::Seconds),
        Unit::Bytes => |value| format::value(value, Unit::Bytes),
        Unit::Count => |value| format::value(value, Unit::Count),
        Unit::Ratio => |value| format::value(value, Unit::Ratio),
        Unit::PerSecond => |value| format::value(value, Unit::PerSecond),
        Unit::Joules => |value| format::value(value, Unit::Joules),
    }
}
