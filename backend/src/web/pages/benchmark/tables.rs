//! The tables of a benchmark's page, row by row.

use std::collections::BTreeSet;

use crate::chart::{self, Chart, Line, Point};
use crate::db::benchmarks::{BenchmarkChange, HostBreak, ListedBenchmark, Standing, Version};
use crate::db::series::SeriesPoint;
use crate::web::format::{self, Rounded};
use crate::web::pages::host::percent;
use crate::web::pages::run::class_words;
use crate::web::timeline::asked::Asked;
use crate::web::timeline::choose::version_of;

/// A benchmark in the list.
pub(super) struct Listed {
    pub(super) row: ListedBenchmark,
    pub(super) encoded: String,
    pub(super) newest: String,
    pub(super) smallest: Option<String>,
    /// What the smallest change leaves out; empty when it rests on rebuilds, or on neighbours.
    pub(super) caution: &'static str,
}

impl Listed {
    pub(super) fn new(row: ListedBenchmark) -> Self {
        Self {
            encoded: format::encode(&row.name),
            newest: row.newest_at.map(format::day).unwrap_or_default(),
            smallest: row.smallest_change.map(percent),
            caution: caution(row.basis.as_deref()),
            row,
        }
    }
}

/// What a smallest change leaves out.
fn caution(basis: Option<&str>) -> &'static str {
    match basis {
        Some("processes") => "from processes alone: what runs and builds do comes on top",
        Some("runs") => "from runs alone: what builds do comes on top",
        _ => "",
    }
}

/// A version with what it changed against the one before.
pub(super) struct VersionRow {
    pub(super) version: String,
    pub(super) identity: String,
    pub(super) suites: String,
    pub(super) announced: String,
    pub(super) script: String,
    pub(super) arguments: String,
    pub(super) changes: String,
}

/// The versions, newest first.
pub(super) fn versions(all: &[Version]) -> Vec<VersionRow> {
    let rows = all.iter().enumerate().map(|(index, one)| VersionRow {
        version: version_of(&one.identity),
        identity: one.identity.clone(),
        suites: one.suites.clone(),
        announced: format::day(one.created_at),
        script: one.script_sha256.chars().take(12).collect(),
        arguments: one.arguments.join(" "),
        changes: match all.get(index + 1) {
            Some(before) => difference(before, one),
            None => "the first that is known".to_owned(),
        },
    });
    rows.collect()
}

/// What is different, in words.
fn difference(before: &Version, after: &Version) -> String {
    let parts = [
        (
            before.script_sha256 != after.script_sha256,
            "another script",
        ),
        (before.inputs_sha256 != after.inputs_sha256, "other inputs"),
        (before.arguments != after.arguments, "other arguments"),
    ];
    let words: Vec<&str> = parts
        .into_iter()
        .filter_map(|(is_so, words)| is_so.then_some(words))
        .collect();
    words.join(", ")
}

