//! The table of a comparison: which rows, in which order, and what stands in them.

use std::cmp::Ordering;
use std::collections::HashMap;

use speedwell_wire::Metric;

use crate::domain::comparison::{Compared, Comparison, Other, Reason, Row, Side, Verdict};
use crate::web::comparison::{
    Address, LETTERS, Loaded, Resolved, bad, interval, parameter, ratio_text, verdict_class,
    verdict_words,
};
use crate::web::error::Error;
use crate::web::format::{self, Rounded};

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Name,
    Base,
    /// The ratio of a column; 0 is the first after the base.
    Ratio(usize),
}

/// Which rows are shown, and how.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    key: Key,
    is_descending: bool,
    /// Only benchmarks that changed.
    pub(super) only_changed: bool,
    /// Only benchmarks whose name holds this.
    pub(super) matching: String,
    /// With a small picture of the base's history in each row.
    pub(super) history: bool,
}

/// The head of a column.
pub(super) struct Column {
    pub(super) letter: &'static str,
    pub(super) label: String,
    /// Sorts by it.
    pub(super) sort: String,
    /// `ascending`, `descending`, or empty.
    pub(super) sorted: &'static str,
}

pub(super) struct RowView {
    pub(super) benchmark: String,
    /// The benchmark's own page of this comparison.
    pub(super) link: String,
    pub(super) timeline: String,
    pub(super) base: String,
    pub(super) interval: String,
    pub(super) cells: Vec<Cell>,
    /// The base's newest points as a picture; empty where none is asked for or there.
    pub(super) history: String,
}

pub(super) enum Cell {
    Compared {
        value: String,
        ratio: String,
        interval: String,
        verdict: String,
        class: &'static str,
        noise_is_known: bool,
    },
    Missing(String),
}

impl View {
    /// `sort` (`name`, `base`, `ratio`, or a subject's letter; with `-` in front the other way), `only=changed` and `match`.
    pub(super) fn parse(pairs: &[(String, String)], subjects: usize) -> Result<Self, Error> {
        let sort = parameter(pairs, "sort").unwrap_or("name");
        let (is_descending, name) = match sort.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, sort),
        };
        let others = LETTERS.iter().take(subjects).skip(1);
        let key = match name {
            "name" => Key::Name,
            "base" | "a" => Key::Base,
            "ratio" => Key::Ratio(0),
            other => {
                let place = others.clone().position(|letter| *letter == other);
                Key::Ratio(place.ok_or_else(|| {
                    bad(
                        "sort",
                        format!(
                            "{other:?} is none of name, base, ratio, or the letter of a subject"
                        ),
                    )
                })?)
            }
        };
        let only = parameter(pairs, "only");
        if let Some(other) = only.filter(|only| *only != "changed") {
            return Err(bad("only", format!("{other:?} is not \"changed\"")));
        }
        Ok(Self {
            key,
            is_descending,
            only_changed: only.is_some(),
            matching: parameter(pairs, "match").unwrap_or_default().to_owned(),
            history: parameter(pairs, "history").is_some(),
        })
    }

    /// The address with this view.
    pub(super) fn on(&self, address: &Address) -> Address {
        let sort = self.name(self.key, self.is_descending);
        address
            .with("sort", if sort == "name" { "" } else { &sort })
            .with("only", if self.only_changed { "changed" } else { "" })
            .with("match", &self.matching)
            .with("history", if self.history { "1" } else { "" })
    }

    fn name(&self, key: Key, is_descending: bool) -> String {
        let name = match key {
            Key::Name => "name",
            Key::Base => "base",
            Key::Ratio(column) => LETTERS.get(column + 1).copied().unwrap_or("ratio"),
        };
        format!("{}{name}", if is_descending { "-" } else { "" })
    }

    /// The rows that are shown, in order. Only rows with something to compare are.
    pub(super) fn apply<'a>(&self, comparison: &'a Comparison) -> Vec<&'a Row> {
        let matching = self.matching.to_lowercase();
        let fits = |row: &&Row| {
            row.is_compared()
                && (!self.only_changed || row.is_changed())
                && row.benchmark.to_lowercase().contains(&matching)
        };
        let mut rows: Vec<&Row> = comparison.rows.iter().filter(fits).collect();
        let number = |row: &Row| match self.key {
            Key::Name => None,
            Key::Base => row.base.as_ref().ok().map(|side| side.estimate.median),
            Key::Ratio(column) => {
                let cell = row.others.get(column).and_then(|cell| cell.as_ref().ok());
                cell.map(|one| one.ratio.ratio)
            }
        };
        rows.sort_by(|a, b| {
            let order = match (number(a), number(b)) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                // What has no number comes last either way.
                (Some(_), None) => return Ordering::Less,
                (None, Some(_)) => return Ordering::Greater,
                (None, None) => a.benchmark.cmp(&b.benchmark),
            };
            if self.is_descending {
                order.reverse()
            } else {
                order
            }
        });
        rows
    }

    /// Where a click on a column's head leads, and how it is sorted now.
    fn head(&self, key: Key, whole: &Address) -> (String, &'static str) {
        let is_own = self.key == key;
        let descend = is_own && !self.is_descending;
        let sort = self.name(key, descend);
        let sorted = match (is_own, self.is_descending) {
            (false, _) => "",
            (true, false) => "ascending",
            (true, true) => "descending",
        };
        (whole.with("sort", &sort).query(), sorted)
    }
}

