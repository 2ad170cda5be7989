//! Which events are counted on a processor: fixed groups that each fit its counters, one group in each process.
//!
//! Chosen by [`Processor`], which is read from the kernel's files; pure. Every group carries cycles and instructions, so that
//! each rate has its own divisor and the processes can be compared. What the processor could and a group cannot is
//! [`Plan::unavailable`] with its reason; nothing is ever shared between counters (multiplexed) and scaled.

mod tables;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::OnceLock;

use speedwell_wire::{CounterSource, Metric, Unavailable, UnavailableKind};

use super::derive::TopDown;
use super::processor::{CountingUnit, Processor};
use super::{Event, HARDWARE, Input, Quantity};

/// Processors whose events differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Skylake-X and Cascade Lake.
    Skylake,
    /// Ice Lake-X.
    IceLake,
    /// Sapphire, Emerald and Granite Rapids.
    SapphireRapids,
    /// Intel's client parts with two kinds of cores; only the fast ones count.
    Hybrid,
    /// AMD's Zen.
    Zen,
    /// Any with an `armv8` counting unit.
    Arm,
    /// None of these: generic events.
    Unknown,
}

/// Events that are counted together, and what they give.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// For people.
    pub name: &'static str,
    /// The first leads.
    pub events: Vec<Event>,
    /// The metrics for which it is there, cycles and instructions apart.
    pub gives: Vec<Metric>,
}

/// What is counted on a processor.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// By which it was chosen.
    pub generation: Generation,
    /// How top-down shares follow.
    pub top_down: TopDown,
    /// At least one.
    pub groups: Vec<Group>,
    /// The machine's energy counters, beside the first group.
    pub energy: Vec<Event>,
    /// What the processor could, and this plan cannot.
    pub unavailable: Vec<Unavailable>,
}

/// The plan of this host; read once in the worker's life.
pub fn of_host() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| Plan::of(&Processor::read(Path::new("/"))))
}

impl Generation {
    /// Model numbers as intel/perfmon's `mapfile.csv` has them: SKX and CLX are model 0x55, ICX 0x6a and 0x6c, SPR 0x8f,
    /// EMR 0xcf, GNR 0xad and 0xae.
    pub fn of(processor: &Processor) -> Self {
        let units = &processor.units;
        if units.contains_key("cpu_core") {
            return Self::Hybrid;
        }
        if arm_unit(processor).is_some() {
            return Self::Arm;
        }
        if !units.contains_key("cpu") {
            return Self::Unknown;
        }
        match (processor.vendor.as_str(), processor.family, processor.model) {
            ("GenuineIntel", 6, 0x55) => Self::Skylake,
            ("GenuineIntel", 6, 0x6a | 0x6c) => Self::IceLake,
            ("GenuineIntel", 6, 0x8f | 0xcf | 0xad | 0xae) => Self::SapphireRapids,
            // Zen to Zen 5.
            ("AuthenticAMD", 0x17 | 0x19 | 0x1a, _) => Self::Zen,
            _ => Self::Unknown,
        }
    }

    /// Counters for anything, beside those that the kernel keeps for cycles and instructions alone.
    fn general_counters(self) -> usize {
        match self {
            // Eight without shared cores, but the listed events go on the first four.
            Self::Skylake | Self::Unknown | Self::Arm => 4,
            Self::IceLake | Self::SapphireRapids | Self::Hybrid => 8,
            // Six, of which cycles and instructions take two.
            Self::Zen => 4,
        }
    }
}

/// The one counting unit of an arm64 processor; with several kinds of cores, none.
fn arm_unit(processor: &Processor) -> Option<&CountingUnit> {
    let mut arm = processor
        .units
        .iter()
        .filter(|(name, _)| name.starts_with("armv8"));
    arm.next()
        .filter(|_| arm.next().is_none())
        .map(|(_, unit)| unit)
}

