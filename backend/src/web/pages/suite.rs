//! The suites: what each is, what changed between its versions, and its newest results on every runtime side by side.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use askama::Template;
use serde::Deserialize;
use speedwell_wire::{Direction, Metric};

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::suites::{self, SuiteBenchmark, SuiteName, SuiteResult};
use crate::web::error::Error;
use crate::web::format;

/// Fewer values have no interval that means anything.
const FEWEST: i32 = 3;

/// The metrics that runtimes are compared by, as far as a suite has them.
const COMPARED: [Metric; 16] = [
    Metric::WallTime,
    Metric::SteadyTime,
    Metric::RequestsPerSecond,
    Metric::LatencyP50,
    Metric::LatencyP95,
    Metric::LatencyP99,
    Metric::CpuPerRequest,
    Metric::MaxRss,
    Metric::SteadyRss,
    Metric::StepP50,
    Metric::StepP99,
    Metric::StepP999,
    Metric::StepMax,
    Metric::GcPauseP99,
    Metric::GcPauseMax,
    Metric::GcTimeShare,
];

#[derive(Template)]
#[template(path = "suites.html")]
struct ListPage {
    shell: Shell,
    suites: Vec<SuiteName>,
}

/// Every suite.
pub(super) async fn suites(context: Data<Context>) -> Result<HttpResponse, PageError> {
    let suites = suites::list(&context.pool).await?;
    render(&ListPage {
        shell: Shell::new("Suites", "suites"),
        suites,
    })
}

#[derive(Template)]
#[template(path = "suite.html")]
struct Page {
    shell: Shell,
    name: String,
    versions: Vec<Version>,
    benchmarks: Vec<SuiteBenchmark>,
    host: String,
    runtimes: Vec<Runtime>,
    tables: Vec<Table>,
}

struct Version {
    number: i32,
    sha256: String,
    announced: String,
    count: usize,
    changes: Vec<String>,
}

struct Runtime {
    name: String,
    run_id: i64,
    baseline: bool,
}

/// One metric: benchmarks by runtimes.
struct Table {
    label: &'static str,
    better: &'static str,
    rows: Vec<(String, Vec<Cell>)>,
    /// Geometric mean of the ratios of each runtime, with how many benchmarks it is over.
    means: Vec<Option<(String, usize)>>,
}

