//! Watches the host over a run: what the doctor says before it, and what went wrong meanwhile.

use std::collections::BTreeMap;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use speedwell_wire::{HostFlag, HostSeverity};

use super::doctor::{self, BUSY, Busy, Check, Span};
use super::processors::ProcessorSet;
use super::system::System;
use super::temperature;

/// The share of the run in which a hypervisor may have taken the processors away.
const STOLEN: f64 = 0.01;
/// How far the frequency may lie apart before and after.
const FREQUENCY: f64 = 0.02;

/// What is known of a host's run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Values before and after, by name.
    pub notes: BTreeMap<String, String>,
    /// What was not as it should be.
    pub flags: Vec<HostFlag>,
}

/// A run under way.
#[derive(Debug)]
pub struct Watch {
    system: System,
    processors: ProcessorSet,
    checks: Vec<Check>,
    begun: Snapshot,
}

/// What is read before and after.
#[derive(Debug, Clone)]
struct Snapshot {
    load: Option<String>,
    throttled: Option<i64>,
    kilohertz: Option<i64>,
    celsius: Option<f64>,
    span: Option<Span>,
    children: Option<Children>,
}

/// What the worker's own children have used so far: those that have ended and were waited for, and theirs. One that had to
/// be killed may be missing.
#[derive(Debug, Clone, Copy)]
struct Children {
    seconds: f64,
    /// How often the kernel took the processor away from them for something else.
    interrupted: i64,
}

impl Children {
    fn so_far() -> Option<Self> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
        let time = usage.user_time() + usage.system_time();
        Some(Self {
            seconds: time.num_microseconds() as f64 / 1e6,
            interrupted: usage.involuntary_context_switches(),
        })
    }
}

impl Watch {
    /// Examines the host and begins to watch it. `cpus`: the benchmarks' processors, as `taskset -c` takes them.
    pub fn begin(system: System, cpus: Option<&str>) -> Self {
        let checks = doctor::examine(&system, cpus);
        let named = cpus.and_then(ProcessorSet::from_list);
        let processors = named.unwrap_or_else(|| system.online());
        let begun = Snapshot::take(&system, &processors);
        Self {
            system,
            processors,
            checks,
            begun,
        }
    }

    /// Why nothing should be measured here: what makes the host unfit, in words.
    pub fn unfit(&self) -> Option<String> {
        doctor::unfit(&self.checks)
    }

    /// The run is over.
    pub fn end(self) -> Record {
        let ended = Snapshot::take(&self.system, &self.processors);
        let mut record = Record {
            notes: BTreeMap::new(),
            flags: doctor::flags(&self.checks),
        };
        for (when, snapshot) in [("before", &self.begun), ("after", &ended)] {
            let mut note = |name: &str, value: Option<String>| {
                if let Some(value) = value {
                    record.notes.insert(format!("{name}_{when}"), value);
                }
            };
            note("load_1m", snapshot.load.clone());
            note(
                "throttled",
                snapshot.throttled.map(|count| count.to_string()),
            );
            note(
                "kilohertz",
                snapshot.kilohertz.map(|value| value.to_string()),
            );
            note("celsius", snapshot.celsius.map(|value| value.to_string()));
        }
        self.compare(&ended, &mut record);
        record
    }

    fn compare(&self, ended: &Snapshot, record: &mut Record) {
        let mut flag = |name: &str, severity, value: String, good: &str| {
            let flag = HostFlag::meanwhile(name, severity, value, good);
            record.flags.push(flag);
        };
        if let (Some(before), Some(after)) = (self.begun.throttled, ended.throttled)
            && after > before
        {
            let value = format!("{} times", after - before);
            flag("throttled", HostSeverity::Unfit, value, "never");
        }
        if let (Some(before), Some(after)) = (self.begun.kilohertz, ended.kilohertz)
            && (after as f64 / before as f64 - 1.0).abs() > FREQUENCY
        {
            let value = format!("{before} kHz before, {after} kHz after");
            flag(
                "frequency",
                HostSeverity::Warning,
                value,
                "the same, within 2 %",
            );
        }
        let children = self.begun.children.zip(ended.children);
        let shares = self.begun.span.as_ref().zip(ended.span.as_ref());
        if let Some(busy) = shares.and_then(|(before, after)| before.until(after)) {
            if let Some((before, after)) = children {
                let others = others(&busy, after.seconds - before.seconds);
                let share = format!("{:.1} %", others * 100.0);
                if others >= BUSY {
                    let good = "other work took less than 5 % of the benchmarks' processors";
                    flag("busy", HostSeverity::Unfit, share.clone(), good);
                }
                record.notes.insert("busy_meanwhile".to_owned(), share);
                record.notes.insert(
                    "involuntary_switches".to_owned(),
                    (after.interrupted - before.interrupted).to_string(),
                );
            }
            let share = format!("{:.2} %", busy.stolen * 100.0);
            if busy.stolen >= STOLEN {
                let good = "the hypervisor took less than 1 %";
                flag("stolen", HostSeverity::Unfit, share.clone(), good);
            }
            record.notes.insert("stolen_meanwhile".to_owned(), share);
        }
    }
}

