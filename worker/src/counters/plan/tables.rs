//! The events of each generation.
//!
//! Intel: intel/perfmon, commit 6dadedf3, `SKX`, `CLX`, `ICX`, `SPR`, `EMR` and `GNR` core event files, as collected in
//! `reference/counters.md` section 2; an event is event | umask << 8 | edge << 18 | any << 21 | inv << 23 | cmask << 24. The
//! codes of one generation mean something else on another. Top-down's metrics register is never written out here: its events are
//! what the kernel's `events/` say, whose names are those of `arch/x86/events/intel/core.c`. Every code here was compared with the
//! file of each part that it is for, Emerald and Granite Rapids included. No Intel processor has counted for us yet; that `slots`
//! may be inherited is not proven.
//!
//! AMD: the kernel's own map of cache events for family 0x17 and later (`arch/x86/events/amd/core.c`,
//! `amd_hw_cache_event_ids_f17h`), by its generic names, but for misses of the instruction cache. arm64: the names of the kernel's
//! `events/`.

use perf_event_open_sys::bindings as perf;
use speedwell_wire::Metric;

use super::super::derive::TopDown;
use super::super::processor::{CountingUnit, Processor};
use super::super::{Event, HARDWARE, Input, Quantity};
use super::{Group, Plan};

type Raw = (Input, u64);

/// ICACHE_64B.IFTAG_MISS, ITLB_MISSES.WALK_COMPLETED, LONGEST_LAT_CACHE.MISS (SKX, CLX, ICX).
const CODE: [Raw; 3] = [
    (Input::L1iMisses, 0x283),
    (Input::ItlbMisses, 0xe85),
    (Input::LlcMisses, 0x412e),
];
/// L1D.REPLACEMENT, DTLB_LOAD_MISSES.WALK_COMPLETED, DTLB_STORE_MISSES.WALK_COMPLETED (SKX, CLX, ICX).
const DATA: [Raw; 3] = [
    (Input::L1dMisses, 0x151),
    (Input::DtlbLoadMisses, 0xe08),
    (Input::DtlbStoreMisses, 0xe49),
];
/// L2_RQSTS.ALL_CODE_RD (stands for level-1 misses), and as above (SPR, EMR, GNR).
const CODE_SAPPHIRE_RAPIDS: [Raw; 3] = [
    (Input::L1iMisses, 0xe424),
    (Input::ItlbMisses, 0xe11),
    (Input::LlcMisses, 0x412e),
];
/// As above (SPR, EMR, GNR).
const DATA_SAPPHIRE_RAPIDS: [Raw; 3] = [
    (Input::L1dMisses, 0x151),
    (Input::DtlbLoadMisses, 0xe12),
    (Input::DtlbStoreMisses, 0xe13),
];
/// IDQ_UOPS_NOT_DELIVERED.CORE, UOPS_RETIRED.RETIRE_SLOTS, UOPS_ISSUED.ANY, INT_MISC.RECOVERY_CYCLES (SKX, CLX).
const SKYLAKE_LEVEL_1: [Raw; 4] = [
    (Input::NotDelivered, 0x19c),
    (Input::RetireSlots, 0x2c2),
    (Input::Issued, 0x10e),
    (Input::Recovery, 0x10d),
];
/// IDQ_UOPS_NOT_DELIVERED.CORE and .CYCLES_0_UOPS_DELIV.CORE, UOPS_RETIRED.RETIRE_SLOTS and .MACRO_FUSED (SKX, CLX).
const SKYLAKE_LEVEL_2: [Raw; 4] = [
    (Input::NotDelivered, 0x19c),
    (Input::CyclesWithoutUops, 0x400_019c),
    (Input::RetireSlots, 0x2c2),
    (Input::MacroFused, 0x4c2),
];
/// INT_MISC.UOP_DROPPING, INT_MISC.CLEARS_COUNT (ICX).
const ICE_LAKE_LEVEL_1: [Raw; 2] = [
    (Input::UopDropping, 0x100d),
    (Input::ClearsCount, 0x104_010d),
];
/// IDQ_UOPS_NOT_DELIVERED.CYCLES_0_UOPS_DELIV.CORE, BR_MISP_RETIRED.ALL_BRANCHES, MACHINE_CLEARS.COUNT (ICX).
const ICE_LAKE_SPECULATION: [Raw; 3] = [
    (Input::CyclesWithoutUops, 0x500_019c),
    (Input::Mispredicted, 0xc5),
    (Input::MachineClears, 0x104_01c3),
];
/// CYCLE_ACTIVITY.STALLS_TOTAL and .STALLS_MEM_ANY, EXE_ACTIVITY.BOUND_ON_STORES, .1_PORTS_UTIL and .2_PORTS_UTIL (ICX).
const ICE_LAKE_MEMORY: [Raw; 5] = [
    (Input::StallsTotal, 0x400_04a3),
    (Input::StallsMemory, 0x1400_14a3),
    (Input::BoundOnStores, 0x200_40a6),
    (Input::OnePort, 0x2a6),
    (Input::TwoPorts, 0x4a6),
];
/// INT_MISC.UOP_DROPPING (SPR, EMR, GNR).
const SAPPHIRE_RAPIDS_LEVEL_1: [Raw; 1] = [(Input::UopDropping, 0x10ad)];

