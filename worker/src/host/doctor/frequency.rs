//! Whether the benchmarks' processors run at one speed.

use super::counting::expect;
use super::{HostSeverity, Patient, Rule, State};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "turbo",
        severity: HostSeverity::Unfit,
        good: "off",
        why: "turbo gives a speed that depends on temperature and on what the other cores do",
        mend: "echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo (or echo 0 > /sys/devices/system/cpu/cpufreq/boost)",
        judge: turbo,
    },
    Rule {
        name: "governor",
        severity: HostSeverity::Unfit,
        good: "performance, on each of the benchmarks' processors",
        why: "other governors change the speed while a benchmark runs",
        mend: "cpupower -c {cpus} frequency-set -g performance",
        judge: governor,
    },
    Rule {
        name: "frequency",
        severity: HostSeverity::Warning,
        good: "the least and the highest allowed frequency are the same",
        why: "between two limits the processor chooses by itself",
        mend: "cpupower -c {cpus} frequency-set -d BASE -u BASE",
        judge: frequency,
    },
    Rule {
        name: "idle_states",
        severity: HostSeverity::Note,
        good: "deep idle states are not entered (max_cstate=1, or /dev/cpu_dma_latency held at 0)",
        why: "waking from a deep state takes up to hundreds of microseconds, which servers under a light load pay at each request",
        mend: "speedwell-worker tune holds /dev/cpu_dma_latency at 0 while it runs",
        judge: idle_states,
    },
    Rule {
        name: "throttled",
        severity: HostSeverity::Warning,
        good: "0 since boot",
        why: "a processor that got too hot ran slower: look at the cooling",
        mend: "",
        judge: throttled,
    },
];

fn turbo(patient: &Patient<'_>) -> State {
    let intel = "/sys/devices/system/cpu/intel_pstate/no_turbo";
    let other = "/sys/devices/system/cpu/cpufreq/boost";
    if patient.system.number(intel).is_some() {
        return match expect(patient, intel, 1) {
            State::Good(_) => State::Good("off".to_owned()),
            _ => State::Bad("on".to_owned()),
        };
    }
    match expect(patient, other, 0) {
        State::Good(_) => State::Good("off".to_owned()),
        State::Bad(_) => State::Bad("on".to_owned()),
        State::Absent(_) => State::Absent(format!("neither {intel} nor {other}")),
    }
}

/// A file of each of the benchmarks' processors, for those that have it.
pub(super) fn of_each(patient: &Patient<'_>, file: &str) -> Vec<(u32, String)> {
    let read = |cpu: u32| {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/{file}");
        patient.system.read(&path).map(|value| (cpu, value))
    };
    patient.benchmarks.iter().filter_map(read).collect()
}

fn governor(patient: &Patient<'_>) -> State {
    let found = of_each(patient, "cpufreq/scaling_governor");
    let wrong = found.iter().find(|(_, value)| value != "performance");
    match (found.first(), wrong) {
        (None, _) => State::Absent("no cpufreq".to_owned()),
        (_, Some((cpu, value))) => State::Bad(format!("{value} on processor {cpu}")),
        (Some(_), None) => State::Good("performance".to_owned()),
    }
}

fn frequency(patient: &Patient<'_>) -> State {
    let least = of_each(patient, "cpufreq/scaling_min_freq");
    let highest = of_each(patient, "cpufreq/scaling_max_freq");
    let Some((_, first)) = highest.first() else {
        return State::Absent("no cpufreq".to_owned());
    };
    let apart = least
        .iter()
        .zip(&highest)
        .find(|(low, high)| low.1 != high.1);
    match apart {
        Some(((cpu, low), (_, high))) => {
            State::Bad(format!("{low} to {high} kHz on processor {cpu}"))
        }
        None => State::Good(format!("{first} kHz")),
    }
}

fn idle_states(patient: &Patient<'_>) -> State {
    let driver = patient
        .system
        .read("/sys/devices/system/cpu/cpuidle/current_driver");
    let Some(driver) = driver.filter(|driver| driver != "none") else {
        return State::Absent("no driver for idle states".to_owned());
    };
    let command_line = patient.system.read("/proc/cmdline").unwrap_or_default();
    let limits = ["intel_idle.max_cstate=", "processor.max_cstate=", "idle="];
    let limit = command_line
        .split_whitespace()
        .find(|word| limits.iter().any(|limit| word.starts_with(limit)));
    match limit {
        Some(word) => State::Good(format!("{driver}, {word}")),
        None => State::Bad(format!("{driver}, not limited at boot")),
    }
}

fn throttled(patient: &Patient<'_>) -> State {
    let counts = of_each(patient, "thermal_throttle/core_throttle_count");
    if counts.is_empty() {
        return State::Absent("no thermal_throttle".to_owned());
    }
    match counts.iter().find(|(_, count)| count != "0") {
        Some((cpu, count)) => State::Bad(format!("{count} times on processor {cpu}")),
        None => State::Good("0".to_owned()),
    }
}