/// The suites of all versions, by name.
pub(super) fn suites(all: &[Version]) -> Vec<String> {
    let named = all.iter().flat_map(|one| one.suites.split(", "));
    let names = named.filter_map(|one| Some(one.rsplit_once(' ')?.0.to_owned()));
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// How a benchmark stands on a runtime and host.
pub(super) struct Measured {
    pub(super) row: Standing,
    pub(super) label: String,
    pub(super) version: String,
    pub(super) link: String,
    /// Nothing when it was measured elsewhere.
    pub(super) reproduce: Option<String>,
    pub(super) value: String,
    pub(super) interval: String,
    pub(super) day: String,
    pub(super) short: String,
    pub(super) spark: Option<String>,
    pub(super) processes: Cell,
    pub(super) runs: Cell,
    pub(super) rebuilds: Cell,
    pub(super) neighbours: Cell,
    pub(super) one: Option<String>,
    pub(super) five: Option<String>,
    pub(super) caution: &'static str,
    pub(super) class: Option<(String, &'static str)>,
}

/// A deviation with the number of values that it is from.
type Cell = Option<(String, i32)>;

/// The row of a series.
pub(super) fn measured(
    name: &str,
    version: Option<&Version>,
    row: &Standing,
    points: &[SeriesPoint],
) -> Measured {
    let identity = version.map(|one| one.identity.as_str()).unwrap_or_default();
    let is_ours = version.is_none_or(|one| one.origin.is_none());
    let shown = Rounded::of(
        (row.median, row.interval_low, row.interval_high),
        &row.metric,
    );
    let cell = |deviation: Option<f64>, count: Option<i32>| -> Cell {
        Some((percent(deviation?), count?))
    };
    let own: Vec<&SeriesPoint> = points
        .iter()
        .filter(|point| point.series_id == row.series_id)
        .collect();
    Measured {
        label: format::metric_label(&row.metric),
        version: version_of(identity),
        link: series_of(name, identity, &row.runtime, &row.host, &row.metric).address(),
        reproduce: is_ours
            .then(|| format!("/runs/{}/reproduce/{}", row.run_id, format::encode(name))),
        interval: shown.interval(),
        value: shown.value,
        day: format::day(row.measured_at),
        short: format::short(&row.hash),
        spark: (own.len() > 1).then(|| spark(row, &own)),
        processes: cell(row.process_deviation, row.process_count),
        runs: cell(row.run_deviation, row.run_count),
        rebuilds: cell(row.rebuild_deviation, row.rebuild_count),
        neighbours: cell(row.neighbour_deviation, row.neighbour_count),
        one: row.smallest_change.map(percent),
        five: row.smallest_change_of_five.map(percent),
        caution: caution(row.basis.as_deref()),
        class: row
            .class
            .as_ref()
            .map(|class| (class.clone(), class_words(class))),
        row: row.clone(),
    }
}

/// The series of this version on a host, for links to its points.
pub(super) fn series_of(
    name: &str,
    identity: &str,
    runtime: &str,
    host: &str,
    metric: &str,
) -> Asked {
    Asked {
        version: version_of(identity),
        ..Asked::of(name, runtime, host, metric)
    }
}

/// The measured commits at equal distances; a break parts the line.
fn spark(row: &Standing, points: &[&SeriesPoint]) -> String {
    let placed: Vec<(usize, &SeriesPoint)> = points.iter().copied().enumerate().collect();
    let stretches = placed.chunk_by(|(_, before), (_, after)| {
        (before.environment_id, before.host_epoch) == (after.environment_id, after.host_epoch)
    });
    let dot = |(place, point): &(usize, &SeriesPoint)| Point {
        x: *place as f64,
        value: point.median,
        low: point.interval_low,
        high: point.interval_high,
        ..Point::default()
    };
    chart::svg(&Chart {
        label: format!(
            "{} on {}: {} over the newest {} measurements",
            row.runtime,
            row.host,
            format::metric_label(&row.metric),
            points.len()
        ),
        width: 200,
        height: 44,
        lines: vec![Line {
            colour: 0,
            stretches: stretches
                .map(|stretch| stretch.iter().map(dot).collect())
                .collect(),
            connected: true,
        }],
        ticks: Vec::new(),
        format: |value| value.to_string(),
        spark: true,
    })
}

/// A regression or improvement.
pub(super) struct Change {
    pub(super) row: BenchmarkChange,
    pub(super) metric: String,
    pub(super) text: String,
    pub(super) interval: String,
    pub(super) short: String,
    pub(super) day: String,
}

impl Change {
    pub(super) fn new(row: BenchmarkChange) -> Self {
        Self {
            metric: format::metric_label(&row.metric),
            text: format::percent(row.change),
            interval: format!(
                "{} to {}",
                format::percent(row.change_low),
                format::percent(row.change_high)
            ),
            short: format::short(&row.hash),
            day: format::day(row.committed_at),
            row,
        }
    }
}

/// A moment across which values are not compared.
pub(super) struct Event {
    pub(super) moment: String,
    pub(super) place: String,
    pub(super) words: String,
}

/// Breaks of hosts and versions of the benchmark, newest first.
pub(super) fn events(breaks: &[HostBreak], versions: &[Version]) -> Vec<Event> {
    let of_hosts = breaks.iter().map(|one| {
        let words = match (&one.control, one.change) {
            (Some(control), Some(change)) => {
                format!(
                    "the control {control} moved by {}: the host is no longer as it was",
                    format::percent(change)
                )
            }
            (Some(_), None) | (None, _) => "another environment (see the host)".to_owned(),
        };
        (one.at, one.host.clone(), words)
    });
    let pairs = versions.iter().zip(versions.iter().skip(1));
    let of_versions = pairs.map(|(after, before)| {
        let words = format!(
            "version {} of the benchmark: {}",
            version_of(&after.identity),
            difference(before, after)
        );
        (after.created_at, String::new(), words)
    });
    let mut all: Vec<_> = of_hosts.chain(of_versions).collect();
    all.sort_by_key(|(at, _, _)| std::cmp::Reverse(*at));
    all.into_iter()
        .map(|(at, place, words)| Event {
            moment: format::moment(at),
            place,
            words,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    fn version(id: i64, script: &str, arguments: &[&str]) -> Version {
        Version {
            id,
            description: String::new(),
            identity: format!("{id:064}"),
            script_sha256: script.to_owned(),
            inputs_sha256: String::new(),
            arguments: arguments.iter().map(|one| (*one).to_owned()).collect(),
            created_at: DateTime::UNIX_EPOCH + TimeDelta::days(id),
            suites: format!("portable {id}, web modern {id}"),
            origin: None,
        }
    }

    #[test]
    fn versions_say_what_changed_and_break_the_series() {
        let all = [version(2, "b", &["-x"]), version(1, "a", &[])];
        let rows = versions(&all);
        assert_eq!(rows[0].changes, "another script, other arguments");
        assert_eq!(rows[1].changes, "the first that is known");
        assert_eq!(suites(&all), ["portable", "web modern"]);
        let moved = HostBreak {
            at: DateTime::UNIX_EPOCH + TimeDelta::days(3),
            host: "lab".to_owned(),
            control: Some("frozen".to_owned()),
            change: Some(0.02),
        };
        let events = events(&[moved], &all);
        assert!(events[0].words.contains("frozen moved by +2.0"));
        assert!(events[1].words.contains("another script"));
        assert_eq!(events.len(), 2);
    }
}
