//! What is measured: each metric with its unit, its better direction, and where its value came from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Less is better: times, counts, memory.
    LowerIsBetter,
    /// More is better: throughput, instructions per cycle.
    HigherIsBetter,
}

/// The unit of a metric's values as they are stored. Pages scale them for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// A plain count of events per iteration.
    Count,
    /// Bytes.
    Bytes,
    /// A dimensionless ratio.
    Ratio,
    /// Events per second.
    PerSecond,
    /// Joules.
    Joules,
}

/// Declares the enum, its text form and its properties from one table.
macro_rules! metrics {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $label:literal, $unit:ident, $direction:ident;)*) => {
        /// A metric of the glossary. Values are per iteration of the benchmark's own loop,
        /// except [`Metric::WarmupTime`], [`Metric::BadWarmup`], memory, and what scripts report ([`Metric::is_reported`]), which are one value per
        /// process. A server workload's counters are per request, and its memory is the sum over the servers under test.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Metric { $($(#[$doc])* #[serde(rename = $text)] $variant,)* }

        impl Metric {
            /// All metrics, in the order pages list them.
            pub const ALL: &'static [Metric] = &[$(Metric::$variant),*];

            /// The stable name used in the database, the API and URLs.
            pub fn as_str(self) -> &'static str {
                match self { $(Metric::$variant => $text),* }
            }

            /// The name for people.
            pub fn label(self) -> &'static str {
                match self { $(Metric::$variant => $label),* }
            }

            /// The unit of stored values.
            pub fn unit(self) -> Unit {
                match self { $(Metric::$variant => Unit::$unit),* }
            }

            /// Which way is better.
            pub fn direction(self) -> Direction {
                match self { $(Metric::$variant => Direction::$direction),* }
            }
        }
    };
}

