//! Tables of a suite's newest results: runtimes side by side, and benchmarks beside the ones they are compared with.

use speedwell_wire::{CounterSource, Direction, Metric};

use super::Runtime;
use crate::db::suites::{SuiteBenchmark, SuiteResult};
use crate::web::format;

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

/// One metric: benchmarks by runtimes. Ratios are to another cell of the same table.
pub(super) struct Table {
    pub(super) label: String,
    pub(super) better: &'static str,
    /// What is to be known of all values, once.
    pub(super) note: &'static str,
    pub(super) rows: Vec<(String, Vec<Cell>)>,
    /// Geometric mean of the ratios of each runtime, with how many benchmarks it is over.
    pub(super) means: Vec<Option<(String, usize)>>,
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

/// Every benchmark of a metric; each runtime against the one at `baseline`.
pub(super) fn by_runtime(
    kind: &Kind,
    runtimes: &[Runtime],
    baseline: usize,
    results: &[SuiteResult],
) -> Option<Table> {
    let mut names: Vec<&str> = results
        .iter()
        .filter(|one| one.median.is_some() && kind.has(one))
        .map(|one| one.benchmark.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let mut logarithms: Vec<Vec<f64>> = vec![Vec::new(); runtimes.len()];
    let mut rows = Vec::new();
    for name in names {
        let base = runtimes
            .get(baseline)
            .and_then(|runtime| find(results, *kind, runtime, name));
        let mut cells = Vec::new();
        for (index, runtime) in runtimes.iter().enumerate() {
            let base = base.filter(|_| index != baseline);
            let (cell, ratio) = cell(*kind, find(results, *kind, runtime, name), base);
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
        label: kind.label(),
        better: better(kind.metric),
        note: kind.note(),
        means: logarithms.iter().map(mean).collect(),
        rows,
    })
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
                with_difference(*kind, cell(*kind, found, base).0, found, base)
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
        means: Vec::new(),
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

/// A cell, and its ratio to the baseline. The ratio has a colour only where the two intervals are apart.
fn cell(
    kind: Kind,
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
    let metric = kind.metric;
    let text = |value| format::value(value, metric.unit());
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
    let cell = Cell::Value {
        value: text(median),
        interval: if exact {
            String::new()
        } else if known(found) {
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

    fn suite_benchmark(name: &str, baseline: Option<&str>) -> SuiteBenchmark {
        SuiteBenchmark {
            version: 1,
            suite_sha256: String::new(),
            created_at: chrono::DateTime::UNIX_EPOCH,
            name: name.to_owned(),
            description: String::new(),
            identity: String::new(),
            script_sha256: String::new(),
            baseline: baseline.map(str::to_owned),
        }
    }

    fn of(metric: Metric) -> Kind {
        Kind {
            metric,
            source: CounterSource::Software,
        }
    }

    #[test]
    fn values_of_two_sources_are_two_tables() {
        let counted = |runtime: &str, source: &str, median: f64| SuiteResult {
            metric: Some("instructions".to_owned()),
            counter_source: Some(source.to_owned()),
            ..result(runtime, Some(median), 0.0)
        };
        let results = [
            counted("a", "pmu", 90.0),
            counted("a", "valgrind", 100.0),
            counted("b", "valgrind", 200.0),
        ];
        let runtimes = ["a", "b"].map(|name| Runtime {
            name: name.to_owned(),
            run_id: 1,
            baseline: name == "a",
        });
        let kind = |source| Kind {
            metric: Metric::Instructions,
            source,
        };
        let table = by_runtime(&kind(CounterSource::Valgrind), &runtimes, 0, &results).unwrap();
        assert_eq!(table.label, "Instructions, source valgrind");
        assert!(
            matches!(&table.rows[0].1[1], Cell::Value { ratio: Some((text, "regressed")), .. } if text == "2.00×")
        );
        let benchmarks = [
            suite_benchmark("plain", None),
            suite_benchmark("b", Some("plain")),
        ];
        let plain = SuiteResult {
            benchmark: "plain".to_owned(),
            ..counted("a", "valgrind", 40.0)
        };
        let all = [plain, counted("a", "valgrind", 100.0)];
        let within = by_baseline(&kind(CounterSource::Valgrind), &runtimes, &benchmarks, &all);
        let within = within.unwrap();
        assert!(
            matches!(&within.rows[0].1[0], Cell::Value { interval, .. } if interval.starts_with("60") && interval.ends_with(" more")),
            "{}",
            within.label
        );
        let table = by_runtime(&kind(CounterSource::Pmu), &runtimes, 0, &results).unwrap();
        assert!(matches!(table.rows[0].1[1], Cell::Missing));
    }

    fn result(runtime: &str, median: Option<f64>, spread: f64) -> SuiteResult {
        SuiteResult {
            runtime: runtime.to_owned(),
            host: "h".to_owned(),
            run_id: 1,
            benchmark: "b".to_owned(),
            metric: median.map(|_| "requests_per_second".to_owned()),
            counter_source: median.map(|_| "software".to_owned()),
            median,
            low: median.map(|value| value - spread),
            high: median.map(|value| value + spread),
            count: median.map(|_| 5),
            reason: median.is_none().then(|| "404".to_owned()),
        }
    }

    #[test]
    fn a_benchmark_is_compared_with_its_baseline_on_the_same_runtime() {
        let one = |runtime: &str, name: &str, median: f64| SuiteResult {
            benchmark: name.to_owned(),
            ..result(runtime, Some(median), 1.0)
        };
        let results = [
            one("a", "plain", 100.0),
            one("a", "compiled", 250.0),
            one("b", "plain", 400.0),
        ];
        let runtimes = ["a", "b"].map(|name| Runtime {
            name: name.to_owned(),
            run_id: 1,
            baseline: false,
        });
        let benchmarks = [
            suite_benchmark("plain", None),
            suite_benchmark("compiled", Some("plain")),
        ];
        let metric = &of(Metric::RequestsPerSecond);
        let table = by_baseline(metric, &runtimes, &benchmarks, &results).unwrap();
        assert_eq!(table.rows.len(), 1);
        let (name, cells) = &table.rows[0];
        assert_eq!(name, "compiled against plain");
        assert!(
            matches!(&cells[0], Cell::Value { ratio: Some((text, "improved")), .. } if text == "2.50×")
        );
        assert!(matches!(cells[1], Cell::Missing));
        assert!(by_baseline(metric, &runtimes, &benchmarks[..1], &results).is_none());
        assert!(by_baseline(&of(Metric::WallTime), &runtimes, &benchmarks, &results).is_none());
    }

    #[test]
    fn a_metric_that_one_runtime_cannot_tell_shows_why_beside_the_others() {
        let metric = |found: SuiteResult| SuiteResult {
            metric: Some("gc_pause_max".to_owned()),
            ..found
        };
        let runtimes = ["a", "b", "c"].map(|name| Runtime {
            name: name.to_owned(),
            run_id: 1,
            baseline: name == "a",
        });
        let mute = metric(result("b", None, 0.0));
        let results = [metric(result("a", Some(2.0), 0.1)), mute.clone()];
        let table = by_runtime(&of(Metric::GcPauseMax), &runtimes, 0, &results).unwrap();
        assert!(matches!(
            &table.rows[0].1[..],
            [Cell::Value { .. }, Cell::Unavailable(reason), Cell::Missing] if reason == "404"
        ));
        assert!(by_runtime(&of(Metric::GcPauseMax), &runtimes, 0, &[mute]).is_none());
    }

    #[test]
    fn a_ratio_is_coloured_only_where_the_intervals_are_apart() {
        let base = result("a", Some(100.0), 5.0);
        let class = |found: &SuiteResult| match cell(
            of(Metric::RequestsPerSecond),
            Some(found),
            Some(&base),
        ) {
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
            cell(of(Metric::WallTime), None, Some(&base)),
            (Cell::Missing, None)
        ));
        let zero = result("a", Some(0.0), 0.0);
        assert_eq!(
            cell(of(Metric::RequestsPerSecond), Some(&base), Some(&zero)).1,
            None
        );
    }
}
