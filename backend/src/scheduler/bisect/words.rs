//! What a search says: of located changes, and of what is left.

use crate::db::bisections::{Evidence, Open, RangeCommit};
use crate::detection::Scale;
use crate::detection::bisection::{Located, Opinion};
use crate::domain::summary::median_of_sorted;

/// The size of a located change as people are told it: from what the commit before it was measured to be.
pub(super) fn told(one: &Located, search: &Open, evidence: &[Evidence]) -> f64 {
    let Some(scale) = Scale::named(&search.metric) else {
        return one.change.exp_m1();
    };
    let of_before = evidence
        .iter()
        .filter(|other| usize::try_from(other.ordinal).is_ok_and(|index| index == one.low));
    let mut values: Vec<f64> = of_before.map(|other| other.median).collect();
    values.sort_by(f64::total_cmp);
    let before = if values.is_empty() {
        0.0
    } else {
        median_of_sorted(&values)
    };
    scale.told(before, one.change)
}

/// A located change with its size.
pub(super) fn describe(one: &Located, change: f64, commits: &[RangeCommit]) -> String {
    let size = change * 100.0;
    let sure = one.probability.min(0.999) * 100.0;
    match one.culprit {
        Some(index) => format!(
            "{} ({size:+.2} %, {sure:.1} % sure)",
            short(&commits[index].hash)
        ),
        None => format!(
            "one of the {} commits after {} up to {}, which cannot be told apart ({size:+.2} %, {sure:.1} % sure)",
            one.high - one.low,
            short(&commits[one.low].hash),
            short(&commits[one.high].hash)
        ),
    }
}

/// What is left of the range, in words: the shortest stretch with 95 % of the probability.
pub(super) fn left(commits: &[RangeCommit], opinion: &Opinion) -> String {
    let known = &opinion.probability;
    let total: f64 = known.iter().sum();
    let beyond = |mut all: Box<dyn Iterator<Item = (usize, f64)> + '_>| {
        let mut passed = 0.0;
        all.find_map(|(index, one)| {
            passed += one;
            (passed > 0.025 * total).then_some(index)
        })
    };
    let first = beyond(Box::new(known.iter().copied().enumerate()));
    let last = beyond(Box::new(known.iter().copied().enumerate().rev()));
    match (first, last) {
        (Some(first), Some(last)) if total > 0.0 && first <= last => format!(
            "It is between {} and {}, {} commit(s), with 95 % confidence.",
            short(&commits[first].hash),
            short(&commits[last].hash),
            last - first + 1
        ),
        _ => "Nothing is known of where it is.".to_owned(),
    }
}

/// A hash as sentences name it.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..10).unwrap_or(hash)
}
