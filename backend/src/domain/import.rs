//! Results that others measured: what each format becomes, and what it is called here; pure.
//!
//! An imported benchmark is known by its name and by the program that it came with, never by a hash of our own: its code is
//! not known here, so it is never the same as a benchmark of our suites.

pub mod bencher;
pub mod codespeed;
pub mod file_name;
pub mod lnt;
pub mod mapping;
pub mod pyperf;

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use speedwell_wire::metric::UnknownName;
use speedwell_wire::{
    BenchmarkIdentity, BenchmarkResult, CounterSource, EnvironmentFacts, Metric, RunReport, Sample,
    SuiteManifest, Unavailable,
};
use uuid::Uuid;

use super::run_report::{Invalid, NewMeasurement, check_text, summarise};

/// Recipe of a build of which nothing is stored here, in place of a recipe's hash.
pub const IMPORTED: &str = "imported";

/// More benchmarks than any suite has.
pub const MOST_BENCHMARKS: usize = 1_000;

/// Longest name of a benchmark in bytes.
const LONGEST_NAME: usize = 200;

/// Longest text that is kept of what a file says of its machine, in characters.
const LONGEST_TEXT: usize = 300;

/// In which form results came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// pyperf's JSON, as pyperf and pyperformance write it.
    Pyperf,
    /// What clients of Codespeed send: means.
    Codespeed,
    /// What clients of LNT send.
    Lnt,
    /// Bencher's metric format.
    Bencher,
}

impl Format {
    /// All formats.
    pub const ALL: &'static [Self] = &[Self::Pyperf, Self::Codespeed, Self::Lnt, Self::Bencher];

    /// The stable name used in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pyperf => "pyperf",
            Self::Codespeed => "codespeed",
            Self::Lnt => "lnt",
            Self::Bencher => "bencher",
        }
    }

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Pyperf => "pyperf JSON",
            Self::Codespeed => "Codespeed's interface",
            Self::Lnt => "LNT's interface",
            Self::Bencher => "Bencher's metric format",
        }
    }
}

impl FromStr for Format {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|one| one.as_str() == text);
        known.ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// What becomes of results of the same runtime, commit, host and format that came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// They count as well: several runs of one commit are one point.
    Keep,
    /// The benchmarks that come anew count in their place.
    ReplaceBenchmarks,
    /// This run counts in their place.
    ReplaceRuns,
    /// Nothing is taken when there are any.
    Refuse,
}

/// One run that somebody else measured, ready to be stored.
#[derive(Debug, Clone)]
pub struct Import {
    /// In which form it came.
    pub format: Format,
    /// The program that measured, with its version.
    pub origin: String,
    /// The benchmarks, as a suite that stands for the program.
    pub suite: SuiteManifest,
    /// What the file says of its machine.
    pub facts: EnvironmentFacts,
    /// What the file says of the compiler.
    pub toolchain: String,
    /// The run; its keys are those of nothing yet.
    pub report: RunReport,
    /// Its measurements with their summaries.
    pub measurements: Vec<NewMeasurement>,
    /// The raw file, kept whole.
    pub raw: Vec<u8>,
    /// Whether it is a run of a whole suite, and not of some benchmarks.
    pub whole: bool,
    /// The commit that the file names.
    pub commit: Option<String>,
    /// What becomes of those before.
    pub earlier: Earlier,
}

/// One benchmark of an import.
#[derive(Debug, Clone)]
struct Taken {
    name: String,
    /// Of the benchmark's own loop for each value.
    loops: u64,
    measurements: Vec<TakenMeasurement>,
    unavailable: Vec<Unavailable>,
}

/// One metric of it.
#[derive(Debug, Clone)]
struct TakenMeasurement {
    metric: Metric,
    samples: Vec<Sample>,
    /// Ends of the interval and the range, where only a summary was sent: lowest and highest.
    known_range: Option<(f64, f64)>,
}

impl TakenMeasurement {
    /// Of samples, each of its own process unless said otherwise.
    fn of(metric: Metric, samples: Vec<Sample>) -> Self {
        Self {
            metric,
            samples,
            known_range: None,
        }
    }
}

