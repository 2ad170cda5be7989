//! A tree of the kernel's files for each generation.

use std::fs;
use std::path::Path;

use super::*;

const INTEL_FORMAT: &[(&str, &str)] = &[
    ("format/event", "config:0-7\n"),
    ("format/umask", "config:8-15\n"),
    ("format/cmask", "config:24-31\n"),
];
/// As Linux names them since Ice Lake.
const REGISTER: &[(&str, &str)] = &[
    ("events/slots", "event=0x00,umask=0x4\n"),
    ("events/topdown-retiring", "event=0x00,umask=0x80\n"),
    ("events/topdown-bad-spec", "event=0x00,umask=0x81\n"),
    ("events/topdown-fe-bound", "event=0x00,umask=0x82\n"),
    ("events/topdown-be-bound", "event=0x00,umask=0x83\n"),
];
/// Numbers of this test: whatever the kernel says is what is taken.
const REGISTER_LEVEL_2: &[(&str, &str)] = &[
    ("events/topdown-heavy-ops", "event=0x00,umask=0xa4\n"),
    ("events/topdown-br-mispredict", "event=0x00,umask=0xa5\n"),
    ("events/topdown-fetch-lat", "event=0x00,umask=0xa6\n"),
    ("events/topdown-mem-bound", "event=0x00,umask=0xa7\n"),
];
const POWER: &[(&str, &str)] = &[
    ("format/event", "config:0-7\n"),
    ("events/energy-pkg", "event=0x02\n"),
    ("events/energy-pkg.scale", "2.3283064365386962890625e-10\n"),
    ("events/energy-pkg.unit", "Joules\n"),
    ("events/energy-ram", "event=0x03\n"),
    ("events/energy-ram.scale", "2.3283064365386962890625e-10\n"),
    ("cpumask", "0,28\n"),
];

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(vendor: &str, family: u32, model: u32) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        let text = format!(
            "processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\nmodel name\t: x\n"
        );
        tree.file("proc/cpuinfo", &text);
        tree
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn unit(&self, name: &str, kind: u32, files: &[&[(&str, &str)]]) {
        let folder = Path::new("sys/bus/event_source/devices").join(name);
        let file = |name: &str, text: &str| self.file(folder.join(name).to_str().unwrap(), text);
        file("type", &format!("{kind}\n"));
        for (name, text) in files.iter().copied().flatten() {
            file(name, text);
        }
    }

    fn plan(&self) -> Plan {
        let plan = Plan::of(&Processor::read(self.0.path()));
        for group in &plan.groups {
            // Whatever the generation: every group can be related to every other.
            for metric in [Metric::Cycles, Metric::Instructions] {
                let has = group
                    .events
                    .iter()
                    .any(|event| event.metric() == Some(metric));
                assert!(has, "{} has no {metric}", group.name);
            }
            let mut seen = Vec::new();
            for event in &group.events {
                assert!(
                    !seen.contains(&event.quantity),
                    "{}: {event:?} twice",
                    group.name
                );
                seen.push(event.quantity);
            }
            assert!(group.general_events() <= plan.generation.general_counters());
            for metric in &group.gives {
                let missing = plan
                    .unavailable
                    .iter()
                    .any(|one| one.metric == Some(*metric));
                assert!(!missing, "{metric} is given and missing");
            }
        }
        plan
    }
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.groups.iter().map(|group| group.name).collect()
}

fn config(plan: &Plan, group: usize, input: Input) -> u64 {
    let events = &plan.groups[group].events;
    let found = events
        .iter()
        .find(|event| event.quantity == Quantity::Input(input));
    found
        .unwrap_or_else(|| panic!("no {input:?} in {events:?}"))
        .config
}

fn lacks(plan: &Plan, metric: Metric) -> &str {
    let found = plan
        .unavailable
        .iter()
        .find(|one| one.metric == Some(metric));
    &found
        .unwrap_or_else(|| panic!("{metric} is not missing"))
        .reason
}

