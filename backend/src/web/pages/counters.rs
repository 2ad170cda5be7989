//! The counters of a run: top-down bars, and every counted metric by benchmark, a table for each source.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use askama::Template;
use speedwell_wire::{CounterSource, Metric};

use super::widgets::{Share, shares_bar};
use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::runs::{self, RunDetail, RunMeasurement, RunUnavailable};
use crate::web::error::Error;
use crate::web::format;

/// Level 1 of the top-down analysis, in the order of the bars, and for each its parts on level 2.
pub(super) const TOP_DOWN: [(Metric, [Metric; 2]); 4] = [
    (
        Metric::FrontendBound,
        [Metric::FetchLatency, Metric::FetchBandwidth],
    ),
    (
        Metric::BadSpeculation,
        [Metric::BranchMispredicts, Metric::MachineClears],
    ),
    (
        Metric::BackendBound,
        [Metric::MemoryBound, Metric::CoreBound],
    ),
    (
        Metric::Retiring,
        [Metric::HeavyOperations, Metric::LightOperations],
    ),
];

/// What stands in the tables: counted by the kernel, the processor or valgrind, and what follows from it.
const COUNTED: [Metric; 17] = [
    Metric::TaskClock,
    Metric::Instructions,
    Metric::Cycles,
    Metric::Ipc,
    Metric::Branches,
    Metric::BranchMisses,
    Metric::L1iMpki,
    Metric::ItlbMpki,
    Metric::L1dMpki,
    Metric::DtlbMpki,
    Metric::LlcMpki,
    Metric::PackageEnergy,
    Metric::MemoryEnergy,
    Metric::PageFaults,
    Metric::ContextSwitches,
    Metric::MaxRss,
    Metric::SteadyRss,
];

#[derive(Template)]
#[template(path = "counters.html")]
struct Page {
    shell: Shell,
    run: RunDetail,
    short: String,
    bars: Vec<Bars>,
    /// Where the shares come from; empty without bars.
    bars_source: String,
    tables: Vec<Table>,
    missing: Vec<(String, String, usize)>,
}

/// Where the slots of one benchmark's pipeline went.
pub(super) struct Bars {
    pub(super) benchmark: String,
    /// False: the mean over the benchmarks.
    pub(super) is_benchmark: bool,
    pub(super) svg: String,
    /// Each share of level 1, and its parts in words.
    pub(super) cells: Vec<(String, String)>,
}

/// All values of one source.
struct Table {
    source: &'static str,
    /// Name and label of each column.
    columns: Vec<(&'static str, &'static str)>,
    rows: Vec<(String, Vec<String>)>,
}

pub(super) async fn counters(
    context: Data<Context>,
    id: Path<i64>,
) -> Result<HttpResponse, PageError> {
    let run = runs::find(&context.pool, *id).await?;
    let run = run.ok_or_else(|| Error::NotFound(format!("There is no run {id}.")))?;
    let measurements = runs::list_measurements(&context.pool, *id).await?;
    let unavailable = runs::list_unavailable(&context.pool, *id).await?;
    let (bars, bars_source) = bars(&measurements);
    render(&Page {
        shell: Shell::new(format!("Counters of run {id}"), "home"),
        short: format::short(&run.hash),
        bars,
        bars_source,
        tables: tables(&measurements),
        missing: missing(&unavailable),
        run,
    })
}

/// The counted metrics that are missing, once per reason.
fn missing(unavailable: &[RunUnavailable]) -> Vec<(String, String, usize)> {
    let counted = unavailable.iter().filter(|one| {
        let metric = one.metric.as_deref().and_then(|name| name.parse().ok());
        metric.is_some_and(|metric| COUNTED.contains(&metric) || is_top_down(metric))
    });
    super::run::missing_metrics(counted)
}

fn is_top_down(metric: Metric) -> bool {
    TOP_DOWN
        .iter()
        .any(|(whole, parts)| *whole == metric || parts.contains(&metric))
}

pub(super) type Values = BTreeMap<Metric, f64>;

/// A bar for each benchmark that has all of level 1, and before them their mean. With the source, which is one: shares of two
/// sources are not set side by side, and those of the first are shown.
fn bars(measurements: &[RunMeasurement]) -> (Vec<Bars>, String) {
    let whole = Metric::FrontendBound.as_str();
    let source = measurements.iter().find(|one| one.metric == whole);
    let Some(source) = source.map(|one| one.counter_source.clone()) else {
        return (Vec::new(), String::new());
    };
    let mut by_benchmark: BTreeMap<&str, Values> = BTreeMap::new();
    for one in measurements
        .iter()
        .filter(|one| one.counter_source == source)
    {
        if let Ok(metric) = one.metric.parse::<Metric>() {
            let values = by_benchmark.entry(&one.benchmark).or_default();
            values.insert(metric, one.median);
        }
    }
    by_benchmark.retain(|_, values| TOP_DOWN.iter().all(|(of, _)| values.contains_key(of)));
    let mut mean = Values::new();
    for (level_1, parts) in TOP_DOWN {
        for metric in [level_1].into_iter().chain(parts) {
            let all: Option<Vec<f64>> = by_benchmark
                .values()
                .map(|values| values.get(&metric).copied())
                .collect();
            if let Some(all) = all.filter(|all| !all.is_empty()) {
                mean.insert(metric, all.iter().sum::<f64>() / all.len() as f64);
            }
        }
    }
    let words = format!("mean of {}", by_benchmark.len());
    let mut rows = vec![bar(words, false, &mean)];
    let each = by_benchmark.into_iter();
    rows.extend(each.map(|(name, values)| bar(name.to_owned(), true, &values)));
    (rows, source)
}

