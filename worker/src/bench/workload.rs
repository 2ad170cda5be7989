//! One repetition of a workload: the driver in the box, listened to; the servers' processor time, memory and counters from
//! outside; and when they are warm.

mod window;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use speedwell_wire::{Metric, UnavailableKind};

use super::Bench;
use super::command::{CONTROL_FD, EVENTS_FD};
use super::plan::{Mode, Turn};
use super::sampled;
use super::session::{Hear, Reply, hear_out};
use super::suite::{Installed, Plan};
use crate::counters::CounterSet;
use crate::job::{Context as _, Failure, JobLog, given, make_folder};
use crate::process::{Spec, tree};
use crate::profile::Sampling;
use crate::workload::events::{self, Event, Window};

pub use window::Measured;
use window::{measure, processor_seconds};

/// Windows of the warm-up that are looked at for whether processor time per request is flat. With four, a compiler that
/// still gained 1 % with each window counted as warm.
const FLAT_WINDOWS: usize = 8;
/// They are flat when the earlier half's mean is at most this much above the later half's.
const FLAT: f64 = 0.03;
/// Beyond the warm-up, what a repetition may take besides its phases, in seconds.
const SLACK: f64 = 600.0;

/// What one repetition gave.
#[derive(Debug, Clone, Default)]
pub struct Repetition {
    /// Requests per second and processor seconds per request of each window of the warm-up.
    pub warmup: Vec<(f64, f64)>,
    /// Each phase by index: measured, or why not.
    pub phases: BTreeMap<usize, Result<Measured, String>>,
}

/// Runs one repetition. `Ok(Err(…))`: nothing of it counts, with the reason.
pub fn run(
    bench: &Bench<'_>,
    installed: &Installed,
    phases: &[usize],
    plan: &Plan,
    turn: &Turn,
    environment: Option<&Path>,
) -> Result<Result<Repetition, (UnavailableKind, String)>, Failure> {
    let folder = bench.folder.join("workload");
    if folder.exists() {
        given::remove(&folder).transient("cannot remove the last repetition's folder")?;
    }
    make_folder(&folder, bench.sandbox)?;
    let file = bench.folder.join("workload.json");
    let text = serde_json::to_vec(&plan_of(bench, installed, phases, turn, &folder))
        .map_err(|error| Failure::permanent(error.to_string()))?;
    fs::write(&file, text).transient("cannot write the driver's plan")?;
    let spec = spec(bench, installed, plan, turn, environment, &file)?;
    let sandbox = bench.sandbox_for(turn)?;
    let sandbox = sandbox.pinned(bench.config.load_cpus.as_deref());
    let mut listener = Listener {
        log: bench.log,
        installed,
        plan,
        counts: turn.mode == Mode::Counters,
        samples: sampled::wants(turn.mode, bench.job.profile),
        services: Vec::new(),
        window: None,
        warmed_since: None,
        finished: false,
        repetition: Repetition::default(),
    };
    let heard = hear_out(&sandbox, &spec, &mut listener, bench.stop)?;
    given::remove(&folder).transient("cannot remove the repetition's folder")?;
    Ok(match heard {
        Err((kind, reason)) => Err((kind, reason)),
        Ok(_) if listener.finished => Ok(listener.repetition),
        Ok(words) => Err((
            UnavailableKind::Invalid,
            format!("the driver ended early: {words}"),
        )),
    })
}

fn plan_of(
    bench: &Bench<'_>,
    installed: &Installed,
    phases: &[usize],
    turn: &Turn,
    folder: &Path,
) -> events::Plan {
    let user = bench
        .sandbox
        .identity
        .map_or_else(nix::unistd::getuid, |(user, _)| user.into());
    let user = nix::unistd::User::from_uid(user)
        .ok()
        .flatten()
        .map_or(String::new(), |user| user.name);
    let text = |path: &Path| path.to_string_lossy().into_owned();
    events::Plan {
        workload: installed.workload.clone(),
        values: BTreeMap::from([
            ("python".to_owned(), text(&bench.python)),
            ("own".to_owned(), text(&bench.suite.own())),
            ("folder".to_owned(), text(folder)),
            ("user".to_owned(), user),
        ]),
        phases: shuffled(phases, u64::from(turn.process)),
        service_cpus: bench.config.cpus.clone(),
        // The same arrivals and objects in every repetition of every runtime.
        seed: 20_150_615,
    }
}

/// The phases in another order for each repetition, the same for every runtime: what one leaves behind (a full disk
/// cache, a grown heap) does not always meet the same next one. Fisher and Yates.
fn shuffled(phases: &[usize], repetition: u64) -> Vec<usize> {
    use rand::SeedableRng as _;
    use rand::seq::SliceRandom as _;
    let mut order = phases.to_vec();
    order.shuffle(&mut rand::rngs::SmallRng::seed_from_u64(repetition));
    order
}