enum Cell {
    Value {
        value: String,
        interval: String,
        /// Against the baseline, with the class of its colour.
        ratio: Option<(String, &'static str)>,
    },
    Unavailable(String),
    Missing,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    baseline: Option<String>,
}

pub(super) async fn suite(
    context: Data<Context>,
    name: Path<String>,
    Query(choice): Query<Choice>,
) -> Result<HttpResponse, PageError> {
    let all = suites::list_versions(&context.pool, &name).await?;
    let Some(newest) = all.first().map(|one| one.version) else {
        return Err(Error::NotFound(format!("No worker has announced a suite {name:?}.")).into());
    };
    let metrics = COMPARED.map(Metric::as_str);
    let results = suites::list_results(&context.pool, &name, &metrics).await?;
    let mut runtimes: Vec<Runtime> = Vec::new();
    for one in &results {
        if runtimes.last().is_none_or(|last| last.name != one.runtime) {
            runtimes.push(Runtime {
                name: one.runtime.clone(),
                run_id: one.run_id,
                baseline: false,
            });
        }
    }
    let wanted = choice
        .baseline
        .and_then(|name| runtimes.iter().position(|one| one.name == name));
    let baseline = wanted.unwrap_or(0);
    if let Some(one) = runtimes.get_mut(baseline) {
        one.baseline = true;
    }
    render(&Page {
        shell: Shell::new(format!("Suite {name}"), "suites"),
        versions: versions(&all),
        tables: COMPARED
            .into_iter()
            .filter_map(|metric| table(metric, &runtimes, baseline, &results))
            .collect(),
        benchmarks: all
            .into_iter()
            .filter(|one| one.version == newest)
            .collect(),
        host: results
            .first()
            .map(|one| one.host.clone())
            .unwrap_or_default(),
        runtimes,
        name: name.into_inner(),
    })
}

/// Each version with what it changed.
fn versions(all: &[SuiteBenchmark]) -> Vec<Version> {
    let groups: Vec<&[SuiteBenchmark]> = all.chunk_by(|a, b| a.version == b.version).collect();
    groups
        .iter()
        .enumerate()
        .map(|(index, group)| Version {
            number: group[0].version,
            sha256: group[0].suite_sha256.chars().take(12).collect(),
            announced: format::day(group[0].created_at),
            count: group.len(),
            changes: groups
                .get(index + 1)
                .map(|older| changes(older, group))
                .unwrap_or_default(),
        })
        .collect()
}

fn changes(older: &[SuiteBenchmark], newer: &[SuiteBenchmark]) -> Vec<String> {
    let find =
        |all: &[SuiteBenchmark], name: &str| all.iter().find(|one| one.name == name).cloned();
    let come = newer.iter().filter_map(|one| match find(older, &one.name) {
        None => Some(format!("{} is new", one.name)),
        Some(before) if before.script_sha256 != one.script_sha256 => {
            Some(format!("{} has another script", one.name))
        }
        Some(before) if before.identity != one.identity => {
            Some(format!("{} has other inputs or arguments", one.name))
        }
        Some(_) => None,
    });
    let gone = older
        .iter()
        .filter(|one| find(newer, &one.name).is_none())
        .map(|one| format!("{} is gone", one.name));
    let changes: Vec<String> = come.chain(gone).collect();
    if changes.is_empty() {
        vec!["the same benchmarks: only their plan changed".to_owned()]
    } else {
        changes
    }
}

fn table(
    metric: Metric,
    runtimes: &[Runtime],
    baseline: usize,
    results: &[SuiteResult],
) -> Option<Table> {
    let mut names: Vec<&str> = results
        .iter()
        .filter(|one| one.median.is_some() && one.metric.as_deref() == Some(metric.as_str()))
        .map(|one| one.benchmark.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let find = |runtime: &Runtime, name: &str| {
        results.iter().find(|one| {
            let of_metric = one
                .metric
                .as_deref()
                .is_none_or(|found| found == metric.as_str());
            one.runtime == runtime.name && one.benchmark == name && of_metric
        })
    };
    let mut logarithms: Vec<Vec<f64>> = vec![Vec::new(); runtimes.len()];
    let mut rows = Vec::new();
    for name in names {
        let base = runtimes
            .get(baseline)
            .and_then(|runtime| find(runtime, name));
        let mut cells = Vec::new();
        for (index, runtime) in runtimes.iter().enumerate() {
            let base = base.filter(|_| index != baseline);
            let (cell, ratio) = cell(metric, find(runtime, name), base);
            logarithms[index].extend(ratio.map(f64::ln));
            cells.push(cell);
        }
        rows.push((name.to_owned(), cells));
    }
    let mean = |values: &Vec<f64>| {
        let mean = (values.iter().sum::<f64>() / values.len() as f64).exp();
        (!values.is_empty()).then(|| (format!("{mean:.2}×"), values.len()))
    };
    Some(Table {
        label: metric.label(),
        better: match metric.direction() {
            Direction::HigherIsBetter => "more is better",
            Direction::LowerIsBetter => "less is better",
        },
        means: logarithms.iter().map(mean).collect(),
        rows,
    })
}

/// A cell, and its ratio to the baseline. The ratio has a colour only where the two intervals are apart.
fn cell(
    metric: Metric,
    found: Option<&SuiteResult>,
    base: Option<&SuiteResult>,
) -> (Cell, Option<f64>) {
    let Some(found) = found else {
        return (Cell::Missing, None);
    };
    let (Some(median), Some(low), Some(high)) = (found.median, found.low, found.high) else {
        return (
            Cell::Unavailable(found.reason.clone().unwrap_or_default()),
            None,
        );
    };
    let text = |value| format::value(value, metric.unit());
    let known = |one: &SuiteResult| one.count.is_some_and(|count| count >= FEWEST);
    let sure = known(found) && base.is_some_and(known);
    let base = base.and_then(|base| Some((base.median?, base.low?, base.high?)));
    let ratio = base
        .map(|(middle, _, _)| median / middle)
        .filter(|ratio| ratio.is_finite() && *ratio > 0.0);
    let class = base
        .filter(|_| sure)
        .map_or("", |(_, base_low, base_high)| {
            let (more, less) = (low > base_high, high < base_low);
            match (metric.direction(), more, less) {
                (_, false, false) => "",
                (Direction::HigherIsBetter, true, _) | (Direction::LowerIsBetter, _, true) => {
                    "improved"
                }
                (Direction::HigherIsBetter, _, true) | (Direction::LowerIsBetter, true, _) => {
                    "regressed"
                }
            }
        });
    let cell = Cell::Value {
        value: text(median),
        interval: if known(found) {
            format!("{} – {}", text(low), text(high))
        } else {
            "too few values for an interval".to_owned()
        },
        ratio: ratio.map(|ratio| (format!("{ratio:.2}×"), class)),
    };
    (cell, ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(runtime: &str, median: Option<f64>, spread: f64) -> SuiteResult {
        SuiteResult {
            runtime: runtime.to_owned(),
            host: "h".to_owned(),
            run_id: 1,
            benchmark: "b".to_owned(),
            metric: median.map(|_| "requests_per_second".to_owned()),
            median,
            low: median.map(|value| value - spread),
            high: median.map(|value| value + spread),
            count: median.map(|_| 5),
            reason: median.is_none().then(|| "404".to_owned()),
        }
    }

    #[test]
    fn a_ratio_is_coloured_only_where_the_intervals_are_apart() {
        let base = result("a", Some(100.0), 5.0);
        let class =
            |found: &SuiteResult| match cell(Metric::RequestsPerSecond, Some(found), Some(&base)) {
                (
                    Cell::Value {
                        ratio: Some((text, class)),
                        ..
                    },
                    _,
                ) => (text, class),
                _ => ("none".to_owned(), ""),
            };
        assert_eq!(
            class(&result("b", Some(200.0), 5.0)),
            ("2.00×".to_owned(), "improved")
        );
        assert_eq!(
            class(&result("b", Some(50.0), 5.0)),
            ("0.50×".to_owned(), "regressed")
        );
        assert_eq!(
            class(&result("b", Some(106.0), 5.0)),
            ("1.06×".to_owned(), "")
        );
        let single = SuiteResult {
            count: Some(1),
            ..result("b", Some(200.0), 0.0)
        };
        assert_eq!(class(&single), ("2.00×".to_owned(), ""));
        assert_eq!(class(&result("b", None, 0.0)), ("none".to_owned(), ""));
        assert!(matches!(
            cell(Metric::WallTime, None, Some(&base)),
            (Cell::Missing, None)
        ));
        let zero = result("a", Some(0.0), 0.0);
        assert_eq!(
            cell(Metric::RequestsPerSecond, Some(&base), Some(&zero)).1,
            None
        );
    }
}
