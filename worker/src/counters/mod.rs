//! The kernel's and the processor's counters, for one benchmark's process.
//!
//! A [`CounterSet`] is opened on the process before its timed region, switched on and off around it by the harness's
//! requests, and read after each region. What cannot be opened is unavailable with its reason, never zero. Nothing is
//! scaled: a reading that ran for less than it was enabled (the kernel had to share the counters) is rejected.

mod calibrate;
mod linux;

use speedwell_wire::{CounterSource, Metric};

pub use calibrate::{Calibration, Outcome, calibrate, calibrate_valgrind, spin};
pub use linux::CounterSet;

/// One event to count: which metric it gives, where it comes from, and the kernel's `type` and `config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The metric.
    pub metric: Metric,
    /// Where its value comes from.
    pub source: CounterSource,
    kind: u32,
    config: u64,
    /// Counts user space only: what an interpreter executes does not depend on the kernel's version.
    user_only: bool,
}

/// Values over one timed region; the unit is the metric's own. `Err`: rejected, with the reason.
pub type Reading = Vec<(Event, Result<f64, String>)>;

use perf_event_open_sys::bindings as perf;

/// The kernel's own events (`perf_event_open(2)`, PERF_TYPE_SOFTWARE). One group.
pub const SOFTWARE: &[Event] = &[
    Event::software(Metric::TaskClock, perf::PERF_COUNT_SW_TASK_CLOCK),
    Event::software(Metric::PageFaults, perf::PERF_COUNT_SW_PAGE_FAULTS),
    Event::software(
        Metric::ContextSwitches,
        perf::PERF_COUNT_SW_CONTEXT_SWITCHES,
    ),
];

/// The processor's generic events (PERF_TYPE_HARDWARE). One group: four counters fit on every processor since Nehalem.
pub const HARDWARE: &[Event] = &[
    Event::hardware(Metric::Cycles, perf::PERF_COUNT_HW_CPU_CYCLES),
    Event::hardware(Metric::Instructions, perf::PERF_COUNT_HW_INSTRUCTIONS),
    Event::hardware(Metric::Branches, perf::PERF_COUNT_HW_BRANCH_INSTRUCTIONS),
    Event::hardware(Metric::BranchMisses, perf::PERF_COUNT_HW_BRANCH_MISSES),
];

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

/// Where a metric's values would come from.
fn source_of(metric: Metric) -> CounterSource {
    if SOFTWARE.iter().any(|event| event.metric == metric) {
        CounterSource::Software
    } else {
        CounterSource::Pmu
    }
}

impl Event {
    const fn software(metric: Metric, config: u32) -> Self {
        Self {
            metric,
            source: CounterSource::Software,
            kind: perf::PERF_TYPE_SOFTWARE,
            config: config as u64,
            user_only: false,
        }
    }

    const fn hardware(metric: Metric, config: u32) -> Self {
        Self {
            metric,
            source: CounterSource::Pmu,
            kind: perf::PERF_TYPE_HARDWARE,
            config: config as u64,
            user_only: true,
        }
    }

    /// Turns a raw count into the metric's unit.
    fn value(&self, count: u64) -> f64 {
        if self.metric == Metric::TaskClock {
            count as f64 * 1e-9
        } else {
            count as f64
        }
    }
}
