//! What differs on both sides of a regression, ranked by how much of the change it accounts for; pure.
//!
//! Time is instructions × cycles per instruction ÷ clock. Logarithms make that a sum, so each part has a share of the change that
//! can be told and adds up. Only counters of one benchmark on one host are compared, and the benchmarks weigh the same.

mod counters;
mod warmup;
mod words;

use serde::{Deserialize, Serialize};
use speedwell_wire::{CounterSource, Metric};

use super::compare::{Estimate, Ratio, geometric_mean};

/// Explanations of another version are made again.
pub const EXPLAIN_VERSION: i32 = 3;

/// Part of the change from which on something accounts for it.
const MAJOR: f64 = 0.6;
/// Instructions within this of each other, as a logarithm, are the same work.
const SAME_WORK: f64 = 0.003;
/// A change of time below this is too small to be taken apart.
const SMALLEST: f64 = 0.003;
/// A rate of events has to change by this ratio to be told.
const NOTABLE: f64 = 1.15;
/// Functions and components that are told.
const MOST_PARTS: usize = 8;

/// A metric of one benchmark on one host, on both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricPair {
    /// The benchmark.
    pub benchmark: String,
    /// The host.
    pub host: String,
    /// What was measured.
    pub metric: Metric,
    /// Where the values come from.
    pub source: CounterSource,
    /// The side before.
    pub before: Estimate,
    /// The side after.
    pub after: Estimate,
}

/// A part of a profile: its change as a share of all that was before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Name of the component or function.
    pub name: String,
    /// Change by all that was before: 0.02 is 2 %.
    pub change: f64,
    /// Standard error of it, by the numbers of samples alone.
    pub error: f64,
}

/// The difference of two profiles of one benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileDifference {
    /// The benchmark.
    pub benchmark: String,
    /// What was counted.
    pub noun: String,
    /// The runs, before and after.
    pub runs: (i64, i64),
    /// Components, in any order.
    pub components: Vec<Part>,
    /// Functions, in any order.
    pub functions: Vec<Part>,
}

/// Bytes of an interpreter's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sizes {
    /// The file, in the artefact.
    pub file: String,
    /// Its sections by name.
    pub sections: Vec<(String, u64)>,
    /// The main loop's function; absent when the file has no symbols.
    pub main_loop: Option<u64>,
}

/// All that is known of both sides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// The metrics that were confirmed to change. Empty: not known, and time is taken for one of them.
    pub confirmed: Vec<Metric>,
    /// Metrics of the benchmarks concerned.
    pub metrics: Vec<MetricPair>,
    /// Profiles of them.
    pub profiles: Vec<ProfileDifference>,
    /// The interpreter's file, before and after.
    pub sizes: Option<(Sizes, Sizes)>,
    /// Paths that the commits between the sides touch (cut), and how many there are.
    pub paths: Option<(Vec<String>, usize)>,
    /// Commits between the sides; 1: the culprit against its parent.
    pub commits: i64,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// More or less work.
    Instructions,
    /// The same work takes more or less cycles.
    CyclesPerInstruction,
    /// Slots of the pipeline.
    Slots,
    /// Clock, waiting, or the kernel: time that is not in cycles of user space.
    Clock,
    /// Instructions are the same, and the front end or mispredicted branches account for it.
    Layout,
    /// How long it takes to become steady, and whether it does.
    Warmup,
    /// An event that became more or less frequent.
    Event,
    /// Where it is in the profile.
    Profile,
    /// Sizes of the code.
    Sizes,
    /// What the commits touch.
    Paths,
    /// What could not be told.
    Unknown,
}

/// Something that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub kind: Kind,
    /// Part of the change in time that it accounts for; absent where that cannot be told.
    pub share: Option<f64>,
    /// In words.
    pub words: String,
}

/// A metric over all benchmarks, for the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Its name.
    pub metric: String,
    /// Where its values come from.
    pub source: String,
    /// After against before, as a ratio minus one.
    pub change: f64,
    /// 95 % interval by the samples alone.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Pairs of values behind it.
    pub pairs: usize,
}