metrics! {
    /// Monotonic clock over the timed region.
    WallTime = "wall_time", "Wall time", Seconds, LowerIsBetter;
    /// Wall time of the iterations of a process's steady state; derived from [`Metric::WallTime`], one value per process.
    SteadyTime = "steady_time", "Steady time", Seconds, LowerIsBetter;
    /// Time that a process's iterations took before its steady state; derived from [`Metric::WallTime`], one value per
    /// process, zero where it is steady from the first iteration on.
    WarmupTime = "warmup_time", "Warm-up time", Seconds, LowerIsBetter;
    /// Whether a process slows down or never becomes steady: 1, else 0, one value per process; derived from [`Metric::WallTime`]. A run's
    /// median is what most of its processes do.
    BadWarmup = "bad_warmup", "Slows down or is never steady", Ratio, LowerIsBetter;
    /// Processor time of the process over the timed region (`PERF_COUNT_SW_TASK_CLOCK`).
    TaskClock = "task_clock", "Task clock", Seconds, LowerIsBetter;
    /// Retired instructions, user space only.
    Instructions = "instructions", "Instructions", Count, LowerIsBetter;
    /// Core cycles, user space only.
    Cycles = "cycles", "Cycles", Count, LowerIsBetter;
    /// Instructions per cycle.
    Ipc = "ipc", "Instructions per cycle", Ratio, HigherIsBetter;
    /// Retired branches, user space only.
    Branches = "branches", "Branches", Count, LowerIsBetter;
    /// Mispredicted branches, user space only.
    BranchMisses = "branch_misses", "Branch misses", Count, LowerIsBetter;
    /// Misses of the level-1 instruction cache in user space per thousand instructions. On Intel since Sapphire Rapids: fetches
    /// of code that reached level 2, which stand for them.
    L1iMpki = "l1i_mpki", "Instruction cache misses per 1000 instructions", Ratio, LowerIsBetter;
    /// Lines that had to be brought into the level-1 data cache, per thousand instructions, user space only.
    L1dMpki = "l1d_mpki", "Data cache misses per 1000 instructions", Ratio, LowerIsBetter;
    /// Accesses that missed the last level of cache, per thousand instructions, user space only.
    LlcMpki = "llc_mpki", "Last-level cache misses per 1000 instructions", Ratio, LowerIsBetter;
    /// Page walks for instructions (misses of every instruction TLB), per thousand instructions, user space only.
    ItlbMpki = "itlb_mpki", "Instruction page walks per 1000 instructions", Ratio, LowerIsBetter;
    /// Page walks for data, loads and (on Intel) stores, per thousand instructions, user space only.
    DtlbMpki = "dtlb_mpki", "Data page walks per 1000 instructions", Ratio, LowerIsBetter;
    /// Share of the pipeline's slots whose operation retired (top-down analysis, level 1).
    Retiring = "retiring", "Slots that retire", Ratio, HigherIsBetter;
    /// Share of the slots lost to work that was thrown away (level 1).
    BadSpeculation = "bad_speculation", "Slots lost to bad speculation", Ratio, LowerIsBetter;
    /// Share of the slots for which no operation had been fetched and decoded (level 1).
    FrontendBound = "frontend_bound", "Slots lost in the front end", Ratio, LowerIsBetter;
    /// Share of the slots that waited for data or execution units (level 1).
    BackendBound = "backend_bound", "Slots lost in the back end", Ratio, LowerIsBetter;
    /// Part of [`Metric::Retiring`]: slots of instructions that take several operations (level 2).
    HeavyOperations = "heavy_operations", "Slots that retire, heavy operations", Ratio, LowerIsBetter;
    /// Part of [`Metric::Retiring`]: the others (level 2).
    LightOperations = "light_operations", "Slots that retire, light operations", Ratio, HigherIsBetter;
    /// Part of [`Metric::BadSpeculation`]: mispredicted branches (level 2).
    BranchMispredicts = "branch_mispredicts", "Slots lost to mispredicted branches", Ratio, LowerIsBetter;
    /// Part of [`Metric::BadSpeculation`]: machine clears (level 2).
    MachineClears = "machine_clears", "Slots lost to machine clears", Ratio, LowerIsBetter;
    /// Part of [`Metric::FrontendBound`]: nothing was delivered at all (level 2).
    FetchLatency = "fetch_latency", "Slots lost to fetch latency", Ratio, LowerIsBetter;
    /// Part of [`Metric::FrontendBound`]: too little was delivered (level 2).
    FetchBandwidth = "fetch_bandwidth", "Slots lost to fetch bandwidth", Ratio, LowerIsBetter;
    /// Part of [`Metric::BackendBound`]: waits for caches and memory (level 2).
    MemoryBound = "memory_bound", "Slots lost to memory", Ratio, LowerIsBetter;
    /// Part of [`Metric::BackendBound`]: waits for execution units (level 2).
    CoreBound = "core_bound", "Slots lost in the core", Ratio, LowerIsBetter;
    /// Energy of all processor packages meanwhile (RAPL): of the whole machine, whatever else runs on it.
    PackageEnergy = "package_energy", "Package energy", Joules, LowerIsBetter;
    /// Energy of the memory meanwhile (RAPL): of the whole machine.
    MemoryEnergy = "memory_energy", "Memory energy", Joules, LowerIsBetter;
    /// Page faults, minor and major.
    PageFaults = "page_faults", "Page faults", Count, LowerIsBetter;
    /// Context switches of the process.
    ContextSwitches = "context_switches", "Context switches", Count, LowerIsBetter;
    /// Largest resident set of the benchmark's process (of its children where those are the benchmark).
    MaxRss = "max_rss", "Peak memory", Bytes, LowerIsBetter;
    /// Resident set of the benchmark's process once its last iteration is over and before it does anything else (of servers,
    /// at the end of a measured window): what is still held, and what the interpreter has not given back.
    SteadyRss = "steady_rss", "Steady memory", Bytes, LowerIsBetter;
    /// Median of the times between small allocation steps of a fixed size that follow each other without a pause of their
    /// own: whatever delays one (collector, allocator, compiler, kernel) is in it, on every runtime in the same way.
    StepP50 = "step_p50", "Allocation step, median", Seconds, LowerIsBetter;
    /// The 99th percentile of the same times.
    StepP99 = "step_p99", "Allocation step, 99 %", Seconds, LowerIsBetter;
    /// The 99.9th percentile of the same times.
    StepP999 = "step_p999", "Allocation step, 99.9 %", Seconds, LowerIsBetter;
    /// The longest of the same times.
    StepMax = "step_max", "Allocation step, longest", Seconds, LowerIsBetter;
    /// Median time for which the garbage collector stops the program, as the interpreter itself tells of each stop
    /// (CPython's `gc.callbacks`, PyPy's `gc.hooks`). Never taken from [`Metric::StepP50`], which is another method.
    GcPauseP50 = "gc_pause_p50", "Collector's pause, median", Seconds, LowerIsBetter;
    /// The 99th percentile of the collector's pauses.
    GcPauseP99 = "gc_pause_p99", "Collector's pause, 99 %", Seconds, LowerIsBetter;
    /// The longest of the collector's pauses.
    GcPauseMax = "gc_pause_max", "Collector's pause, longest", Seconds, LowerIsBetter;
    /// Sum of the collector's pauses by the wall time of the measured iterations.
    GcTimeShare = "gc_time_share", "Share of time in the collector", Ratio, LowerIsBetter;
    /// How often the collector stops the program, per iteration of the benchmark's own loop.
    GcCollections = "gc_collections", "Collector's stops", Count, LowerIsBetter;
    /// Answers per second of a server workload's phase, one value per repetition.
    RequestsPerSecond = "requests_per_second", "Requests per second", PerSecond, HigherIsBetter;
    /// Median time from a request's arrival to the end of its answer, one value per repetition.
    LatencyP50 = "latency_p50", "Response time, median", Seconds, LowerIsBetter;
    /// The 95th percentile of the response time.
    LatencyP95 = "latency_p95", "Response time, 95 %", Seconds, LowerIsBetter;
    /// The 99th percentile of the response time.
    LatencyP99 = "latency_p99", "Response time, 99 %", Seconds, LowerIsBetter;
    /// Processor time of all servers under test per request, user and kernel.
    CpuPerRequest = "cpu_per_request", "Processor time per request", Seconds, LowerIsBetter;
    /// Share of a server workload's processor time, user and kernel, in the function that runs bytecode, by sampling; of
    /// another benchmark, the share of its instructions of user space, by its profile.
    MainLoopShare = "main_loop_share", "Time in the interpreter's main loop", Ratio, LowerIsBetter;
    /// Share of a server workload's processor time in machine code that was made at run time; by sampling.
    CompiledShare = "compiled_share", "Time in code compiled at run time", Ratio, HigherIsBetter;
}

