//! The settings that can be changed while the kernel runs, in the order in which they are.

use super::super::facts;
use super::super::processors::ProcessorSet;
use super::super::system::System;
use super::Change;

/// One kind of setting. Plans name the files that this host has; those that hold the value already are left alone.
pub(super) struct Knob {
    pub(super) name: &'static str,
    pub(super) plan: fn(&System, &ProcessorSet, &ProcessorSet) -> Vec<Change>,
}

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "smt",
        plan: |system, _, _| set(system, "/sys/devices/system/cpu/smt/control", "off"),
    },
    Knob {
        name: "turbo",
        plan: |system, _, _| {
            let mut changes = set(system, "/sys/devices/system/cpu/intel_pstate/no_turbo", "1");
            changes.extend(set(system, "/sys/devices/system/cpu/cpufreq/boost", "0"));
            changes
        },
    },
    Knob {
        name: "governor",
        plan: |system, benchmarks, _| {
            let of = |cpu| set(system, &cpufreq(cpu, "scaling_governor"), "performance");
            benchmarks.iter().flat_map(of).collect()
        },
    },
    Knob {
        name: "frequency",
        plan: |system, benchmarks, _| {
            let of = |cpu| {
                let highest = system.read(&cpufreq(cpu, "scaling_max_freq"));
                let least = cpufreq(cpu, "scaling_min_freq");
                highest.map_or_else(Vec::new, |highest| set(system, &least, &highest))
            };
            benchmarks.iter().flat_map(of).collect()
        },
    },
    Knob {
        name: "nmi_watchdog",
        plan: |system, _, _| set(system, "/proc/sys/kernel/nmi_watchdog", "0"),
    },
    Knob {
        name: "perf_sample_rate",
        plan: |system, _, _| {
            raise(
                system,
                "/proc/sys/kernel/perf_event_max_sample_rate",
                100_000,
            )
        },
    },
    Knob {
        name: "perf_mlock",
        plan: |system, _, _| raise(system, "/proc/sys/kernel/perf_event_mlock_kb", 516),
    },
    Knob {
        name: "numa_balancing",
        plan: |system, _, _| set(system, "/proc/sys/kernel/numa_balancing", "0"),
    },
    Knob {
        name: "same_page_merging",
        plan: |system, _, _| set(system, "/sys/kernel/mm/ksm/run", "0"),
    },
    Knob {
        name: "hugepages",
        plan: |system, _, _| {
            let path = "/sys/kernel/mm/transparent_hugepage/enabled";
            match current(system, path).as_deref() {
                Some("always") => set(system, path, "madvise"),
                _ => Vec::new(),
            }
        },
    },
    Knob {
        name: "interrupts",
        plan: |system, benchmarks, others| {
            let all = system.names("/proc/irq");
            let paths = all
                .iter()
                .map(|number| format!("/proc/irq/{number}/smp_affinity_list"));
            let here = paths.filter(|path| {
                let text = system
                    .read(path)
                    .and_then(|text| ProcessorSet::from_list(&text));
                text.is_some_and(|set| !set.common(benchmarks).is_empty())
            });
            here.flat_map(|path| set(system, &path, &others.to_string()))
                .collect()
        },
    },
    Knob {
        name: "workqueues",
        plan: |system, benchmarks, others| {
            let path = "/sys/devices/virtual/workqueue/cpumask";
            let mask = system
                .read(path)
                .and_then(|text| ProcessorSet::from_mask(&text));
            match mask {
                Some(mask) if !mask.common(benchmarks).is_empty() => {
                    set(system, path, &others.to_mask())
                }
                _ => Vec::new(),
            }
        },
    },
];

fn cpufreq(cpu: u32, file: &str) -> String {
    format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/{file}")
}

/// A setting's value as it is written back: of `always [madvise] never` the word in brackets.
pub(super) fn current(system: &System, path: &str) -> Option<String> {
    let text = system.read(path)?;
    let chosen = facts::chosen(&text);
    Some(if chosen.is_empty() { text } else { chosen })
}

fn set(system: &System, path: &str, value: &str) -> Vec<Change> {
    // A machine without such threads says so in the same file.
    match system.read(path).as_deref() {
        None | Some("notsupported" | "notimplemented" | "forceoff") => Vec::new(),
        Some(_) => vec![Change {
            path: path.to_owned(),
            value: value.to_owned(),
        }],
    }
}

fn raise(system: &System, path: &str, least: i64) -> Vec<Change> {
    match system.number(path) {
        Some(now) if now < least => set(system, path, &least.to_string()),
        _ => Vec::new(),
    }
}
