//! What the series page is asked for, and what it can offer.

use std::collections::BTreeSet;

use speedwell_wire::Metric;

use crate::db::series::SeriesName;
use crate::web::error::Error;

/// Lines that one chart can hold and still be read.
const MOST_LINES: usize = 6;

/// What the page is asked for. Names that are not there fall back to what is; numbers must be numbers.
#[derive(Debug, Default)]
pub(in crate::web::pages) struct Selection {
    version: String,
    runtimes: BTreeSet<String>,
    host: String,
    metric: String,
    last: Option<i64>,
    /// Only positions below it.
    pub(in crate::web::pages) before: Option<i32>,
}

impl Selection {
    /// From the query's pairs: `runtime` is there once for each checked box.
    pub(in crate::web::pages) fn parse(pairs: Vec<(String, String)>) -> Result<Self, Error> {
        let mut selection = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "runtime" => selection.runtimes.extend([value]),
                "version" => selection.version = value,
                "host" => selection.host = value,
                "metric" => selection.metric = value,
                "last" => selection.last = Some(number(&name, &value)?),
                "before" => selection.before = Some(number(&name, &value)?),
                _ => {}
            }
        }
        Ok(selection)
    }

    /// Of this metric, whatever was asked for.
    pub(in crate::web::pages) fn of_metric(self, metric: Metric) -> Self {
        Self {
            metric: metric.as_str().to_owned(),
            ..self
        }
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Error> {
    value.parse().ok().ok_or_else(|| Error::BadRequest {
        field: name.to_owned(),
        message: format!("{name}: {value:?} is no number"),
    })
}

/// A benchmark's version in addresses: the beginning of its identity.
pub(in crate::web::pages) fn version_of(identity: &str) -> String {
    identity.chars().take(12).collect()
}

/// The versions, newest first: the one that is asked for is shown, else the newest one that an asked-for runtime ran.
fn versions(all: &[SeriesName], selection: &Selection) -> Vec<(String, String, bool)> {
    let mut versions: Vec<(String, String, bool)> = Vec::new();
    for one in all {
        let version = version_of(&one.identity);
        if !versions.iter().any(|known| known.0 == version) {
            versions.push((version, one.suites.clone(), false));
        }
    }
    let asked = versions.iter().position(|one| one.0 == selection.version);
    let ran = || {
        let series = all
            .iter()
            .find(|one| selection.runtimes.contains(&one.runtime))?;
        let version = version_of(&series.identity);
        versions.iter().position(|one| one.0 == version)
    };
    let chosen = asked.or_else(ran).unwrap_or(0);
    if let Some(version) = versions.get_mut(chosen) {
        version.2 = true;
    }
    versions
}

/// What can be chosen, and what is.
pub(in crate::web::pages) struct Choices {
    /// Version, the suites that hold it, whether it is shown.
    pub(in crate::web::pages) versions: Vec<(String, String, bool)>,
    /// Chosen runtimes that are not drawn: not measured on this host, or beyond the lines that fit.
    pub(in crate::web::pages) absent: Vec<String>,
    pub(in crate::web::pages) runtimes: Vec<(String, bool)>,
    pub(in crate::web::pages) hosts: Vec<(String, bool)>,
    pub(in crate::web::pages) metrics: Vec<(String, String, bool)>,
    pub(in crate::web::pages) last: i64,
}

/// The host that is asked for; else the one that measured most of what is asked for, the first of several.
fn choose_host<'a>(
    current: &[&'a SeriesName],
    hosts: &BTreeSet<&'a str>,
    selection: &Selection,
) -> &'a str {
    let wanted_on = |host: &str| {
        let wanted = current
            .iter()
            .filter(|one| one.host == host && selection.runtimes.contains(&one.runtime));
        wanted
            .map(|one| &one.runtime)
            .collect::<BTreeSet<_>>()
            .len()
    };
    hosts
        .get(selection.host.as_str())
        .or_else(|| hosts.iter().rev().max_by_key(|host| wanted_on(host)))
        .copied()
        .unwrap_or_default()
}