/// What is known, the weightiest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// One sentence or two.
    pub sentence: String,
    /// Ranked.
    pub findings: Vec<Finding>,
    /// The metrics.
    pub metrics: Vec<Compared>,
    /// The profiles, with the parts that changed most.
    pub profiles: Vec<ProfileDifference>,
    /// Sizes, before and after.
    pub sizes: Option<(Sizes, Sizes)>,
    /// Paths.
    pub paths: Vec<String>,
    /// How many paths there are.
    pub path_count: usize,
}

/// The parts of a change of time, as logarithms.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Parts {
    time: f64,
    instructions: Option<f64>,
    cycles: Option<f64>,
}

/// Ratio of a metric over all pairs of it; sources are never mixed: the one with the most pairs is taken.
fn ratio(metrics: &[MetricPair], metric: Metric) -> Option<(CounterSource, Ratio)> {
    let own: Vec<&MetricPair> = metrics.iter().filter(|one| one.metric == metric).collect();
    let mut sources: Vec<CounterSource> = own.iter().map(|one| one.source).collect();
    let count = |source: CounterSource| own.iter().filter(|one| one.source == source).count();
    sources.sort_by_key(|source| std::cmp::Reverse((count(*source), source.as_str())));
    let source = *sources.first()?;
    let pairs: Vec<(Estimate, Estimate)> = own
        .iter()
        .filter(|one| one.source == source)
        .map(|one| (one.after, one.before))
        .collect();
    Some((source, geometric_mean(&pairs)?))
}

/// The ratio's logarithm.
fn logarithm(metrics: &[MetricPair], metric: Metric) -> Option<f64> {
    let (_, ratio) = ratio(metrics, metric)?;
    let logarithm = ratio.ratio.ln();
    logarithm.is_finite().then_some(logarithm)
}

fn parts(metrics: &[MetricPair]) -> Option<Parts> {
    // Throughput is time turned around.
    let time = logarithm(metrics, Metric::WallTime)
        .or_else(|| logarithm(metrics, Metric::RequestsPerSecond).map(|logarithm| -logarithm))?;
    Some(Parts {
        time,
        instructions: logarithm(metrics, Metric::Instructions),
        cycles: logarithm(metrics, Metric::Cycles),
    })
}

impl Evidence {
    /// Whether a change of time was confirmed: only that is taken apart. What single runs happen to differ by is none.
    fn is_about_time(&self) -> bool {
        const TIMES: [Metric; 5] = [
            Metric::WallTime,
            Metric::SteadyTime,
            Metric::RequestsPerSecond,
            Metric::CpuPerRequest,
            Metric::LatencyP50,
        ];
        self.confirmed.is_empty() || self.confirmed.iter().any(|one| TIMES.contains(one))
    }
}

/// The metrics that were confirmed, where time is none of them.
fn confirmed(evidence: &Evidence, findings: &mut Vec<Finding>) {
    // What jumps is told with all that is known of the warm-up.
    for metric in evidence.confirmed.iter().filter(|metric| !metric.jumps()) {
        if let Some(logarithm) = logarithm(&evidence.metrics, *metric) {
            findings.push(Finding {
                kind: if *metric == Metric::Instructions {
                    Kind::Instructions
                } else {
                    Kind::Event
                },
                share: None,
                words: words::event(*metric, logarithm.exp_m1()),
            });
        }
    }
}