/// What a parser has found, before it is checked.
struct Parts {
    format: Format,
    origin: String,
    /// When it was measured.
    began: DateTime<Utc>,
    ended: DateTime<Utc>,
    interpreter: String,
    toolchain: String,
    facts: EnvironmentFacts,
    notes: BTreeMap<String, String>,
    benchmarks: Vec<Taken>,
    raw: Vec<u8>,
    commit: Option<String>,
    whole: bool,
    earlier: Earlier,
}

/// Checks what a parser has found and gives each benchmark its identity; `field` names a benchmark by its place.
fn assemble(
    parts: Parts,
    now: DateTime<Utc>,
    field: impl Fn(usize) -> String,
) -> Result<Import, Invalid> {
    let count = parts.benchmarks.len();
    if count == 0 || count > MOST_BENCHMARKS {
        let message =
            format!("{count} benchmarks; between 1 and {MOST_BENCHMARKS} are accepted in one run");
        return Err(Invalid::new("benchmarks", message));
    }
    if parts.ended > now + TimeDelta::hours(1) {
        let message = "is in the future: set the clock of the machine that measured";
        return Err(Invalid::new("date", message));
    }
    let mut identities: Vec<BenchmarkIdentity> = Vec::with_capacity(count);
    let mut results = Vec::with_capacity(count);
    let mut measurements = Vec::new();
    let mut names = std::collections::HashSet::new();
    for (index, taken) in parts.benchmarks.into_iter().enumerate() {
        let field = field(index);
        check_text(&format!("{field}.name"), &taken.name, LONGEST_NAME)?;
        if taken.name.trim().is_empty() || taken.name.chars().any(char::is_control) {
            let message = "needs a name without control characters";
            return Err(Invalid::new(format!("{field}.name"), message));
        }
        if !names.insert(taken.name.clone()) {
            let message = format!("{:?} is there twice", taken.name);
            return Err(Invalid::new(format!("{field}.name"), message));
        }
        for measured in taken.measurements {
            measurements.push(check_measurement(index, &field, measured)?);
        }
        let identity = identity(&parts.origin, &taken.name);
        results.push(BenchmarkResult {
            identity: identity.identity(),
            name: taken.name,
            loops: taken.loops,
            measurements: Vec::new(),
            unavailable: taken.unavailable,
            latencies: Vec::new(),
            profile: None,
        });
        identities.push(identity);
    }
    let report = RunReport {
        upload_id: Uuid::nil(),
        lease_id: Uuid::nil(),
        environment_id: 0,
        suite: (suite_name(&parts.origin), 1),
        artefact_sha256: String::new(),
        harness_sha256: IMPORTED.to_owned(),
        started_at: parts.began.min(parts.ended),
        finished_at: parts.ended,
        interpreter: parts.interpreter,
        host_notes: parts.notes,
        host_flags: Vec::new(),
        benchmarks: results,
        pyperf: Value::Null,
    };
    Ok(Import {
        format: parts.format,
        suite: suite(&parts.origin, identities),
        origin: parts.origin,
        facts: parts.facts,
        toolchain: parts.toolchain,
        report,
        measurements,
        raw: parts.raw,
        whole: parts.whole,
        commit: parts.commit,
        earlier: parts.earlier,
    })
}

fn check_measurement(
    benchmark: usize,
    field: &str,
    measured: TakenMeasurement,
) -> Result<NewMeasurement, Invalid> {
    let mut summary = summarise(field, measured.metric, &measured.samples)?;
    if let Some((low, high)) = measured.known_range {
        // What the sender knew of the values that it did not send; never narrower than the value itself.
        let low = low.min(summary.median);
        let high = high.max(summary.median);
        if !low.is_finite() || !high.is_finite() || low < 0.0 {
            let message = "the lowest and highest value must be finite, and not negative";
            return Err(Invalid::new(field, message));
        }
        (summary.min, summary.max) = (low, high);
        (summary.interval_low, summary.interval_high) = (low, high);
    }
    Ok(NewMeasurement {
        benchmark,
        metric: measured.metric,
        source: CounterSource::Software,
        samples: measured.samples,
        summary,
    })
}

