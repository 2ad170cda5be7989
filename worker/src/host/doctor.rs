//! Whether this host is fit to measure: what moves results, what it is here, what it should be, and how to mend it.
//!
//! After Speedwell's own list, put together from `pyperf system`, rustc-perf's collector and the kernel's
//! documentation. Every check accepts that the kernel does not offer what it looks for: then nothing is wrong.

mod boxed;
mod counting;
mod frequency;
mod memory;
mod processors;
mod quiet;

use std::time::Duration;

use serde::Serialize;
use speedwell_wire::{HostFlag, HostSeverity};

use super::processors::ProcessorSet;
use super::system::System;

pub use boxed::of_box;
pub use quiet::{BUSY, Busy, Span};

/// How long the processors are watched for other work.
const WATCH: Duration = Duration::from_millis(300);

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its stable name.
    pub name: &'static str,
    /// How much it matters when it is bad.
    pub severity: HostSeverity,
    /// What was found.
    #[serde(flatten)]
    pub state: State,
    /// What it should be.
    pub good: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// The command or the setting that mends it.
    pub mend: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "value", rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Good(String),
    /// Not as it should be.
    Bad(String),
    /// This machine has no such thing; why that is known.
    Absent(String),
}

/// A check before it is made.
struct Rule {
    name: &'static str,
    severity: HostSeverity,
    good: &'static str,
    why: &'static str,
    /// `{cpus}`: the benchmarks' processors; `{others}`: the others; `{other_mask}`: those as a mask.
    mend: &'static str,
    judge: fn(&Patient<'_>) -> State,
}

/// What the rules look at.
struct Patient<'a> {
    system: &'a System,
    /// The benchmarks' processors; all of them where none are named.
    benchmarks: ProcessorSet,
    /// Whether the configuration names them.
    pinned: bool,
    /// The share of the benchmarks' processors' time that went to other work just now, and that the hypervisor took.
    busy: Option<Busy>,
}

impl Patient<'_> {
    /// The processors that are left for everything else.
    fn others(&self) -> ProcessorSet {
        self.system.online().without(&self.benchmarks)
    }
}

/// Makes every check of a host whose benchmarks run on `cpus` (as `taskset -c` takes them; `None`: on all). Takes some 0.3 s.
pub fn examine(system: &System, cpus: Option<&str>) -> Vec<Check> {
    let named = cpus.and_then(ProcessorSet::from_list);
    let pinned = named.is_some();
    let benchmarks = named.unwrap_or_else(|| system.online());
    let busy = quiet::watch(system, &benchmarks, WATCH);
    let patient = Patient {
        system,
        benchmarks,
        pinned,
        busy,
    };
    [
        counting::RULES,
        frequency::RULES,
        processors::RULES,
        memory::RULES,
        quiet::RULES,
    ]
    .into_iter()
    .flatten()
    .map(|rule| rule.check(&patient))
    .collect()
}

impl Rule {
    fn check(&self, patient: &Patient<'_>) -> Check {
        let others = patient.others();
        Check {
            name: self.name,
            severity: self.severity,
            state: (self.judge)(patient),
            good: self.good,
            why: self.why,
            mend: self
                .mend
                .replace("{cpus}", &patient.benchmarks.to_string())
                .replace("{others}", &others.to_string())
                .replace("{other_mask}", &others.to_mask()),
        }
    }
}

impl Check {
    /// Whether it is not as it should be.
    pub fn is_bad(&self) -> bool {
        matches!(self.state, State::Bad(_))
    }

    fn value(&self) -> &str {
        match &self.state {
            State::Good(value) | State::Bad(value) | State::Absent(value) => value,
        }
    }
}

/// The worst of the checks that are bad.
pub fn worst(checks: &[Check]) -> Option<HostSeverity> {
    let bad = checks.iter().filter(|check| check.is_bad());
    bad.map(|check| check.severity).max()
}

/// Why nothing should be measured here: the checks that make the host unfit, in words.
pub fn unfit(checks: &[Check]) -> Option<String> {
    let words: Vec<String> = checks
        .iter()
        .filter(|check| check.is_bad() && check.severity == HostSeverity::Unfit)
        .map(|check| format!("{}: {}", check.name, check.value()))
        .collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// What results carry: every check that is bad, notes left out.
pub fn flags(checks: &[Check]) -> Vec<HostFlag> {
    checks
        .iter()
        .filter(|check| check.is_bad() && check.severity > HostSeverity::Note)
        .map(|check| HostFlag {
            name: check.name.to_owned(),
            severity: check.severity,
            value: check.value().chars().take(200).collect(),
            good: check.good.to_owned(),
        })
        .collect()
}

/// The exit code of `speedwell-worker doctor`: 0 fit (or notes alone), 10 warnings, 20 unfit. 1 is left for errors.
pub fn exit_code(checks: &[Check]) -> u8 {
    match worst(checks) {
        None | Some(HostSeverity::Note) => 0,
        Some(HostSeverity::Warning) => 10,
        Some(HostSeverity::Unfit) => 20,
    }
}

/// The report for people, a paragraph for what is bad and a line for the rest.
pub fn render(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let (mark, bad) = match (&check.state, check.severity) {
            (State::Good(_), _) => ("ok     ", false),
            (State::Absent(_), _) => ("absent ", false),
            (State::Bad(_), HostSeverity::Note) => ("note   ", true),
            (State::Bad(_), HostSeverity::Warning) => ("WARNING", true),
            (State::Bad(_), HostSeverity::Unfit) => ("UNFIT  ", true),
        };
        text.push_str(&format!("{mark} {:<18} {}\n", check.name, check.value()));
        if bad {
            text.push_str(&format!(
                "        {:<18} should be: {}\n        {:<18} because {}\n",
                "", check.good, "", check.why
            ));
            if !check.mend.is_empty() {
                text.push_str(&format!("        {:<18} mend: {}\n", "", check.mend));
            }
        }
    }
    let count = |severity| {
        let of = |check: &&Check| check.is_bad() && check.severity == severity;
        checks.iter().filter(of).count()
    };
    text.push_str(&format!(
        "{} checks: {} make the host unfit, {} warnings, {} notes\n",
        checks.len(),
        count(HostSeverity::Unfit),
        count(HostSeverity::Warning),
        count(HostSeverity::Note)
    ));
    text
}

#[cfg(test)]
mod tests;