fn spec(
    bench: &Bench<'_>,
    installed: &Installed,
    plan: &Plan,
    turn: &Turn,
    environment: Option<&Path>,
    file: &Path,
) -> Result<Spec, Failure> {
    let home = bench.folder.join("home");
    make_folder(&home, bench.sandbox)?;
    let mut path = environment
        .map(|folder| folder.as_os_str().to_owned())
        .unwrap_or_default();
    path.push(":");
    path.push(bench.suite.own());
    let mut variables = BTreeMap::from([
        ("PATH".to_owned(), OsString::from("/usr/bin:/bin")),
        ("LANG".to_owned(), "C.UTF-8".into()),
        ("TZ".to_owned(), "UTC".into()),
        ("HOME".to_owned(), home.clone().into()),
        ("TMPDIR".to_owned(), home.clone().into()),
        (
            "PYTHONHASHSEED".to_owned(),
            turn.hash_seed().to_string().into(),
        ),
        ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".into()),
        ("PYTHONPATH".to_owned(), path),
    ]);
    for (name, value) in &bench.variables {
        variables
            .entry(name.clone())
            .or_insert_with(|| value.clone());
    }
    variables.extend(bench.variable_of(turn));
    let phases = installed.workload.phases.iter();
    let seconds: f64 = phases
        .map(|phase| 2.0 * phase.seconds + phase.settle_seconds)
        .sum();
    Ok(Spec {
        command: vec![
            bench.harness.folder.join("driver").into(),
            "drive".into(),
            file.into(),
            EVENTS_FD.to_string().into(),
            CONTROL_FD.to_string().into(),
        ],
        environment: variables,
        folder: home,
        timeout: Duration::from_secs_f64(plan.warmup_limit_seconds + seconds + SLACK),
    })
}

/// A service in the host's numbers.
struct Service {
    pid: u32,
    measured: bool,
}

/// The servers' processors and counters at the begin of a window.
struct Begun {
    phase: Option<usize>,
    processor: f64,
    counters: Vec<CounterSet>,
    /// Not of a timed repetition: samples slow the servers down a little.
    sampling: Option<Result<Sampling, String>>,
}

struct Listener<'a> {
    log: &'a JobLog,
    installed: &'a Installed,
    plan: &'a Plan,
    counts: bool,
    samples: bool,
    services: Vec<Service>,
    window: Option<Begun>,
    warmed_since: Option<Instant>,
    finished: bool,
    repetition: Repetition,
}

impl Hear for Listener<'_> {
    fn hear(&mut self, line: &str, child: &Child) -> Result<Reply, String> {
        let event: Event = serde_json::from_str(line).map_err(|error| {
            let start: String = line.chars().take(200).collect();
            format!("the driver sent what is no event ({error}): {start:?}")
        })?;
        match event {
            Event::Start => Ok(Reply::Ok),
            Event::Progress { message } => {
                self.log.note(&message);
                Ok(Reply::None)
            }
            Event::Service {
                name,
                pid,
                measured,
            } => {
                self.log.line(&format!("{name} is ready"));
                let pid = find(child.id(), pid).ok_or_else(|| format!("{name} has no process"))?;
                self.services.push(Service { pid, measured });
                Ok(Reply::None)
            }
            Event::Begin { phase } => {
                self.begin(phase)?;
                Ok(Reply::Ok)
            }
            Event::End { window } => self.end(window),
            Event::Finished => {
                self.finished = true;
                Ok(Reply::Ok)
            }
            Event::Error { message } => Err(message),
        }
    }
}

/// A process of the box by the number that it has there.
fn find(outermost: u32, number: u32) -> Option<u32> {
    let family = tree::Tree::read().family(outermost);
    family
        .into_iter()
        .rev()
        .find(|pid| tree::number_in_box(*pid) == Some(number))
}

