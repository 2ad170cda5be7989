//! Which series a timeline draws, and what it leaves out.

use speedwell_wire::Metric;

use super::asked::Asked;
use crate::db::timeline::TimelineSeries;
use crate::web::format;

/// Lines that one page draws and that can still be told apart.
pub(in crate::web) const MOST_LINES: usize = 12;

/// The choice.
#[derive(Debug, Default)]
pub(in crate::web) struct Chosen {
    /// To draw, in order.
    pub(in crate::web) series: Vec<TimelineSeries>,
    /// Asked for, but too many.
    pub(in crate::web) left_out: Vec<TimelineSeries>,
    /// Other versions of a benchmark: its name and the version's digits.
    pub(in crate::web) versions: Vec<(String, String)>,
    /// Asked for by name, but never measured so.
    pub(in crate::web) absent: Vec<String>,
}

/// A benchmark's version in addresses: the beginning of its identity.
pub(in crate::web) fn version_of(identity: &str) -> String {
    identity.chars().take(12).collect()
}

/// Chooses among series (newest versions first). Where nothing is asked for: the main metric, the first runtime that has it, the host that has most of it.
pub(in crate::web) fn choose(all: Vec<TimelineSeries>, asked: &Asked) -> Chosen {
    let mut chosen = Chosen::default();
    let mut kept: Vec<TimelineSeries> = Vec::new();
    for same in all.chunk_by(|a, b| a.benchmark == b.benchmark) {
        let of_metric = one_metric(same, asked);
        let of_runtime = one_runtime(&of_metric, asked);
        kept.extend(one_version(&of_runtime, asked, &mut chosen.versions));
    }
    if asked.hosts.is_empty() {
        let host = busiest(&kept);
        kept.retain(|one| one.host == host);
    }
    chosen.absent = absent(&kept, asked);
    chosen.left_out = kept.split_off(kept.len().min(MOST_LINES));
    chosen.series = kept;
    chosen
}

fn one_metric<'a>(all: &'a [TimelineSeries], asked: &Asked) -> Vec<&'a TimelineSeries> {
    if !asked.metrics.is_empty() {
        return all.iter().collect();
    }
    let present = |metric: &&Metric| all.iter().any(|one| one.metric == metric.as_str());
    let main = Metric::MAIN.iter().find(present);
    let first = all.first().map(|one| one.metric.as_str());
    let metric = main.map(|metric| metric.as_str()).or(first);
    all.iter()
        .filter(|one| Some(one.metric.as_str()) == metric)
        .collect()
}

fn one_runtime<'a>(all: &[&'a TimelineSeries], asked: &Asked) -> Vec<&'a TimelineSeries> {
    let first = all.first().map(|one| one.runtime_id);
    all.iter()
        .filter(|one| !asked.runtimes.is_empty() || Some(one.runtime_id) == first)
        .copied()
        .collect()
}

/// The version that is asked for, else the newest: values of different versions are never compared.
fn one_version(
    all: &[&TimelineSeries],
    asked: &Asked,
    others: &mut Vec<(String, String)>,
) -> Vec<TimelineSeries> {
    let mut versions: Vec<&str> = all.iter().map(|one| one.identity.as_str()).collect();
    versions.dedup();
    let wanted = versions
        .iter()
        .find(|identity| !asked.version.is_empty() && identity.starts_with(&asked.version));
    let shown = wanted.or(versions.first()).copied().unwrap_or_default();
    let name = all
        .first()
        .map(|one| one.benchmark.clone())
        .unwrap_or_default();
    let other = versions.iter().filter(|identity| **identity != shown);
    others.extend(other.map(|identity| (name.clone(), version_of(identity))));
    all.iter()
        .filter(|one| one.identity == shown)
        .map(|one| (*one).clone())
        .collect()
}

/// The host with most of the series; the first of several.
fn busiest(all: &[TimelineSeries]) -> String {
    let mut hosts: Vec<&str> = all.iter().map(|one| one.host.as_str()).collect();
    hosts.sort_unstable();
    let count = |host: &&[&str]| host.len();
    let groups: Vec<&[&str]> = hosts.chunk_by(|a, b| a == b).collect();
    let most = groups.iter().rev().max_by_key(|group| count(group));
    most.and_then(|group| group.first())
        .map(|host| (*host).to_owned())
        .unwrap_or_default()
}