#[test]
fn skylake_has_top_down_by_ordinary_events() {
    let tree = Tree::new("GenuineIntel", 6, 0x55);
    tree.unit("cpu", 4, &[INTEL_FORMAT]);
    let plan = tree.plan();
    assert_eq!(
        (plan.generation, plan.top_down),
        (Generation::Skylake, TopDown::Skylake)
    );
    let all = [
        "branches",
        "code",
        "data",
        "top-down, level 1",
        "top-down, level 2",
    ];
    assert_eq!(names(&plan), all);
    assert_eq!(config(&plan, 3, Input::Issued), 0x10e);
    assert_eq!(config(&plan, 4, Input::CyclesWithoutUops), 0x0400_019c);
    assert!(lacks(&plan, Metric::MemoryBound).contains("four counters"));
    // The watchdog's counter is one too few for four events.
    tree.file("proc/sys/kernel/nmi_watchdog", "1\n");
    let plan = tree.plan();
    assert_eq!(names(&plan), all[..3]);
    assert!(lacks(&plan, Metric::Retiring).contains("nmi_watchdog"));
    tree.file("proc/sys/kernel/nmi_watchdog", "0\n");
    tree.file("sys/devices/system/cpu/smt/active", "1\n");
    let plan = tree.plan();
    assert_eq!(names(&plan), all[..3]);
    assert!(lacks(&plan, Metric::FetchLatency).contains("SMT"));
}

#[test]
fn ice_lake_is_led_by_slots() {
    for model in [0x6a, 0x6c] {
        let tree = Tree::new("GenuineIntel", 6, model);
        tree.unit("cpu", 4, &[INTEL_FORMAT, REGISTER]);
        tree.file("proc/sys/kernel/nmi_watchdog", "1\n");
        let plan = tree.plan();
        assert_eq!(
            (plan.generation, plan.top_down),
            (Generation::IceLake, TopDown::IceLake)
        );
        assert_eq!(
            names(&plan)[3..],
            ["top-down, front end", "top-down, back end"]
        );
        for group in &plan.groups[3..] {
            assert_eq!(group.events[0].quantity, Quantity::Input(Input::Slots));
            assert_eq!((group.events[0].kind, group.events[0].config), (4, 0x400));
            assert_eq!(group.events[4].config, 0x8300);
        }
        assert_eq!(config(&plan, 3, Input::CyclesWithoutUops), 0x0500_019c);
        assert!(lacks(&plan, Metric::HeavyOperations).contains("Ice Lake"));
    }
}

#[test]
fn sapphire_rapids_takes_the_kernels_word_for_level_two() {
    for model in [0x8f, 0xcf, 0xad, 0xae] {
        let tree = Tree::new("GenuineIntel", 6, model);
        tree.unit("cpu", 4, &[INTEL_FORMAT, REGISTER, REGISTER_LEVEL_2]);
        tree.unit("power", 11, &[POWER]);
        let plan = tree.plan();
        assert_eq!(plan.generation, Generation::SapphireRapids);
        assert_eq!(names(&plan), ["branches", "code", "data", "top-down"]);
        assert_eq!(config(&plan, 3, Input::MemoryBound), 0xa700);
        assert_eq!(config(&plan, 2, Input::DtlbStoreMisses), 0xe13);
        assert!(plan.unavailable.is_empty(), "{:?}", plan.unavailable);
        let energy: Vec<_> = plan
            .energy
            .iter()
            .map(|one| (one.metric(), one.kind, one.config, one.processor))
            .collect();
        assert_eq!(
            energy,
            [
                (Some(Metric::PackageEnergy), 11, 2, Some(0)),
                (Some(Metric::PackageEnergy), 11, 2, Some(28)),
                (Some(Metric::MemoryEnergy), 11, 3, Some(0)),
                (Some(Metric::MemoryEnergy), 11, 3, Some(28)),
            ]
        );
        // 2^32 of RAPL's units are a joule.
        assert_eq!(plan.energy[0].whole(1 << 32, 1, 1), Ok(1.0));
    }
}

#[test]
fn a_kernel_without_top_down_has_the_rest() {
    let tree = Tree::new("GenuineIntel", 6, 0x8f);
    tree.unit("cpu", 4, &[INTEL_FORMAT, REGISTER]);
    let plan = tree.plan();
    assert_eq!(names(&plan), ["branches", "code", "data"]);
    assert!(lacks(&plan, Metric::Retiring).contains("topdown-heavy-ops"));
}