impl Listener<'_> {
    /// All processes of the servers under test.
    fn servers(&self) -> Vec<u32> {
        let tree = tree::Tree::read();
        let measured = self.services.iter().filter(|service| service.measured);
        measured
            .flat_map(|service| tree.family(service.pid))
            .collect()
    }

    fn begin(&mut self, phase: Option<usize>) -> Result<(), String> {
        let servers = self.servers();
        let (mut counters, mut sampling) = (Vec::new(), None);
        if let Some(index) = phase {
            let name = self
                .installed
                .workload
                .phases
                .get(index)
                .map_or("", |phase| &phase.name);
            self.log.note(name);
            servers.iter().for_each(|pid| tree::forget_peak(*pid));
            if self.counts {
                counters = servers
                    .iter()
                    .map(|pid| CounterSet::open(i32::try_from(*pid).unwrap_or(0)))
                    .collect();
            }
            if self.samples {
                sampling = Some(Sampling::open(&servers));
            }
        }
        self.window = Some(Begun {
            phase,
            processor: processor_seconds(&servers),
            counters,
            sampling,
        });
        let enabled = self
            .window
            .iter()
            .flat_map(|window| &window.counters)
            .try_for_each(CounterSet::enable);
        enabled.map_err(|error| format!("the counters cannot be switched on: {error}"))?;
        let sampling = self
            .window
            .iter()
            .filter_map(|window| window.sampling.as_ref());
        sampling.flatten().try_for_each(Sampling::enable)
    }

    fn end(&mut self, window: Window) -> Result<Reply, String> {
        let begun = self
            .window
            .take()
            .ok_or("a window ended that had not begun")?;
        if begun.phase != window.phase {
            return Err("another window ended than had begun".to_owned());
        }
        let servers = self.servers();
        let processor = processor_seconds(&servers) - begun.processor;
        match window.phase {
            None => Ok(self.warmed(&window, processor)),
            Some(index) => {
                let answers = window.requests as f64;
                let profile = begun.sampling.map(|one| one?.finish(answers));
                let outcome = measure(&window, processor, begun.counters, profile, &servers);
                let name = self
                    .installed
                    .workload
                    .phases
                    .get(index)
                    .ok_or("a phase that is not there")?;
                self.log
                    .line(&format!("{}: {}", name.name, describe(&window, &outcome)));
                self.repetition.phases.insert(index, outcome);
                Ok(Reply::Ok)
            }
        }
    }

    /// Whether to go on warming up: until processor time per request is flat, within the plan's limits.
    fn warmed(&mut self, window: &Window, processor: f64) -> Reply {
        let since = *self.warmed_since.get_or_insert_with(Instant::now);
        let answers = window.requests.max(1) as f64;
        self.repetition
            .warmup
            .push((answers / window.seconds.max(1e-9), processor / answers));
        let (rate, cost) = self.repetition.warmup[self.repetition.warmup.len() - 1];
        let seconds = since.elapsed().as_secs_f64();
        let wrong = window
            .first_unexpected
            .as_ref()
            .map_or(String::new(), |words| {
                format!(
                    ", {} unexpected answers, the first: {words}",
                    window.unexpected
                )
            });
        let words = format!(
            "warm-up {seconds:.0} s: {rate:.1} requests/s, {:.2} ms each{wrong}",
            cost * 1e3
        );
        self.log.line(&words);
        self.log.note(&words);
        let costs: Vec<f64> = self
            .repetition
            .warmup
            .iter()
            .map(|(_, cost)| *cost)
            .collect();
        let least =
            costs.len() >= self.plan.warmups as usize && seconds >= self.plan.warmup_seconds;
        if (least && is_flat(&costs)) || seconds >= self.plan.warmup_limit_seconds {
            Reply::Ok
        } else {
            Reply::Again
        }
    }
}

/// Whether the newest windows cost no less than those before them.
fn is_flat(costs: &[f64]) -> bool {
    let Some(newest) = costs
        .len()
        .checked_sub(FLAT_WINDOWS)
        .map(|start| &costs[start..])
    else {
        return false;
    };
    let (early, late) = newest.split_at(FLAT_WINDOWS / 2);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    mean(early) <= mean(late) * (1.0 + FLAT)
}

fn describe(window: &Window, outcome: &Result<Measured, String>) -> String {
    match outcome {
        Err(reason) => format!("invalid: {reason}"),
        Ok(measured) => {
            let of = |wanted: Metric| {
                let found = measured
                    .values
                    .iter()
                    .find(|(metric, _, _)| *metric == wanted);
                found.map_or(f64::NAN, |(_, _, value)| *value)
            };
            format!(
                "{} requests, {:.1}/s, median {:.1} ms, 99 % {:.1} ms, processor {:.2} ms each",
                window.requests,
                of(Metric::RequestsPerSecond),
                of(Metric::LatencyP50) * 1e3,
                of(Metric::LatencyP99) * 1e3,
                of(Metric::CpuPerRequest) * 1e3
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_is_when_the_cost_no_longer_falls() {
        let falling = |share: f64| {
            (0..8)
                .map(|n| 1.0 - share * f64::from(n))
                .collect::<Vec<f64>>()
        };
        assert!(!is_flat(&[1.0; 7]), "too few windows");
        assert!(is_flat(&[[9.0].as_slice(), &[1.0; 8]].concat()));
        assert!(!is_flat(&falling(0.05)));
        assert!(!is_flat(&falling(0.01)), "slowly is not flat");
        assert!(is_flat(&falling(0.001)));
        assert!(
            is_flat(&falling(-0.05)),
            "a cost that grows will not be waited for"
        );
        assert!(!is_flat(&[f64::NAN; 8]));
    }

    #[test]
    fn each_repetition_has_its_own_order_and_every_phase() {
        let orders: Vec<Vec<usize>> = (0..5).map(|n| shuffled(&[0, 1, 2, 3, 4, 5], n)).collect();
        assert_eq!(orders[0], shuffled(&[0, 1, 2, 3, 4, 5], 0));
        assert!(orders.windows(2).any(|pair| pair[0] != pair[1]));
        for mut order in orders {
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4, 5]);
        }
    }
}
