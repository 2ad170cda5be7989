//! What one counter counts: the kernel's own events, the generic ones of a processor, and those of [`super::plan`].

use perf_event_open_sys::bindings as perf;
use speedwell_wire::{CounterSource, Metric};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// A metric as it is.
    Metric(Metric),
    /// What metrics follow from ([`super::derive`]).
    Input(Input),
}

/// A count that is no metric by itself. Names of Intel's events: [`super::plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the plan's tables say which event each is")]
pub enum Input {
    Slots,
    Retiring,
    BadSpeculation,
    FrontendBound,
    BackendBound,
    HeavyOperations,
    BranchMispredicts,
    FetchLatency,
    MemoryBound,
    NotDelivered,
    CyclesWithoutUops,
    Issued,
    RetireSlots,
    MacroFused,
    Recovery,
    UopDropping,
    ClearsCount,
    Mispredicted,
    MachineClears,
    StallsTotal,
    StallsMemory,
    BoundOnStores,
    OnePort,
    TwoPorts,
    L1iMisses,
    L1dMisses,
    LlcMisses,
    ItlbMisses,
    DtlbMisses,
    DtlbLoadMisses,
    DtlbStoreMisses,
}

/// One event to count: what it gives, where it comes from, and the kernel's `type` and `config`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// What it counts.
    pub quantity: Quantity,
    /// Where its value comes from.
    pub source: CounterSource,
    pub(crate) kind: u32,
    pub(crate) config: u64,
    /// Counts user space only: what an interpreter executes does not depend on the kernel's version.
    pub(super) user_only: bool,
    /// Counts a whole processor (by its number) and not a process.
    pub(super) processor: Option<u32>,
    /// Turns a count into the metric's unit.
    pub(super) scale: f64,
}

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

impl Event {
    const fn software(metric: Metric, config: u32) -> Self {
        Self {
            quantity: Quantity::Metric(metric),
            source: CounterSource::Software,
            kind: perf::PERF_TYPE_SOFTWARE,
            config: config as u64,
            user_only: false,
            processor: None,
            // The kernel counts nanoseconds.
            scale: if matches!(metric, Metric::TaskClock) {
                1e-9
            } else {
                1.0
            },
        }
    }

    const fn hardware(metric: Metric, config: u32) -> Self {
        Self::of_unit(
            Quantity::Metric(metric),
            perf::PERF_TYPE_HARDWARE,
            config as u64,
        )
    }

    /// A processor's event: the counting unit's `type`, and `config` as it takes it.
    pub(super) const fn of_unit(quantity: Quantity, kind: u32, config: u64) -> Self {
        Self {
            quantity,
            source: CounterSource::Pmu,
            kind,
            config,
            user_only: true,
            processor: None,
            scale: 1.0,
        }
    }

    /// The metric that it is; `None`: only an input of others.
    pub fn metric(&self) -> Option<Metric> {
        match self.quantity {
            Quantity::Metric(metric) => Some(metric),
            Quantity::Input(_) => None,
        }
    }

    /// A raw count in the metric's unit, of `running` nanoseconds of those that it was `enabled`: all of them, or it is rejected.
    pub(super) fn whole(&self, count: u64, enabled: u64, running: u64) -> Result<f64, String> {
        if running == 0 && enabled > 0 {
            return Err(
                "the counter never ran: others hold the processor's counters, or its group is larger than they are"
                    .to_owned(),
            );
        }
        if running < enabled {
            return Err(format!(
                "the counter ran for {running} of {enabled} ns: it had to share the processor's counters"
            ));
        }
        Ok(count as f64 * self.scale)
    }
}