#[test]
fn only_the_fast_cores_of_a_hybrid_part_count() {
    let tree = Tree::new("GenuineIntel", 6, 0x97);
    let events: &[(&str, &str)] = &[
        ("events/cpu-cycles", "event=0x3c\n"),
        ("events/instructions", "event=0xc0\n"),
        ("events/branch-instructions", "event=0xc4\n"),
        ("events/branch-misses", "event=0xc5\n"),
        ("cpus", "0-15\n"),
    ];
    tree.unit("cpu_core", 4, &[INTEL_FORMAT, events]);
    tree.unit("cpu_atom", 10, &[INTEL_FORMAT, events]);
    let plan = tree.plan();
    assert_eq!(plan.generation, Generation::Hybrid);
    let found: Vec<_> = plan.groups[0]
        .events
        .iter()
        .map(|event| (event.kind, event.config))
        .collect();
    assert_eq!(found, [(4, 0x3c), (4, 0xc0), (4, 0xc4), (4, 0xc5)]);
    assert!(lacks(&plan, Metric::Retiring).contains("no table"));
}

#[test]
fn zen_has_the_kernels_cache_events() {
    for family in [0x17, 0x19, 0x1a] {
        let tree = Tree::new("AuthenticAMD", family, 1);
        tree.unit("cpu", 4, &[&[("format/event", "config:0-7,32-35\n")]]);
        let plan = tree.plan();
        assert_eq!(plan.generation, Generation::Zen);
        assert_eq!(names(&plan), ["branches", "code", "data"]);
        // Event 0x60 with unit mask 0x10; misses (1 << 16) of reads (0 << 8) of cache 4 (ITLB), 0 (L1D), 3 (DTLB).
        assert_eq!(config(&plan, 1, Input::L1iMisses), 0x1060);
        assert_eq!(config(&plan, 1, Input::ItlbMisses), 0x1_0004);
        assert_eq!(config(&plan, 2, Input::L1dMisses), 0x1_0000);
        assert_eq!(config(&plan, 2, Input::DtlbMisses), 0x1_0003);
        assert!(lacks(&plan, Metric::LlcMpki).contains("complex"));
    }
}

#[test]
fn arm_has_what_the_kernel_names() {
    let tree = Tree::new("", 0, 0);
    tree.file(
        "proc/cpuinfo",
        "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd07\n",
    );
    tree.file(
        "sys/firmware/devicetree/base/compatible",
        "linux,dummy-virt\0",
    );
    let events: &[(&str, &str)] = &[
        ("format/event", "config:0-15\n"),
        ("events/cpu_cycles", "event=0x0011\n"),
        ("events/inst_retired", "event=0x0008\n"),
        ("events/l1d_cache_refill", "event=0x0003\n"),
    ];
    tree.unit("armv8_pmuv3", 8, &[events]);
    let plan = tree.plan();
    assert_eq!(plan.generation, Generation::Arm);
    assert_eq!(names(&plan), ["branches", "data"]);
    let all = plan.groups.iter().flat_map(|group| &group.events);
    let all: Vec<_> = all
        .map(|event| (event.source, event.kind, event.config))
        .collect();
    let emulated = CounterSource::PmuEmulated;
    let (cycles, instructions) = ((emulated, 8, 0x11), (emulated, 8, 0x08));
    assert_eq!(
        all,
        [
            cycles,
            instructions,
            cycles,
            instructions,
            (emulated, 8, 0x03)
        ]
    );
    assert!(lacks(&plan, Metric::Branches).contains("names no event"));
    assert!(lacks(&plan, Metric::ItlbMpki).contains("itlb_walk"));
    // Of two kinds of cores none is chosen.
    tree.unit("armv8_cortex_a53", 9, &[events]);
    assert_eq!(tree.plan().generation, Generation::Unknown);
}

/// As QEMU without exact instruction counts: instructions must be refused by the kernel, and not silently not be asked for.
#[test]
fn arm_without_a_name_for_instructions_still_asks_for_them() {
    let tree = Tree::new("", 0, 0);
    let events: &[(&str, &str)] = &[
        ("format/event", "config:0-15\n"),
        ("events/cpu_cycles", "event=0x0011\n"),
    ];
    tree.unit("armv8_pmuv3", 8, &[events]);
    let plan = tree.plan();
    assert_eq!(plan.groups[0].events[1], HARDWARE[1]);
}

#[test]
fn a_machine_without_a_counting_unit_has_one_group() {
    for (vendor, family, model) in [
        ("GenuineIntel", 6, 0x8f),
        ("AuthenticAMD", 0x19, 1),
        ("CentaurHauls", 7, 59),
    ] {
        let tree = Tree::new(vendor, family, model);
        tree.unit("software", 1, &[]);
        let plan = tree.plan();
        assert_eq!(plan.generation, Generation::Unknown);
        assert_eq!(plan.groups, [Group::generic()]);
        assert!(plan.unavailable.is_empty() && plan.energy.is_empty());
    }
}
