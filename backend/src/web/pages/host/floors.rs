//! Tables of noise floors: one for each metric and source, what benchmarks are there for first.

use speedwell_wire::{CounterSource, Metric};

use crate::db::noise::FloorRow;
use crate::web::format;
use crate::web::timeline::asked::Asked;
use crate::web::timeline::choose::version_of;

/// One metric from one source.
pub(super) struct Table {
    pub(super) label: String,
    /// Shown at once; the others are folded.
    pub(super) main: bool,
    pub(super) rows: Vec<Row>,
}

/// One benchmark.
pub(super) struct Row {
    pub(super) benchmark: String,
    pub(super) link: String,
    pub(super) processes: Cell,
    pub(super) runs: Cell,
    pub(super) rebuilds: Cell,
    pub(super) neighbours: Cell,
    pub(super) one: Option<String>,
    pub(super) five: Option<String>,
    /// What the smallest changes leave out; empty when they rest on rebuilds, or on neighbours.
    pub(super) caution: &'static str,
}

/// A deviation with the number of values that it is from.
pub(super) type Cell = Option<(String, i32)>;

/// The tables of a runtime's floors on a host.
pub(super) fn tables(floors: &[FloorRow], host: &str, runtime: &str) -> Vec<Table> {
    let mut kinds: Vec<(&str, &str)> = Vec::new();
    for one in floors {
        let kind = (one.metric.as_str(), one.counter_source.as_str());
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let is_main = |metric: &str| Metric::MAIN.iter().any(|main| main.as_str() == metric);
    kinds.sort_by_key(|(metric, source)| (!is_main(metric), format::metric_label(metric), *source));
    let table = |(metric, source): (&str, &str)| Table {
        label: match source.parse::<CounterSource>() {
            Ok(CounterSource::Software | CounterSource::Pmu) => format::metric_label(metric),
            _ => format!("{}, source {source}", format::metric_label(metric)),
        },
        main: is_main(metric),
        rows: floors
            .iter()
            .filter(|one| one.metric == metric && one.counter_source == source)
            .map(|one| row(one, host, runtime))
            .collect(),
    };
    kinds.into_iter().map(table).collect()
}

fn row(one: &FloorRow, host: &str, runtime: &str) -> Row {
    let cell = |deviation: Option<f64>, count: Option<i32>| -> Cell {
        Some((percent(deviation?), count?))
    };
    Row {
        link: Asked {
            version: version_of(&one.identity),
            ..Asked::of(&one.benchmark, runtime, host, &one.metric)
        }
        .address(),
        benchmark: one.benchmark.clone(),
        processes: cell(one.process_deviation, one.process_count),
        runs: cell(one.run_deviation, one.run_count),
        rebuilds: cell(one.rebuild_deviation, one.rebuild_count),
        neighbours: cell(one.neighbour_deviation, one.neighbour_count),
        one: one.smallest_change.map(percent),
        five: one.smallest_change_of_five.map(percent),
        caution: match one.basis.as_deref() {
            Some("processes") => "from processes alone: what runs and builds do comes on top",
            Some("runs") => "from runs alone: what builds do comes on top",
            _ => "",
        },
    }
}

/// A share without a sign; what is small keeps two digits that say something.
pub(in crate::web::pages) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let text = if percent >= 99.95 {
        format!("{percent:.0}")
    } else if percent >= 0.0995 || percent == 0.0 {
        format!("{percent:.2}")
    } else if percent >= 0.000_995 {
        format!("{percent:.4}")
    } else {
        format!("{percent:.1e}")
    };
    format!("{text}\u{a0}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(metric: &str, basis: Option<&str>) -> FloorRow {
        FloorRow {
            benchmark: "a b".to_owned(),
            identity: "f".repeat(64),
            metric: metric.to_owned(),
            counter_source: "software".to_owned(),
            process_deviation: basis.map(|_| 0.0042),
            process_count: basis.map(|_| 25),
            run_deviation: None,
            run_count: None,
            rebuild_deviation: None,
            rebuild_count: None,
            neighbour_deviation: None,
            neighbour_count: None,
            smallest_change: basis.map(|_| 0.0123),
            smallest_change_of_five: basis.map(|_| 0.0000042),
            basis: basis.map(str::to_owned),
        }
    }

    #[test]
    fn the_main_metric_comes_first_and_what_is_missing_is_missing() {
        let found = tables(
            &[
                floor("max_rss", None),
                floor("wall_time", Some("processes")),
            ],
            "lab",
            "cpython",
        );
        assert!(found[0].main && !found[1].main);
        let row = &found[0].rows[0];
        assert_eq!(row.processes, Some(("0.42\u{a0}%".to_owned(), 25)));
        assert_eq!((&row.runs, &row.rebuilds), (&None, &None));
        assert_eq!(row.one.as_deref(), Some("1.23\u{a0}%"));
        assert_eq!(row.five.as_deref(), Some("4.2e-4\u{a0}%"));
        assert!(row.caution.contains("on top") && row.link.contains("a%20b"));
        assert_eq!(found[1].rows[0].processes, None);
        assert!(tables(&[], "lab", "").is_empty());
        assert_eq!(percent(0.0), "0.00\u{a0}%");
        assert_eq!(percent(0.0005), "0.0500\u{a0}%");
    }
}