/// Works out what differs.
pub fn explain(evidence: &Evidence) -> Explanation {
    let mut findings = Vec::new();
    let parts = parts(&evidence.metrics).filter(|_| evidence.is_about_time());
    if !evidence.is_about_time() {
        confirmed(evidence, &mut findings);
    }
    if let Some(parts) = parts
        && parts.time.abs() >= SMALLEST
    {
        counters::counters(parts, evidence, &mut findings);
    }
    findings.extend(warmup::findings(evidence));
    events(evidence, &mut findings);
    profile_findings(evidence, &mut findings);
    sizes(evidence, &mut findings);
    if let Some((paths, count)) = &evidence.paths {
        findings.push(Finding {
            kind: Kind::Paths,
            share: None,
            words: words::paths(paths, *count, evidence.commits),
        });
    }
    // What accounts for more comes first; the rest keeps its order.
    findings.sort_by(|one, other| {
        let weight = |finding: &Finding| finding.share.unwrap_or(0.0).max(0.0);
        weight(other).total_cmp(&weight(one))
    });
    let (paths, path_count) = evidence.paths.clone().unwrap_or_default();
    Explanation {
        sentence: words::sentence(parts.map(|parts| parts.time), &findings, evidence),
        findings,
        metrics: compared(&evidence.metrics),
        profiles: evidence.profiles.iter().map(largest).collect(),
        sizes: evidence.sizes.clone(),
        paths,
        path_count,
    }
}

/// Whether the interpreter's code has the same size on both sides; `None` when that is not known.
fn same_code(evidence: &Evidence) -> Option<bool> {
    let (before, after) = evidence.sizes.as_ref()?;
    let text = |sizes: &Sizes| {
        let mut sections = sizes.sections.iter();
        sections
            .find(|(name, _)| name == ".text")
            .map(|(_, size)| *size)
    };
    Some(text(before)? == text(after)? && before.main_loop == after.main_loop)
}

/// Events that became more or less frequent.
fn events(evidence: &Evidence, findings: &mut Vec<Finding>) {
    const EVENTS: [Metric; 9] = [
        Metric::BranchMisses,
        Metric::L1iMpki,
        Metric::ItlbMpki,
        Metric::L1dMpki,
        Metric::LlcMpki,
        Metric::DtlbMpki,
        Metric::PageFaults,
        Metric::MaxRss,
        Metric::GcCollections,
    ];
    for metric in EVENTS {
        let Some((_, found)) = ratio(&evidence.metrics, metric) else {
            continue;
        };
        if found.is_significant() && found.ratio.ln().abs() >= NOTABLE.ln() {
            findings.push(Finding {
                kind: Kind::Event,
                share: None,
                words: words::event(metric, found.ratio - 1.0),
            });
        }
    }
}

/// The parts of a profile that changed most, beyond twice their error and half a per cent of all.
fn largest(profile: &ProfileDifference) -> ProfileDifference {
    let keep = |parts: &[Part]| {
        let mut kept: Vec<Part> = parts
            .iter()
            .filter(|part| {
                let numbers = part.change.is_finite() && part.error.is_finite();
                numbers && part.change.abs() > (2.0 * part.error).max(0.005)
            })
            .cloned()
            .collect();
        kept.sort_by(|one, other| other.change.abs().total_cmp(&one.change.abs()));
        kept.truncate(MOST_PARTS);
        kept
    };
    ProfileDifference {
        components: keep(&profile.components),
        functions: keep(&profile.functions),
        ..profile.clone()
    }
}

fn profile_findings(evidence: &Evidence, findings: &mut Vec<Finding>) {
    for profile in evidence.profiles.iter().map(largest) {
        findings.push(Finding {
            kind: Kind::Profile,
            share: None,
            words: words::profile(&profile),
        });
    }
}

fn sizes(evidence: &Evidence, findings: &mut Vec<Finding>) {
    if let Some((before, after)) = &evidence.sizes {
        findings.push(Finding {
            kind: Kind::Sizes,
            share: None,
            words: words::sizes(before, after),
        });
    }
}

/// Each metric over all benchmarks, in the order of pages.
fn compared(metrics: &[MetricPair]) -> Vec<Compared> {
    let row = |metric: &Metric| {
        let (source, ratio) = ratio(metrics, *metric)?;
        // JSON has no infinity.
        let numbers = [ratio.ratio, ratio.low, ratio.high];
        if !numbers.iter().all(|number| number.is_finite()) {
            return None;
        }
        Some(Compared {
            metric: metric.as_str().to_owned(),
            source: source.as_str().to_owned(),
            change: ratio.ratio - 1.0,
            low: ratio.low - 1.0,
            high: ratio.high - 1.0,
            pairs: ratio.count,
        })
    };
    Metric::ALL.iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests;
