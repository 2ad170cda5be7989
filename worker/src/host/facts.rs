//! The facts of a host, read from the kernel and the toolchain.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use speedwell_wire::EnvironmentFacts;

use super::system::System;
use crate::config::Config;
use crate::process::{self, Stop};

/// Everything about this host that can move a result.
pub fn facts(config: &Config) -> EnvironmentFacts {
    let cpuinfo = read("/proc/cpuinfo");
    let of = |key: &str| value_of(&cpuinfo, key).unwrap_or_else(|| "unknown".to_owned());
    EnvironmentFacts {
        cpu_model: of("model name"),
        cpu_signature: format!(
            "{} {}/{}/{}",
            of("vendor_id"),
            of("cpu family"),
            of("model"),
            of("stepping")
        ),
        microcode: of("microcode"),
        cores: std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        memory_bytes: memory_bytes(),
        kernel: format!(
            "{} {}",
            read("/proc/sys/kernel/osrelease").trim(),
            read("/proc/sys/kernel/version").trim()
        ),
        distribution: distribution(),
        compiler: first_line(&["gcc", "--version"]),
        libc: libc_version(),
        settings: settings(config, &cpuinfo),
    }
}

/// Fingerprint of what compiles and links: builds are shared only between hosts where it is equal.
pub fn toolchain() -> String {
    let parts = [
        std::env::consts::ARCH.to_owned(),
        distribution(),
        first_line(&["gcc", "--version"]),
        first_line(&["ld", "--version"]),
        libc_version(),
    ];
    hex::encode(&Sha256::digest(parts.join("\n"))[..8])
}

/// Whether the host is no longer what these facts say, as far as that can change while a worker runs: settings, mitigations and
/// microcode.
pub fn have_changed(config: &Config, facts: &EnvironmentFacts) -> bool {
    let cpuinfo = read("/proc/cpuinfo");
    let microcode = value_of(&cpuinfo, "microcode").unwrap_or_else(|| "unknown".to_owned());
    microcode != facts.microcode || settings(config, &cpuinfo) != facts.settings
}

/// What the kernel does about each fault of the processor that affects it; each costs time of its own.
fn mitigations(system: &System) -> Vec<(String, String)> {
    let folder = "/sys/devices/system/cpu/vulnerabilities";
    let names = system.names(folder).into_iter();
    names
        .filter_map(|name| {
            let text = system.read(&format!("{folder}/{name}"))?;
            let affected = !text.is_empty() && text != "Not affected";
            affected.then(|| (format!("mitigation_{name}"), text))
        })
        .collect()
}

fn settings(config: &Config, cpuinfo: &str) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let mut note = |name: &str, value: String| {
        if !value.trim().is_empty() {
            settings.insert(name.to_owned(), value.trim().to_owned());
        }
    };
    note("aslr", read("/proc/sys/kernel/randomize_va_space"));
    note(
        "benchmark_cpus",
        config.cpus.clone().unwrap_or_else(|| "all".to_owned()),
    );
    note(
        "governor",
        read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    );
    note("smt", read("/sys/devices/system/cpu/smt/control"));
    note(
        "no_turbo",
        read("/sys/devices/system/cpu/intel_pstate/no_turbo"),
    );
    note("isolated_cpus", read("/sys/devices/system/cpu/isolated"));
    note(
        "transparent_hugepages",
        chosen(&read("/sys/kernel/mm/transparent_hugepage/enabled")),
    );
    let virtualised = value_of(cpuinfo, "flags")
        .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    note(
        "hypervisor",
        if virtualised { "yes" } else { "no" }.to_owned(),
    );
    for (name, value) in mitigations(&System::here()) {
        note(&name, value);
    }
    settings
}

/// The bracketed word of a kernel setting such as `always [madvise] never`.
pub(super) fn chosen(text: &str) -> String {
    text.split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or(String::new(), |(word, _)| word.to_owned())
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The first value of a key in `/proc/cpuinfo`'s form.
pub(super) fn value_of(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

fn memory_bytes() -> u64 {
    let text = read("/proc/meminfo");
    let kib = value_of(&text, "MemTotal")
        .and_then(|value| value.trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn distribution() -> String {
    let text = read("/etc/os-release");
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(
        || "unknown".to_owned(),
        |name| name.trim_matches('"').to_owned(),
    )
}

fn libc_version() -> String {
    first_line(&["getconf", "GNU_LIBC_VERSION"])
}

fn first_line(command: &[&str]) -> String {
    match process::output(
        command,
        Path::new("/"),
        Duration::from_secs(20),
        &Stop::default(),
    ) {
        Ok((end, text)) if end.success() => text.lines().next().unwrap_or("unknown").to_owned(),
        Ok(_) | Err(_) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let text = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R)\nflags\t\t: fpu hypervisor\nmodel name\t: other\n";
        assert_eq!(value_of(text, "model name").unwrap(), "Intel(R) Xeon(R)");
        assert_eq!(value_of(text, "stepping"), None);
        assert_eq!(chosen("always [madvise] never\n"), "madvise");
        assert!(memory_bytes() > 1 << 20);
    }

    #[test]
    fn what_the_kernel_does_about_the_processors_faults_is_a_fact() {
        let folder = tempfile::tempdir().unwrap();
        let vulnerabilities = folder.path().join("sys/devices/system/cpu/vulnerabilities");
        let found = || mitigations(&System::below(folder.path()));
        assert!(found().is_empty(), "an older kernel tells nothing");
        fs::create_dir_all(&vulnerabilities).unwrap();
        let write = |name: &str, text: &str| fs::write(vulnerabilities.join(name), text).unwrap();
        write("meltdown", "Not affected\n");
        write("spectre_v2", "Mitigation: Retpolines; RSB filling\n");
        let fact = |text: &str| [("mitigation_spectre_v2".to_owned(), text.to_owned())];
        assert_eq!(found(), fact("Mitigation: Retpolines; RSB filling"));
        write("spectre_v2", "Vulnerable\n");
        assert_eq!(found(), fact("Vulnerable"));
    }

    #[test]
    fn a_host_that_stays_as_it_is_has_not_changed() {
        let text = "backend = \"http://localhost\"\ntoken_file = \"t\"\ndata = \"d\"\nharness = \"h\"\nsuites = \"s\"\n";
        let config = Config::parse(text, "worker.toml").unwrap();
        let mut facts = facts(&config);
        assert!(!have_changed(&config, &facts));
        facts.microcode.push('1');
        assert!(have_changed(&config, &facts));
    }
}
