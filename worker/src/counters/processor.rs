//! Which processor this is and what its counting units offer, read from a root folder's `proc` and `sys`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What [`super::plan`] chooses by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Processor {
    /// `GenuineIntel`, `AuthenticAMD`; empty where the kernel names none (arm64).
    pub vendor: String,
    /// The family, as x86 counts it.
    pub family: u32,
    /// The model within the family.
    pub model: u32,
    /// More than one hardware thread of a core is in use.
    pub shares_cores: bool,
    /// The kernel's watchdog holds a counter.
    pub watchdog: bool,
    /// It is QEMU's virtual arm64 board: its counters are emulated, or lent by a hypervisor.
    pub emulated: bool,
    /// The counting units by name.
    pub units: BTreeMap<String, CountingUnit>,
}

/// A counting unit (PMU) of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountingUnit {
    /// The number that `perf_event_open` knows it by.
    pub kind: u32,
    /// Where each field of an event goes (`umask` = `config:8-15`).
    pub format: BTreeMap<String, String>,
    /// Events by name (`event=0x3c`), and their `.scale` and `.unit`.
    pub events: BTreeMap<String, String>,
    /// The processors that it counts (`cpus`) or is asked on (`cpumask`).
    pub processors: Vec<u32>,
}

impl Processor {
    /// Reads it; what is absent stays empty. `root`: `/`, or a test's tree.
    pub fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let information = text("proc/cpuinfo");
        let field = |name: &str| {
            let pair = |line: &str| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == name).then(|| value.trim().to_owned())
            };
            information.lines().find_map(pair).unwrap_or_default()
        };
        let devices = fs::read_dir(root.join("sys/bus/event_source/devices"));
        let units = devices.into_iter().flatten().flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name, CountingUnit::read(&entry.path())?))
        });
        Self {
            vendor: field("vendor_id"),
            family: field("cpu family").parse().unwrap_or(0),
            model: field("model").parse().unwrap_or(0),
            shares_cores: text("sys/devices/system/cpu/smt/active").trim() == "1",
            watchdog: text("proc/sys/kernel/nmi_watchdog").trim() == "1",
            emulated: text("sys/firmware/devicetree/base/compatible").contains("linux,dummy-virt"),
            units: units.collect(),
        }
    }
}

impl CountingUnit {
    fn read(folder: &Path) -> Option<Self> {
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let kind = text("type").trim().parse().ok()?;
        let mut processors = text("cpus");
        if processors.trim().is_empty() {
            processors = text("cpumask");
        }
        Some(Self {
            kind,
            format: files(&folder.join("format")),
            events: files(&folder.join("events")),
            processors: list(&processors),
        })
    }

    /// An event of this unit by its name in `events/`, as `config`.
    pub fn event(&self, name: &str) -> Result<u64, String> {
        let text = self
            .events
            .get(name)
            .ok_or_else(|| format!("the kernel names no event {name}"))?;
        self.config(text)
    }

    /// Puts an event's fields (`event=0x00,umask=0x80`) where `format/` says that they go.
    pub fn config(&self, text: &str) -> Result<u64, String> {
        let mut config = 0;
        for field in text.trim().split(',') {
            let (name, value) = field.split_once('=').unwrap_or((field, "1"));
            let value = number(value).ok_or_else(|| format!("{field:?} has no number"))?;
            let place = match (self.format.get(name), name) {
                (Some(place), _) => place.as_str(),
                (None, "config") => "config:0-63",
                (None, _) => return Err(format!("the kernel knows no field {name:?}")),
            };
            config |= spread(value, place)?;
        }
        Ok(config)
    }

    /// What a count of an event is multiplied with.
    pub fn scale(&self, name: &str) -> Result<f64, String> {
        let text = self.events.get(&format!("{name}.scale"));
        let scale = text.and_then(|text| text.trim().parse::<f64>().ok());
        scale
            .filter(|scale| scale.is_finite() && *scale > 0.0)
            .ok_or_else(|| format!("the kernel tells no scale of {name}"))
    }
}

/// A value's bits at the places of a format (`config:0-7,32-35`), lowest first.
fn spread(value: u64, place: &str) -> Result<u64, String> {
    let wrong = || format!("{place:?} is no place in config");
    let ranges = place.trim().strip_prefix("config:").ok_or_else(wrong)?;
    let (mut rest, mut config) = (value, 0);
    for range in ranges.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: u32 = first.parse().ok().ok_or_else(wrong)?;
        let last: u32 = last.parse().ok().ok_or_else(wrong)?;
        if first > last || last > 63 {
            return Err(wrong());
        }
        let width = last - first + 1;
        let mask = u64::MAX >> (64 - width);
        config |= (rest & mask) << first;
        rest = rest.checked_shr(width).unwrap_or(0);
    }
    if rest == 0 {
        Ok(config)
    } else {
        Err(format!("{value:#x} does not fit into {place:?}"))
    }
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The processors of a kernel's list (`0-3,8`).
fn list(text: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<u32>().ok()?..=last.trim().parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// The text of every file of a folder by its name.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let read = entries.filter_map(|entry| {
        let text = fs::read_to_string(entry.path()).ok()?;
        Some((
            entry.file_name().into_string().ok()?,
            text.trim().to_owned(),
        ))
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(format: &[(&str, &str)], events: &[(&str, &str)]) -> CountingUnit {
        let map = |pairs: &[(&str, &str)]| {
            let owned = pairs
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
            owned.collect()
        };
        CountingUnit {
            kind: 4,
            format: map(format),
            events: map(events),
            processors: Vec::new(),
        }
    }

    #[test]
    fn fields_go_where_the_kernel_says() {
        let intel = unit(
            &[
                ("event", "config:0-7"),
                ("umask", "config:8-15"),
                ("edge", "config:18"),
                ("cmask", "config:24-31"),
            ],
            &[("topdown-retiring", "event=0x00,umask=0x80")],
        );
        assert_eq!(intel.event("topdown-retiring"), Ok(0x8000));
        assert_eq!(
            intel.config("event=0xc3,umask=0x1,edge,cmask=1"),
            Ok(0x0104_01c3)
        );
        assert_eq!(intel.config("config=0x20d1"), Ok(0x20d1));
        let amd = unit(&[("event", "config:0-7,32-35")], &[]);
        // 0x1 in the second range: 0x187 is event 0x87 with bit 32.
        assert_eq!(amd.config("event=0x187"), Ok(0x1_0000_0087));
    }

    #[test]
    fn what_cannot_be_placed_is_an_error() {
        let unit = unit(
            &[
                ("event", "config:0-7"),
                ("far", "config1:0-15"),
                ("odd", "config:9-3"),
            ],
            &[],
        );
        for text in ["event=0x1ff", "far=1", "odd=1", "none=1", "event=x", ""] {
            assert!(unit.config(text).is_err(), "{text}");
        }
        assert!(unit.event("absent").unwrap_err().contains("absent"));
        assert!(unit.scale("absent").is_err());
        assert_eq!(list("0-2,5\n"), [0, 1, 2, 5]);
        assert!(list("\n").is_empty());
        assert_eq!(spread(u64::MAX, "config:0-63"), Ok(u64::MAX));
    }

    #[test]
    fn an_empty_tree_is_an_unknown_processor() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Processor::read(folder.path()), Processor::default());
    }
}
