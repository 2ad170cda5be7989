//! Whether anything else runs, and whether the clock can be trusted.

use std::time::Duration;

use super::super::processors::ProcessorSet;
use super::super::system::System;
use super::{HostSeverity, Patient, Rule, State};

/// The share of a processor that other work may take.
pub const BUSY: f64 = 0.05;
/// The share that a hypervisor may take.
const STOLEN: f64 = 0.01;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "busy",
        severity: HostSeverity::Unfit,
        good: "other work takes less than 5 % of the benchmarks' processors",
        why: "whatever runs beside a benchmark takes its time and its caches",
        mend: "see `top`; end it, or move it to {others} by taskset",
        judge: busy,
    },
    Rule {
        name: "stolen",
        severity: HostSeverity::Warning,
        good: "a hypervisor takes less than 1 % of the benchmarks' processors",
        why: "time that the hypervisor gives to somebody else counts as the benchmark's",
        mend: "measure on a machine of your own",
        judge: stolen,
    },
    Rule {
        name: "clock",
        severity: HostSeverity::Warning,
        good: "tsc (arch_sys_counter on ARM)",
        why: "other clocks cost a system call or a device's answer for each reading",
        mend: "clocksource=tsc tsc=reliable on the kernel's command line, where the processor's counter is sound",
        judge: clock,
    },
    Rule {
        name: "call_filters",
        severity: HostSeverity::Note,
        good: "no filter of system calls (seccomp) on the worker",
        why: "benchmarks inherit it, and each of their system calls takes longer, by a fifth for the cheapest",
        mend: "start the worker by deploy/systemd/speedwell-worker.service as it is; a container needs --security-opt seccomp=unconfined",
        judge: call_filters,
    },
];

/// A process inherits the filters of the one that started it, so the worker's own are the benchmarks'.
fn call_filters(patient: &Patient<'_>) -> State {
    let status = patient.system.read("/proc/self/status").unwrap_or_default();
    let line = |key| status.lines().find_map(|line| line.strip_prefix(key));
    // The mode: 2 is a filter. Their number is told since Linux 5.9.
    match (line("Seccomp:").map(str::trim), line("Seccomp_filters:")) {
        (None, _) => State::Absent("the kernel does not tell".to_owned()),
        (Some("0"), _) => State::Good("none".to_owned()),
        (Some(_), None) => State::Bad("some".to_owned()),
        (Some(_), Some(count)) => State::Bad(count.trim().to_owned()),
    }
}

/// Ticks in a second in `/proc/stat`: the kernel's `USER_HZ`, whatever its clock is set to.
const TICKS: f64 = 100.0;

/// What processors did in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Busy {
    /// Share of their time that went to programs, the kernel and interrupts.
    pub used: f64,
    /// Share that the hypervisor took.
    pub stolen: f64,
    /// All of their time in seconds.
    pub seconds: f64,
}

/// The beginning or the end of a stretch: the first eight columns of `/proc/stat`, summed over processors.
#[derive(Debug, Clone)]
pub struct Span(Vec<f64>);

/// Watches the processors for a while. `None`: the kernel does not tell, or its clock stood still.
pub(super) fn watch(system: &System, processors: &ProcessorSet, pause: Duration) -> Option<Busy> {
    let before = Span::begin(system, processors)?;
    std::thread::sleep(pause);
    before.until(&Span::begin(system, processors)?)
}

impl Span {
    /// What the processors have done so far.
    pub fn begin(system: &System, processors: &ProcessorSet) -> Option<Self> {
        let text = system.read("/proc/stat")?;
        let mut sums = vec![0.0; 8];
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let number = words.next().and_then(|name| name.strip_prefix("cpu"));
            let Some(number) = number.and_then(ProcessorSet::from_list) else {
                continue;
            };
            if number.is_empty() || !processors.has_all(&number) {
                continue;
            }
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum += word.parse::<f64>().ok()?;
            }
        }
        Some(Self(sums))
    }

    /// What they did between the two. `None`: no time passed.
    pub fn until(&self, end: &Self) -> Option<Busy> {
        let passed: Vec<f64> = end
            .0
            .iter()
            .zip(&self.0)
            .map(|(end, begin)| end - begin)
            .collect();
        let total: f64 = passed.iter().sum();
        // user nice system idle iowait irq softirq steal: proc(5); guests are within user.
        let [_, _, _, idle, wait, _, _, stolen] = passed.as_slice() else {
            return None;
        };
        (total > 0.0).then(|| Busy {
            used: (total - idle - wait - stolen) / total,
            stolen: stolen / total,
            seconds: total / TICKS,
        })
    }
}

fn busy(patient: &Patient<'_>) -> State {
    match patient.busy {
        None => State::Absent("the kernel does not tell".to_owned()),
        Some(Busy { used, .. }) if used < BUSY => State::Good(format!("{:.0} %", used * 100.0)),
        Some(Busy { used, .. }) => State::Bad(format!("{:.0} % just now", used * 100.0)),
    }
}

fn stolen(patient: &Patient<'_>) -> State {
    match patient.busy {
        None => State::Absent("the kernel does not tell".to_owned()),
        Some(Busy { stolen, .. }) if stolen < STOLEN => {
            State::Good(format!("{:.1} %", stolen * 100.0))
        }
        Some(Busy { stolen, .. }) => State::Bad(format!("{:.1} % just now", stolen * 100.0)),
    }
}

fn clock(patient: &Patient<'_>) -> State {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    match patient.system.read(path) {
        None => State::Absent(format!("no {path}")),
        Some(clock) if matches!(clock.as_str(), "tsc" | "arch_sys_counter") => State::Good(clock),
        Some(clock) => State::Bad(clock),
    }
}
