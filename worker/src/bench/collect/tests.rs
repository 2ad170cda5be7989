//! What processes give, put together: also when some of them fail.

use super::super::session::Value;
use super::*;

fn record(once: &[(Metric, Result<f64, &str>)]) -> Record {
    let unsupported = |reason: &str| (UnavailableKind::Unsupported, reason.to_owned());
    Record {
        loops: 1,
        once: once
            .iter()
            .map(|(metric, found)| (*metric, found.map_err(unsupported)))
            .collect(),
        ..Record::beginning(chrono::DateTime::UNIX_EPOCH)
    }
}

#[test]
fn a_metric_that_one_process_lacks_is_unavailable() {
    let mut result = BenchmarkResult {
        identity: String::new(),
        name: String::new(),
        loops: 1,
        measurements: Vec::new(),
        unavailable: Vec::new(),
        latencies: Vec::new(),
        profile: None,
    };
    let whole = record(&[
        (Metric::SteadyRss, Ok(1e6)),
        (Metric::GcPauseMax, Ok(0.5)),
        (Metric::StepMax, Ok(0.25)),
    ]);
    let half = record(&[(Metric::SteadyRss, Ok(2e6)), (Metric::StepMax, Err("no"))]);
    add_once(&mut result, &[(0, whole), (1, half)]);
    let [steady] = &result.measurements[..] else {
        panic!("{:?}", result.measurements)
    };
    assert_eq!(steady.metric, Metric::SteadyRss);
    assert_eq!(steady.samples.len(), 2);
    assert_eq!(steady.samples[1].value, 2e6);
    let missing: Vec<_> = result
        .unavailable
        .iter()
        .map(|one| (one.metric, one.kind, one.reason.as_str()))
        .collect();
    assert_eq!(
        missing,
        [
            (Some(Metric::StepMax), UnavailableKind::Unsupported, "no"),
            (
                Some(Metric::GcPauseMax),
                UnavailableKind::Invalid,
                "process 1 did not report it, as others did"
            ),
        ]
    );
}

#[test]
fn a_sampled_process_runs_for_as_long_as_makes_shares_sure() {
    let taking = |seconds: f64| {
        let value = |warmup: bool, seconds: f64| Value {
            warmup,
            loops: 10,
            seconds: seconds / 20.0,
        };
        let timed = Record {
            inner_loops: 2,
            values: vec![value(true, 99.0), value(false, seconds)],
            ..record(&[])
        };
        sampled::values(&[(0, timed)])
    };
    assert_eq!(taking(0.5), 20);
    assert_eq!(taking(60.0), 1);
    assert_eq!(taking(1e-9), 20_000);
}

fn under_valgrind(process: u32) -> Turn {
    Turn {
        benchmark: 0,
        process,
        mode: Mode::Instructions,
    }
}

fn measured(loops: u64) -> Outcome {
    Outcome::Measured(Box::new(Record {
        loops,
        inner_loops: 10,
        ..record(&[])
    }))
}

#[test]
fn instructions_are_the_difference_of_two_processes() {
    let mut one = Collected::default();
    let log = |count: u64| format!("==1== I   refs:      {count}\n");
    assert!(one.wants(&under_valgrind(0)) && !one.wants(&under_valgrind(1)));
    one.add_instructions(&under_valgrind(0), measured(5), &log(1_000));
    assert!(one.wants(&under_valgrind(1)));
    let said = one.add_instructions(&under_valgrind(1), measured(10), &log(1_600));
    assert_eq!(said, "12 a loop");
    assert_eq!(one.instructions, Instructions::Counted(12.0));
}

#[test]
fn what_valgrind_cannot_count_has_its_reason() {
    let mut one = Collected::default();
    let died = Outcome::Lost(UnavailableKind::Crashed, "signal 11".to_owned());
    one.add_instructions(&under_valgrind(0), died, "");
    assert!(!one.wants(&under_valgrind(1)));
    assert!(
        matches!(&one.instructions, Instructions::Lost(_, reason) if reason.contains("signal 11"))
    );
    let mut silent = Collected::default();
    silent.add_instructions(&under_valgrind(0), measured(5), "==1== oops");
    assert!(
        matches!(&silent.instructions, Instructions::Lost(_, reason) if reason.contains("oops"))
    );
    let mut children = Collected::default();
    let parent = Record {
        measures_children: true,
        ..record(&[])
    };
    children.timing.push((0, parent));
    assert!(!children.wants(&under_valgrind(0)));
}
