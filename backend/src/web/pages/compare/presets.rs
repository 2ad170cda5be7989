//! Comparisons that people ask for, of what was measured on one host: Python 2 against 3, CPython against PyPy, releases, build options.

use crate::db::subjects::Measurable;
use crate::domain::subject::{Point, Subject};
use crate::web::comparison::Address;

/// Most of each kind: the page is for choosing, not for reading.
const MOST: usize = 6;

/// A comparison that is ready.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Preset {
    /// Its kind.
    pub(super) kind: &'static str,
    /// `cpython-2.7 against cpython-main`.
    pub(super) title: String,
    /// The query of its address.
    pub(super) query: String,
}

/// All that have data. `tags` are the measured ones as `(runtime, tag)`, the newest first.
pub(super) fn presets(runtimes: &[Measurable], tags: &[(String, String)]) -> Vec<Preset> {
    let live: Vec<&Measurable> = runtimes
        .iter()
        .filter(|one| one.enabled && !one.control)
        .collect();
    let mut found = Vec::new();
    let languages = |a: &Measurable, b: &Measurable| {
        a.language == "python2" && b.language == "python3" && family(a) == family(b)
    };
    pairs(&mut found, "Python 2 against 3", &live, languages);
    let interpreters = |a: &Measurable, b: &Measurable| {
        a.language == b.language && family(a) == "cpython" && family(b) != "cpython"
    };
    pairs(&mut found, "CPython against others", &live, interpreters);
    let place = |one: &Measurable| live.iter().position(|other| other.name == one.name);
    let options = |a: &Measurable, b: &Measurable| {
        a.branch_id == b.branch_id && a.recipe != b.recipe && place(a) < place(b)
    };
    pairs(&mut found, "Build options, JIT on and off", &live, options);
    let of = |one: &Measurable| -> Vec<&str> {
        let own = tags.iter().filter(|(runtime, _)| *runtime == one.name);
        own.map(|(_, tag)| tag.as_str()).collect()
    };
    let releases = live.iter().filter_map(|one| match of(one).as_slice() {
        [new, old, ..] => Some(preset(
            "The last two releases",
            [subject(one, Some(old)), subject(one, Some(new))],
        )),
        [] | [_] => None,
    });
    found.extend(releases.take(MOST));
    let since = live.iter().filter_map(|one| {
        let newest = *of(one).first()?;
        Some(preset(
            "Since the last release",
            [subject(one, Some(newest)), subject(one, None)],
        ))
    });
    found.extend(since.take(MOST));
    let lines = |a: &Measurable, b: &Measurable| {
        a.language == b.language
            && family(a) == family(b)
            && a.branch_id != b.branch_id
            && place(a) < place(b)
    };
    pairs(&mut found, "Branches of one interpreter", &live, lines);
    found
}

fn family(one: &Measurable) -> &str {
    one.recipe["family"].as_str().unwrap_or_default()
}

/// Adds the pairs of one kind that were measured on one host.
fn pairs(
    found: &mut Vec<Preset>,
    kind: &'static str,
    runtimes: &[&Measurable],
    is_one: impl Fn(&Measurable, &Measurable) -> bool,
) {
    let mut count = 0;
    for a in runtimes {
        for b in runtimes {
            let shares_host = a.hosts.iter().any(|host| b.hosts.contains(host));
            if count < MOST && a.name != b.name && shares_host && is_one(a, b) {
                found.push(preset(kind, [subject(a, None), subject(b, None)]));
                count += 1;
            }
        }
    }
}

fn subject(runtime: &Measurable, tag: Option<&str>) -> Subject {
    Subject {
        runtime: runtime.name.clone(),
        point: tag.map_or(Point::Head, |tag| Point::Named(tag.to_owned())),
        host: None,
    }
}

fn preset(kind: &'static str, subjects: [Subject; 2]) -> Preset {
    let words = subjects.each_ref().map(|one| match &one.point {
        Point::Head => one.runtime.clone(),
        Point::Named(name) => format!("{} {name}", one.runtime),
    });
    Preset {
        kind,
        title: words.join(" against "),
        query: Address::of(&subjects).query(),
    }
}
