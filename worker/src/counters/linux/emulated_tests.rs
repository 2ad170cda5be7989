//! The emulated counters of the guest that `deploy/emulated-pmu` starts: exact, few, and shared where too many are asked for.
//!
//! QEMU counts every instruction of an arm64 guest in its precise mode (`-icount shift=0`), and says as many cycles.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use super::*;
use crate::counters::calibrate::prove;
use crate::counters::{Calibration, HARDWARE, Outcome, calibrate, spin};
use crate::process::{Sandbox, Spec, start};
use speedwell_wire::CounterSource;

/// The emulated Cortex-A57 has six for anything, and one for cycles alone.
const COUNTERS: usize = 6;
const CYCLES: Event = HARDWARE[0];
const INSTRUCTIONS: Event = HARDWARE[1];

/// All counters of the first processor, for whatever runs there, until it is dropped.
pub(crate) fn take_all_of_processor_0() -> CounterSet {
    let everything = Event {
        processor: Some(0),
        ..INSTRUCTIONS
    };
    let mut set = set_of(-1, &[]);
    set.add(&[everything; COUNTERS], &[-1]);
    assert!(set.unavailable.is_empty(), "{:?}", set.unavailable);
    set.enable().unwrap();
    set
}

fn set_of(pid: i32, events: &[Event]) -> CounterSet {
    let mut set = CounterSet {
        groups: Vec::new(),
        unavailable: Vec::new(),
        missing_inputs: Vec::new(),
    };
    if !events.is_empty() {
        set.add(events, &[pid]);
    }
    set
}

fn count(set: &mut CounterSet, metric: Metric, work: impl FnOnce()) -> Result<f64, String> {
    set.enable().unwrap();
    work();
    set.disable().unwrap();
    let reading = set.read().unwrap();
    let found = reading
        .into_iter()
        .find(|(event, _)| event.metric() == Some(metric));
    found.unwrap().1
}

#[test]
#[ignore = "needs the emulated counters of deploy/emulated-pmu"]
fn known_work_is_counted_to_the_instruction() {
    let mut set = CounterSet::open(0);
    let mut of = |turns| count(&mut set, Metric::Instructions, || spin(turns)).unwrap();
    let (once, again, twice) = (of(1_000_000), of(1_000_000), of(2_000_000));
    println!("1,000,000 turns of two instructions: {once}; again {again}; twice as many: {twice}");
    assert_eq!((twice - once, again - once), (2_000_000.0, 0.0));
    assert!(once < 2_000_000.0 + 2_000.0);
    let unit = plan::of_host().groups[0].events[0];
    assert_eq!(unit.source, CounterSource::PmuEmulated);
    assert_eq!(plan::of_host().generation, plan::Generation::Arm);
}

#[test]
#[ignore = "needs the emulated counters of deploy/emulated-pmu"]
fn work_before_and_after_the_timed_region_does_not_count() {
    let mut set = CounterSet::open(0);
    spin(1_000_000);
    let inside = count(&mut set, Metric::Instructions, || ()).unwrap();
    spin(1_000_000);
    let reading = set.read().unwrap();
    let after = reading
        .iter()
        .find(|(event, _)| event.metric() == Some(Metric::Instructions));
    println!("between enable and disable: {inside}; after: {after:?}");
    assert!(inside < 2_000.0);
    assert_eq!(after.unwrap().1, Ok(0.0));
}

#[test]
#[ignore = "needs the emulated counters of deploy/emulated-pmu"]
fn a_full_group_counts_at_once_and_what_is_too_much_has_a_reason() {
    let full = COUNTERS + 1;
    let mut set = set_of(0, &[CYCLES; COUNTERS + 1]);
    let mut of = |turns| count(&mut set, Metric::Cycles, || spin(turns)).unwrap();
    let (once, twice) = (of(1_000_000), of(2_000_000));
    // The reading adds up events of one kind; all of them have counted the same.
    assert_eq!(twice - once, 2_000_000.0 * full as f64);
    // Linux 6.1 opens a group of one event more, which never runs: that is no zero, and no count.
    let mut over = set_of(0, &[CYCLES; COUNTERS + 2]);
    assert!(over.unavailable.is_empty(), "{:?}", over.unavailable);
    let never = count(&mut over, Metric::Cycles, || spin(1_000_000));
    println!("{} events open and give: {never:?}", full + 1);
    assert!(never.unwrap_err().contains("never ran"));
    // The ninth is refused.
    let refused = set_of(0, &[CYCLES; COUNTERS + 3]);
    println!("{} events: {:?}", full + 2, refused.unavailable);
    assert_eq!(refused.groups[0].refused.len(), 1);
    assert!(refused.unavailable[0].reason.contains("EINVAL"));
}

