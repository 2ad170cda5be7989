//! Proves each counter by work whose size is known, before any of its values is believed.
//!
//! An emulated or virtual PMU can open an event and count nothing, or count it twice (`reference/counters.md`, section 3, saw
//! both). So each worker counts a loop of known length once, and what does not come out right is not used.

use std::io;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use nix::time::{ClockId, clock_gettime};
use speedwell_wire::{CounterSource, Metric, Unavailable};

use super::{CounterSet, Reading};
use crate::process::{self, Stop};

/// Turns of the loop: long enough that switching the counters on and off does not show.
const TURNS: u64 = 5_000_000;
/// Instructions of one turn: a subtraction and a branch.
const INSTRUCTIONS: u64 = 2;
/// Pages that are touched for the first time, of 4 KiB.
const PAGES: usize = 4_096;
/// How often the thread gives its processor away.
const SLEEPS: u32 = 10;
/// Proven by pages and sleeps; all others by the loop.
const OF_THE_KERNEL: [Metric; 2] = [Metric::PageFaults, Metric::ContextSwitches];

/// One counter and what it made of the known work.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// The metric.
    pub metric: Metric,
    /// Where its value comes from.
    pub source: CounterSource,
    /// How it came out.
    pub outcome: Outcome,
}

/// How a calibration came out.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// What was counted lies in the range that the work allows.
    Proven {
        /// In the metric's unit.
        counted: f64,
        /// In the metric's unit.
        range: RangeInclusive<f64>,
    },
    /// It does not: no value of this counter is used.
    Wrong {
        /// In the metric's unit.
        counted: f64,
        /// In the metric's unit.
        range: RangeInclusive<f64>,
    },
    /// It cannot be opened or read; why.
    Absent(String),
}

impl Outcome {
    fn of(counted: f64, range: RangeInclusive<f64>) -> Self {
        if range.contains(&counted) {
            Self::Proven { counted, range }
        } else {
            Self::Wrong { counted, range }
        }
    }
}