/// The share of the processors' time that went to anything but the benchmarks. What these used on other processors (the load
/// of a server workload) counts as if it were here, so this is rather too small than too large.
fn others(busy: &Busy, own_seconds: f64) -> f64 {
    if busy.seconds <= 0.0 {
        return 0.0;
    }
    (busy.used - own_seconds / busy.seconds).max(0.0)
}

impl Snapshot {
    fn take(system: &System, processors: &ProcessorSet) -> Self {
        let of_each = |file: &str| -> Option<i64> {
            let path = |cpu: u32| format!("/sys/devices/system/cpu/cpu{cpu}/{file}");
            let values = processors
                .iter()
                .filter_map(|cpu| system.number(&path(cpu)));
            values.reduce(|sum, value| sum + value)
        };
        let load = system.read("/proc/loadavg");
        Self {
            load: load.and_then(|text| text.split(' ').next().map(str::to_owned)),
            throttled: of_each("thermal_throttle/core_throttle_count"),
            kilohertz: of_each("cpufreq/scaling_cur_freq").filter(|sum| *sum > 0),
            celsius: temperature::hottest(system),
            span: Span::begin(system, processors),
            children: Children::so_far(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(root: &std::path::Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_goes_wrong_meanwhile_is_flagged() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let cpu = "sys/devices/system/cpu/cpu1";
        write(root, "sys/devices/system/cpu/online", "0-1\n");
        write(root, "proc/loadavg", "0.10 0.20 0.30 1/100 999\n");
        write(
            root,
            "proc/stat",
            "cpu 0 0 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\ncpu1 10 0 0 90 0 0 0 0 0 0\n",
        );
        write(
            root,
            &format!("{cpu}/thermal_throttle/core_throttle_count"),
            "2\n",
        );
        write(
            root,
            &format!("{cpu}/cpufreq/scaling_cur_freq"),
            "2000000\n",
        );
        let watch = Watch::begin(System::below(root), Some("1"));
        let names = |flags: &[HostFlag]| -> Vec<String> {
            flags.iter().map(|flag| flag.name.clone()).collect()
        };
        assert!(names(&doctor::flags(&watch.checks)).contains(&"throttled".to_owned()));
        write(root, "proc/stat", "cpu1 1000 0 0 100 0 0 0 100 0 0\n");
        write(
            root,
            &format!("{cpu}/thermal_throttle/core_throttle_count"),
            "5\n",
        );
        write(
            root,
            &format!("{cpu}/cpufreq/scaling_cur_freq"),
            "1500000\n",
        );
        write(root, "proc/loadavg", "0.90 0.20 0.30 1/100 999\n");
        let record = watch.end();
        let found = names(&record.flags);
        for name in [
            "throttled_meanwhile",
            "frequency_meanwhile",
            "stolen_meanwhile",
            // 990 of 1100 ticks, and no child of the test has used any.
            "busy_meanwhile",
        ] {
            assert!(found.contains(&name.to_owned()), "{name}: {found:?}");
        }
        assert_eq!(record.notes["load_1m_before"], "0.10");
        assert_eq!(record.notes["load_1m_after"], "0.90");
        assert_eq!(record.notes["stolen_meanwhile"], "9.09 %");
    }

    #[test]
    fn the_benchmarks_own_work_is_no_other_work() {
        let busy = Busy {
            used: 0.9,
            stolen: 0.0,
            seconds: 100.0,
        };
        assert!((others(&busy, 80.0) - 0.1).abs() < 1e-9);
        assert_eq!(others(&busy, 90.0), 0.0);
        // Load that ran on other processors.
        assert_eq!(others(&busy, 150.0), 0.0);
    }

    #[test]
    fn a_kernel_that_tells_nothing_is_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let record = Watch::begin(System::below(folder.path()), None).end();
        assert!(record.notes.is_empty(), "{:?}", record.notes);
        assert!(
            record
                .flags
                .iter()
                .all(|flag| !flag.name.ends_with("meanwhile"))
        );
    }
}
