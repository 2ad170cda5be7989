//! Metrics that follow from one group's counts: instructions per cycle, misses per thousand instructions, top-down analysis.
//!
//! Pure. The formulas are those of Intel's pmu-tools (commit 2568760f, TMA 5.1): `skx_server_ratios.py`, `icx_server_ratios.py`
//! and `spr_server_ratios.py`, as `reference/counters.md` section 2 gives them. A formula whose counts are absent or are no
//! numbers, or whose divisor is zero, gives nothing.

use speedwell_wire::Metric;

use super::{Input, Quantity};

/// How a processor's top-down shares are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopDown {
    /// It has none here.
    None,
    /// Skylake-X and Cascade Lake: ordinary events, four slots a cycle.
    Skylake,
    /// Ice Lake-X: the metrics register with four shares, five slots a cycle.
    IceLake,
    /// Sapphire Rapids and later: the metrics register with eight shares, six slots a cycle.
    SapphireRapids,
}

/// One group's counts over one timed region.
#[derive(Debug, Clone, Copy)]
pub struct Counts<'a>(pub &'a [(Quantity, f64)]);

impl Counts<'_> {
    fn of(self, quantity: Quantity) -> Option<f64> {
        let found = self.0.iter().find(|(of, _)| *of == quantity)?;
        Some(found.1).filter(|value| value.is_finite() && *value >= 0.0)
    }

    fn get(self, input: Input) -> Option<f64> {
        self.of(Quantity::Input(input))
    }

    fn instructions(self) -> Option<f64> {
        self.of(Quantity::Metric(Metric::Instructions))
    }

    fn cycles(self) -> Option<f64> {
        self.of(Quantity::Metric(Metric::Cycles))
    }
}

/// Every metric that the counts allow.
pub fn derive(top_down: TopDown, counts: Counts<'_>) -> Vec<(Metric, f64)> {
    let mut all = rates(counts);
    all.extend(match top_down {
        TopDown::None => Vec::new(),
        TopDown::Skylake => skylake(counts).unwrap_or_default(),
        TopDown::IceLake => ice_lake(counts).unwrap_or_default(),
        TopDown::SapphireRapids => sapphire_rapids(counts).unwrap_or_default(),
    });
    all.retain(|(_, value)| value.is_finite());
    for (metric, value) in &mut all {
        if metric.is_share_of_slots() {
            // The shares come from different counters: a little below nothing is nothing.
            *value = value.clamp(0.0, 1.0);
        }
    }
    all
}

fn divide(above: f64, below: f64) -> Option<f64> {
    (below > 0.0).then(|| above / below)
}

fn rates(counts: Counts<'_>) -> Vec<(Metric, f64)> {
    let Some(instructions) = counts.instructions() else {
        return Vec::new();
    };
    let mpki = |input| divide(counts.get(input)? * 1000.0, instructions);
    let both = || Some(mpki(Input::DtlbLoadMisses)? + mpki(Input::DtlbStoreMisses)?);
    let found = [
        (
            Metric::Ipc,
            counts
                .cycles()
                .and_then(|cycles| divide(instructions, cycles)),
        ),
        (Metric::L1iMpki, mpki(Input::L1iMisses)),
        (Metric::L1dMpki, mpki(Input::L1dMisses)),
        (Metric::LlcMpki, mpki(Input::LlcMisses)),
        (Metric::ItlbMpki, mpki(Input::ItlbMisses)),
        (Metric::DtlbMpki, both().or_else(|| mpki(Input::DtlbMisses))),
    ];
    let there = found
        .into_iter()
        .filter_map(|(metric, value)| Some((metric, value?)));
    there.collect()
}

/// Instructions of the pipeline that a cycle of Skylake can issue.
const SKYLAKE_WIDTH: f64 = 4.0;
const ICE_LAKE_WIDTH: f64 = 5.0;

fn skylake(counts: Counts<'_>) -> Option<Vec<(Metric, f64)>> {
    let slots = SKYLAKE_WIDTH * counts.cycles()?;
    let share = |input| divide(counts.get(input)?, slots);
    let mut all = Vec::new();
    let frontend = share(Input::NotDelivered);
    let retiring = share(Input::RetireSlots);
    all.extend(frontend.map(|value| (Metric::FrontendBound, value)));
    all.extend(retiring.map(|value| (Metric::Retiring, value)));
    if let (Some(frontend), Some(retiring), Some(issued), Some(recovery)) = (
        frontend,
        retiring,
        share(Input::Issued),
        share(Input::Recovery),
    ) {
        let recovery = SKYLAKE_WIDTH * recovery;
        let backend = 1.0 - frontend - (issued + recovery);
        all.push((Metric::BadSpeculation, issued - retiring + recovery));
        all.push((Metric::BackendBound, backend));
        all.extend(
            split_memory(counts, backend, retiring)
                .into_iter()
                .flatten(),
        );
        all.extend(
            split_speculation(counts, issued - retiring + recovery)
                .into_iter()
                .flatten(),
        );
    }
    if let (Some(frontend), Some(idle)) = (frontend, share(Input::CyclesWithoutUops)) {
        let latency = SKYLAKE_WIDTH * idle;
        all.push((Metric::FetchLatency, latency));
        all.push((Metric::FetchBandwidth, frontend - latency));
    }
    if let (Some(retiring), Some(fused)) = (retiring, share(Input::MacroFused)) {
        let heavy = retiring + fused - counts.instructions()? / slots;
        all.push((Metric::HeavyOperations, heavy));
        all.push((Metric::LightOperations, retiring - heavy));
    }
    Some(all)
}

