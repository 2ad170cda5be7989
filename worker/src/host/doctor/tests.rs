//! The doctor before recorded trees.

use std::fs;
use std::path::Path;

use super::*;

fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }
}

/// A dedicated Xeon, prepared: processors 2 and 3 are the benchmarks'.
const GOOD: &[(&str, &str)] = &[
    ("/sys/devices/system/cpu/online", "0-3"),
    ("/sys/devices/system/cpu/isolated", "2-3"),
    ("/sys/devices/system/cpu/nohz_full", "2-3"),
    ("/sys/devices/system/cpu/smt/active", "0"),
    ("/sys/devices/system/cpu/intel_pstate/no_turbo", "1"),
    (
        "/sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
        "performance",
    ),
    (
        "/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor",
        "performance",
    ),
    (
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        "powersave",
    ),
    (
        "/sys/devices/system/cpu/cpu2/cpufreq/scaling_driver",
        "intel_pstate",
    ),
    (
        "/sys/devices/system/cpu/cpu2/cpufreq/scaling_min_freq",
        "2700000",
    ),
    (
        "/sys/devices/system/cpu/cpu2/cpufreq/scaling_max_freq",
        "2700000",
    ),
    (
        "/sys/devices/system/cpu/cpu3/cpufreq/scaling_min_freq",
        "2700000",
    ),
    (
        "/sys/devices/system/cpu/cpu3/cpufreq/scaling_max_freq",
        "2700000",
    ),
    (
        "/sys/devices/system/cpu/cpu2/thermal_throttle/core_throttle_count",
        "0",
    ),
    (
        "/sys/devices/system/cpu/cpuidle/current_driver",
        "intel_idle",
    ),
    ("/sys/bus/event_source/devices/cpu/type", "4"),
    ("/sys/devices/virtual/workqueue/cpumask", "3"),
    (
        "/sys/devices/system/clocksource/clocksource0/current_clocksource",
        "tsc",
    ),
    (
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "always [madvise] never",
    ),
    ("/sys/kernel/mm/ksm/run", "0"),
    ("/proc/sys/kernel/numa_balancing", "0"),
    ("/proc/sys/kernel/randomize_va_space", "2"),
    ("/proc/sys/kernel/nmi_watchdog", "0"),
    ("/proc/sys/kernel/perf_event_paranoid", "-1"),
    ("/proc/sys/kernel/perf_event_max_sample_rate", "100000"),
    ("/proc/sys/kernel/perf_event_mlock_kb", "516"),
    ("/proc/swaps", "Filename Type Size Used Priority"),
    ("/proc/cmdline", "root=/dev/sda1 intel_idle.max_cstate=1"),
    ("/proc/cpuinfo", "processor : 0\nflags : fpu vme"),
    ("/proc/irq/24/smp_affinity_list", "0-1"),
    ("/proc/1/comm", "systemd"),
    (
        "/proc/self/status",
        "Name:\tworker\nSeccomp:\t0\nSeccomp_filters:\t0",
    ),
];

fn examined(changes: &[(&str, &str)]) -> Vec<Check> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), GOOD);
    write(folder.path(), changes);
    examine(&System::below(folder.path()), Some("2-3"))
}

#[test]
fn a_prepared_host_is_fit() {
    let checks = examined(&[]);
    let bad: Vec<&Check> = checks.iter().filter(|check| check.is_bad()).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!((worst(&checks), exit_code(&checks)), (None, 0));
    assert!(unfit(&checks).is_none() && flags(&checks).is_empty());
}

