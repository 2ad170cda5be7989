//! Sampling of running processes: an event on every thread and processor, rings that a thread of ours empties while they fill,
//! stacks unwound at once.
//!
//! The event is the processor's cycles where they can be counted, else the kernel's processor clock
//! (`PERF_COUNT_SW_CPU_CLOCK`), which needs no hardware. Threads and children that start later are followed.

use std::fs::{self, File};
use std::io;
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use perf_event_open_sys as sys;
use speedwell_wire::{CounterSource, ProfileReport, Sampled};
use sys::bindings as perf;

use super::processes::Processes;
use super::records::{self, REGISTERS, SAMPLE};
use super::ring::{self, Ring};
use crate::counters::{self, calls};

/// Nanoseconds of running between two samples of the processor's clock; no divisor of the timers that programs use.
const CLOCK_PERIOD: u64 = 997_000;
/// Cycles between two samples: about as much, a prime number.
const CYCLES_PERIOD: u64 = 2_500_009;
/// Bytes of a program's stack that a sample keeps. A record is less than 64 KiB.
const STACK: u32 = 32 << 10;
/// How often the rings are emptied: the smallest have room for fifteen samples.
const DRAIN: Duration = Duration::from_millis(10);

/// Sampling under way; it ends when dropped.
#[derive(Debug)]
pub struct Sampling {
    events: Vec<File>,
    event: Clock,
    before: u64,
    ask: Sender<Ask>,
}

/// What is sampled.
#[derive(Debug, Clone, Copy)]
struct Clock {
    kind: u32,
    config: u64,
    source: CounterSource,
    period: u64,
    /// What one of its counts is in seconds or cycles.
    scale: f64,
}

impl Clock {
    fn of_host() -> Self {
        match counters::sampled_cycles() {
            Some(cycles) => Self {
                kind: cycles.kind,
                config: cycles.config,
                source: cycles.source,
                period: CYCLES_PERIOD,
                scale: 1.0,
            },
            None => Self {
                kind: perf::PERF_TYPE_SOFTWARE,
                config: u64::from(perf::PERF_COUNT_SW_CPU_CLOCK),
                source: CounterSource::Software,
                period: CLOCK_PERIOD,
                scale: 1e-9,
            },
        }
    }
}

/// What the thread that empties the rings is asked for.
enum Ask {
    Forget(Sender<()>),
    Report(Sampled, Sender<Result<ProfileReport, String>>),
}

impl Sampling {
    /// Prepares to sample every thread of some processes, and what they start; it is off. The error says why it cannot be done.
    pub fn open(pids: &[u32]) -> Result<Self, String> {
        let event = Clock::of_host();
        let wrong =
            |error: io::Error| format!("its time cannot be sampled (perf_event_open: {error})");
        let processors = processors(pids);
        let mut opened = Opened::default();
        for thread in threads(pids) {
            opened.add(&event, thread, &processors).map_err(wrong)?;
        }
        if opened.rings.is_empty() {
            return Err("its time cannot be sampled: it has no threads".to_owned());
        }
        let (ask, asked) = channel();
        let pids = pids.to_vec();
        let Opened {
            events,
            watchers,
            rings,
            ..
        } = opened;
        let (ready, is_ready) = channel();
        std::thread::spawn(move || {
            let processes = Processes::meet_all(&pids);
            // Reading large programs takes longer than a ring has room for.
            let _nobody_waits = ready.send(());
            follow(processes, rings, &asked);
            drop(watchers);
        });
        is_ready.recv().map_err(ended)?;
        Ok(Self {
            events,
            event,
            before: 0,
            ask,
        })
    }

    /// The measured stretch begins.
    pub fn enable(&self) -> Result<(), String> {
        self.switch(sys::ioctls::ENABLE)
    }

    /// It has ended.
    pub fn disable(&self) -> Result<(), String> {
        self.switch(sys::ioctls::DISABLE)
    }

    fn switch(&self, request: calls::Ioctl) -> Result<(), String> {
        let switched = self
            .events
            .iter()
            .try_for_each(|one| calls::control(one, request, 0));
        switched.map_err(|error| format!("sampling cannot be switched: {error}"))
    }

    /// What the event counted on all threads.
    fn count(&self) -> Result<u64, String> {
        let counts: io::Result<Vec<u64>> = self.events.iter().map(ring::read).collect();
        let counts =
            counts.map_err(|error| format!("the sampled event cannot be read: {error}"))?;
        Ok(counts.iter().sum())
    }

    /// What was sampled so far is forgotten: it was warm-up.
    pub fn forget(&mut self) -> Result<(), String> {
        self.before = self.count()?;
        self.asked(Ask::Forget)
    }

    /// Ends it and gives the profile, as that of `per` loops or requests. Call it while the processes live.
    pub fn finish(self, per: f64) -> Result<ProfileReport, String> {
        self.disable()?;
        let counted = self.count()?.saturating_sub(self.before) as f64 * self.event.scale;
        let sampled = Sampled {
            source: self.event.source,
            period: self.event.period as f64 * self.event.scale,
            lost: 0,
            counted,
            per,
        };
        self.asked(|answer| Ask::Report(sampled, answer))?
    }

