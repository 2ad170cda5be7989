//! The kernel's and the processor's counters, for one benchmark's process.
//!
//! A [`CounterSet`] is opened on the process before its timed region, switched on and off around it by the harness's
//! requests, and read after each region. What cannot be opened is unavailable with its reason, never zero. Nothing is
//! scaled: a reading that ran for less than it was enabled (the kernel had to share the counters) is rejected.

mod calibrate;
pub mod calls;
pub mod derive;
mod events;
mod linux;
pub mod plan;
pub mod processor;

use speedwell_wire::{CounterSource, Metric};

pub use calibrate::{Calibration, Outcome, calibrate, calibrate_valgrind, spin};
pub use events::{Event, HARDWARE, Input, Quantity, SOFTWARE};
pub use linux::CounterSet;
#[cfg(test)]
pub(crate) use linux::take_all_of_processor_0;

/// Values over one timed region; the unit is the metric's own. `Err`: rejected, with the reason.
pub type Reading = Vec<(Event, Result<f64, String>)>;

/// Every metric that is counted here.
pub const ALL: &[Metric] = &[
    Metric::TaskClock,
    Metric::PageFaults,
    Metric::ContextSwitches,
    Metric::Cycles,
    Metric::Instructions,
    Metric::Branches,
    Metric::BranchMisses,
];

/// How many of the plan's groups are worth a process each: only the first where instructions cannot be counted.
pub fn groups_of_host() -> u32 {
    let missing = CounterSet::open(0).unavailable;
    if missing
        .iter()
        .any(|one| one.metric == Some(Metric::Instructions))
    {
        return 1;
    }
    u32::try_from(plan::of_host().groups.len()).unwrap_or(1)
}

/// The event of the processor's cycles, where it can be opened and counts what it should.
pub fn sampled_cycles() -> Option<Event> {
    let cycles = |one: &&Event| one.metric() == Some(Metric::Cycles);
    let missing = CounterSet::open(0).unavailable;
    let planned = plan::of_host().groups.first()?.events.iter().find(cycles)?;
    let is_missing = missing.iter().any(|one| one.metric == Some(Metric::Cycles));
    (!is_missing).then_some(*planned)
}

/// Where a metric's values would come from.
fn source_of(metric: Metric) -> CounterSource {
    if SOFTWARE.iter().any(|event| event.metric() == Some(metric)) {
        return CounterSource::Software;
    }
    let groups = &plan::of_host().groups;
    let of_processor = groups.iter().flat_map(|group| &group.events).next();
    of_processor.map_or(CounterSource::Pmu, |event| event.source)
}
