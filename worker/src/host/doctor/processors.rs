//! Whether the benchmarks have their processors to themselves.

use super::super::processors::ProcessorSet;
use super::{HostSeverity, Patient, Rule, State};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "hypervisor",
        severity: HostSeverity::Unfit,
        good: "none",
        why: "neighbours on the same machine come and go unseen, and the hypervisor takes the processor away when it likes",
        mend: "measure on a machine of your own",
        judge: hypervisor,
    },
    Rule {
        name: "pinned",
        severity: HostSeverity::Warning,
        good: "worker.toml names the benchmarks' processors, and leaves one for the rest",
        why: "a process that is moved loses its caches, and the worker itself disturbs it",
        mend: "cpus = \"LIST\" in worker.toml",
        judge: pinned,
    },
    Rule {
        name: "smt",
        severity: HostSeverity::Warning,
        good: "off",
        why: "two threads of one core share its caches and units: each is slower by what the other does",
        mend: "echo off > /sys/devices/system/cpu/smt/control",
        judge: smt,
    },
    Rule {
        name: "isolated",
        severity: HostSeverity::Warning,
        good: "the benchmarks' processors are isolated at boot",
        why: "the kernel puts any program on a processor that is not isolated",
        mend: "isolcpus=managed_irq,domain,{cpus} on the kernel's command line (speedwell-worker tune --print-boot)",
        judge: isolated,
    },
    Rule {
        name: "tick",
        severity: HostSeverity::Note,
        good: "nohz_full has the benchmarks' processors, and their frequency is fixed",
        why: "the scheduler's tick interrupts a benchmark up to a thousand times a second",
        mend: "nohz_full={cpus} rcu_nocbs={cpus} on the kernel's command line",
        judge: tick,
    },
    Rule {
        name: "interrupts",
        severity: HostSeverity::Warning,
        good: "no device's interrupts go to the benchmarks' processors",
        why: "an interrupt stops the benchmark and throws out its caches",
        mend: "for f in /proc/irq/*/smp_affinity_list; do echo {others} > $f; done",
        judge: interrupts,
    },
    Rule {
        name: "irqbalance",
        severity: HostSeverity::Warning,
        good: "does not run",
        why: "it moves interrupts back to processors that look idle",
        mend: "systemctl disable --now irqbalance",
        judge: irqbalance,
    },
    Rule {
        name: "workqueues",
        severity: HostSeverity::Note,
        good: "not on the benchmarks' processors",
        why: "the kernel's own deferred work runs where this mask allows",
        mend: "echo {other_mask} > /sys/devices/virtual/workqueue/cpumask",
        judge: workqueues,
    },
];

fn hypervisor(patient: &Patient<'_>) -> State {
    let text = patient.system.read("/proc/cpuinfo").unwrap_or_default();
    let flags = crate::host::facts::value_of(&text, "flags");
    match flags {
        None => State::Absent("the kernel does not tell".to_owned()),
        Some(flags) if flags.split(' ').any(|flag| flag == "hypervisor") => {
            State::Bad("a virtual machine".to_owned())
        }
        Some(_) => State::Good("none".to_owned()),
    }
}

fn pinned(patient: &Patient<'_>) -> State {
    if !patient.pinned {
        State::Bad("benchmarks run on any processor".to_owned())
    } else if patient.others().is_empty() {
        State::Bad(format!("{}: all there are", patient.benchmarks))
    } else if !patient.system.online().has_all(&patient.benchmarks) {
        State::Bad(format!(
            "{}, of which {} are not there or off",
            patient.benchmarks,
            patient.benchmarks.without(&patient.system.online())
        ))
    } else {
        State::Good(patient.benchmarks.to_string())
    }
}

fn smt(patient: &Patient<'_>) -> State {
    match patient
        .system
        .read("/sys/devices/system/cpu/smt/active")
        .as_deref()
    {
        None => State::Absent("the kernel does not tell".to_owned()),
        Some("0") => State::Good("off".to_owned()),
        Some(_) => State::Bad("on".to_owned()),
    }
}

/// A list of processors in a file; `None`: not there, or none at all (`(null)`).
fn list(patient: &Patient<'_>, path: &str) -> Option<ProcessorSet> {
    ProcessorSet::from_list(&patient.system.read(path)?)
}

fn isolated(patient: &Patient<'_>) -> State {
    match list(patient, "/sys/devices/system/cpu/isolated") {
        None => State::Absent("the kernel does not tell".to_owned()),
        Some(isolated) if isolated.is_empty() => State::Bad("none".to_owned()),
        Some(isolated) if isolated.has_all(&patient.benchmarks) => {
            State::Good(isolated.to_string())
        }
        Some(isolated) => State::Bad(isolated.to_string()),
    }
}

fn tick(patient: &Patient<'_>) -> State {
    let Some(text) = patient.system.read("/sys/devices/system/cpu/nohz_full") else {
        return State::Absent("the kernel cannot".to_owned());
    };
    let without_tick = ProcessorSet::from_list(&text).unwrap_or_default();
    if !without_tick.has_all(&patient.benchmarks) {
        return State::Bad(if without_tick.is_empty() {
            "none".to_owned()
        } else {
            text
        });
    }
    // The driver looks at the load at each tick; without ticks it sees none (`pyperf system` warns of the same).
    let driver = super::frequency::of_each(patient, "cpufreq/scaling_driver");
    let least = super::frequency::of_each(patient, "cpufreq/scaling_min_freq");
    let highest = super::frequency::of_each(patient, "cpufreq/scaling_max_freq");
    if driver.iter().any(|(_, name)| name == "intel_pstate") && least != highest {
        return State::Bad(format!("{text}, while intel_pstate chooses the frequency"));
    }
    State::Good(text)
}

fn interrupts(patient: &Patient<'_>) -> State {
    let numbers = patient.system.names("/proc/irq");
    let affinity = |number: &String| {
        let path = format!("/proc/irq/{number}/smp_affinity_list");
        Some((number.clone(), list(patient, &path)?))
    };
    let all: Vec<(String, ProcessorSet)> = numbers.iter().filter_map(affinity).collect();
    if all.is_empty() {
        return State::Absent("the kernel lists none".to_owned());
    }
    let here = all
        .iter()
        .filter(|(_, set)| !set.common(&patient.benchmarks).is_empty());
    let here: Vec<&str> = here.map(|(number, _)| number.as_str()).collect();
    match here.as_slice() {
        [] => State::Good(format!("{} elsewhere", all.len())),
        [first, ..] => State::Bad(format!(
            "{} of {} may, such as {first}",
            here.len(),
            all.len()
        )),
    }
}

fn irqbalance(patient: &Patient<'_>) -> State {
    if patient.system.runs("irqbalance") {
        State::Bad("runs".to_owned())
    } else {
        State::Good("does not run".to_owned())
    }
}

fn workqueues(patient: &Patient<'_>) -> State {
    let path = "/sys/devices/virtual/workqueue/cpumask";
    let mask = patient.system.read(path);
    match mask.as_deref().and_then(ProcessorSet::from_mask) {
        None => State::Absent(format!("no {path}")),
        Some(set) if set.common(&patient.benchmarks).is_empty() => State::Good(set.to_string()),
        Some(set) => State::Bad(set.to_string()),
    }
}
