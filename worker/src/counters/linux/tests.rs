//! Counters of this very process, on any machine: there, or with a reason.

use super::*;

/// Counts in this very process: page faults of touching fresh memory can be foretold.
#[test]
fn software_events_count_what_happens_between_enable_and_disable() {
    let mut set = CounterSet::open(0);
    let of = |reading: &Reading, metric: Metric| {
        reading
            .iter()
            .find(|(event, _)| event.metric() == Some(metric))
            .map(|(_, value)| value.clone().unwrap())
    };
    if set
        .unavailable
        .iter()
        .any(|missing| missing.metric == Some(Metric::PageFaults))
    {
        // A container without perf_event_open: the refusal must be a reason, not a zero.
        assert!(
            set.unavailable[0].reason.contains("perf_event_open"),
            "{:?}",
            set.unavailable
        );
        return;
    }
    set.enable().unwrap();
    let memory = vec![1_u8; 64 << 20];
    set.disable().unwrap();
    let outside = vec![1_u8; 64 << 20];
    let reading = set.read().unwrap();
    assert_eq!(memory.len(), outside.len());
    let faults = of(&reading, Metric::PageFaults).unwrap();
    // 16,384 small pages, or 32 huge ones.
    assert!((30.0..17_500.0).contains(&faults), "{faults}");
    assert!(of(&reading, Metric::TaskClock).unwrap() > 0.0);
    let nothing = set.read().unwrap();
    assert_eq!(of(&nothing, Metric::PageFaults), Some(0.0));
}

#[test]
fn every_thread_of_a_process_counts() {
    let me = i32::try_from(std::process::id()).unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (done, finished) = std::sync::mpsc::channel::<()>();
    let worker = std::thread::spawn(move || {
        wait.recv().unwrap();
        let sum = (0..20_000_000_u64).fold(0, |a, b| std::hint::black_box(a ^ b));
        done.send(()).unwrap();
        sum
    });
    let mut set = CounterSet::open(me);
    if !set.unavailable.is_empty() && set.groups.is_empty() {
        return; // As above: no counters here.
    }
    set.enable().unwrap();
    go.send(()).unwrap();
    finished.recv().unwrap();
    set.disable().unwrap();
    let reading = set.read().unwrap();
    worker.join().unwrap();
    let seconds = reading
        .iter()
        .find(|(event, _)| event.metric() == Some(Metric::TaskClock))
        .map(|(_, value)| value.clone().unwrap());
    // The first thread of a test program only waits meanwhile.
    assert!(seconds.unwrap() > 0.05, "{seconds:?}");
    let once = |metric| {
        reading
            .iter()
            .filter(|(event, _)| event.metric() == Some(metric))
            .count()
    };
    assert_eq!(once(Metric::TaskClock), 1);
}

#[test]
fn hardware_counters_are_there_or_have_a_reason() {
    let set = CounterSet::open(0);
    let hardware = set
        .groups
        .iter()
        .flat_map(|group| &group.events)
        .any(|event| event.metric() == Some(Metric::Instructions));
    let missing = set
        .unavailable
        .iter()
        .any(|missing| missing.metric == Some(Metric::Instructions));
    assert!(hardware != missing, "exactly one of the two");
}
