//! Tuning of recorded trees.

use super::*;

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{text}\n")).unwrap();
}

const TURBO: &str = "/sys/devices/system/cpu/intel_pstate/no_turbo";
const PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const LEAST: &str = "/sys/devices/system/cpu/cpu2/cpufreq/scaling_min_freq";
const IRQ: &str = "/proc/irq/9/smp_affinity_list";

/// A host with four processors that nobody has prepared.
fn host() -> (tempfile::TempDir, System) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    for (path, text) in [
        ("/sys/devices/system/cpu/online", "0-3"),
        ("/sys/devices/system/cpu/smt/control", "notsupported"),
        (TURBO, "0"),
        (
            "/sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
            "powersave",
        ),
        (
            "/sys/devices/system/cpu/cpu2/cpufreq/scaling_max_freq",
            "2700000",
        ),
        (LEAST, "1200000"),
        (PAGES, "[always] madvise never"),
        (IRQ, "0-3"),
        ("/proc/irq/10/smp_affinity_list", "0"),
        ("/sys/devices/virtual/workqueue/cpumask", "f"),
        ("/proc/sys/kernel/nmi_watchdog", "0"),
        ("/dev/cpu_dma_latency", ""),
    ] {
        write(&root, path, text);
    }
    (folder, System::below(root))
}

#[test]
fn what_is_changed_is_put_back() {
    let (folder, system) = host();
    let kept = folder.path().join("tune");
    let tuning = apply(&system, Some("2-3"), &kept).unwrap();
    let value = |path: &str| system.read(path).unwrap();
    assert_eq!(value(TURBO), "1");
    assert_eq!(value(LEAST), "2700000");
    assert_eq!(value(PAGES), "madvise");
    assert_eq!(value(IRQ), "0-1");
    assert_eq!(value("/proc/irq/10/smp_affinity_list"), "0");
    assert_eq!(value("/sys/devices/virtual/workqueue/cpumask"), "00000003");
    assert_eq!(value("/sys/devices/system/cpu/smt/control"), "notsupported");
    assert_eq!(
        fs::read(system.path("/dev/cpu_dma_latency")).unwrap()[..4],
        [0; 4]
    );
    assert!(kept.join("turbo.json").exists() && !kept.join("nmi_watchdog.json").exists());
    assert!(
        tuning
            .report
            .iter()
            .any(|line| line == "turbo: 1 of 1 set to 1"),
        "{:?}",
        tuning.report
    );
    let put_back = tuning.end().unwrap();
    assert!(
        put_back.contains(&"turbo: as before".to_owned()),
        "{put_back:?}"
    );
    assert_eq!(value(TURBO), "0");
    assert_eq!(value(LEAST), "1200000");
    assert_eq!(value(PAGES), "always");
    assert_eq!(value(IRQ), "0-3");
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 0);
}

#[test]
fn after_a_crash_the_first_values_are_the_true_ones() {
    let (folder, system) = host();
    let kept = folder.path().join("tune");
    // Killed: nobody calls `end`.
    drop(apply(&system, Some("2-3"), &kept).unwrap());
    let again = apply(&system, Some("2-3"), &kept).unwrap();
    assert_eq!(system.read(TURBO).unwrap(), "1");
    again.end().unwrap();
    assert_eq!(system.read(TURBO).unwrap(), "0");
    assert!(
        restore(&system, &kept).unwrap().is_empty(),
        "done twice, it changes nothing"
    );
}

#[test]
fn a_damaged_memory_is_not_thrown_away() {
    let (folder, system) = host();
    let kept = folder.path().join("tune");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("turbo.json"), "[{").unwrap();
    let error = apply(&system, Some("2-3"), &kept).unwrap_err();
    assert!(
        format!("{error:#}").contains("turbo.json is damaged"),
        "{error:#}"
    );
    assert_eq!(system.read(TURBO).unwrap(), "0");
}

#[test]
fn processors_must_be_named_and_leave_one() {
    let (folder, system) = host();
    for (cpus, words) in [(None, "cpus = \"2-3\""), (Some("0-3"), "leave one")] {
        let error = apply(&system, cpus, folder.path()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(
            boot_text(&system, cpus)
                .unwrap_err()
                .to_string()
                .contains("cpus")
        );
    }
    let text = boot_text(&system, Some("2-3")).unwrap();
    for words in [
        "isolcpus=managed_irq,domain,2-3 ",
        "irqaffinity=0-1 ",
        "CPUAffinity=0-1\n",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}
