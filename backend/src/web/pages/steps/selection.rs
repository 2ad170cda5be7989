//! What the page of a step is asked for, and what it can offer.

use std::collections::BTreeSet;

use crate::db::series::SeriesName;
use crate::web::error::Error;

/// Lines that one chart can hold and still be read.
const MOST_LINES: usize = 6;

/// What the page is asked for. Names that are not there fall back to what is; numbers must be numbers.
#[derive(Debug, Default)]
pub(super) struct Selection {
    runtimes: BTreeSet<String>,
    host: String,
    last: Option<i64>,
}

impl Selection {
    /// From the query's pairs: `runtime` is there once for each checked box.
    pub(super) fn parse(pairs: Vec<(String, String)>) -> Result<Self, Error> {
        let mut selection = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "runtime" => selection.runtimes.extend([value]),
                "host" => selection.host = value,
                "last" => {
                    let last = value.parse().map_err(|_not_one| Error::BadRequest {
                        message: format!("{name}: {value:?} is no number"),
                        field: name,
                    })?;
                    selection.last = Some(last);
                }
                _ => {}
            }
        }
        Ok(selection)
    }
}

/// What can be chosen, and what is.
pub(super) struct Choices {
    /// Chosen runtimes that are not drawn: not counted on this host or by this version, or beyond the lines that fit.
    pub(super) absent: Vec<String>,
    pub(super) runtimes: Vec<(String, bool)>,
    pub(super) hosts: Vec<(String, bool)>,
    pub(super) last: i64,
}

/// The version to show, as its identity: the newest one that an asked-for runtime ran, else the newest.
fn version<'a>(all: &'a [SeriesName], selection: &Selection) -> &'a str {
    let ran = all
        .iter()
        .find(|one| selection.runtimes.contains(&one.runtime));
    let shown = ran.or(all.first());
    shown.map_or("", |one| one.identity.as_str())
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

/// The series to draw, of one version of the step: values of different versions are never compared.
pub(super) fn choose<'a>(
    all: &'a [SeriesName],
    selection: &Selection,
) -> (Vec<&'a SeriesName>, Choices) {
    let shown = version(all, selection);
    let current: Vec<&SeriesName> = all.iter().filter(|one| one.identity == shown).collect();
    let hosts: BTreeSet<&str> = current.iter().map(|one| one.host.as_str()).collect();
    let host = choose_host(&current, &hosts, selection);
    // Every runtime that counted the step in any version: one that is chosen but not drawn is named.
    let mut runtimes: Vec<&str> = Vec::new();
    for one in current.iter().copied().chain(all) {
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
        .filter(|one| one.host == host && is_on(&one.runtime))
        .take(MOST_LINES)
        .copied()
        .collect();
    let absent = runtimes
        .iter()
        .filter(|name| is_on(name) && !chosen.iter().any(|one| one.runtime == **name));
    let choices = Choices {
        absent: absent.map(|name| (*name).to_owned()).collect(),
        runtimes: runtimes
            .iter()
            .map(|name| ((*name).to_owned(), is_on(name)))
            .collect(),
        hosts: hosts
            .iter()
            .map(|name| ((*name).to_owned(), *name == host))
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
            metric: "instructions".to_owned(),
            counter_source: "pmu".to_owned(),
            host: host.to_owned(),
            detector: None,
            origin: None,
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
