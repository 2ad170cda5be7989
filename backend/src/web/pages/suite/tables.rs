//! Tables of a suite's newest results: benchmarks beside the ones of the same suite that they are compared with. Runtimes stand side by
//! side in the matrix.

use speedwell_wire::{CounterSource, Direction, Metric};

use super::Runtime;
use crate::db::suites::{SuiteBenchmark, SuiteResult};
use crate::web::format::{self, Rounded};

/// Fewer values have no interval that means anything.
const FEWEST: i32 = 3;

/// A metric from one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) metric: Metric,
    pub(super) source: CounterSource,
}

impl Kind {
    /// The metric, with its source where others give it too.
    fn label(self) -> String {
        match self.source {
            CounterSource::Software | CounterSource::Pmu => self.metric.label().to_owned(),
            source => format!("{}, source {source}", self.metric.label()),
        }
    }

    /// What is to be known of all its values.
    fn note(self) -> &'static str {
        match self.source {
            CounterSource::Valgrind => {
                "Counted once each: the same build on the same host gives the same count."
            }
            _ => "",
        }
    }

    /// Whether a result belongs here. One that is unavailable has no source.
    fn has(self, found: &SuiteResult) -> bool {
        let of_metric = found
            .metric
            .as_deref()
            .is_none_or(|name| name == self.metric.as_str());
        let of_source = found
            .counter_source
            .as_deref()
            .is_none_or(|name| name == self.source.as_str());
        of_metric && of_source
    }
}

/// One metric: benchmarks by runtimes. Ratios are to another benchmark on the same runtime.
pub(super) struct Table {
    pub(super) label: String,
    pub(super) better: &'static str,
    /// What is to be known of all values, once.
    pub(super) note: &'static str,
    pub(super) rows: Vec<(String, Vec<Cell>)>,
}

pub(super) enum Cell {
    Value {
        value: String,
        interval: String,
        /// Against the baseline, with the class of its colour.
        ratio: Option<(String, &'static str)>,
    },
    Unavailable(String),
    Missing,
}

/// The benchmarks that have a baseline in the suite, against it on the same runtime.
pub(super) fn by_baseline(
    kind: &Kind,
    runtimes: &[Runtime],
    benchmarks: &[SuiteBenchmark],
    results: &[SuiteResult],
) -> Option<Table> {
    let mut rows = Vec::new();
    for one in benchmarks {
        let Some(baseline) = &one.baseline else {
            continue;
        };
        let cells: Vec<Cell> = runtimes
            .iter()
            .map(|runtime| {
                let base = find(results, *kind, runtime, baseline);
                let found = find(results, *kind, runtime, &one.name);
                with_difference(*kind, cell(*kind, found, base), found, base)
            })
            .collect();
        if cells.iter().any(|cell| matches!(cell, Cell::Value { .. })) {
            rows.push((format!("{} against {baseline}", one.name), cells));
        }
    }
    (!rows.is_empty()).then(|| Table {
        label: kind.label(),
        better: better(kind.metric),
        note: kind.note(),
        rows,
    })
}

/// Exact counts have no interval; in its place stands how many more they are than the baseline's.
fn with_difference(
    kind: Kind,
    cell: Cell,
    found: Option<&SuiteResult>,
    base: Option<&SuiteResult>,
) -> Cell {
    let medians = found
        .and_then(|found| found.median)
        .zip(base.and_then(|base| base.median));
    match (cell, medians) {
        (Cell::Value { value, ratio, .. }, Some((median, base)))
            if kind.source == CounterSource::Valgrind =>
        {
            let word = if median < base { "less" } else { "more" };
            let difference = format::value((median - base).abs(), kind.metric.unit());
            Cell::Value {
                value,
                interval: format!("{difference} {word}"),
                ratio,
            }
        }
        (cell, _) => cell,
    }
}

fn better(metric: Metric) -> &'static str {
    match metric.direction() {
        Direction::HigherIsBetter => "more is better",
        Direction::LowerIsBetter => "less is better",
    }
}

/// A benchmark's value on a runtime, or why it has none.
fn find<'a>(
    results: &'a [SuiteResult],
    kind: Kind,
    runtime: &Runtime,
    name: &str,
) -> Option<&'a SuiteResult> {
    results
        .iter()
        .find(|one| one.runtime == runtime.name && one.benchmark == name && kind.has(one))
}

/// A cell with its ratio to the baseline. The ratio has a colour only where the two intervals are apart.
fn cell(kind: Kind, found: Option<&SuiteResult>, base: Option<&SuiteResult>) -> Cell {
    let Some(found) = found else {
        return Cell::Missing;
    };
    let (Some(median), Some(low), Some(high)) = (found.median, found.low, found.high) else {
        return Cell::Unavailable(found.reason.clone().unwrap_or_default());
    };
    let metric = kind.metric;
    let exact = kind.source == CounterSource::Valgrind;
    let known = |one: &SuiteResult| exact || one.count.is_some_and(|count| count >= FEWEST);
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
    let shown = Rounded::new((median, low, high), metric.unit());
    Cell::Value {
        interval: if exact {
            String::new()
        } else if known(found) {
            shown.interval()
        } else {
            "too few values for an interval".to_owned()
        },
        value: shown.value,
        ratio: ratio.map(|ratio| (format!("{ratio:.2}×"), class)),
    }
}

#[cfg(test)]
mod tests;