#[test]
#[ignore = "needs the emulated counters of deploy/emulated-pmu"]
fn groups_that_share_the_counters_are_rejected_and_never_scaled() {
    let mut one = set_of(0, &[INSTRUCTIONS; 5]);
    let other = set_of(0, &[INSTRUCTIONS; 5]);
    other.enable().unwrap();
    let shared = count(&mut one, Metric::Instructions, || spin(100_000_000));
    other.disable().unwrap();
    println!("two groups of five: {shared:?}");
    assert!(shared.unwrap_err().contains("had to share"));
    drop(other);
    // Alone again, the very same group counts again.
    assert!(count(&mut one, Metric::Instructions, || spin(1_000_000)).is_ok());
}

#[test]
#[ignore = "needs the emulated counters of deploy/emulated-pmu"]
fn what_a_process_starts_later_counts_with_it() {
    let of = |turns: u32| {
        let script = "read go; \"$0\" spin \"$1\" & wait; \"$0\" spin \"$1\"";
        let words = ["sh", "-c", script, "speedwell-worker", &turns.to_string()];
        let spec = Spec {
            command: words.map(Into::into).into(),
            environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".into())]),
            folder: "/".into(),
            timeout: Duration::from_secs(60),
        };
        let sandbox = Sandbox::trusted().with_fixed_layout();
        let mut guard = start(&sandbox, &spec, |command| {
            command.stdin(Stdio::piped());
            Ok(())
        })
        .unwrap();
        let child = &mut guard.child;
        // The box's own programs replace each other by the shell, which then waits.
        let name = format!("/proc/{}/comm", child.id());
        while fs::read_to_string(&name).unwrap().trim() != "sh" {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(50));
        let mut set = CounterSet::open(i32::try_from(child.id()).unwrap());
        count(&mut set, Metric::Instructions, || {
            child.stdin.take().unwrap().write_all(b"go\n").unwrap();
            assert!(child.wait().unwrap().success());
        })
        .unwrap()
    };
    let (once, thrice) = (of(1_000_000), of(3_000_000));
    println!("a shell and two programs, 1,000,000 turns each: {once}; 3,000,000: {thrice}");
    // Two programs, two million turns more each, two instructions a turn; their start-up varies with addresses.
    assert!((thrice - once - 8_000_000.0).abs() < 100_000.0);
}

#[test]
#[ignore = "needs the emulated counters of deploy/emulated-pmu"]
fn an_absent_event_has_a_reason_and_a_dead_one_is_not_believed() {
    let absent = set_of(0, &[HARDWARE[2]]);
    assert_eq!(absent.unavailable[0].metric, Some(Metric::Branches));
    assert!(
        absent.unavailable[0].reason.contains("ENOENT"),
        "{:?}",
        absent.unavailable
    );
    // The unit takes the number of an event that this processor lacks (BR_RETIRED, 0x21), and counts nothing.
    let processor = crate::counters::processor::Processor::read(std::path::Path::new("/"));
    let unit = processor
        .units
        .iter()
        .find(|(name, _)| name.starts_with("armv8"))
        .unwrap()
        .1;
    let dead = Event::of_unit(Quantity::Metric(Metric::Branches), unit.kind, 0x21);
    let proof = prove(set_of(0, &[dead]));
    let branches = |one: &&Calibration| one.metric == Metric::Branches;
    let found = proof.iter().find(branches).unwrap();
    println!("{}", found.describe());
    assert!(
        matches!(found.outcome, Outcome::Wrong { counted: 0.0, .. }),
        "{found:?}"
    );
}

#[test]
#[ignore = "needs the emulated counters of deploy/emulated-pmu"]
fn the_calibration_proves_the_emulated_counters() {
    let all = calibrate();
    for metric in [Metric::Instructions, Metric::Cycles] {
        let one = all.iter().find(|one| one.metric == metric).unwrap();
        println!("{}", one.describe());
        assert!(matches!(one.outcome, Outcome::Proven { .. }), "{one:?}");
        assert_eq!(one.source, CounterSource::PmuEmulated);
    }
}
