//! The part of an explanation that is about warm-ups.

use speedwell_wire::Metric;

use super::{Evidence, Finding, Kind, MetricPair};
use crate::domain::warmup::WarmupSides;

/// Benchmarks that are told.
const MOST: usize = 3;

/// What became of the warm-up of each benchmark concerned, where a change of it was confirmed: the largest first, in words.
pub(super) fn warmups(evidence: &Evidence) -> Vec<String> {
    if !evidence.confirmed.iter().any(|metric| metric.jumps()) {
        return Vec::new();
    }
    let mut places: Vec<(&str, &str)> = Vec::new();
    for one in evidence.metrics.iter().filter(|one| one.metric.jumps()) {
        let place = (one.benchmark.as_str(), one.host.as_str());
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let mut told: Vec<(bool, f64, String)> = Vec::new();
    for (benchmark, host) in places {
        let sides = sides(&evidence.metrics, benchmark, host);
        if let Some(words) = sides.words() {
            let is_another = sides
                .bad
                .is_some_and(|(before, after)| (before - after).abs() >= 0.5);
            let size = sides.warmup_ratio().ln().abs();
            told.push((is_another, size, format!("{benchmark} {words}")));
        }
    }
    told.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
    told.truncate(MOST);
    told.into_iter().map(|(_, _, words)| words).collect()
}

/// The same as findings.
pub(super) fn findings(evidence: &Evidence) -> Vec<Finding> {
    let finding = |words: String| Finding {
        kind: Kind::Warmup,
        share: None,
        words: format!("Warm-up: {words}."),
    };
    warmups(evidence).into_iter().map(finding).collect()
}

fn sides(metrics: &[MetricPair], benchmark: &str, host: &str) -> WarmupSides {
    let find = |metric: Metric| {
        let mut own = metrics.iter();
        own.find(|one| one.benchmark == benchmark && one.host == host && one.metric == metric)
    };
    let medians = |one: &MetricPair| (one.before.median, one.after.median);
    WarmupSides {
        warmup: find(Metric::WarmupTime).map(medians),
        steady: find(Metric::SteadyTime).and_then(|one| one.after.against(&one.before)),
        bad: find(Metric::BadWarmup).map(medians),
    }
}