/// The metrics register's events by the kernel's names.
const REGISTER: [(Input, &str); 5] = [
    (Input::Slots, "slots"),
    (Input::Retiring, "topdown-retiring"),
    (Input::BadSpeculation, "topdown-bad-spec"),
    (Input::FrontendBound, "topdown-fe-bound"),
    (Input::BackendBound, "topdown-be-bound"),
];
const REGISTER_LEVEL_2: [(Input, &str); 4] = [
    (Input::HeavyOperations, "topdown-heavy-ops"),
    (Input::BranchMispredicts, "topdown-br-mispredict"),
    (Input::FetchLatency, "topdown-fetch-lat"),
    (Input::MemoryBound, "topdown-mem-bound"),
];

const LEVEL_1: [Metric; 4] = [
    Metric::Retiring,
    Metric::BadSpeculation,
    Metric::FrontendBound,
    Metric::BackendBound,
];
const LEVEL_2: [Metric; 8] = [
    Metric::HeavyOperations,
    Metric::LightOperations,
    Metric::BranchMispredicts,
    Metric::MachineClears,
    Metric::FetchLatency,
    Metric::FetchBandwidth,
    Metric::MemoryBound,
    Metric::CoreBound,
];
const OF_CODE: [Metric; 3] = [Metric::L1iMpki, Metric::ItlbMpki, Metric::LlcMpki];
const OF_DATA: [Metric; 2] = [Metric::L1dMpki, Metric::DtlbMpki];

/// Cycles and instructions by the generic names, which the kernel has right for every processor that it knows.
fn both() -> Vec<Event> {
    let wanted = [Metric::Cycles, Metric::Instructions];
    let both = HARDWARE.iter().filter(|event| {
        event
            .metric()
            .is_some_and(|metric| wanted.contains(&metric))
    });
    both.copied().collect()
}

fn raw((input, config): Raw) -> Event {
    Event::of_unit(Quantity::Input(input), perf::PERF_TYPE_RAW, config)
}

fn group(name: &'static str, events: &[Raw], gives: &[Metric]) -> Group {
    let events = both().into_iter().chain(events.iter().copied().map(raw));
    Group {
        name,
        events: events.collect(),
        gives: gives.to_vec(),
    }
}

/// `slots` leads, its shares follow, then cycles and instructions, then the rest (the kernel's `topdown.txt`).
fn register_group(
    unit: Option<&CountingUnit>,
    names: &[(Input, &str)],
    name: &'static str,
    rest: &[Raw],
    gives: &[Metric],
) -> Result<Group, String> {
    let unit = unit.ok_or("the kernel has no counting unit of that name")?;
    let of_register = |(input, name): &(Input, &str)| {
        Ok(Event::of_unit(
            Quantity::Input(*input),
            unit.kind,
            unit.event(name)?,
        ))
    };
    let mut events: Vec<Event> = names
        .iter()
        .map(of_register)
        .collect::<Result<_, String>>()?;
    events.extend(both());
    events.extend(rest.iter().copied().map(raw));
    Ok(Group {
        name,
        events,
        gives: gives.to_vec(),
    })
}

impl Plan {
    fn push(&mut self, group: Result<Group, String>, gives: &[Metric]) {
        match group {
            Ok(group) => self.groups.push(group),
            Err(reason) => self.lack_all(gives, &reason),
        }
    }

    /// The first group, without the metrics that it has no event for.
    fn push_first(&mut self, mut group: Group) {
        for metric in [Metric::Branches, Metric::BranchMisses] {
            if group
                .events
                .iter()
                .all(|event| event.metric() != Some(metric))
            {
                group.gives.retain(|given| *given != metric);
                self.lack(
                    metric,
                    format!("the kernel names no event of this processor for {metric}"),
                );
            }
        }
        self.groups.push(group);
    }

    fn lack_all(&mut self, metrics: &[Metric], reason: &str) {
        for metric in metrics {
            self.lack(*metric, reason.to_owned());
        }
    }
}