/// What makes an imported benchmark the same benchmark: the program that it came with, in its version, and its name.
fn identity(origin: &str, name: &str) -> BenchmarkIdentity {
    // Not the hash of any script: no text of ours begins like this.
    let stand_in = format!("imported\0{origin}\0{name}");
    BenchmarkIdentity {
        name: name.to_owned(),
        description: format!("Measured elsewhere by {origin}; its code is not known here."),
        script_sha256: hex::encode(Sha256::digest(stand_in.as_bytes())),
        inputs_sha256: hex::encode(Sha256::digest(b"")),
        arguments: vec![IMPORTED.to_owned(), origin.to_owned()],
    }
}

/// The suite that stands for a program. Names of our own suites never begin like this.
fn suite_name(origin: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+') {
            c
        } else {
            '-'
        }
    };
    format!("imported-{}", origin.chars().map(plain).collect::<String>())
}

fn suite(origin: &str, benchmarks: Vec<BenchmarkIdentity>) -> SuiteManifest {
    SuiteManifest {
        name: suite_name(origin),
        version: 1,
        sha256: hex::encode(Sha256::digest(format!("imported\0{origin}").as_bytes())),
        description: format!(
            "Results of {origin} that were measured elsewhere and imported: our hosts do not run this suite, and it grows with what comes."
        ),
        lock: Vec::new(),
        benchmarks,
        baselines: BTreeMap::new(),
    }
}

/// Facts of a machine that says nothing of itself.
fn no_facts() -> EnvironmentFacts {
    let unknown = || "unknown".to_owned();
    EnvironmentFacts {
        cpu_model: unknown(),
        cpu_signature: unknown(),
        microcode: unknown(),
        cores: 0,
        memory_bytes: 0,
        kernel: unknown(),
        distribution: unknown(),
        compiler: unknown(),
        libc: unknown(),
        settings: BTreeMap::new(),
    }
}

/// A text from outside as it is kept: without control characters, and not longer than anybody reads.
fn kept(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).take(LONGEST_TEXT).collect()
}

/// A moment as programs write it: ISO 8601 with a zone, or without one (then UTC), with `T` or a space.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.with_timezone(&Utc));
    }
    for form in ["%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%.f%#z"] {
        if let Ok(at) = DateTime::parse_from_str(text, form) {
            return Some(at.with_timezone(&Utc));
        }
    }
    for form in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"] {
        if let Ok(at) = NaiveDateTime::parse_from_str(text, form) {
            return Some(at.and_utc());
        }
    }
    let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_read_back() {
        for one in Format::ALL {
            assert_eq!(one.as_str().parse::<Format>().as_ref(), Ok(one));
        }
    }

    #[test]
    fn an_imported_benchmark_is_never_one_of_ours_nor_of_another_version() {
        let imported = identity("pyperformance 1.14.0", "nbody");
        let ours = BenchmarkIdentity {
            arguments: vec![],
            ..imported.clone()
        };
        assert_ne!(imported.identity(), ours.identity());
        let newer = identity("pyperformance 1.15.0", "nbody");
        assert_ne!(imported.identity(), newer.identity());
        assert_eq!(
            suite_name("pyperformance 1.14.0"),
            "imported-pyperformance-1.14.0"
        );
        assert_eq!(suite_name("a/../b c"), "imported-a-..-b-c");
    }

    #[test]
    fn moments_of_all_programs_are_read() {
        let noon = DateTime::from_timestamp(1_672_574_400, 0).unwrap();
        for text in [
            "2023-01-01T12:00:00Z",
            "2023-01-01T13:00:00+01:00",
            "2023-01-01 12:00:00",
            "2023-01-01 12:00:00.000000",
            "2023-01-01T12:00:00",
            "2023-01-01 13:00:00+01:00",
        ] {
            assert_eq!(moment(text), Some(noon), "{text}");
        }
        assert_eq!(moment("yesterday"), None);
    }
}
