//! What a confirmation found, for people.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use speedwell_wire::Metric;

use crate::db::confirmations::{Measured, Side, WarmupSide};
use crate::detection::Scale;
use crate::detection::confirmation::{Decision, Evidence};
use crate::detection::pairs::Differences;
use crate::domain::compare::Ratio;
use crate::domain::summary::median_of_sorted;
use crate::domain::warmup::WarmupSides;

/// One change point's answer; `sides` are what was measured of it.
pub(super) fn words(
    sides: &[Side],
    scale: Option<Scale>,
    decision: &Decision,
    warmups: &[WarmupSide],
    measured: &Measured,
) -> String {
    let side = &sides[0];
    let Evidence {
        pairs,
        change,
        low,
        high,
        ..
    } = *decision.evidence();
    let before = sides.iter().filter(|one| !one.after);
    let level = middle(before.map(|one| one.median));
    // What was found is told against the level that was found.
    let told = |change: f64| match (scale, level) {
        (Some(scale), Some(level)) => scale.told(level, change.ln_1p()),
        _ => change,
    };
    let what = match decision {
        Decision::Open(_) => "not clear yet",
        Decision::Confirmed(_) => "confirmed",
        Decision::Refuted(_) => "not confirmed",
        Decision::Undecided(_) => "still not clear",
    };
    let builds = match measured.rounds.min(measured.builds) {
        1 => String::new(),
        several => format!(" of {several} builds of each side"),
    };
    let warmup = Metric::from_str(&side.metric).is_ok_and(Metric::is_derived);
    let warmup = warmup
        .then(|| of_warmup(&side.benchmark, warmups))
        .flatten();
    format!(
        "{} {} {what}: {:+.2} % ({:+.2} to {:+.2} %) where {:+.2} % was suspected, by {pairs} pairs of runs{builds} on {}{}",
        side.benchmark,
        side.metric,
        told(change) * 100.0,
        told(low) * 100.0,
        told(high) * 100.0,
        side.change * 100.0,
        measured.host,
        warmup.map_or_else(String::new, |words| format!(": it {words}"))
    )
}

/// What these rounds say of a benchmark's warm-up as a whole.
fn of_warmup(benchmark: &str, warmups: &[WarmupSide]) -> Option<String> {
    let own = |metric: Metric| {
        let own = warmups.iter();
        own.filter(move |one| one.benchmark == benchmark && one.metric == metric.as_str())
    };
    let both = |metric: Metric| {
        let of_side = |after: bool| {
            let side = own(metric).filter(move |one| one.after == after);
            middle(side.map(|one| one.median))
        };
        Some((of_side(false)?, of_side(true)?))
    };
    let mut pairs: BTreeMap<i32, (f64, f64)> = BTreeMap::new();
    for one in own(Metric::SteadyTime) {
        let pair = pairs.entry(one.round).or_insert((f64::NAN, f64::NAN));
        let place = if one.after { &mut pair.1 } else { &mut pair.0 };
        *place = one.median.ln();
    }
    let pairs: Vec<(f64, f64)> = pairs.into_values().collect();
    let sides = WarmupSides {
        warmup: both(Metric::WarmupTime),
        steady: ratio(&Differences::of(&pairs)),
        bad: both(Metric::BadWarmup),
    };
    sides.words()
}

/// The ratio of two sides by their pairs, with its 95 % interval; `None` of less than two, which do not say how sure it is.
fn ratio(differences: &Differences) -> Option<Ratio> {
    if differences.count < 2 {
        return None;
    }
    let error = 1.96 * (differences.variance / differences.count as f64).sqrt();
    Some(Ratio {
        ratio: differences.mean.exp(),
        low: (differences.mean - error).exp(),
        high: (differences.mean + error).exp(),
        count: differences.count,
    })
}

/// The median.
fn middle(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    (!sorted.is_empty()).then(|| median_of_sorted(&sorted))
}