pub(super) fn skylake(plan: &mut Plan, processor: &Processor) {
    plan.groups = vec![
        Group::generic(),
        group("code", &CODE, &OF_CODE),
        group("data", &DATA, &OF_DATA),
    ];
    if processor.shares_cores {
        let reason = "on this processor top-down shares of a core that two threads use need more than its four counters: switch SMT off";
        plan.lack_all(&LEVEL_1, reason);
        plan.lack_all(&LEVEL_2, reason);
        return;
    }
    plan.top_down = TopDown::Skylake;
    plan.groups
        .push(group("top-down, level 1", &SKYLAKE_LEVEL_1, &LEVEL_1));
    let second = [
        Metric::FetchLatency,
        Metric::FetchBandwidth,
        Metric::HeavyOperations,
        Metric::LightOperations,
    ];
    plan.groups
        .push(group("top-down, level 2", &SKYLAKE_LEVEL_2, &second));
    let reason =
        "its events and those of level 1 do not fit the processor's four counters together";
    let rest = LEVEL_2.iter().filter(|metric| !second.contains(metric));
    plan.lack_all(&rest.copied().collect::<Vec<_>>(), reason);
}

pub(super) fn ice_lake(plan: &mut Plan, unit: Option<&CountingUnit>) {
    plan.top_down = TopDown::IceLake;
    plan.groups = vec![
        Group::generic(),
        group("code", &CODE, &OF_CODE),
        group("data", &DATA, &OF_DATA),
    ];
    let with = |rest: &[Raw]| [&ICE_LAKE_LEVEL_1, rest].concat();
    let first = [
        &LEVEL_1[..],
        &[
            Metric::FetchLatency,
            Metric::FetchBandwidth,
            Metric::BranchMispredicts,
            Metric::MachineClears,
        ],
    ]
    .concat();
    let speculation = with(&ICE_LAKE_SPECULATION);
    let one = register_group(unit, &REGISTER, "top-down, front end", &speculation, &first);
    plan.push(one, &first);
    let second = [Metric::MemoryBound, Metric::CoreBound];
    let memory = with(&ICE_LAKE_MEMORY);
    let two = register_group(unit, &REGISTER, "top-down, back end", &memory, &second);
    plan.push(two, &second);
    plan.lack_all(
        &[Metric::HeavyOperations, Metric::LightOperations],
        "Ice Lake's formula takes events of the microcode sequencer and the decoders that are not in this plan",
    );
}

pub(super) fn sapphire_rapids(plan: &mut Plan, unit: Option<&CountingUnit>) {
    plan.top_down = TopDown::SapphireRapids;
    plan.groups = vec![
        Group::generic(),
        group("code", &CODE_SAPPHIRE_RAPIDS, &OF_CODE),
        group("data", &DATA_SAPPHIRE_RAPIDS, &OF_DATA),
    ];
    let names = [&REGISTER[..], &REGISTER_LEVEL_2].concat();
    let gives = [&LEVEL_1[..], &LEVEL_2].concat();
    let all = register_group(unit, &names, "top-down", &SAPPHIRE_RAPIDS_LEVEL_1, &gives);
    plan.push(all, &gives);
}

/// Client parts with fast and slow cores: the fast ones' unit, by the kernel's names alone, since the reference has no codes for
/// them. On a slow core these count nothing, and the reading is rejected.
pub(super) fn hybrid(plan: &mut Plan, unit: Option<&CountingUnit>) {
    let names = [
        (Metric::Cycles, "cpu-cycles"),
        (Metric::Instructions, "instructions"),
        (Metric::Branches, "branch-instructions"),
        (Metric::BranchMisses, "branch-misses"),
    ];
    plan.push_first(named(plan_unit(unit), &names, &[], Group::generic()));
    let reason = "there is no table of this processor's events yet";
    for metrics in [&OF_CODE[..], &OF_DATA, &LEVEL_1, &LEVEL_2] {
        plan.lack_all(metrics, reason);
    }
}

/// PMCx060, unit mask 0x10: requests to level 2 for misses of the instruction cache. The kernel's generic event was PMCx081
/// until it was found to "report incorrect" misses on family 0x17 and later ("perf/x86/amd: Update generic hardware cache events
/// for Family 17h" and its fix), so that its meaning depends on the kernel's version.
const ZEN_L1I_MISSES: Raw = (Input::L1iMisses, 0x1060);