impl Plan {
    /// The plan for a processor.
    pub fn of(processor: &Processor) -> Self {
        let generation = Generation::of(processor);
        let mut plan = Self {
            generation,
            top_down: TopDown::None,
            groups: Vec::new(),
            energy: Vec::new(),
            unavailable: Vec::new(),
        };
        let unit = |name: &str| processor.units.get(name);
        match generation {
            Generation::Skylake => tables::skylake(&mut plan, processor),
            Generation::IceLake => tables::ice_lake(&mut plan, unit("cpu")),
            Generation::SapphireRapids => tables::sapphire_rapids(&mut plan, unit("cpu")),
            Generation::Hybrid => tables::hybrid(&mut plan, unit("cpu_core")),
            Generation::Zen => tables::zen(&mut plan),
            Generation::Arm => tables::arm(&mut plan, arm_unit(processor)),
            Generation::Unknown => plan.groups.push(Group::generic()),
        }
        plan.keep_what_fits(generation.general_counters() - usize::from(processor.watchdog));
        if let Some(power) = unit("power") {
            plan.add_energy(power);
        }
        if processor.emulated {
            for event in plan.groups.iter_mut().flat_map(|group| &mut group.events) {
                event.source = CounterSource::PmuEmulated;
            }
        }
        plan
    }

    /// Lines for people: what each group gives, and what is missing and why.
    pub fn describe(&self) -> Vec<String> {
        let generation = format!("plan    for {:?}", self.generation);
        let mut lines = vec![generation];
        lines.extend(self.groups.iter().map(|group| {
            let gives: Vec<&str> = group.gives.iter().map(|metric| metric.as_str()).collect();
            format!("group   {}: {}", group.name, gives.join(", "))
        }));
        lines.extend(self.unavailable.iter().map(|missing| {
            let metric = missing.metric.map_or("", Metric::as_str);
            format!("absent  {metric:<17} {}", missing.reason)
        }));
        lines
    }

    fn keep_what_fits(&mut self, counters: usize) {
        let all = std::mem::take(&mut self.groups);
        for (index, group) in all.into_iter().enumerate() {
            // The first is tried in any case: where it does not fit, its readings are rejected.
            if index == 0 || group.general_events() <= counters {
                self.groups.push(group);
                continue;
            }
            let reason = format!(
                "its {} events do not fit the {counters} counters that are free (kernel.nmi_watchdog takes one)",
                group.general_events()
            );
            for metric in group.gives {
                self.lack(metric, reason.clone());
            }
        }
        let groups = &self.groups;
        let given = |metric| groups.iter().any(|group| group.gives.contains(&metric));
        self.unavailable
            .retain(|one| one.metric.is_none_or(|metric| !given(metric)));
    }

    fn lack(&mut self, metric: Metric, reason: String) {
        if self
            .unavailable
            .iter()
            .all(|known| known.metric != Some(metric))
        {
            self.unavailable.push(Unavailable {
                metric: Some(metric),
                kind: UnavailableKind::Unsupported,
                reason,
            });
        }
    }

    /// Energy as the kernel's `power` unit tells it (RAPL): of whole packages, asked on one processor of each.
    fn add_energy(&mut self, power: &CountingUnit) {
        for (name, metric) in [
            ("energy-pkg", Metric::PackageEnergy),
            ("energy-ram", Metric::MemoryEnergy),
        ] {
            let (Ok(config), Ok(scale)) = (power.event(name), power.scale(name)) else {
                continue;
            };
            self.energy
                .extend(power.processors.iter().map(|processor| Event {
                    user_only: false,
                    processor: Some(*processor),
                    scale,
                    ..Event::of_unit(Quantity::Metric(metric), power.kind, config)
                }));
        }
    }
}

impl Group {
    /// The kernel's generic events.
    fn generic() -> Self {
        Self {
            name: "branches",
            events: HARDWARE.to_vec(),
            gives: vec![Metric::Ipc, Metric::Branches, Metric::BranchMisses],
        }
    }

    /// Events that need a counter of the general kind.
    fn general_events(&self) -> usize {
        let fixed = |event: &&Event| match event.quantity {
            Quantity::Metric(metric) => matches!(metric, Metric::Cycles | Metric::Instructions),
            Quantity::Input(input) => matches!(
                input,
                Input::Slots
                    | Input::Retiring
                    | Input::BadSpeculation
                    | Input::FrontendBound
                    | Input::BackendBound
                    | Input::HeavyOperations
                    | Input::BranchMispredicts
                    | Input::FetchLatency
                    | Input::MemoryBound
            ),
        };
        self.events.len() - self.events.iter().filter(fixed).count()
    }
}
