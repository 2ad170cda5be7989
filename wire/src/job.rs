//! Claiming a job, keeping its lease, and giving it back.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::BuildRecipe;

/// What a job asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Build the commit and run the suite on it.
    Measure,
    /// Only build the commit and keep the artefact.
    Build,
}

/// Asks for work. Sent only when the worker has nothing running and nothing in its spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRequest {
    /// From [`crate::RegisterResponse`].
    pub environment_id: i64,
    /// How long the backend may wait for a job, in seconds; capped at [`crate::CLAIM_WAIT_SECONDS`].
    pub wait_seconds: u64,
    /// Fingerprint of the toolchain: builds are shared only between hosts where it is equal.
    pub toolchain: String,
    /// Whether the worker knows [`SourceReference::patch`]. One that does not say so gets no job with a patch: it would measure the
    /// plain commit.
    #[serde(default, skip_serializing_if = "is_false")]
    pub applies_patches: bool,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimResponse {
    /// A leased job, or nothing to do.
    pub job: Option<JobAssignment>,
}

/// One leased piece of work, complete: the worker needs to ask nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobAssignment {
    /// The job.
    pub job_id: i64,
    /// Fences every write for this job.
    pub lease_id: Uuid,
    /// What to do.
    pub kind: JobKind,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// The runtime's name, for example `cpython-main`.
    pub runtime: String,
    /// What is built: a commit and where it comes from. For a program that nobody builds, the hash of its recipe stands in
    /// for the commit, and there is no address.
    pub source: SourceReference,
    /// How to build it.
    pub recipe: BuildRecipe,
    /// The stored artefact of this very build, if there is one.
    pub artefact: Option<ArtefactReference>,
    /// The suite to run, as `(name, version)`.
    pub suite: (String, u32),
    /// Limits the suite to these benchmarks; empty means all.
    #[serde(default)]
    pub benchmarks: Vec<String>,
    /// Which repeat of the build is wanted; any but 0 is built without the compiler cache, whose answers would make all
    /// repeats one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub build_repeat: u32,
    /// Whether the source is on no tracked branch: a try's head, which anybody may have written. Its build neither reads nor writes the
    /// compiler cache, from which later builds of tracked commits would take its objects for their own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub without_cache: bool,
    /// Whether instructions are counted by valgrind.
    #[serde(default)]
    pub valgrind: ValgrindPolicy,
    /// Whether each benchmark is profiled.
    #[serde(default)]
    pub profile: ProfilePolicy,
    /// Overrides the suite's number of processes per benchmark; absent means the suite's own.
    #[serde(default)]
    pub processes: Option<u32>,
}

/// Whether a runtime's instructions are counted by valgrind, which takes some twenty times as long as a benchmark itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValgrindPolicy {
    /// Never.
    #[default]
    Never,
    /// Where the processor's own counters are not to be had.
    NoPmu,
    /// On every host.
    Always,
}

/// Whether a runtime's benchmarks are profiled, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfilePolicy {
    /// Not at all.
    #[default]
    Never,
    /// By valgrind's callgrind, which takes some eighty times as long as a benchmark itself.
    Callgrind,
    /// By samples of what runs, in a process of its own: hardly slower, of every runtime, and of servers.
    Sampling,
    /// The same with CPython's Python functions in the stacks, from 3.12 on. It slows the process down and moves shares.
    SamplingPython,
}

impl ProfilePolicy {
    /// Whether a process of its own is sampled.
    pub fn is_sampling(self) -> bool {
        match self {
            Self::Never | Self::Callgrind => false,
            Self::Sampling | Self::SamplingPython => true,
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A commit and where to get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReference {
    /// The repository's name in the configuration; a safe path component.
    pub repository: String,
    /// A path or URL that the `git` program can fetch from; empty for a program that nobody builds.
    pub url: String,
    /// Full commit hash, lower-case hex.
    pub commit: String,
    /// Committer's time in seconds since the epoch; used as `SOURCE_DATE_EPOCH`.
    pub committed_at: i64,
    /// Paths left out of the checkout.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Changes to the commit's tree before it is built, as `git diff` writes them. Text from outside: its paths must stay inside the
    /// tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

/// A stored artefact: a zstd-compressed tar with the interpreter's prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtefactReference {
    /// Lower-case hex SHA-256 of the compressed bytes; also its address.
    pub sha256: String,
    /// Size of the compressed bytes.
    pub bytes: u64,
    /// The build it came from.
    pub build_id: i64,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Checking out the commit.
    Source,
    /// Compiling, or fetching the artefact.
    Build,
    /// Running the suite.
    Bench,
    /// Sending the results.
    Upload,
}

impl Phase {
    /// The stable name used in the database and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Build => "build",
            Self::Bench => "bench",
            Self::Upload => "upload",
        }
    }
}

/// Renews a lease and tells how far the job is. Every [`crate::HEARTBEAT_SECONDS`], and at once when the phase changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The lease to renew.
    pub lease_id: Uuid,
    /// Where the job stands.
    pub phase: Phase,
    /// Progress of the whole job, 0 to 100.
    pub percent: f32,
    /// What it is doing, in a few words for people.
    pub message: String,
}

/// The answer to a heartbeat of a live lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatResponse {
    /// True when someone asked to cancel the job: stop, and send a [`JobFailure`] of kind `cancelled`.
    pub cancel: bool,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Network, disk, memory, a host's trouble: the job goes back to the queue until its attempts are used up.
    Transient,
    /// The commit does not compile, the interpreter does not start: kept with its log, not tried again.
    Permanent,
    /// Someone cancelled it.
    Cancelled,
}

/// The job ended without a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailure {
    /// The lease under which it failed.
    pub lease_id: Uuid,
    /// Whether trying again can help.
    pub kind: FailureKind,
    /// Where it failed.
    pub phase: Phase,
    /// One sentence for people.
    pub message: String,
    /// The last lines of the failing program's output; may be empty.
    #[serde(default)]
    pub log_tail: String,
}

/// Hands a job back unfinished, because the worker shuts down. It does not count as an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The lease given up.
    pub lease_id: Uuid,
    /// Why, for the job's page.
    pub reason: String,
}