pub(super) fn bar(benchmark: String, is_benchmark: bool, values: &Values) -> Bars {
    let of = |metric: Metric| values.get(&metric).copied();
    let percent = |share: f64| format!("{:.1}\u{a0}%", share * 100.0);
    let shares: Vec<Share> = TOP_DOWN
        .iter()
        .map(|(metric, parts)| Share {
            class: metric.as_str(),
            share: of(*metric).unwrap_or(0.0),
            title: format!(
                "{}: {}",
                metric.label(),
                percent(of(*metric).unwrap_or(0.0))
            ),
            // Of the two, the first is drawn within its whole; the rest of it is the second.
            within: of(parts[0])
                .map(|share| (share, format!("{}: {}", parts[0].label(), percent(share)))),
        })
        .collect();
    let cells = TOP_DOWN.iter().map(|(metric, parts)| {
        let parts = parts.iter().filter_map(|part| {
            let name = part.as_str().replace('_', " ");
            Some(format!("{name} {}", percent(of(*part)?)))
        });
        let whole = of(*metric).map_or_else(String::new, percent);
        (whole, parts.collect::<Vec<_>>().join(", "))
    });
    Bars {
        svg: shares_bar(
            &format!("{benchmark}: where the pipeline's slots went"),
            &shares,
        ),
        cells: cells.collect(),
        benchmark,
        is_benchmark,
    }
}

/// A table for each source, with the columns that have a value.
fn tables(measurements: &[RunMeasurement]) -> Vec<Table> {
    let of_source = |source: CounterSource| {
        let own: Vec<&RunMeasurement> = measurements
            .iter()
            .filter(|one| one.counter_source == source.as_str())
            .collect();
        let columns: Vec<Metric> = COUNTED
            .into_iter()
            .filter(|metric| own.iter().any(|one| one.metric == metric.as_str()))
            .collect();
        let rows = own.chunk_by(|a, b| a.benchmark == b.benchmark).map(|all| {
            let value = |metric: &Metric| {
                let found = all.iter().find(|one| one.metric == metric.as_str());
                found.map_or_else(String::new, |one| format::value(one.median, metric.unit()))
            };
            let name = all[0].benchmark.clone();
            (name, columns.iter().map(value).collect::<Vec<_>>())
        });
        let rows = rows.filter(|(_, values)| values.iter().any(|text| !text.is_empty()));
        (!columns.is_empty()).then(|| Table {
            source: source.as_str(),
            rows: rows.collect(),
            columns: columns
                .iter()
                .map(|metric| (metric.as_str(), metric.label()))
                .collect(),
        })
    };
    let sources = [
        CounterSource::Pmu,
        CounterSource::PmuEmulated,
        CounterSource::Valgrind,
        CounterSource::Software,
    ];
    sources.into_iter().filter_map(of_source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(benchmark: &str, metric: Metric, source: CounterSource, median: f64) -> RunMeasurement {
        RunMeasurement {
            benchmark: benchmark.to_owned(),
            metric: metric.as_str().to_owned(),
            counter_source: source.as_str().to_owned(),
            sample_count: 1,
            median,
            mean: median,
            mad: 0.0,
            min: median,
            max: median,
            interval_low: median,
            interval_high: median,
            sample_values: vec![median],
            sample_process: vec![0],
            sample_warmup: vec![false],
        }
    }

    fn slots(benchmark: &str, front: f64) -> Vec<RunMeasurement> {
        let pmu = CounterSource::Pmu;
        vec![
            one(benchmark, Metric::BackendBound, pmu, 0.2),
            one(benchmark, Metric::BadSpeculation, pmu, 0.1),
            one(benchmark, Metric::FetchLatency, pmu, front / 2.0),
            one(benchmark, Metric::FrontendBound, pmu, front),
            one(benchmark, Metric::Retiring, pmu, 0.7 - front),
        ]
    }

    #[test]
    fn bars_are_of_one_source_and_their_mean_comes_first() {
        assert!(bars(&[]).0.is_empty());
        let mut all = slots("a", 0.4);
        all.extend(slots("b", 0.6));
        // Half of level 1 is no bar; what another source says is not mixed in.
        all.push(one("c", Metric::Retiring, CounterSource::Pmu, 0.5));
        all.push(one(
            "a",
            Metric::FrontendBound,
            CounterSource::PmuEmulated,
            0.9,
        ));
        let (bars, source) = bars(&all);
        assert_eq!(source, "pmu");
        let names: Vec<&str> = bars.iter().map(|one| one.benchmark.as_str()).collect();
        assert_eq!(names, ["mean of 2", "a", "b"]);
        assert_eq!(
            bars[0].cells[0],
            (
                "50.0\u{a0}%".to_owned(),
                "fetch latency 25.0\u{a0}%".to_owned()
            )
        );
        assert_eq!(bars[1].cells[0].0, "40.0\u{a0}%");
        assert_eq!(bars[1].cells[2].1, "", "no part is known");
    }

    #[test]
    fn each_source_has_a_table_of_its_own() {
        let all = [
            one("a", Metric::Instructions, CounterSource::Pmu, 2e9),
            one("a", Metric::Instructions, CounterSource::Valgrind, 1e9),
            one("a", Metric::WallTime, CounterSource::Software, 0.1),
            one("b", Metric::TaskClock, CounterSource::Software, 0.5),
        ];
        let tables = tables(&all);
        let sources: Vec<_> = tables.iter().map(|one| one.source).collect();
        assert_eq!(sources, ["pmu", "valgrind", "software"]);
        assert_eq!(tables[2].rows.len(), 1, "wall time is not counted");
        assert_eq!(tables[0].columns, [("instructions", "Instructions")]);
    }
}