/// Each change spoils the check that is named, and no other.
#[test]
fn each_fault_is_found_and_named() {
    let cpu = "/sys/devices/system/cpu";
    let faults: &[(&str, &str, &str)] = &[
        (
            "turbo",
            "/sys/devices/system/cpu/intel_pstate/no_turbo",
            "0",
        ),
        (
            "governor",
            "/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor",
            "powersave",
        ),
        (
            "throttled",
            "/sys/devices/system/cpu/cpu2/thermal_throttle/core_throttle_count",
            "7",
        ),
        ("idle_states", "/proc/cmdline", "quiet"),
        (
            "call_filters",
            "/proc/self/status",
            "Seccomp:\t2\nSeccomp_filters:\t9",
        ),
        ("smt", "/sys/devices/system/cpu/smt/active", "1"),
        ("isolated", "/sys/devices/system/cpu/isolated", "3"),
        ("tick", "/sys/devices/system/cpu/nohz_full", "(null)"),
        ("interrupts", "/proc/irq/24/smp_affinity_list", "0-2"),
        ("irqbalance", "/proc/2/comm", "irqbalance"),
        ("workqueues", "/sys/devices/virtual/workqueue/cpumask", "f"),
        ("hypervisor", "/proc/cpuinfo", "flags : fpu hypervisor"),
        (
            "swap",
            "/proc/swaps",
            "Filename\n/dev/sda2 partition 1 0 -2",
        ),
        (
            "hugepages",
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never",
        ),
        ("numa_balancing", "/proc/sys/kernel/numa_balancing", "1"),
        ("same_page_merging", "/sys/kernel/mm/ksm/run", "1"),
        ("aslr", "/proc/sys/kernel/randomize_va_space", "0"),
        ("nmi_watchdog", "/proc/sys/kernel/nmi_watchdog", "1"),
        (
            "perf_sample_rate",
            "/proc/sys/kernel/perf_event_max_sample_rate",
            "1",
        ),
        ("perf_mlock", "/proc/sys/kernel/perf_event_mlock_kb", "4"),
        (
            "clock",
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
            "hpet",
        ),
    ];
    for (name, path, value) in faults {
        let checks = examined(&[(path, value)]);
        let bad: Vec<&str> = checks
            .iter()
            .filter(|check| check.is_bad())
            .map(|check| check.name)
            .collect();
        assert_eq!(bad, [*name], "{path} = {value}");
    }
    // Two limits that differ: the frequency moves, and intel_pstate without a tick chooses it blindly.
    let apart = examined(&[(&format!("{cpu}/cpu2/cpufreq/scaling_min_freq"), "1200000")]);
    let bad: Vec<&str> = apart
        .iter()
        .filter(|check| check.is_bad())
        .map(|check| check.name)
        .collect();
    assert_eq!(bad, ["frequency", "tick"]);
}

#[test]
fn severity_decides_the_exit_code_and_what_results_carry() {
    let warned = examined(&[("/proc/sys/kernel/numa_balancing", "1")]);
    assert_eq!(exit_code(&warned), 10);
    assert!(unfit(&warned).is_none());
    assert_eq!(flags(&warned)[0].name, "numa_balancing");
    let noted = examined(&[("/proc/sys/kernel/randomize_va_space", "0")]);
    assert!(exit_code(&noted) == 0 && flags(&noted).is_empty());
    let unfit_host = examined(&[("/sys/devices/system/cpu/intel_pstate/no_turbo", "0")]);
    assert_eq!(exit_code(&unfit_host), 20);
    assert_eq!(unfit(&unfit_host).unwrap(), "turbo: on");
    let text = render(&unfit_host);
    assert!(
        text.contains("UNFIT   turbo") && text.contains("mend: echo 1 > "),
        "{text}"
    );
    let json = serde_json::to_value(&unfit_host).unwrap();
    let turbo = json
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == "turbo")
        .unwrap();
    assert_eq!(
        (&turbo["state"], &turbo["value"]),
        (&"bad".into(), &"on".into())
    );
}

#[test]
fn a_machine_that_offers_nothing_gets_answers_to_all() {
    let folder = tempfile::tempdir().unwrap();
    let checks = examine(&System::below(folder.path()), None);
    let bad: Vec<&str> = checks
        .iter()
        .filter(|check| check.is_bad())
        .map(|check| check.name)
        .collect();
    assert_eq!(bad, ["pmu", "pinned"], "{checks:#?}");
    // What `mend` says holds no unfilled place.
    assert!(examined(&[]).iter().all(|check| !check.mend.contains('{')));
}

#[test]
fn this_host_is_examined() {
    let checks = examine(&System::here(), Some("0"));
    assert!(
        checks
            .iter()
            .any(|check| check.name == "busy" && !matches!(check.state, State::Absent(_)))
    );
}
