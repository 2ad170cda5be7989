//! The daily report of a runtime: what each benchmark, the mean of all, the counters and the hosts did; pure.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use speedwell_wire::{Direction, Metric};

use super::compare::{Estimate, Ratio, geometric_mean};

/// Counters whose mean moved less than this are not listed.
const COUNTER_FLOOR: f64 = 0.005;

/// What a report compares with, in the order of its columns.
pub const BASES: [&str; 3] = ["yesterday", "a week ago", "the last release"];

/// The newest value of a series, and what it was at each of [`BASES`]; only values that may be compared (same environment, same
/// epoch of the host).
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesFacts {
    /// The benchmark.
    pub benchmark: String,
    /// The metric's name.
    pub metric: String,
    /// Counter source.
    pub source: String,
    /// The host.
    pub host: String,
    /// Newest value.
    pub newest: Estimate,
    /// Branch position of it.
    pub position: i32,
    /// Values then, with their positions.
    pub before: [Option<(Estimate, i32)>; 3],
}

/// A ratio minus one with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// New against old, minus one.
    pub change: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Values that it was made from.
    pub count: usize,
}

impl Moved {
    /// `None` when it is no number that can be stored.
    fn of(ratio: Ratio) -> Option<Self> {
        let all = [ratio.ratio, ratio.low, ratio.high];
        all.iter().all(|one| one.is_finite()).then_some(Self {
            change: ratio.ratio - 1.0,
            low: ratio.low - 1.0,
            high: ratio.high - 1.0,
            count: ratio.count,
        })
    }

    /// Whether the interval leaves out "no change".
    pub fn is_significant(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// One benchmark on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchmarkLine {
    /// Its name.
    pub benchmark: String,
    /// The metric that it is there for.
    pub metric: String,
    /// The host.
    pub host: String,
    /// Change against each of [`BASES`]; absent: nothing to compare with.
    pub moved: [Option<Moved>; 3],
}

/// A counter's mean over all benchmarks of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CounterLine {
    /// The metric.
    pub metric: String,
    /// Counter source.
    pub source: String,
    /// The host.
    pub host: String,
    /// As in [`BenchmarkLine`].
    pub moved: [Option<Moved>; 3],
}

/// How a host fares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostLine {
    /// Its name.
    pub host: String,
    /// When it was last heard of.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Its runs of this runtime within a day.
    pub runs: i64,
    /// Those with something wrong about the host.
    pub flagged: i64,
    /// Controls on it that are not as they were.
    pub unsteady: i64,
}

/// A day's report; stored as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The runtime.
    pub runtime: String,
    /// The day.
    pub day: NaiveDate,
    /// Newest measured commit.
    pub hash: Option<String>,
    /// Its subject.
    pub subject: Option<String>,
    /// Tag of the last release that was measured.
    pub release: Option<String>,
    /// Benchmarks by name and host.
    pub benchmarks: Vec<BenchmarkLine>,
    /// Geometric mean of the benchmarks' times (of throughputs: their inverse) against each of [`BASES`]: more is slower. Its
    /// interval is made from the intervals of the pairs, taken as independent.
    pub means: [Option<Moved>; 3],
    /// Benchmarks that are left out of each mean: nothing to compare with.
    pub left_out: [Vec<String>; 3],
    /// Counters that moved.
    pub counters: Vec<CounterLine>,
    /// Hosts that measured it.
    pub hosts: Vec<HostLine>,
}

/// What a report says of itself beside its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Heading {
    /// The runtime.
    pub runtime: String,
    /// The day.
    pub day: NaiveDate,
    /// Newest measured commit.
    pub hash: Option<String>,
    /// Its subject.
    pub subject: Option<String>,
    /// Tag of the last release that was measured.
    pub release: Option<String>,
}

/// Makes the report.
pub fn make(heading: Heading, series: &[SeriesFacts], hosts: Vec<HostLine>) -> Report {
    let is_main = |one: &&SeriesFacts| Metric::MAIN.iter().any(|main| main.as_str() == one.metric);
    let main: Vec<&SeriesFacts> = series.iter().filter(is_main).collect();
    let benchmarks = main.iter().map(|one| line(one)).collect();
    let mean = |base: usize| geometric_mean(&pairs(&main, base)).and_then(Moved::of);
    let left_out = |base: usize| {
        let out = main.iter().filter(|one| one.before[base].is_none());
        out.map(|one| format!("{} on {}", one.benchmark, one.host))
            .collect()
    };
    let Heading {
        runtime,
        day,
        hash,
        subject,
        release,
    } = heading;
    Report {
        runtime,
        day,
        hash,
        subject,
        release,
        benchmarks,
        means: [mean(0), mean(1), mean(2)],
        left_out: [left_out(0), left_out(1), left_out(2)],
        counters: counters(series.iter().filter(|one| !is_main(one))),
        hosts,
    }
}