/// AMD's Zen: the generic names of the kernel's cache map. Its last level counts for a whole complex of cores, and not here.
pub(super) fn zen(plan: &mut Plan) {
    let miss = |input, cache: u32| {
        let config = u64::from(cache)
            | u64::from(perf::PERF_COUNT_HW_CACHE_OP_READ) << 8
            | u64::from(perf::PERF_COUNT_HW_CACHE_RESULT_MISS) << 16;
        Event::of_unit(Quantity::Input(input), perf::PERF_TYPE_HW_CACHE, config)
    };
    let with = |name, events: [Event; 2], gives: [Metric; 2]| Group {
        name,
        events: both().into_iter().chain(events).collect(),
        gives: gives.to_vec(),
    };
    let code = [
        raw(ZEN_L1I_MISSES),
        miss(Input::ItlbMisses, perf::PERF_COUNT_HW_CACHE_ITLB),
    ];
    let data = [
        miss(Input::L1dMisses, perf::PERF_COUNT_HW_CACHE_L1D),
        miss(Input::DtlbMisses, perf::PERF_COUNT_HW_CACHE_DTLB),
    ];
    plan.groups = vec![
        Group::generic(),
        with("code", code, [Metric::L1iMpki, Metric::ItlbMpki]),
        with("data", data, OF_DATA),
    ];
    plan.lack(
        Metric::LlcMpki,
        "on this processor the last level of cache is counted for a complex of cores, not for a process".to_owned(),
    );
}

/// arm64: what the kernel names in `events/`; an absent event is left out.
pub(super) fn arm(plan: &mut Plan, unit: Option<&CountingUnit>) {
    let basic = [
        (Metric::Cycles, "cpu_cycles"),
        (Metric::Instructions, "inst_retired"),
    ];
    let branches = [
        (Metric::Branches, "br_retired"),
        (Metric::BranchMisses, "br_mis_pred_retired"),
    ];
    let code = [
        (Input::L1iMisses, "l1i_cache_refill"),
        (Input::ItlbMisses, "itlb_walk"),
    ];
    let data = [
        (Input::L1dMisses, "l1d_cache_refill"),
        (Input::DtlbMisses, "dtlb_walk"),
        (Input::LlcMisses, "ll_cache_miss_rd"),
    ];
    let empty = |name, gives: &[Metric]| Group {
        name,
        events: Vec::new(),
        gives: gives.to_vec(),
    };
    let unit = plan_unit(unit);
    let first = empty(
        "branches",
        &[Metric::Ipc, Metric::Branches, Metric::BranchMisses],
    );
    plan.push_first(named(unit, &[basic, branches].concat(), &[], first));
    let of_data = [Metric::L1dMpki, Metric::DtlbMpki, Metric::LlcMpki];
    for (name, inputs, gives) in [
        ("code", &code[..], &[Metric::L1iMpki, Metric::ItlbMpki][..]),
        ("data", &data, &of_data),
    ] {
        let mut gives = gives.to_vec();
        let there = |name: &str| unit.is_some_and(|unit| unit.event(name).is_ok());
        for (input, event) in inputs.iter().filter(|(_, event)| !there(event)) {
            let metric = rate_of(*input);
            gives.retain(|one| *one != metric);
            plan.lack(metric, format!("the kernel names no event {event}"));
        }
        if !gives.is_empty() {
            plan.groups
                .push(named(unit, &basic, inputs, empty(name, &gives)));
        }
    }
}

fn rate_of(input: Input) -> Metric {
    match input {
        Input::L1iMisses => Metric::L1iMpki,
        Input::ItlbMisses => Metric::ItlbMpki,
        Input::L1dMisses => Metric::L1dMpki,
        Input::LlcMisses => Metric::LlcMpki,
        _ => Metric::DtlbMpki,
    }
}

fn plan_unit(unit: Option<&CountingUnit>) -> Option<&CountingUnit> {
    unit.filter(|unit| !unit.events.is_empty())
}

/// The events of a unit that the kernel names, in place of the group's own; without a unit, the group as it is.
fn named(
    unit: Option<&CountingUnit>,
    metrics: &[(Metric, &str)],
    inputs: &[(Input, &str)],
    mut group: Group,
) -> Group {
    let Some(unit) = unit else {
        return Group {
            events: HARDWARE.to_vec(),
            ..group
        };
    };
    let metrics = metrics
        .iter()
        .map(|(metric, name)| (Quantity::Metric(*metric), *name));
    let inputs = inputs
        .iter()
        .map(|(input, name)| (Quantity::Input(*input), *name));
    // Cycles and instructions that have no name are asked for as generic events: the kernel's refusal is their reason.
    let generic = |quantity| both().into_iter().find(|event| event.quantity == quantity);
    let there = metrics
        .chain(inputs)
        .filter_map(|(quantity, name)| match unit.event(name) {
            Ok(config) => Some(Event::of_unit(quantity, unit.kind, config)),
            Err(_) => generic(quantity),
        });
    group.events = there.collect();
    group
}