/// The heads: benchmark, base, then the other subjects.
pub(super) fn columns(loaded: &Loaded, view: &View, whole: &Address) -> Vec<Column> {
    let head = |key: Key, letter: &'static str, label: String| {
        let (sort, sorted) = view.head(key, whole);
        Column {
            letter,
            label,
            sort,
            sorted,
        }
    };
    let mut columns = vec![head(Key::Name, "", "Benchmark".to_owned())];
    for (index, (subject, letter)) in loaded.subjects.iter().zip(LETTERS).enumerate() {
        let key = index.checked_sub(1).map_or(Key::Base, Key::Ratio);
        columns.push(head(key, letter, Resolved::label(subject)));
    }
    columns
}

/// The rows as the page shows them.
pub(super) fn rows(
    loaded: &Loaded,
    shown: &[&Row],
    address: &Address,
    histories: &HashMap<String, String>,
) -> Vec<RowView> {
    let metric = loaded.comparison.metric;
    let query = address.query();
    let runtimes: String = loaded
        .subjects
        .iter()
        .map(|one| format!("&runtime={}", format::encode(&one.subject.runtime)))
        .collect();
    let each = shown.iter().map(|row| {
        let name = format::encode(&row.benchmark);
        let (base, interval) = base(&row.base, metric);
        RowView {
            link: format!("/compare/{name}?{query}"),
            timeline: format!("/timeline?benchmark={name}&metric={metric}{runtimes}"),
            cells: row.others.iter().map(|one| cell(one, metric)).collect(),
            history: histories.get(&row.identity).cloned().unwrap_or_default(),
            benchmark: row.benchmark.clone(),
            base,
            interval,
        }
    });
    each.collect()
}

/// The base's value, and its interval where it has one.
pub(super) fn base(found: &Result<Side, Reason>, metric: Metric) -> (String, String) {
    match found {
        Ok(side) => {
            let shown = shown(side, metric);
            let interval = if side.estimate.low == side.estimate.high {
                String::new()
            } else {
                shown.interval()
            };
            (shown.value, interval)
        }
        Err(reason) => (reason.words(), String::new()),
    }
}

fn shown(side: &Side, metric: Metric) -> Rounded {
    let of = &side.estimate;
    Rounded::new((of.median, of.low, of.high), metric.unit())
}

/// One subject's cell.
pub(super) fn cell(found: &Result<Compared, Other>, metric: Metric) -> Cell {
    match found {
        Ok(one) => Cell::Compared {
            value: shown(&one.side, metric).value,
            ratio: format!("{}×", ratio_text(&one.ratio)),
            interval: match one.verdict {
                Verdict::TooFew => String::new(),
                Verdict::Better | Verdict::Worse | Verdict::Within
                    if one.ratio.low == one.ratio.high =>
                {
                    "exact".to_owned()
                }
                Verdict::Better | Verdict::Worse | Verdict::Within => interval(&one.ratio),
            },
            verdict: verdict_words(one, metric),
            class: verdict_class(one.verdict),
            noise_is_known: one.noise_is_known,
        },
        Err(other) => Cell::Missing(other.reason.words()),
    }
}