/// The back end by what it waited for, the same on Skylake and Ice Lake.
fn split_memory(counts: Counts<'_>, backend: f64, retiring: f64) -> Option<[(Metric, f64); 2]> {
    let few = counts.get(Input::OnePort)? + retiring * counts.get(Input::TwoPorts)?;
    let stores = counts.get(Input::BoundOnStores)?;
    let memory = counts.get(Input::StallsMemory)? + stores;
    let memory = backend * divide(memory, counts.get(Input::StallsTotal)? + few + stores)?;
    Some([
        (Metric::MemoryBound, memory),
        (Metric::CoreBound, backend - memory),
    ])
}

/// Thrown away work by what threw it away.
fn split_speculation(counts: Counts<'_>, bad: f64) -> Option<[(Metric, f64); 2]> {
    let (branches, clears) = (
        counts.get(Input::Mispredicted)?,
        counts.get(Input::MachineClears)?,
    );
    let mispredicts = if bad > 0.0 {
        bad * divide(branches, branches + clears)?
    } else {
        0.0
    };
    Some([
        (Metric::BranchMispredicts, mispredicts),
        (Metric::MachineClears, bad - mispredicts),
    ])
}

/// Level 1 from the metrics register: retiring, front end, back end, bad speculation, each by the sum of the four.
struct Level1 {
    slots: f64,
    sum: f64,
    retiring: f64,
    frontend: f64,
    backend: f64,
    bad: f64,
}

fn level1(counts: Counts<'_>, width_of_clears: Option<f64>) -> Option<Level1> {
    let slots = counts.get(Input::Slots)?;
    let four = [
        Input::Retiring,
        Input::BadSpeculation,
        Input::FrontendBound,
        Input::BackendBound,
    ];
    let mut sum = 0.0;
    for input in four {
        sum += divide(counts.get(input)?, slots)?;
    }
    let part = |input| divide(divide(counts.get(input)?, slots)?, sum);
    let retiring = part(Input::Retiring)?;
    let frontend = part(Input::FrontendBound)? - divide(counts.get(Input::UopDropping)?, slots)?;
    let clears = match width_of_clears {
        None => 0.0,
        Some(width) => width * divide(counts.get(Input::ClearsCount)?, slots)?,
    };
    let backend = part(Input::BackendBound)? + clears;
    let bad = (1.0 - frontend - backend - retiring).max(0.0);
    Some(Level1 {
        slots,
        sum,
        retiring,
        frontend,
        backend,
        bad,
    })
}

impl Level1 {
    fn metrics(&self) -> Vec<(Metric, f64)> {
        vec![
            (Metric::Retiring, self.retiring),
            (Metric::FrontendBound, self.frontend),
            (Metric::BackendBound, self.backend),
            (Metric::BadSpeculation, self.bad),
        ]
    }
}

/// Heavy operations are left out: their formula on Ice Lake takes events that are not in the reference.
fn ice_lake(counts: Counts<'_>) -> Option<Vec<(Metric, f64)>> {
    let level1 = level1(counts, Some(ICE_LAKE_WIDTH))?;
    let mut all = level1.metrics();
    if let Some(idle) = counts.get(Input::CyclesWithoutUops) {
        let dropped = counts.get(Input::UopDropping)?;
        let latency = divide(ICE_LAKE_WIDTH * idle - dropped, level1.slots)?;
        all.push((Metric::FetchLatency, latency));
        all.push((Metric::FetchBandwidth, level1.frontend - latency));
    }
    all.extend(split_speculation(counts, level1.bad).into_iter().flatten());
    all.extend(
        split_memory(counts, level1.backend, level1.retiring)
            .into_iter()
            .flatten(),
    );
    Some(all)
}

fn sapphire_rapids(counts: Counts<'_>) -> Option<Vec<(Metric, f64)>> {
    let level1 = level1(counts, None)?;
    let mut all = level1.metrics();
    let part = |input| divide(divide(counts.get(input)?, level1.slots)?, level1.sum);
    let mut split = |part: Option<f64>, whole: f64, metric, rest| {
        if let Some(part) = part {
            all.push((metric, part));
            all.push((rest, whole - part));
        }
    };
    split(
        part(Input::HeavyOperations),
        level1.retiring,
        Metric::HeavyOperations,
        Metric::LightOperations,
    );
    split(
        part(Input::BranchMispredicts),
        level1.bad,
        Metric::BranchMispredicts,
        Metric::MachineClears,
    );
    let dropped = divide(counts.get(Input::UopDropping)?, level1.slots)?;
    let latency = part(Input::FetchLatency).map(|latency| latency - dropped);
    split(
        latency,
        level1.frontend,
        Metric::FetchLatency,
        Metric::FetchBandwidth,
    );
    split(
        part(Input::MemoryBound),
        level1.backend,
        Metric::MemoryBound,
        Metric::CoreBound,
    );
    Some(all)
}

#[cfg(test)]
#[path = "derive_tests.rs"]
mod tests;
