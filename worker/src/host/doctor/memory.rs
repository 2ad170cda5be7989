//! What the kernel does with memory behind a benchmark's back.

use super::counting::expect;
use super::{HostSeverity, Patient, Rule, State};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "swap",
        severity: HostSeverity::Warning,
        good: "none",
        why: "a page that was swapped out comes back in milliseconds",
        mend: "swapoff -a, and take it out of /etc/fstab",
        judge: swap,
    },
    Rule {
        name: "hugepages",
        severity: HostSeverity::Note,
        good: "madvise or never",
        why: "with `always` it depends on the state of memory whether a process gets large pages, and speed and memory with it",
        mend: "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        judge: huge_pages,
    },
    Rule {
        name: "numa_balancing",
        severity: HostSeverity::Warning,
        good: "0",
        why: "the kernel unmaps pages to see who uses them, and moves them: faults in the middle of a benchmark",
        mend: "sysctl kernel.numa_balancing=0",
        judge: |patient| expect(patient, "/proc/sys/kernel/numa_balancing", 0),
    },
    Rule {
        name: "same_page_merging",
        severity: HostSeverity::Warning,
        good: "0",
        why: "the kernel's thread compares pages all the time, and a write to a merged one faults",
        mend: "echo 0 > /sys/kernel/mm/ksm/run",
        judge: |patient| expect(patient, "/sys/kernel/mm/ksm/run", 0),
    },
    Rule {
        name: "aslr",
        severity: HostSeverity::Note,
        good: "2: timing runs average over layouts; counters switch it off for themselves",
        why: "with one layout for all processes the mean of several is no better than one",
        mend: "sysctl kernel.randomize_va_space=2",
        judge: |patient| expect(patient, "/proc/sys/kernel/randomize_va_space", 2),
    },
];

fn swap(patient: &Patient<'_>) -> State {
    let Some(text) = patient.system.read("/proc/swaps") else {
        return State::Absent("no /proc/swaps".to_owned());
    };
    let devices: Vec<&str> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    if devices.is_empty() {
        State::Good("none".to_owned())
    } else {
        State::Bad(devices.join(", "))
    }
}

fn huge_pages(patient: &Patient<'_>) -> State {
    let text = patient
        .system
        .read("/sys/kernel/mm/transparent_hugepage/enabled");
    match text.as_deref().map(crate::host::facts::chosen) {
        None => State::Absent("no transparent_hugepage".to_owned()),
        Some(mode) if mode == "always" => State::Bad(mode),
        Some(mode) => State::Good(mode),
    }
}
