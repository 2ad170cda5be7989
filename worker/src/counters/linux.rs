//! A thin layer over `perf_event_open(2)`: groups on every thread of a process and their future children.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;

use perf_event_open_sys as sys;
use speedwell_wire::{Metric, Unavailable, UnavailableKind};
use sys::bindings as perf;

use super::calibrate::distrust;
use super::calls;
use super::{Event, Input, Quantity, Reading, SOFTWARE, plan};

#[cfg(test)]
mod emulated_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use emulated_tests::take_all_of_processor_0;

/// The counters of one process: every group that could be opened, and the reasons for the rest.
#[derive(Debug)]
pub struct CounterSet {
    /// For each kind of events, a group on each thread.
    groups: Vec<Opened>,
    /// What could not be opened.
    pub unavailable: Vec<Unavailable>,
    /// Inputs of other metrics that could not be opened, and why.
    pub missing_inputs: Vec<(Input, String)>,
}

/// A group that is open: read and switched by its leader, the first.
#[derive(Debug)]
struct Opened {
    events: Vec<Event>,
    files: Vec<File>,
    last: Raw,
    /// Members that the kernel refused.
    refused: Vec<(Event, String)>,
}

/// What the kernel says at a read: the nanoseconds the group was enabled and really ran, and the counts.
#[derive(Debug, Clone, Default)]
struct Raw {
    enabled: u64,
    running: u64,
    counts: Vec<u64>,
}

impl CounterSet {
    /// Opens the software group and the plan's first, disabled, on a process with all its threads; they follow what those
    /// start later. 0: this thread.
    ///
    /// A Java machine runs its program in a second thread, and compiles and collects in more.
    ///
    /// A counter that made something else of known work ([`super::calibrate`]) is left out, with that as its reason.
    pub fn open(pid: i32) -> Self {
        Self::open_those(pid, &plan::of_host().groups[0].events, distrust)
    }

    /// As [`Self::open`], with that group of this host's plan instead of the first; the machine's energy comes with the first.
    pub fn open_planned(pid: i32, group: usize) -> Self {
        let plan = plan::of_host();
        let events = plan
            .groups
            .get(group)
            .map_or(&[][..], |group| &group.events);
        let mut set = Self::open_those(pid, events, distrust);
        for event in plan.energy.iter().filter(|_| group == 0) {
            set.add(&[*event], &[pid]);
        }
        set
    }

    /// All that can be opened, before anything is proven.
    pub(super) fn open_unproven(pid: i32) -> Self {
        Self::open_those(pid, &plan::of_host().groups[0].events, |_| None)
    }

    fn open_those(
        pid: i32,
        planned: &[Event],
        distrust: impl Fn(Metric) -> Option<String>,
    ) -> Self {
        let mut threads = vec![pid];
        threads.extend(other_threads(pid));
        let distrust = |event: &Event| event.metric().and_then(&distrust);
        let mut set = Self {
            groups: Vec::new(),
            unavailable: Vec::new(),
            missing_inputs: Vec::new(),
        };
        for all in [SOFTWARE, planned] {
            let (events, wrong): (Vec<Event>, Vec<Event>) =
                all.iter().partition(|event| distrust(event).is_none());
            set.unavailable
                .extend(wrong.iter().map(|event| Unavailable {
                    metric: event.metric(),
                    kind: UnavailableKind::Invalid,
                    reason: distrust(event).unwrap_or_default(),
                }));
            set.add(&events, &threads);
        }
        let parts = [Some(Metric::Cycles), Some(Metric::Instructions)];
        let missing = set
            .unavailable
            .iter()
            .find(|one| parts.contains(&one.metric));
        let ratio = missing.map(|missing| Unavailable {
            metric: Some(Metric::Ipc),
            ..missing.clone()
        });
        set.unavailable.extend(ratio);
        set
    }

    /// Opens a group on every thread; what the first of them refuses is missing, with the reason.
    fn add(&mut self, events: &[Event], threads: &[i32]) {
        let Some((first, others)) = threads.split_first() else {
            return;
        };
        match Opened::open(events, *first) {
            Ok(group) => {
                let opened = group.events.clone();
                for (event, reason) in &group.refused {
                    self.lack(event, reason.clone());
                }
                self.groups.push(group);
                // A thread that cannot be opened has ended since.
                let more = others
                    .iter()
                    .filter_map(|id| Opened::open(&opened, *id).ok());
                self.groups.extend(more);
            }
            Err(error) => {
                for event in events {
                    self.lack(event, refusal(&error));
                }
            }
        }
    }

    fn lack(&mut self, event: &Event, reason: String) {
        match event.quantity {
            // Energy is asked of every package: one reason is enough.
            Quantity::Metric(metric) => {
                let metric = Some(metric);
                if self.unavailable.iter().all(|known| known.metric != metric) {
                    self.unavailable.push(Unavailable {
                        metric,
                        kind: UnavailableKind::Unsupported,
                        reason,
                    });
                }
            }
            Quantity::Input(input) => self.missing_inputs.push((input, reason)),
        }
    }

