//! What a worker found: a build, and a run with its measurements.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{CounterSource, HostFlag, Metric};

/// The outcome of building one commit by one recipe with one toolchain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildReport {
    /// The lease under which it was built.
    pub lease_id: Uuid,
    /// The toolchain's fingerprint, as in [`crate::ClaimRequest`].
    pub toolchain: String,
    /// Content hash of the artefact; absent when the build failed.
    pub artefact_sha256: Option<String>,
    /// Size of the compressed artefact in bytes; 0 when the build failed.
    pub artefact_bytes: u64,
    /// Size of the unpacked prefix in bytes; 0 when the build failed.
    pub installed_bytes: u64,
    /// Seconds spent in each step (`checkout`, `configure`, `make`, `install`, `pack`).
    pub step_seconds: BTreeMap<String, f64>,
    /// Compiler calls that ccache answered.
    pub ccache_hits: u64,
    /// Compiler calls that it did not.
    pub ccache_misses: u64,
    /// What `python -VV` said; empty when the build failed.
    pub version: String,
    /// Why it failed; absent when it did not.
    pub failure: Option<String>,
    /// The last lines of the compiler's output when it failed.
    #[serde(default)]
    pub log_tail: String,
}

/// One execution of a suite on one build on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// Chosen by the worker once per run; repeating an upload with it changes nothing.
    pub upload_id: Uuid,
    /// The lease under which it was measured.
    pub lease_id: Uuid,
    /// The environment it was measured in.
    pub environment_id: i64,
    /// The suite, as `(name, version)`.
    pub suite: (String, u32),
    /// Content hash of the artefact that was measured.
    pub artefact_sha256: String,
    /// Lower-case hex SHA-256 of the harness module.
    pub harness_sha256: String,
    /// When the first benchmark started.
    pub started_at: DateTime<Utc>,
    /// When the last benchmark ended.
    pub finished_at: DateTime<Utc>,
    /// What the interpreter said of itself (`sys.version`).
    pub interpreter: String,
    /// The host's state before and after the run (load, stolen time, frequency …), by name.
    pub host_notes: BTreeMap<String, String>,
    /// What was not as it should be on the host, before the run or during it; none: the host was fit.
    #[serde(default)]
    pub host_flags: Vec<HostFlag>,
    /// Every benchmark of the suite: measured, or unavailable with its reason.
    pub benchmarks: Vec<BenchmarkResult>,
    /// The same timings as pyperf JSON (version 1.0), kept whole as the run's raw file.
    pub pyperf: serde_json::Value,
}

/// One benchmark of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchmarkResult {
    /// [`crate::BenchmarkIdentity::identity`] of the benchmark that ran.
    pub identity: String,
    /// Its name, for messages.
    pub name: String,
    /// Iterations of the benchmark's own loop per value: a sample times this is what the value took.
    pub loops: u64,
    /// What was measured.
    pub measurements: Vec<MeasurementReport>,
    /// What could not be measured, and why: single metrics, or everything.
    pub unavailable: Vec<Unavailable>,
    /// Response times of a server workload, whole: one histogram per repetition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latencies: Vec<LatencyHistogram>,
    /// Where its instructions or its time went, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileReport>,
}

/// Where the instructions of one loop went, or the time of a benchmark, by call stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileReport {
    /// What made it; says what its counts are.
    #[serde(flatten)]
    pub tool: ProfileTool,
    /// The sum of all stacks, with those that are left out because they are small.
    pub total: f64,
    /// The stacks, the largest first.
    pub stacks: Vec<ProfileStack>,
    /// Build ids of the stacks' objects, in hexadecimal digits, where they have one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub build_ids: BTreeMap<String, String>,
}

/// What can make a profile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "tool", rename_all = "snake_case")]
pub enum ProfileTool {
    /// Valgrind's callgrind: instructions of one loop, in user space, counted and not sampled.
    Callgrind,
    /// The worker's own samples of what ran, user and kernel: counts are numbers of samples.
    Sampling(Sampled),
    /// The same of an interpreter that made its Python functions visible to it (CPython's perf trampolines). That changes what
    /// it spends where: compared only with its like, and no series follows from it.
    SamplingPython(Sampled),
}

/// How a profile was sampled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// `software`: by the kernel's processor clock, in seconds. `pmu` and `pmu-emulated`: by cycles.
    pub source: CounterSource,
    /// Seconds or cycles of running between two samples, as they were asked for.
    pub period: f64,
    /// Records that found no room.
    pub lost: u64,
    /// Seconds or cycles that were counted meanwhile.
    pub counted: f64,
    /// Loops or requests that they were for.
    pub per: f64,
}