impl Metric {
    /// What benchmarks are there for; each has one of them.
    pub const MAIN: [Metric; 2] = [Self::WallTime, Self::RequestsPerSecond];

    /// Whether the backend derives it from another metric's samples; workers never send it.
    pub fn is_derived(self) -> bool {
        matches!(self, Self::SteadyTime | Self::WarmupTime | Self::BadWarmup)
    }

    /// Whether single processes jump by themselves: it tells where change points were found among iterations, or which, and not how
    /// long something took. A process that falls the other way by chance has another value altogether.
    pub fn jumps(self) -> bool {
        matches!(self, Self::WarmupTime | Self::BadWarmup)
    }

    /// Whether a benchmark's script reports it itself, one value per process; nothing else is taken from a script.
    pub fn is_reported(self) -> bool {
        matches!(
            self,
            Self::StepP50
                | Self::StepP99
                | Self::StepP999
                | Self::StepMax
                | Self::GcPauseP50
                | Self::GcPauseP99
                | Self::GcPauseMax
                | Self::GcTimeShare
                | Self::GcCollections
        )
    }

    /// Whether zero is a value like any other: a count or a rate of events, slots of which none were lost, no warm-up at
    /// all, or a collector that never ran.
    pub fn can_be_zero(self) -> bool {
        self.unit() == Unit::Count
            || self.is_rate_of_events()
            || self.is_share_of_slots()
            // The processor tells its energy once in a millisecond; a short iteration can see none.
            || matches!(
                self,
                Self::WarmupTime
                    | Self::BadWarmup
                    | Self::GcTimeShare
                    | Self::PackageEnergy
                    | Self::MemoryEnergy
            )
    }

    /// Whether it is a number of events per thousand instructions.
    pub fn is_rate_of_events(self) -> bool {
        matches!(
            self,
            Self::L1iMpki | Self::L1dMpki | Self::LlcMpki | Self::ItlbMpki | Self::DtlbMpki
        )
    }

    /// Whether it is a share of the pipeline's slots (top-down analysis).
    pub fn is_share_of_slots(self) -> bool {
        matches!(
            self,
            Self::Retiring
                | Self::BadSpeculation
                | Self::FrontendBound
                | Self::BackendBound
                | Self::HeavyOperations
                | Self::LightOperations
                | Self::BranchMispredicts
                | Self::MachineClears
                | Self::FetchLatency
                | Self::FetchBandwidth
                | Self::MemoryBound
                | Self::CoreBound
        )
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that names no metric or counter source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName(
    /// The text that was given.
    pub String,
);

impl fmt::Display for UnknownName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unknown name {:?}", self.0)
    }
}

impl std::error::Error for UnknownName {}

impl FromStr for Metric {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Metric::ALL
            .iter()
            .copied()
            .find(|metric| metric.as_str() == text);
        known.ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// Where a counter's value came from. Values of different sources are never compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CounterSource {
    /// A hardware performance monitoring unit.
    Pmu,
    /// An emulated one (QEMU).
    PmuEmulated,
    /// Counted by valgrind.
    Valgrind,
    /// The kernel's software events, clocks and accounting.
    Software,
}

impl CounterSource {
    /// All sources.
    pub const ALL: &'static [CounterSource] =
        &[Self::Pmu, Self::PmuEmulated, Self::Valgrind, Self::Software];

    /// The stable name used in the database, the API and URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pmu => "pmu",
            Self::PmuEmulated => "pmu-emulated",
            Self::Valgrind => "valgrind",
            Self::Software => "software",
        }
    }
}

impl fmt::Display for CounterSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for CounterSource {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL
            .iter()
            .copied()
            .find(|source| source.as_str() == text);
        known.ok_or_else(|| UnknownName(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for metric in Metric::ALL {
            assert_eq!(metric.as_str().parse::<Metric>().unwrap(), *metric);
            assert_eq!(
                serde_json::to_string(metric).unwrap(),
                format!("\"{metric}\"")
            );
        }
        for source in CounterSource::ALL {
            assert_eq!(source.as_str().parse::<CounterSource>().unwrap(), *source);
            assert_eq!(
                serde_json::to_string(source).unwrap(),
                format!("\"{source}\"")
            );
        }
        assert_eq!(
            "speed".parse::<Metric>(),
            Err(UnknownName("speed".to_owned()))
        );
    }
}
