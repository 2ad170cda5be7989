//! What single steps of an interpreter cost, in instructions: the suite `micro`, each statement less the one it is compared with.

mod history;
mod selection;

use actix_web::HttpResponse;
use actix_web::web::Data;
use askama::Template;
use speedwell_wire::{CounterSource, Metric, Unit};

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::suites::{self, SuiteBenchmark, SuiteResult};
use crate::web::format;

pub(super) use history::history;

/// The suite of single steps.
const SUITE: &str = "micro";
/// What others have counted for a step, and who: Intel's work on Python, which Speedwell grows out of (`docs/measurement.md`).
const REFERENCES: [(&str, f64, &str); 1] =
    [("integer_add", 76.0, "Intel's count in 2016, of CPython")];

#[derive(Template)]
#[template(path = "steps.html")]
struct Page {
    shell: Shell,
    host: String,
    tables: Vec<Table>,
}

/// The steps by runtime, counted by one source.
struct Table {
    source: CounterSource,
    /// Runtime and the run that its counts are from.
    runtimes: Vec<(String, i64)>,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    description: String,
    baseline: Option<String>,
    reference: Option<(String, &'static str)>,
    cells: Vec<Option<Cell>>,
}

#[derive(Debug, PartialEq)]
struct Cell {
    /// The step's own instructions.
    step: String,
    /// The whole statement, and what it is compared with.
    whole: String,
    /// 95 % interval of the difference; empty where counts repeat exactly.
    interval: String,
}

pub(super) async fn steps(context: Data<Context>) -> Result<HttpResponse, PageError> {
    let metric = Metric::Instructions.as_str();
    let results = suites::list_results(&context.pool, SUITE, &[metric]).await?;
    let all = suites::list_versions(&context.pool, SUITE).await?;
    let newest: Vec<&SuiteBenchmark> = all
        .iter()
        .filter(|one| one.version == all[0].version)
        .collect();
    let sources = [
        CounterSource::Pmu,
        CounterSource::PmuEmulated,
        CounterSource::Valgrind,
    ];
    let host = results.first().map(|one| one.host.clone());
    render(&Page {
        shell: Shell::new("What a step costs", "suites"),
        host: host.unwrap_or_default(),
        tables: sources
            .into_iter()
            .filter_map(|source| table(source, &newest, &results))
            .collect(),
    })
}

fn table(
    source: CounterSource,
    benchmarks: &[&SuiteBenchmark],
    results: &[SuiteResult],
) -> Option<Table> {
    let counted: Vec<&SuiteResult> = results
        .iter()
        .filter(|one| one.counter_source.as_deref() == Some(source.as_str()))
        .collect();
    let mut runtimes: Vec<(String, i64)> = Vec::new();
    for one in &counted {
        if runtimes.last().is_none_or(|last| last.0 != one.runtime) {
            runtimes.push((one.runtime.clone(), one.run_id));
        }
    }
    let find = |runtime: &str, name: &str| {
        let mut found = counted.iter();
        found
            .find(|one| one.runtime == runtime && one.benchmark == name)
            .copied()
    };
    let row = |one: &&SuiteBenchmark| {
        let reference = REFERENCES.iter().find(|(name, ..)| *name == one.name);
        Row {
            name: one.name.clone(),
            description: one.description.clone(),
            baseline: one.baseline.clone(),
            reference: reference.map(|(_, count, who)| (count.to_string(), *who)),
            cells: runtimes
                .iter()
                .map(|(runtime, _)| {
                    let own = find(runtime, &one.name)?;
                    match &one.baseline {
                        None => cell(source, own, None),
                        Some(baseline) => cell(source, own, Some(find(runtime, baseline)?)),
                    }
                })
                .collect(),
        }
    };
    let rows = benchmarks.iter().map(row).collect();
    (!runtimes.is_empty()).then_some(Table {
        source,
        runtimes,
        rows,
    })
}

/// A step is a statement less its baseline on the same runtime; `None`: one of them has no count.
fn cell(source: CounterSource, own: &SuiteResult, base: Option<&SuiteResult>) -> Option<Cell> {
    let count = |value| format::value(value, Unit::Count);
    let (median, low, high) = (own.median?, own.low?, own.high?);
    let (base_median, base_low, base_high) = match base {
        None => (0.0, 0.0, 0.0),
        Some(base) => (base.median?, base.low?, base.high?),
    };
    Some(Cell {
        step: count(median - base_median),
        whole: match base {
            None => String::new(),
            Some(_) => format!("{} − {}", count(median), count(base_median)),
        },
        interval: if source == CounterSource::Valgrind {
            String::new()
        } else {
            format!("{} – {}", count(low - base_high), count(high - base_low))
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(median: Option<f64>, spread: f64) -> SuiteResult {
        SuiteResult {
            runtime: "a".to_owned(),
            host: "h".to_owned(),
            run_id: 1,
            benchmark: "b".to_owned(),
            metric: None,
            counter_source: None,
            median,
            low: median.map(|value| value - spread),
            high: median.map(|value| value + spread),
            count: Some(3),
            reason: None,
        }
    }

    #[test]
    fn a_step_is_a_statement_less_its_baseline() {
        let (own, base) = (result(Some(168.0), 2.0), result(Some(68.0), 1.0));
        let found = cell(CounterSource::Pmu, &own, Some(&base)).unwrap();
        assert_eq!(
            (
                found.step.as_str(),
                found.whole.as_str(),
                found.interval.as_str()
            ),
            ("100.0", "168.0 − 68.00", "97.00 – 103.0")
        );
        let exact = cell(CounterSource::Valgrind, &own, Some(&base)).unwrap();
        assert_eq!(exact.interval, "");
        let alone = cell(CounterSource::Valgrind, &own, None).unwrap();
        assert_eq!((alone.step.as_str(), alone.whole.as_str()), ("168.0", ""));
        assert_eq!(
            cell(CounterSource::Pmu, &own, Some(&result(None, 0.0))),
            None
        );
        assert_eq!(cell(CounterSource::Pmu, &result(None, 0.0), None), None);
    }
}