/// The series to draw, of one version of the benchmark: values of different versions are never compared.
pub(in crate::web::pages) fn choose<'a>(
    all: &'a [SeriesName],
    selection: &Selection,
) -> (Vec<&'a SeriesName>, Choices) {
    let versions = versions(all, selection);
    let shown = |one: &&SeriesName| {
        let of_one =
            |version: &(String, String, bool)| version.2 && one.identity.starts_with(&version.0);
        versions.iter().any(of_one)
    };
    let current: Vec<&SeriesName> = all.iter().filter(shown).collect();
    let hosts: BTreeSet<&str> = current.iter().map(|one| one.host.as_str()).collect();
    let host = choose_host(&current, &hosts, selection);
    let present: BTreeSet<&str> = current.iter().map(|one| one.metric.as_str()).collect();
    let metric = present
        .get(selection.metric.as_str())
        .copied()
        .or_else(|| {
            let main = Metric::MAIN.iter().map(|metric| metric.as_str());
            main.filter_map(|name| present.get(name).copied()).next()
        })
        .unwrap_or(Metric::WallTime.as_str());
    let mut runtimes: Vec<&str> = Vec::new();
    for one in &current {
        if !runtimes.contains(&one.runtime.as_str()) {
            runtimes.push(&one.runtime);
        }
    }
    let known = runtimes
        .iter()
        .any(|name| selection.runtimes.contains(*name));
    let is_on = |name: &str| {
        if known {
            selection.runtimes.contains(name)
        } else {
            runtimes.first() == Some(&name)
        }
    };
    let chosen: Vec<&SeriesName> = current
        .iter()
        .filter(|one| one.host == host && one.metric == metric && is_on(&one.runtime))
        .take(MOST_LINES)
        .copied()
        .collect();
    let choices = Choices {
        versions,
        absent: runtimes
            .iter()
            .filter(|name| is_on(name) && !chosen.iter().any(|one| one.runtime == **name))
            .map(|name| (*name).to_owned())
            .collect(),
        runtimes: runtimes
            .iter()
            .map(|name| ((*name).to_owned(), is_on(name)))
            .collect(),
        hosts: hosts
            .iter()
            .map(|name| ((*name).to_owned(), *name == host))
            .collect(),
        metrics: Metric::ALL
            .iter()
            .filter(|one| present.contains(one.as_str()))
            .map(|one| {
                (
                    one.as_str().to_owned(),
                    one.label().to_owned(),
                    one.as_str() == metric,
                )
            })
            .collect(),
        last: selection.last.unwrap_or(100).clamp(10, 1000),
    };
    (chosen, choices)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(runtime: &str, host: &str) -> SeriesName {
        SeriesName {
            id: 1,
            runtime: runtime.to_owned(),
            benchmark: "nbody".to_owned(),
            identity: "a".repeat(64),
            suites: "portable 1".to_owned(),
            metric: "wall_time".to_owned(),
            counter_source: "software".to_owned(),
            host: host.to_owned(),
            detector: None,
        }
    }

    #[test]
    fn the_host_with_most_of_what_is_asked_for_is_shown_and_the_rest_is_named() {
        let all = [
            series("pypy", "a"),
            series("pypy", "b"),
            series("cpython", "b"),
        ];
        let ask = |query: &[(&str, &str)]| {
            let pairs = query
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let selection = Selection::parse(pairs.collect()).unwrap();
            let (chosen, choices) = choose(&all, &selection);
            let hosts: BTreeSet<String> = chosen.iter().map(|one| one.host.clone()).collect();
            assert!(hosts.len() <= 1, "values of two hosts on one chart");
            (
                hosts.into_iter().next().unwrap_or_default(),
                chosen.len(),
                choices.absent,
            )
        };
        let both = [("runtime", "pypy"), ("runtime", "cpython")];
        assert_eq!(ask(&both), ("b".to_owned(), 2, vec![]));
        assert_eq!(ask(&both[..1]), ("a".to_owned(), 1, vec![]));
        assert_eq!(
            ask(&[both[0], both[1], ("host", "a")]),
            ("a".to_owned(), 1, vec!["cpython".to_owned()])
        );
        assert_eq!(ask(&[]).1, 1, "nothing asked for: the first runtime");
    }
}
