//! The messages between a worker and the backend: plain serde structs, no I/O.
//!
//! Every request carries `authorization: Bearer <host token>` and the header
//! [`PROTOCOL_HEADER`] with [`PROTOCOL_VERSION`]. The backend speaks that version and the one before,
//! so that backend and workers need not be exchanged at once; it answers 426 to any other, and the
//! worker says why and waits until one of both is exchanged.
//!
//! Bodies are JSON; a run's report is JSON compressed with zstd (`content-encoding: zstd`).
//! `tests/golden/` holds one file per message: a change of the wire shows in review.

pub mod environment;
pub mod error;
pub mod host;
pub mod job;
pub mod metric;
pub mod recipe;
pub mod report;
pub mod suite;

pub use environment::{EnvironmentFacts, RegisterRequest, RegisterResponse};
pub use error::ErrorBody;
pub use host::{HostFlag, HostSeverity};
pub use job::{
    ArtefactReference, ClaimRequest, ClaimResponse, FailureKind, Heartbeat, HeartbeatResponse,
    JobAssignment, JobFailure, JobKind, Phase, ProfilePolicy, Release, SourceReference,
    ValgrindPolicy,
};
pub use metric::{CounterSource, Direction, Metric, Unit};
pub use recipe::{
    BuildRecipe, CPYTHON_PREFIX, ConfigureProfile, Method, PYPY_PACKAGING, PinnedPackage, Registry,
    Translation, python_probe,
};
pub use report::{
    BenchmarkResult, BuildReport, LatencyHistogram, MeasurementReport, ProfileReport, ProfileStack,
    ProfileTool, RunReceipt, RunReport, Sample, Sampled, Unavailable, UnavailableKind,
};
pub use suite::{BenchmarkIdentity, LockedPackage, SuiteManifest};

/// Version of the messages in this crate. Raised when an old worker could misread a new message.
///
/// A change that every worker of the version before reads and writes as it always did (a new field with a default) raises
/// nothing. What it could not read must not be sent to it: see `Spoken::can` of the backend. `tests/golden/previous/` holds
/// that version's messages.
pub const PROTOCOL_VERSION: u32 = 5;

/// The oldest version that the backend still speaks: the one before [`PROTOCOL_VERSION`].
pub const OLDEST_PROTOCOL_VERSION: u32 = PROTOCOL_VERSION - 1;

/// HTTP header that carries [`PROTOCOL_VERSION`].
pub const PROTOCOL_HEADER: &str = "x-speedwell-protocol";

/// A worker renews its lease this often, in seconds.
pub const HEARTBEAT_SECONDS: u64 = 30;

/// A lease that was not renewed for this long, in seconds, is taken back.
pub const LEASE_SECONDS: u64 = 90;

/// The longest a claim waits for a job, in seconds.
pub const CLAIM_WAIT_SECONDS: u64 = 25;

/// The largest text that is sent as a source, in bytes.
pub const LARGEST_SOURCE: u64 = 1 << 20;

/// The paths of the worker's API, relative to the backend's address.
pub mod paths {
    /// POST [`crate::RegisterRequest`] → [`crate::RegisterResponse`].
    pub const REGISTER: &str = "/api/worker/v1/register";
    /// POST [`crate::ClaimRequest`] → [`crate::ClaimResponse`]; waits up to `wait_seconds`.
    pub const CLAIM: &str = "/api/worker/v1/claim";
    /// POST [`crate::Heartbeat`] → [`crate::HeartbeatResponse`]; 409 when the lease is lost.
    pub fn heartbeat(job: i64) -> String {
        format!("/api/worker/v1/jobs/{job}/heartbeat")
    }
    /// POST raw log bytes; `?lease=UUID&offset=BYTES`. Bytes that are already there are ignored.
    pub fn log(job: i64) -> String {
        format!("/api/worker/v1/jobs/{job}/log")
    }
    /// POST [`crate::BuildReport`]; `?lease=UUID`. Recorded once per build; 204.
    pub fn build(job: i64) -> String {
        format!("/api/worker/v1/jobs/{job}/build")
    }
    /// POST zstd-compressed [`crate::RunReport`] → [`crate::RunReceipt`]. Repeating it changes nothing.
    pub fn run(job: i64) -> String {
        format!("/api/worker/v1/jobs/{job}/run")
    }
    /// POST [`crate::JobFailure`]: the job failed; 204.
    pub fn failure(job: i64) -> String {
        format!("/api/worker/v1/jobs/{job}/failure")
    }
    /// POST [`crate::Release`]: hands the job back unfinished (shutdown); 204.
    pub fn release(job: i64) -> String {
        format!("/api/worker/v1/jobs/{job}/release")
    }
    /// PUT the bytes of a source (a script, a suite's definition …) by its content hash; 204. Repeating it changes nothing.
    pub fn source(sha256: &str) -> String {
        format!("/api/worker/v1/sources/{sha256}")
    }
    /// GET or PUT an artefact's bytes by its content hash (lower-case hex SHA-256).
    pub fn artefact(sha256: &str) -> String {
        format!("/api/worker/v1/artefacts/{sha256}")
    }
}