impl ProfileTool {
    /// The stable name used in the database and on pages.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Callgrind => "callgrind",
            Self::Sampling(_) => "sampling",
            Self::SamplingPython(_) => "sampling_python",
        }
    }

    /// How it was sampled, if it was.
    pub fn sampled(&self) -> Option<&Sampled> {
        match self {
            Self::Callgrind => None,
            Self::Sampling(sampled) | Self::SamplingPython(sampled) => Some(sampled),
        }
    }

    /// Where the counts come from. Only profiles of one tool and one source compare.
    pub fn source(&self) -> CounterSource {
        self.sampled()
            .map_or(CounterSource::Valgrind, |sampled| sampled.source)
    }
}

/// One call stack with what its innermost function took alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileStack {
    /// Functions, the outermost first, joined by `;`. Long stacks lack their outermost functions.
    #[serde(rename = "s")]
    pub frames: String,
    /// File name of the program or library that the innermost function is in; empty where it is in none.
    #[serde(rename = "o")]
    pub object: String,
    /// Instructions of one loop, or samples: see [`ProfileTool`].
    #[serde(rename = "n")]
    pub count: f64,
}

/// All response times of one repetition of one phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyHistogram {
    /// Index of the repetition, from 0.
    #[serde(rename = "p")]
    pub process: u32,
    /// Microseconds as an HDR histogram (V2 with DEFLATE, see hdrhistogram.org), in Base64.
    pub hdr: String,
}

/// One metric of one benchmark of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasurementReport {
    /// What was measured.
    pub metric: Metric,
    /// Where the values came from.
    pub source: CounterSource,
    /// Every sample in the order taken, warm-ups included and marked.
    pub samples: Vec<Sample>,
}

/// One value of one in-process iteration (of one process, for memory and what scripts report).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Index of the process, from 0.
    #[serde(rename = "p")]
    pub process: u32,
    /// True for a warm-up: kept, but not part of the summary.
    #[serde(rename = "w", default, skip_serializing_if = "is_false")]
    pub warmup: bool,
    /// The value in the metric's unit, per iteration of the benchmark's own loop.
    #[serde(rename = "v")]
    pub value: f64,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Why a value is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnavailableKind {
    /// The processor, kernel or hypervisor does not offer it.
    Unsupported,
    /// The benchmark's process ended with an error or a signal.
    Crashed,
    /// It did not end in time and was killed.
    TimedOut,
    /// It said something that is no measurement.
    Invalid,
    /// The runtime cannot run this benchmark (a module is not there).
    NotApplicable,
}

impl UnavailableKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::Unsupported,
        Self::Crashed,
        Self::TimedOut,
        Self::Invalid,
        Self::NotApplicable,
    ];

    /// The stable name used in the database and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::Crashed => "crashed",
            Self::TimedOut => "timed_out",
            Self::Invalid => "invalid",
            Self::NotApplicable => "not_applicable",
        }
    }
}

/// A missing value: unavailable, never zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// The metric that is missing; absent when the whole benchmark is.
    pub metric: Option<Metric>,
    /// Why.
    pub kind: UnavailableKind,
    /// One sentence for people, with the program's last words where there are any.
    pub reason: String,
}

/// The backend has the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReceipt {
    /// The run's number, for links.
    pub run_id: i64,
    /// False when it was there already.
    pub created: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Profiles that were stored before there were samples read as they did; what a tool needs stands beside its name.
    #[test]
    fn a_tool_stands_beside_its_counts() {
        let old = r#"{"tool":"callgrind","total":2.0,"stacks":[]}"#;
        let profile: ProfileReport = serde_json::from_str(old).unwrap();
        assert_eq!(profile.tool, ProfileTool::Callgrind);
        assert_eq!(serde_json::to_string(&profile).unwrap(), old);
        let new = r#"{"tool":"sampling_python","source":"pmu","period":2500009.0,"lost":1,"counted":5000018.0,"per":3.0,"total":2.0,"stacks":[]}"#;
        let profile: ProfileReport = serde_json::from_str(new).unwrap();
        assert_eq!(profile.tool.source(), CounterSource::Pmu);
        assert_eq!(profile.tool.as_str(), "sampling_python");
        assert_eq!(serde_json::to_string(&profile).unwrap(), new);
        assert!(
            serde_json::from_str::<ProfileReport>(r#"{"tool":"sampling","total":2.0,"stacks":[]}"#)
                .is_err()
        );
    }
}
