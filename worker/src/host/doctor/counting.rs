//! Whether the processor's counters can be read, and read whole.

use super::{HostSeverity, Patient, Rule, State};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "pmu",
        severity: HostSeverity::Warning,
        good: "the processor's counters are there",
        why: "without them there are no instructions, cycles, cache or branch misses: a change of time cannot be explained",
        mend: "measure on the machine itself; in a virtual machine ask for a virtual PMU",
        judge: pmu,
    },
    Rule {
        name: "perf_event_paranoid",
        severity: HostSeverity::Warning,
        good: "at most 1, or the worker is root",
        why: "the worker opens counters on processes of another user, and of the kernel",
        mend: "sysctl kernel.perf_event_paranoid=1",
        judge: paranoid,
    },
    Rule {
        name: "nmi_watchdog",
        severity: HostSeverity::Warning,
        good: "0",
        why: "the watchdog holds one of the processor's counters, and a group that needs all of them is never counted whole",
        mend: "sysctl kernel.nmi_watchdog=0",
        judge: |patient| expect(patient, "/proc/sys/kernel/nmi_watchdog", 0),
    },
    Rule {
        name: "perf_sample_rate",
        severity: HostSeverity::Note,
        good: "at least 100000",
        why: "profiles are throttled below; `pyperf system tune` sets it to 1",
        mend: "sysctl kernel.perf_event_max_sample_rate=100000",
        judge: |patient| {
            at_least(
                patient,
                "/proc/sys/kernel/perf_event_max_sample_rate",
                100_000,
            )
        },
    },
    Rule {
        name: "perf_mlock",
        severity: HostSeverity::Note,
        good: "at least 516 kB",
        why: "the buffers of profiles are locked in memory",
        mend: "sysctl kernel.perf_event_mlock_kb=516",
        judge: |patient| at_least(patient, "/proc/sys/kernel/perf_event_mlock_kb", 516),
    },
];

/// Names of the kernel's devices for a processor's own counters.
fn is_core_pmu(name: &str) -> bool {
    matches!(name, "cpu" | "cpu_core") || name.starts_with("armv8")
}

fn pmu(patient: &Patient<'_>) -> State {
    let devices = patient.system.names("/sys/bus/event_source/devices");
    match devices.iter().find(|name| is_core_pmu(name)) {
        Some(device) => State::Good(device.clone()),
        None if devices.is_empty() => State::Bad("the kernel lists no counting devices".to_owned()),
        None => State::Bad(format!("none; only {}", devices.join(", "))),
    }
}

fn paranoid(patient: &Patient<'_>) -> State {
    let path = "/proc/sys/kernel/perf_event_paranoid";
    let root = nix::unistd::Uid::effective().is_root();
    match patient.system.number(path) {
        None => State::Absent(format!("no {path}")),
        Some(level) if level <= 1 => State::Good(level.to_string()),
        Some(level) if root => State::Good(format!("{level}, and the worker is root")),
        Some(level) => State::Bad(level.to_string()),
    }
}

/// A number that must be one value.
pub(super) fn expect(patient: &Patient<'_>, path: &str, good: i64) -> State {
    match patient.system.number(path) {
        None => State::Absent(format!("no {path}")),
        Some(found) if found == good => State::Good(found.to_string()),
        Some(found) => State::Bad(found.to_string()),
    }
}

fn at_least(patient: &Patient<'_>, path: &str, least: i64) -> State {
    match patient.system.number(path) {
        None => State::Absent(format!("no {path}")),
        Some(found) if found >= least => State::Good(found.to_string()),
        Some(found) => State::Bad(found.to_string()),
    }
}