/// Pairs of new and old for a mean in which more is slower.
fn pairs(series: &[&SeriesFacts], base: usize) -> Vec<(Estimate, Estimate)> {
    let pair = |one: &&SeriesFacts| {
        let (old, _) = one.before[base]?;
        let higher = one
            .metric
            .parse::<Metric>()
            .is_ok_and(|metric| metric.direction() == Direction::HigherIsBetter);
        // Of a throughput the inverse: a ratio of old to new.
        Some(if higher {
            (old, one.newest)
        } else {
            (one.newest, old)
        })
    };
    series.iter().filter_map(pair).collect()
}

fn line(one: &SeriesFacts) -> BenchmarkLine {
    let moved = |base: usize| {
        let (old, _) = one.before[base]?;
        one.newest.against(&old).and_then(Moved::of)
    };
    BenchmarkLine {
        benchmark: one.benchmark.clone(),
        metric: one.metric.clone(),
        host: one.host.clone(),
        moved: [moved(0), moved(1), moved(2)],
    }
}

/// Means of counters that moved beyond their interval and the floor against at least one base; as measured, not turned.
fn counters<'a>(series: impl Iterator<Item = &'a SeriesFacts>) -> Vec<CounterLine> {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&SeriesFacts>> = BTreeMap::new();
    for one in series {
        groups
            .entry((&one.host, &one.metric, &one.source))
            .or_default()
            .push(one);
    }
    let line = |((host, metric, source), all): ((&str, &str, &str), Vec<&SeriesFacts>)| {
        let mean = |base: usize| {
            let pairs: Vec<(Estimate, Estimate)> = all
                .iter()
                .filter_map(|one| one.before[base].map(|(old, _)| (one.newest, old)))
                .collect();
            geometric_mean(&pairs).and_then(Moved::of)
        };
        CounterLine {
            metric: metric.to_owned(),
            source: source.to_owned(),
            host: host.to_owned(),
            moved: [mean(0), mean(1), mean(2)],
        }
    };
    let moved = |one: &Moved| one.is_significant() && one.change.abs() >= COUNTER_FLOOR;
    let mut lines: Vec<CounterLine> = groups.into_iter().map(line).collect();
    lines.retain(|line| line.moved.iter().flatten().any(moved));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(median: f64) -> Estimate {
        Estimate {
            median,
            low: median * 0.999,
            high: median * 1.001,
        }
    }

    fn facts(benchmark: &str, metric: &str, newest: f64, before: [Option<f64>; 3]) -> SeriesFacts {
        SeriesFacts {
            benchmark: benchmark.to_owned(),
            metric: metric.to_owned(),
            source: "pmu".to_owned(),
            host: "lab-1".to_owned(),
            newest: estimate(newest),
            position: 9,
            before: before.map(|one| one.map(|value| (estimate(value), 1))),
        }
    }

    fn report(series: &[SeriesFacts]) -> Report {
        let heading = Heading {
            runtime: "cpython-main".to_owned(),
            day: NaiveDate::default(),
            hash: None,
            subject: None,
            release: None,
        };
        make(heading, series, Vec::new())
    }

    #[test]
    fn times_and_throughputs_make_one_mean_and_the_rest_is_left_out() {
        let report = report(&[
            facts("slow", "wall_time", 1.1, [Some(1.0), Some(1.0), None]),
            facts(
                "server",
                "requests_per_second",
                110.0,
                [Some(100.0), None, None],
            ),
        ]);
        let mean = report.means[0].unwrap();
        assert!(mean.change.abs() < 1e-12 && mean.count == 2, "{mean:?}");
        assert!((report.means[1].unwrap().change - 0.1).abs() < 1e-9);
        assert_eq!(report.means[2], None);
        assert_eq!(report.left_out[1], ["server on lab-1"]);
        assert!(report.benchmarks[1].moved[0].unwrap().change > 0.09);
    }

    #[test]
    fn only_counters_that_moved_are_listed() {
        let report = report(&[
            facts("a", "instructions", 110.0, [Some(100.0), None, None]),
            facts("a", "cycles", 100.2, [Some(100.0), None, None]),
            facts(
                "a",
                "branch_misses",
                f64::NAN,
                [Some(100.0), Some(0.0), None],
            ),
        ]);
        let named: Vec<&str> = report
            .counters
            .iter()
            .map(|one| one.metric.as_str())
            .collect();
        assert_eq!(named, ["instructions"]);
        assert!(report.benchmarks.is_empty() && report.means == [None; 3]);
    }

    #[test]
    fn it_is_stored_and_read_back_as_it_is() {
        let before = report(&[facts(
            "huge",
            "wall_time",
            1e300,
            [Some(1e300), Some(1e-300), None],
        )]);
        let text = serde_json::to_string(&before).unwrap();
        let after: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(after.benchmarks.len(), 1);
        assert_eq!(report(&[]).benchmarks.len(), 0);
    }
}
