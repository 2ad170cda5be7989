//! What changed between two profiles of one benchmark, by component and function, and how sure that is.

use std::collections::HashMap;

use speedwell_wire::ProfileReport;

use super::components::Mapping;
use super::explain::Part;
use super::profile::{cost, share_error};

/// All of one loop or request, in what is counted.
pub fn scaled(profile: &ProfileReport) -> f64 {
    profile.total * cost(profile).of_one
}

/// Counts of each function itself, without what it calls.
pub fn functions(profile: &ProfileReport) -> HashMap<&str, f64> {
    let mut sums = HashMap::new();
    for stack in &profile.stacks {
        let function = stack.frames.rsplit(';').next().unwrap_or_default();
        *sums.entry(function).or_default() += stack.count;
    }
    sums
}

/// A change, as a share of all that was before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// By all that was before: 0.02 is 2 %.
    pub share: f64,
    /// Its standard error, from the numbers of samples alone.
    pub error: f64,
}

impl Change {
    /// Of a part's count after and before.
    pub fn of((after, new): (&ProfileReport, f64), (before, old): (&ProfileReport, f64)) -> Self {
        let all = scaled(before);
        let growth = scaled(after) / all;
        let error = |profile: &ProfileReport, count| share_error(profile, count / profile.total);
        Self {
            share: (new * cost(after).of_one - old * cost(before).of_one) / all,
            error: (error(after, new) * growth).hypot(error(before, old)),
        }
    }
}

/// The changes of all components, by their names for people, and of all functions.
pub fn parts(
    mapping: &Mapping,
    after: &ProfileReport,
    before: &ProfileReport,
) -> (Vec<Part>, Vec<Part>) {
    let of = |name: &str, new: f64, old: f64| {
        let change = Change::of((after, new), (before, old));
        Part {
            name: name.to_owned(),
            change: change.share,
            error: change.error,
        }
    };
    let (new, old) = (mapping.shares(after), mapping.shares(before));
    let new: HashMap<&str, f64> = new
        .iter()
        .map(|(name, count)| (name.as_str(), *count))
        .collect();
    let old: HashMap<&str, f64> = old
        .iter()
        .map(|(name, count)| (name.as_str(), *count))
        .collect();
    let components = both(&new, &old).into_iter();
    let components = components.map(|(name, new, old)| of(mapping.label(name), new, old));
    let (new, old) = (functions(after), functions(before));
    let functions = both(&new, &old).into_iter();
    let functions = functions.map(|(name, new, old)| of(name, new, old));
    (components.collect(), functions.collect())
}

/// Every name of either side with both counts.
fn both<'a>(new: &HashMap<&'a str, f64>, old: &HashMap<&'a str, f64>) -> Vec<(&'a str, f64, f64)> {
    let mut names: Vec<&str> = new.keys().chain(old.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let count = |sums: &HashMap<&str, f64>, name: &str| sums.get(name).copied().unwrap_or(0.0);
    let rows = names
        .into_iter()
        .map(|name| (name, count(new, name), count(old, name)));
    rows.collect()
}
