//! The part of a regression's page that says what processes did on both sides.

use crate::db::warmup::SideClass;
use crate::web::pages::run::class_words;

/// Benchmarks that are shown.
const MOST: usize = 20;

/// A benchmark's classes on both sides.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WarmupRow {
    pub(super) benchmark: String,
    pub(super) place: String,
    pub(super) before: String,
    pub(super) after: String,
    /// Whether most runs have another class than before; absent where one side has no usual one.
    pub(super) changed: Option<bool>,
}

/// For the page: those whose class has changed first. `classes` are in the order of series and sides.
pub(super) fn warmup_rows(classes: &[SideClass]) -> Vec<WarmupRow> {
    let of_series = |a: &SideClass, b: &SideClass| {
        (&a.benchmark, &a.runtime, &a.host) == (&b.benchmark, &b.runtime, &b.host)
    };
    let row = |classes: &[SideClass]| {
        let first = classes.first()?;
        let side = |after: bool| -> Vec<&SideClass> {
            classes.iter().filter(|one| one.after == after).collect()
        };
        let (before, after) = (side(false), side(true));
        Some(WarmupRow {
            benchmark: first.benchmark.clone(),
            place: format!("{} on {}", first.runtime, first.host),
            before: words(&before),
            after: words(&after),
            changed: usual(&before)
                .zip(usual(&after))
                .map(|(before, after)| before != after),
        })
    };
    let mut rows: Vec<WarmupRow> = classes.chunk_by(of_series).filter_map(row).collect();
    rows.sort_by_key(|row| row.changed != Some(true));
    rows.truncate(MOST);
    rows
}

/// The class of more than half of the runs.
fn usual<'a>(side: &[&'a SideClass]) -> Option<&'a str> {
    let all: i64 = side.iter().map(|one| one.runs).sum();
    let usual = side.iter().find(|one| 2 * one.runs > all);
    usual.map(|one| one.class.as_str())
}

fn words(side: &[&SideClass]) -> String {
    if side.is_empty() {
        return "not measured".to_owned();
    }
    let each = side
        .iter()
        .map(|one| format!("{} in {}", class_words(&one.class), one.runs));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(benchmark: &str, after: bool, class: &str, runs: i64) -> SideClass {
        SideClass {
            benchmark: benchmark.to_owned(),
            runtime: "pypy3.11".to_owned(),
            host: "lab-1".to_owned(),
            after,
            class: class.to_owned(),
            runs,
        }
    }

    #[test]
    fn a_lasting_change_of_class_comes_first_and_a_single_run_is_none() {
        assert!(warmup_rows(&[]).is_empty());
        let rows = warmup_rows(&[
            class("go", false, "warmup", 9),
            class("go", true, "warmup", 5),
            class("go", true, "no_steady_state", 1),
            class("nbody", false, "flat", 9),
            class("nbody", false, "warmup", 1),
            class("nbody", true, "no_steady_state", 8),
            class("pickle", false, "flat", 3),
            class("regex", false, "flat", 3),
            class("regex", true, "flat", 1),
            class("regex", true, "slowdown", 1),
        ]);
        let told: Vec<(&str, Option<bool>)> = rows
            .iter()
            .map(|row| (row.benchmark.as_str(), row.changed))
            .collect();
        let expected = [
            ("nbody", Some(true)),
            ("go", Some(false)),
            ("pickle", None),
            ("regex", None),
        ];
        assert_eq!(told, expected);
        assert_eq!(rows[0].before, "flat in 9, warms up in 1");
        assert_eq!(rows[0].after, "no steady state in 8");
        assert_eq!(rows[2].after, "not measured");
    }
}