    /// The timed region begins.
    pub fn enable(&self) -> io::Result<()> {
        self.groups
            .iter()
            .try_for_each(|group| control(group, sys::ioctls::ENABLE))
    }

    /// The timed region has ended.
    pub fn disable(&self) -> io::Result<()> {
        self.groups
            .iter()
            .try_for_each(|group| control(group, sys::ioctls::DISABLE))
    }

    /// What was counted since the last reading.
    pub fn read(&mut self) -> io::Result<Reading> {
        let mut reading: Reading = Vec::new();
        for group in &mut self.groups {
            for (event, value) in group.read()? {
                let same = |(known, _): &&mut (Event, _)| known.quantity == event.quantity;
                match reading.iter_mut().find(same) {
                    None => reading.push((event, value)),
                    Some((_, sum)) => *sum = add(sum, value),
                }
            }
        }
        Ok(reading)
    }
}

impl Opened {
    /// Opens the leader, which must be there, and what members there are.
    fn open(events: &[Event], pid: i32) -> io::Result<Self> {
        let mut group = Self {
            events: Vec::with_capacity(events.len()),
            files: Vec::with_capacity(events.len()),
            last: Raw::default(),
            refused: Vec::new(),
        };
        for event in events {
            let leader = group.files.first().map_or(-1, AsRawFd::as_raw_fd);
            match open(event, pid, leader) {
                Ok(file) => {
                    group.events.push(*event);
                    group.files.push(file);
                }
                Err(error) if leader == -1 => return Err(error),
                Err(error) => group.refused.push((*event, refusal(&error))),
            }
        }
        group.last.counts = vec![0; group.events.len()];
        Ok(group)
    }

    /// All counts of one moment, since the last reading.
    fn read(&mut self) -> io::Result<Vec<(Event, Result<f64, String>)>> {
        let Some(leader) = self.files.first_mut() else {
            return Ok(Vec::new());
        };
        // Their number, both times, and a word for each.
        let mut bytes = vec![0; (3 + self.events.len()) * 8];
        leader.read_exact(&mut bytes)?;
        let mut words = bytes.chunks_exact(8).map(|chunk| {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            u64::from_ne_bytes(word)
        });
        let mut next = || words.next().unwrap_or(0);
        if next() != self.events.len() as u64 {
            return Err(io::Error::other(
                "the kernel read another number of counters",
            ));
        }
        let (enabled, running) = (next(), next());
        let now = Raw {
            enabled,
            running,
            counts: words.collect(),
        };
        let last = std::mem::replace(&mut self.last, now);
        let (enabled, running) = (enabled - last.enabled, running - last.running);
        let counts = self.last.counts.iter().zip(&last.counts);
        let values = self.events.iter().zip(counts).map(|(event, (now, last))| {
            (
                *event,
                event.whole(now.saturating_sub(*last), enabled, running),
            )
        });
        Ok(values.collect())
    }
}

/// The sum over two threads; one that was rejected rejects it.
fn add(sum: &Result<f64, String>, value: Result<f64, String>) -> Result<f64, String> {
    Ok(sum.clone()? + value?)
}

/// The threads of a process beside the first. Read once: what they start later is followed, and must not count twice.
fn other_threads(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    tasks
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| *id != pid)
        .collect()
}

fn open(event: &Event, pid: i32, leader: i32) -> io::Result<File> {
    let mut attributes = perf::perf_event_attr {
        type_: event.kind,
        config: event.config,
        read_format: u64::from(
            perf::PERF_FORMAT_GROUP
                | perf::PERF_FORMAT_TOTAL_TIME_ENABLED
                | perf::PERF_FORMAT_TOTAL_TIME_RUNNING,
        ),
        ..Default::default()
    };
    // Only the leader starts disabled: its members follow it.
    attributes.set_disabled(u64::from(leader == -1));
    // A whole processor has no children.
    attributes.set_inherit(u64::from(event.processor.is_none()));
    let (pid, processor) = match event.processor {
        None => (pid, -1),
        Some(processor) => (-1, i32::try_from(processor).unwrap_or(-1)),
    };
    attributes.set_exclude_kernel(u64::from(event.user_only));
    attributes.set_exclude_hv(u64::from(event.user_only));
    calls::open(attributes, pid, processor, leader)
}

fn control(group: &Opened, request: calls::Ioctl) -> io::Result<()> {
    let Some(leader) = group.files.first() else {
        return Ok(());
    };
    calls::control(leader, request, perf::PERF_IOC_FLAG_GROUP)
}

fn refusal(error: &io::Error) -> String {
    let why = match error.raw_os_error() {
        Some(libc::ENOENT) => {
            "this machine has no such counter (perf_event_open: ENOENT); virtual machines often have none"
        }
        Some(libc::EACCES | libc::EPERM) => {
            "the kernel does not allow it (perf_event_open: EACCES); run the worker as root or lower kernel.perf_event_paranoid"
        }
        Some(libc::EINVAL) => {
            "the kernel refused it (perf_event_open: EINVAL): the group has more events than the processor has counters, or it does not know this one"
        }
        Some(_) | None => "the kernel refused it",
    };
    format!("{why} [{error}]")
}