/// The loop of known length. Its instructions are written out, so that no compiler changes their number.
pub fn spin(turns: u64) {
    if turns == 0 {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: only the named register and the flags change.
    #[expect(unsafe_code, reason = "a loop of exactly two instructions")]
    unsafe {
        std::arch::asm!("2:", "dec {0}", "jnz 2b", inout(reg) turns => _, options(nomem, nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: only the named register and the flags change.
    #[expect(unsafe_code, reason = "a loop of exactly two instructions")]
    unsafe {
        std::arch::asm!("2:", "subs {0}, {0}, #1", "b.ne 2b", inout(reg) turns => _, options(nomem, nostack));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    for turn in 0..turns {
        std::hint::black_box(turn);
    }
}

/// Counts the known work with every counter that this host opens. Takes some 30 ms.
pub fn calibrate() -> Vec<Calibration> {
    prove(CounterSet::open_unproven(0))
}

/// Counts it with the counters of this thread that are given.
pub(super) fn prove(mut set: CounterSet) -> Vec<Calibration> {
    let absent = absent(&set);
    let counted = known_work(&mut set);
    match counted {
        Ok((spun, waited, seconds)) => {
            let mut all = judge(&spun, seconds);
            all.retain(|one| !OF_THE_KERNEL.contains(&one.metric));
            let of_the_kernel = judge(&waited, seconds);
            all.extend(
                of_the_kernel
                    .into_iter()
                    .filter(|one| OF_THE_KERNEL.contains(&one.metric)),
            );
            all.extend(absent);
            all
        }
        Err(error) => refused(&format!(
            "the counters cannot be switched and read: {error}"
        )),
    }
}

/// The loop, then the pages and sleeps: two readings, for the latter execute instructions too. And the loop's seconds of processor.
fn known_work(set: &mut CounterSet) -> io::Result<(Reading, Reading, f64)> {
    let seconds = processor_seconds();
    set.enable()?;
    spin(TURNS);
    set.disable()?;
    let seconds = processor_seconds() - seconds;
    let spun = set.read()?;
    set.enable()?;
    touch_pages()?;
    for _ in 0..SLEEPS {
        std::thread::sleep(Duration::from_millis(1));
    }
    set.disable()?;
    Ok((spun, set.read()?, seconds))
}

/// What was not opened: the kernel refused it, or knows no event of this processor for it.
fn absent(set: &CounterSet) -> Vec<Calibration> {
    let unplanned = super::plan::of_host().unavailable.iter();
    let unplanned = unplanned.filter(|one| one.metric.is_some_and(|of| super::ALL.contains(&of)));
    let missing = set.unavailable.iter().chain(unplanned);
    let of = |missing: &Unavailable| {
        let metric = missing.metric?;
        Some(Calibration {
            metric,
            source: super::source_of(metric),
            outcome: Outcome::Absent(missing.reason.clone()),
        })
    };
    missing.filter_map(of).collect()
}

fn refused(reason: &str) -> Vec<Calibration> {
    super::ALL
        .iter()
        .map(|metric| Calibration {
            metric: *metric,
            source: super::source_of(*metric),
            outcome: Outcome::Absent(reason.to_owned()),
        })
        .collect()
}

/// Whether each counted value is one that the work allows. Switching the counters takes a few thousand instructions.
fn judge(reading: &Reading, seconds: f64) -> Vec<Calibration> {
    let turns = TURNS as f64;
    let range = |metric: Metric| match metric {
        Metric::Instructions => {
            (turns * INSTRUCTIONS as f64 * 0.999)..=(turns * INSTRUCTIONS as f64 * 1.005)
        }
        Metric::Branches => (turns * 0.999)..=(turns * 1.005),
        Metric::BranchMisses => 0.0..=(turns * 0.01),
        // Between eight turns in a cycle and ten cycles for a turn.
        Metric::Cycles => (turns / 8.0)..=(turns * 10.0),
        Metric::TaskClock => (seconds * 0.9 - 0.001)..=(seconds * 1.1 + 0.001),
        // Between huge pages alone and small ones alone, with some for the stack and the allocator.
        Metric::PageFaults => (PAGES as f64 / 512.0)..=(PAGES as f64 + 256.0),
        // On a loaded machine a sleep can be over before its thread has left the processor.
        Metric::ContextSwitches => (f64::from(SLEEPS) / 2.0)..=(f64::from(SLEEPS) * 100.0),
        _ => 0.0..=f64::INFINITY,
    };
    let of = |(event, value): &(super::Event, Result<f64, String>)| {
        let metric = event.metric()?;
        Some(Calibration {
            metric,
            source: event.source,
            outcome: match value {
                Ok(counted) => Outcome::of(*counted, range(metric)),
                Err(reason) => Outcome::Absent(reason.clone()),
            },
        })
    };
    reading.iter().filter_map(of).collect()
}

/// Seconds of processor that this thread has used.
fn processor_seconds() -> f64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0.0, |time| {
        time.tv_sec() as f64 + time.tv_nsec() as f64 * 1e-9
    })
}

/// Touches pages that nothing touched before. They are asked of the kernel: the allocator may hand out what was used already,
/// in a process whose other threads have just given it back.
#[expect(unsafe_code, reason = "fresh pages come from mmap alone")]
fn touch_pages() -> io::Result<()> {
    let length = NonZeroUsize::new(PAGES * 4_096).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: a new private mapping, which nothing else refers to.
    let memory = unsafe {
        mmap_anonymous(
            None,
            length,
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            MapFlags::MAP_PRIVATE,
        )?
    };
    for page in 0..PAGES {
        // SAFETY: within the mapping, which lives until the last line.
        unsafe { memory.cast::<u8>().add(page * 4_096).write_volatile(1) };
    }
    // SAFETY: mapped above with this length, and used no more.
    unsafe { munmap(memory, length.get())? };
    Ok(())
}

/// What valgrind makes of the known loop: this very program is run twice under it. `program`: this program's path.
pub fn calibrate_valgrind(program: &Path, folder: &Path) -> Calibration {
    let count = |turns: u64| -> Result<u64, String> {
        let mut command = crate::bench::valgrind::prefix(folder);
        command.extend([program.into(), "spin".into(), turns.to_string().into()]);
        let words: Vec<String> = command
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (end, said) =
            process::output(&words, folder, Duration::from_secs(120), &Stop::default())
                .map_err(|error| format!("valgrind cannot be started: {error}"))?;
        if !end.success() {
            return Err(format!("valgrind ended with {}: {said}", end.describe()));
        }
        let log = std::fs::read_to_string(crate::bench::valgrind::log_file(folder));
        log.ok()
            .and_then(|log| crate::bench::valgrind::instructions(&log))
            .ok_or_else(|| "valgrind said no count".to_owned())
    };
    let counted = count(TURNS).and_then(|once| {
        let twice = count(2 * TURNS)?;
        crate::bench::valgrind::per_loop(once, twice, TURNS)
    });
    let exact = INSTRUCTIONS as f64;
    Calibration {
        metric: Metric::Instructions,
        source: CounterSource::Valgrind,
        outcome: match counted {
            Ok(counted) => Outcome::of(counted, (exact * 0.999)..=(exact * 1.001)),
            Err(reason) => Outcome::Absent(reason),
        },
    }
}

/// Why a metric's counter is not to be believed on this host; asked once in the worker's life.
pub(super) fn distrust(metric: Metric) -> Option<String> {
    static WRONG: OnceLock<Vec<(Metric, String)>> = OnceLock::new();
    let wrong = WRONG.get_or_init(|| {
        let all = calibrate();
        all.into_iter()
            .filter_map(|one| Some((one.metric, one.wrong()?)))
            .collect()
    });
    let found = wrong.iter().find(|(of, _)| *of == metric);
    found.map(|(_, reason)| reason.clone())
}

impl Calibration {
    /// Why it is not to be believed; `None`: it is, or it is not there at all.
    fn wrong(&self) -> Option<String> {
        let Outcome::Wrong { counted, range } = &self.outcome else {
            return None;
        };
        Some(format!(
            "this host's counter is not to be believed: known work of {} to {} was counted as {counted}",
            range.start(),
            range.end()
        ))
    }

    /// A line for people.
    pub fn describe(&self) -> String {
        let (metric, source) = (self.metric.as_str(), self.source.as_str());
        match &self.outcome {
            Outcome::Proven { counted, range } => format!(
                "ok      {metric:<17} {source:<9} {counted} ({} to {} expected)",
                range.start(),
                range.end()
            ),
            Outcome::Wrong { counted, range } => format!(
                "WRONG   {metric:<17} {source:<9} {counted} ({} to {} expected): not used",
                range.start(),
                range.end()
            ),
            Outcome::Absent(reason) => format!("absent  {metric:<17} {source:<9} {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{HARDWARE, SOFTWARE};

    /// What the kernel's own counters made of known work, where that was wrong.
    fn wrong_of_the_kernel(all: &[Calibration]) -> Vec<String> {
        let of_the_kernel = [
            Metric::TaskClock,
            Metric::PageFaults,
            Metric::ContextSwitches,
        ];
        let judged = of_the_kernel.map(|metric| {
            let one = all.iter().find(|one| one.metric == metric);
            one.unwrap_or_else(|| panic!("{} is not judged", metric.as_str()))
        });
        // A container without perf_event_open has the reason instead.
        let wrong = judged
            .iter()
            .filter(|one| matches!(one.outcome, Outcome::Wrong { .. }));
        wrong.map(|one| one.describe()).collect()
    }

    #[test]
    fn the_kernels_own_counters_are_proven_here() {
        // The tests beside this one open and close such counters, for which Linux 6.18 rewrites its own code; in one of two thousand
        // runs it then counted no page fault for a while. A worker is right not to believe that. This test asks whether the
        // known work is known rightly: once in a minute it must come out right.
        let begun = std::time::Instant::now();
        let mut all = calibrate();
        loop {
            let wrong = wrong_of_the_kernel(&all);
            if wrong.is_empty() {
                break;
            }
            eprintln!("{}", wrong.join("\n"));
            assert!(begun.elapsed() < Duration::from_secs(60), "{wrong:#?}");
            std::thread::sleep(Duration::from_secs(1));
            all = calibrate();
        }
        for metric in crate::counters::ALL {
            assert!(all.iter().any(|one| one.metric == *metric), "{metric}");
        }
    }

    #[test]
    fn a_counter_that_counts_nothing_or_twice_is_not_believed() {
        let event = |metric| {
            let all = SOFTWARE.iter().chain(HARDWARE);
            *all.clone()
                .find(|event| event.metric() == Some(metric))
                .unwrap()
        };
        let turns = TURNS as f64;
        let wrong = |metric, value| {
            let all = judge(&vec![(event(metric), Ok(value))], 0.01);
            all[0].wrong().is_some()
        };
        assert!(!wrong(Metric::Instructions, turns * 2.001));
        assert!(wrong(Metric::Instructions, 0.0) && wrong(Metric::Instructions, turns * 4.0));
        assert!(!wrong(Metric::Branches, turns) && wrong(Metric::Branches, 12.0));
        assert!(!wrong(Metric::Cycles, turns) && wrong(Metric::Cycles, 0.0));
        assert!(wrong(Metric::Cycles, f64::NAN));
        assert!(!wrong(Metric::TaskClock, 0.0101) && wrong(Metric::TaskClock, 0.1));
        let rejected = judge(
            &vec![(event(Metric::Cycles), Err("shared".to_owned()))],
            0.01,
        );
        assert_eq!(rejected[0].outcome, Outcome::Absent("shared".to_owned()));
    }
}
