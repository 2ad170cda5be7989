//! The rows of a profile's tables: components and functions, with their errors, alone and against an earlier profile.

use std::collections::HashMap;

use speedwell_wire::ProfileReport;

use crate::domain::components::Mapping;
use crate::domain::profile::{cost, share_error};
use crate::domain::profile_difference::{Change, functions};
use crate::web::format;

/// Functions in the table.
const FUNCTIONS: usize = 40;
/// A component or a function.
pub(super) struct Row {
    pub(super) name: String,
    /// What it took of one loop or request.
    pub(super) count: String,
    /// Per cent of all.
    pub(super) share: String,
    /// The same as a number, for the bar.
    pub(super) width: f64,
    /// What it was before.
    pub(super) before: String,
    /// The change in per cent of all before.
    pub(super) change: String,
    /// `regressed`, `improved` or nothing: the change is worth a colour.
    pub(super) class: &'static str,
}

/// A row for each component, the largest first.
pub(super) fn component_rows(
    mapping: &Mapping,
    after: &ProfileReport,
    before: Option<&ProfileReport>,
) -> Vec<Row> {
    let old = before.map(|before| mapping.shares(before));
    let mut shares = mapping.shares(after);
    // What is gone has a row as well.
    for (name, _) in old.iter().flatten() {
        if !shares.iter().any(|(one, _)| one == name) {
            shares.push((name.clone(), 0.0));
        }
    }
    let of = |name: &str| {
        let mut all = old.iter().flatten();
        all.find(|(one, _)| one == name)
            .map_or(0.0, |(_, count)| *count)
    };
    shares
        .iter()
        .map(|(name, count)| {
            let before = before.map(|before| (before, of(name)));
            row(mapping.label(name), (after, *count), before)
        })
        .collect()
}

/// The largest functions; in a comparison, those that changed most.
pub(super) fn function_rows(after: &ProfileReport, before: Option<&ProfileReport>) -> Vec<Row> {
    let new = functions(after);
    let old = before.map(functions).unwrap_or_default();
    let mut names: Vec<&str> = new.keys().chain(old.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let count = |sums: &HashMap<&str, f64>, name: &str| sums.get(name).copied().unwrap_or(0.0);
    let factor = before.map_or(0.0, |before| cost(before).of_one) / cost(after).of_one;
    let weight = |name: &str| (count(&new, name) - count(&old, name) * factor).abs();
    names.sort_by(|one, other| weight(other).total_cmp(&weight(one)));
    names
        .into_iter()
        .take(FUNCTIONS)
        .map(|name| {
            let then = before.map(|before| (before, count(&old, name)));
            row(name, (after, count(&new, name)), then)
        })
        .collect()
}

/// A row of a part of a profile, and of the same part of an earlier one.
fn row(
    name: &str,
    (after, count): (&ProfileReport, f64),
    before: Option<(&ProfileReport, f64)>,
) -> Row {
    let share = count / after.total;
    let error = share_error(after, share);
    let change = before.map(|(before, old)| Change::of((after, count), (before, old)));
    let now = cost(after);
    Row {
        name: name.to_owned(),
        count: format::value(count * now.of_one, now.unit),
        share: with_error(share_text(share), error),
        width: (share * 100.0).clamp(0.0, 100.0),
        before: before.map_or(String::new(), |(before, old)| {
            format::value(old * cost(before).of_one, now.unit)
        }),
        change: change.as_ref().map_or(String::new(), |one| {
            with_error(signed(one.share), one.error)
        }),
        class: change.map_or("", |one| class_of(&one)),
    }
}

/// A colour for what is worth one: half a per cent of all, and twice its error.
fn class_of(change: &Change) -> &'static str {
    if change.share.abs() <= (2.0 * change.error).max(0.005) {
        ""
    } else if change.share > 0.0 {
        "regressed"
    } else {
        "improved"
    }
}

pub(super) fn share_text(share: f64) -> String {
    format!("{:.1}\u{a0}%", share * 100.0)
}

fn with_error(text: String, error: f64) -> String {
    if error > 0.0 {
        format!("{text} ± {:.1}", error * 100.0)
    } else {
        text
    }
}

/// How much more than before, in per cent.
pub(super) fn percent(after: f64, before: f64) -> String {
    if before > 0.0 {
        signed((after - before) / before)
    } else {
        "–".to_owned()
    }
}

fn signed(share: f64) -> String {
    format!("{:+.1}\u{a0}%", share * 100.0)
}
