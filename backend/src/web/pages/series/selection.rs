//! What the series page is asked for, and what it can offer.

use std::collections::BTreeSet;

use speedwell_wire::Metric;

use crate::db::series::SeriesName;
use crate::web::error::Error;

/// Lines that one chart can hold and still be read.
const MOST_LINES: usize = 6;

/// What the page is asked for. Names that are not there fall back to what is; numbers must be numbers.
#[derive(Debug, Default)]
pub(super) struct Selection {
    version: String,
    runtimes: BTreeSet<String>,
    host: String,
    metric: String,
    last: Option<i64>,
    /// Only positions below it.
    pub(super) before: Option<i32>,
}

impl Selection {
    /// From the query's pairs: `runtime` is there once for each checked box.
    pub(super) fn parse(pairs: Vec<(String, String)>) -> Result<Self, Error> {
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
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Error> {
    value.parse().ok().ok_or_else(|| Error::BadRequest {
        field: name.to_owned(),
        message: format!("{name}: {value:?} is no number"),
    })
}

/// A benchmark's version in addresses: the beginning of its identity.
pub(super) fn version_of(identity: &str) -> String {
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
pub(super) struct Choices {
    /// Version, the suites that hold it, whether it is shown.
    pub(super) versions: Vec<(String, String, bool)>,
    pub(super) runtimes: Vec<(String, bool)>,
    pub(super) hosts: Vec<(String, bool)>,
    pub(super) metrics: Vec<(String, String, bool)>,
    pub(super) last: i64,
}

/// The series to draw, of one version of the benchmark: values of different versions are never compared.
pub(super) fn choose<'a>(
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
    let host = hosts
        .get(selection.host.as_str())
        .or_else(|| hosts.first())
        .copied()
        .unwrap_or_default();
    let present: BTreeSet<&str> = current.iter().map(|one| one.metric.as_str()).collect();
    let metric = present
        .get(selection.metric.as_str())
        .copied()
        .unwrap_or("wall_time");
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
    let chosen = current
        .iter()
        .filter(|one| one.host == host && one.metric == metric && is_on(&one.runtime))
        .take(MOST_LINES)
        .copied()
        .collect();
    let choices = Choices {
        versions,
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
