//! Benchmarks under the emulated counters of the guest that `deploy/emulated-pmu` starts, from the harness to the record.

use std::cell::{Cell, RefCell};

use super::super::plan::Mode;
use super::tests::{MINUTE, spec, turn};
use super::*;
use crate::counters::take_all_of_processor_0;

const WORK: &str = "import pyperf\nr = pyperf.Runner()\nr.bench_func('work', sum, range(LENGTH))\n";

/// Runs it with counters while `others` hold the processor's; they let go before the attempt of that number. Also how often it ran.
fn count(length: u32, others: Option<u32>) -> (Box<Record>, u32) {
    let folder = tempfile::tempdir().unwrap();
    let script = WORK.replace("LENGTH", &length.to_string());
    let held = RefCell::new(others.map(|_| take_all_of_processor_0()));
    let attempts = Cell::new(0);
    let prepare = || {
        attempts.set(attempts.get() + 1);
        if Some(attempts.get()) == others {
            held.take();
        }
        Ok(spec(folder.path(), &script, Mode::Counters, MINUTE))
    };
    let sandbox = Sandbox::trusted().with_fixed_layout();
    let outcome = run_counted(&sandbox, prepare, &turn(Mode::Counters), &Stop::default());
    match outcome.unwrap() {
        Outcome::Measured(record) => (record, attempts.get()),
        Outcome::Lost(kind, reason) => panic!("{}: {reason}", kind.as_str()),
    }
}

fn instructions(record: &Record) -> Vec<f64> {
    let counts = record.counts.iter();
    let measured = counts.filter(|count| count.metric == Metric::Instructions && !count.warmup);
    measured
        .map(|count| {
            assert_eq!(count.source, CounterSource::PmuEmulated);
            count.value
        })
        .collect()
}

#[test]
#[ignore = "needs the emulated counters of deploy/emulated-pmu"]
fn the_timed_region_alone_is_counted_and_repeats() {
    let of = |length| {
        let (record, attempts) = count(length, None);
        assert_eq!(attempts, 1);
        let values = instructions(&record);
        assert_eq!(values.len(), 3, "{:?}", record.unavailable);
        let spread = values.iter().copied().fold(0.0, f64::max)
            / values.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(spread < 1.002, "{values:?}");
        println!("sum(range({length})): {values:?} instructions");
        values[0]
    };
    let (once, again, twice) = (of(200_000), of(200_000), of(400_000));
    assert!((once / again - 1.0).abs() < 0.002, "{once} {again}");
    // What is not the loop (start-up, the harness) is not counted: it would not double.
    assert!((twice / once - 2.0).abs() < 0.02, "{once} {twice}");
}

#[test]
#[ignore = "needs the emulated counters of deploy/emulated-pmu"]
fn a_repetition_with_shared_counters_is_made_again() {
    let (record, attempts) = count(200_000, Some(2));
    assert_eq!(attempts, 2);
    assert!(!record.shared_counters);
    assert_eq!(instructions(&record).len(), 3);
}

#[test]
#[ignore = "needs the emulated counters of deploy/emulated-pmu"]
fn counters_that_stay_shared_give_a_reason_and_no_value() {
    let (record, attempts) = count(200_000, Some(COUNTINGS + 1));
    assert_eq!(attempts, COUNTINGS);
    assert!(record.shared_counters && instructions(&record).is_empty());
    let missing = record.unavailable.iter();
    let missing: Vec<_> = missing
        .filter(|one| one.metric == Some(Metric::Instructions))
        .collect();
    assert_eq!(missing[0].kind, UnavailableKind::Invalid);
    assert!(missing[0].reason.starts_with("the counter "), "{missing:?}");
    println!("{}", missing[0].reason);
    // What is not counted by the processor is there all the same.
    let faults = record.counts.iter();
    assert!(
        faults
            .filter(|count| count.metric == Metric::TaskClock)
            .count()
            == 4
    );
}
