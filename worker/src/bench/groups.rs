//! Puts the processes of the counters' groups together: the first gives cycles and instructions, each further one its rates.

use speedwell_wire::{
    BenchmarkResult, MeasurementReport, Metric, Sample, Unavailable, UnavailableKind,
};

use super::session::Record;
use crate::counters::plan::Plan;

/// Two processes whose instructions differ by more did not do the same work.
const TOLERANCE: f64 = 0.002;

/// What one group's process gave, or why nothing.
pub type Found = Result<Record, (UnavailableKind, String)>;

/// Adds the metrics of one process's record that `wanted` names.
pub fn add_counts(result: &mut BenchmarkResult, record: &Record, wanted: impl Fn(Metric) -> bool) {
    for metric in Metric::ALL.iter().filter(|metric| wanted(**metric)) {
        let of_metric = || record.counts.iter().filter(|count| count.metric == *metric);
        let Some(first) = of_metric().next() else {
            continue;
        };
        let samples = of_metric().map(|count| Sample {
            process: 0,
            warmup: count.warmup,
            value: count.value,
        });
        result.measurements.push(MeasurementReport {
            metric: *metric,
            source: first.source,
            samples: samples.collect(),
        });
    }
    let missing = record.unavailable.iter();
    let missing = missing.filter(|one| one.metric.is_some_and(&wanted));
    result.unavailable.extend(missing.cloned());
}

/// Adds what the plan's further groups gave. A group that counted other work than the first is invalid.
pub fn add_further(
    result: &mut BenchmarkResult,
    plan: &Plan,
    first: &Record,
    mut further: Vec<(u32, Found)>,
) {
    for (index, group) in (0_u32..).zip(&plan.groups).skip(1) {
        let found = further.iter().position(|(of, _)| *of == index);
        let found = found.map(|position| further.swap_remove(position).1);
        let lost = match found {
            Some(Ok(record)) => match disagreement(first, &record) {
                None => {
                    add_counts(result, &record, |metric| group.gives.contains(&metric));
                    continue;
                }
                Some(reason) => (UnavailableKind::Invalid, reason),
            },
            Some(Err((kind, reason))) => (
                kind,
                format!("the process with counters ({}): {reason}", group.name),
            ),
            None => (
                UnavailableKind::Unsupported,
                "instructions cannot be counted here, and nothing that is related to them"
                    .to_owned(),
            ),
        };
        let (kind, reason) = lost;
        result
            .unavailable
            .extend(group.gives.iter().map(|metric| Unavailable {
                metric: Some(*metric),
                kind,
                reason: reason.clone(),
            }));
    }
    result.unavailable.extend(plan.unavailable.iter().cloned());
}

/// Why a process is not to be related to the first; `None`: both did the same work.
fn disagreement(first: &Record, other: &Record) -> Option<String> {
    let (Some(expected), Some(found)) = (instructions(first), instructions(other)) else {
        return Some("one of the processes with counters has no count of instructions".to_owned());
    };
    let difference = (found - expected).abs() / expected;
    if difference <= TOLERANCE {
        return None;
    }
    Some(format!(
        "its process took {found:.0} instructions, and that of the first counters {expected:.0}: {:.2} % apart, and 0.2 % are allowed",
        difference * 100.0
    ))
}

/// The median of a process's iterations after its warm-up.
fn instructions(record: &Record) -> Option<f64> {
    let counts = record.counts.iter();
    let mut values: Vec<f64> = counts
        .filter(|count| count.metric == Metric::Instructions && !count.warmup)
        .map(|count| count.value)
        .collect();
    values.sort_by(f64::total_cmp);
    values
        .get(values.len() / 2)
        .copied()
        .filter(|value| *value > 0.0)
}

#[cfg(test)]
mod tests {
    use super::super::session::Count;
    use super::*;
    use crate::counters::derive::TopDown;
    use crate::counters::plan::{Generation, Group};
    use speedwell_wire::CounterSource;

    fn record(counts: &[(Metric, bool, f64)]) -> Record {
        let count = |(metric, warmup, value): &(Metric, bool, f64)| Count {
            metric: *metric,
            source: CounterSource::Pmu,
            warmup: *warmup,
            value: *value,
        };
        Record {
            loops: 1,
            counts: counts.iter().map(count).collect(),
            ..Record::beginning(chrono::DateTime::UNIX_EPOCH)
        }
    }

    fn plan() -> Plan {
        let group = |gives: &[Metric]| Group {
            name: "group",
            events: Vec::new(),
            gives: gives.to_vec(),
        };
        Plan {
            generation: Generation::Zen,
            top_down: TopDown::None,
            groups: vec![
                group(&[Metric::Ipc]),
                group(&[Metric::L1iMpki]),
                group(&[Metric::L1dMpki]),
            ],
            energy: Vec::new(),
            unavailable: vec![Unavailable {
                metric: Some(Metric::LlcMpki),
                kind: UnavailableKind::Unsupported,
                reason: "not here".to_owned(),
            }],
        }
    }

    fn merged(further: Vec<(u32, Found)>) -> BenchmarkResult {
        let mut result = BenchmarkResult {
            identity: String::new(),
            name: String::new(),
            loops: 1,
            measurements: Vec::new(),
            unavailable: Vec::new(),
            latencies: Vec::new(),
            profile: None,
        };
        // The warm-up, half as long, is no part of what is compared.
        let first = record(&[
            (Metric::Instructions, true, 500.0),
            (Metric::Instructions, false, 1_000.0),
        ]);
        add_further(&mut result, &plan(), &first, further);
        result
    }

    #[test]
    fn groups_that_agree_give_their_own_metrics_alone() {
        let agreeing = record(&[
            (Metric::Instructions, false, 1_002.0),
            (Metric::L1iMpki, false, 3.0),
            (Metric::L1dMpki, false, 4.0),
        ]);
        let lost = Err((UnavailableKind::Crashed, "signal 11".to_owned()));
        let result = merged(vec![(2, lost), (1, Ok(agreeing))]);
        let given: Vec<Metric> = result.measurements.iter().map(|one| one.metric).collect();
        assert_eq!(given, [Metric::L1iMpki]);
        let missing: Vec<_> = result
            .unavailable
            .iter()
            .map(|one| (one.metric, one.kind))
            .collect();
        assert_eq!(
            missing,
            [
                (Some(Metric::L1dMpki), UnavailableKind::Crashed),
                (Some(Metric::LlcMpki), UnavailableKind::Unsupported)
            ]
        );
    }

    #[test]
    fn a_group_that_counted_other_work_is_invalid() {
        let other = record(&[
            (Metric::Instructions, false, 1_003.0),
            (Metric::L1iMpki, false, 3.0),
        ]);
        let silent = record(&[(Metric::L1dMpki, false, 3.0)]);
        let result = merged(vec![(1, Ok(other)), (2, Ok(silent))]);
        assert!(result.measurements.is_empty());
        assert_eq!(result.unavailable[0].kind, UnavailableKind::Invalid);
        assert!(
            result.unavailable[0].reason.contains("0.30 % apart"),
            "{}",
            result.unavailable[0].reason
        );
        assert!(
            result.unavailable[1]
                .reason
                .contains("no count of instructions")
        );
    }

    #[test]
    fn groups_that_never_ran_have_a_reason() {
        let result = merged(Vec::new());
        assert_eq!(result.unavailable.len(), 3);
        assert!(
            result.unavailable[0]
                .reason
                .contains("cannot be counted here")
        );
    }
}