    /// The answer of the thread that reads the rings.
    fn asked<T>(&self, ask: impl FnOnce(Sender<T>) -> Ask) -> Result<T, String> {
        let (answer, answered) = channel();
        // When the thread is gone, so is the sender of the answer.
        let _is_heard = self.ask.send(ask(answer));
        answered.recv().map_err(ended)
    }
}

fn ended(_: RecvError) -> String {
    "the thread that reads samples has ended".to_owned()
}

/// The events and rings so far.
#[derive(Default)]
struct Opened {
    events: Vec<File>,
    /// They sample nothing and say what processes map and start, whether sampling is on or off.
    watchers: Vec<File>,
    rings: Vec<Ring>,
    /// Of each processor the event that its ring is of.
    firsts: Vec<File>,
}

impl Opened {
    /// Both events of a thread on each processor.
    fn add(&mut self, event: &Clock, thread: i32, processors: &[i32]) -> io::Result<()> {
        for (index, processor) in processors.iter().enumerate() {
            let sampler = calls::open(sampling(event), thread, *processor, -1)?;
            let watcher = calls::open(watching(), thread, *processor, -1)?;
            match (self.rings.get(index), self.firsts.get(index)) {
                (Some(_), Some(first)) => {
                    calls::share_ring(first, &sampler)?;
                    calls::share_ring(first, &watcher)?;
                }
                _ => {
                    let ring = Ring::new(&sampler, processors.len())?;
                    calls::share_ring(&sampler, &watcher)?;
                    self.rings.push(ring);
                    self.firsts.push(sampler.try_clone()?);
                }
            }
            self.events.push(sampler);
            self.watchers.push(watcher);
        }
        Ok(())
    }
}

fn sampling(event: &Clock) -> perf::perf_event_attr {
    let mut attributes = perf::perf_event_attr {
        type_: event.kind,
        config: event.config,
        sample_type: u64::from(SAMPLE),
        sample_regs_user: REGISTERS.iter().fold(0, |mask, one| mask | 1 << one),
        sample_stack_user: STACK,
        ..Default::default()
    };
    attributes.__bindgen_anon_1.sample_period = event.period;
    attributes.set_inherit(1);
    attributes.set_disabled(1);
    attributes.set_exclude_hv(1);
    attributes.set_exclude_callchain_user(1);
    attributes.set_sample_id_all(1);
    attributes
}

fn watching() -> perf::perf_event_attr {
    let mut attributes = perf::perf_event_attr {
        type_: perf::PERF_TYPE_SOFTWARE,
        config: u64::from(perf::PERF_COUNT_SW_DUMMY),
        sample_type: u64::from(perf::PERF_SAMPLE_TID | perf::PERF_SAMPLE_TIME),
        ..Default::default()
    };
    attributes.set_inherit(1);
    attributes.set_mmap(1);
    attributes.set_mmap2(1);
    attributes.set_comm(1);
    attributes.set_comm_exec(1);
    attributes.set_task(1);
    attributes.set_sample_id_all(1);
    attributes
}

/// The processors that any of some processes may run on.
fn processors(pids: &[u32]) -> Vec<i32> {
    let sets: Vec<CpuSet> = pids
        .iter()
        .filter_map(|pid| sched_getaffinity(Pid::from_raw(i32::try_from(*pid).ok()?)).ok())
        .collect();
    (0..CpuSet::count())
        .filter(|number| sets.iter().any(|set| set.is_set(*number) == Ok(true)))
        .filter_map(|number| i32::try_from(number).ok())
        .collect()
}

fn threads(pids: &[u32]) -> Vec<i32> {
    let of = |pid: &u32| {
        let threads = fs::read_dir(format!("/proc/{pid}/task"));
        let names = threads.into_iter().flatten().flatten();
        names.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    };
    pids.iter().flat_map(of).collect()
}

/// Empties the rings until it is asked for the profile, or nobody is left to ask.
fn follow(mut processes: Processes, mut rings: Vec<Ring>, asked: &Receiver<Ask>) {
    loop {
        let ask = asked.recv_timeout(DRAIN);
        if matches!(ask, Err(RecvTimeoutError::Disconnected)) {
            break;
        }
        let buffers: Vec<Vec<u8>> = rings
            .iter_mut()
            .map(|ring| {
                let mut bytes = Vec::new();
                ring.drain(&mut bytes);
                bytes
            })
            .collect();
        processes.take(
            buffers
                .iter()
                .flat_map(|bytes| records::parse(bytes))
                .collect(),
        );
        // Who asked may have gone away meanwhile: then nobody needs the answer.
        match ask {
            Ok(Ask::Forget(answer)) => {
                processes.forget();
                let _nobody_waits = answer.send(());
            }
            Ok(Ask::Report(sampled, answer)) => {
                let _nobody_waits = answer.send(processes.report(sampled));
                break;
            }
            Err(_) => {}
        }
    }
}