/// What is asked for by name and is in none of the lines.
fn absent(kept: &[TimelineSeries], asked: &Asked) -> Vec<String> {
    let missing = |names: &[String], get: fn(&TimelineSeries) -> &str| -> Vec<String> {
        let gone = names
            .iter()
            .filter(|name| !kept.iter().any(|one| get(one) == **name));
        gone.cloned().collect()
    };
    let metrics: Vec<String> = asked
        .metrics
        .iter()
        .map(|one| one.as_str().to_owned())
        .collect();
    let is_asked = |one: &TimelineSeries| one.identity.starts_with(&asked.version);
    let version = if asked.version.is_empty() || kept.iter().any(is_asked) {
        Vec::new()
    } else {
        vec![format!("version {}", asked.version)]
    };
    let labels = missing(&metrics, |one| &one.metric);
    [
        missing(&asked.benchmarks, |one| &one.benchmark),
        labels
            .iter()
            .map(|name| format::metric_label(name))
            .collect(),
        missing(&asked.runtimes, |one| &one.runtime),
        missing(&asked.hosts, |one| &one.host),
        version,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(
        benchmark: &str,
        version: &str,
        runtime: &str,
        metric: &str,
        host: &str,
    ) -> TimelineSeries {
        TimelineSeries {
            id: 1,
            runtime_id: i64::try_from(runtime.len()).unwrap(),
            host_id: 1,
            branch_id: 1,
            runtime: runtime.to_owned(),
            benchmark: benchmark.to_owned(),
            identity: version.repeat(64),
            metric: metric.to_owned(),
            counter_source: "software".to_owned(),
            host: host.to_owned(),
            detector: None,
            traced: true,
        }
    }

    fn asked(query: &[(&str, &str)]) -> Asked {
        let pairs = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Asked::parse(pairs.collect()).unwrap()
    }

    fn names(chosen: &Chosen) -> Vec<String> {
        let name = |one: &TimelineSeries| {
            format!(
                "{} {} {} {}",
                one.benchmark,
                &one.identity[..1],
                one.runtime,
                one.host
            )
        };
        chosen.series.iter().map(name).collect()
    }

    fn all() -> Vec<TimelineSeries> {
        vec![
            series("nbody", "b", "cpython", "wall_time", "one"),
            series("nbody", "b", "cpython", "wall_time", "two"),
            series("nbody", "b", "cpython", "instructions", "two"),
            series("nbody", "b", "pypy", "wall_time", "two"),
            series("nbody", "a", "cpython", "wall_time", "two"),
            series("swift", "c", "cpython", "requests_per_second", "two"),
        ]
    }

    #[test]
    fn what_is_not_asked_for_is_what_fits() {
        let chosen = choose(all(), &asked(&[]));
        assert_eq!(
            names(&chosen),
            ["nbody b cpython two", "swift c cpython two"]
        );
        assert_eq!(chosen.versions, [("nbody".to_owned(), "a".repeat(12))]);
        assert!(chosen.absent.is_empty() && chosen.left_out.is_empty());
        assert_eq!(
            names(&choose(Vec::new(), &asked(&[]))),
            Vec::<String>::new()
        );
    }

    #[test]
    fn versions_are_never_mixed_and_what_is_missing_is_named() {
        let chosen = choose(
            all(),
            &asked(&[
                ("version", "aaaa"),
                ("runtime", "cpython"),
                ("runtime", "jython"),
                ("host", "two"),
            ]),
        );
        assert_eq!(
            names(&chosen),
            ["nbody a cpython two", "swift c cpython two"]
                .map(str::to_owned)
                .into_iter()
                .collect::<Vec<_>>()
        );
        assert_eq!(chosen.absent, ["jython"]);
    }

    #[test]
    fn more_lines_than_fit_are_left_out_by_name() {
        let many = (0..20)
            .map(|index| series(&format!("b{index:02}"), "a", "cpython", "wall_time", "one"));
        let chosen = choose(many.collect(), &asked(&[]));
        assert_eq!((chosen.series.len(), chosen.left_out.len()), (12, 8));
        assert_eq!(chosen.left_out[0].benchmark, "b12");
    }
}
