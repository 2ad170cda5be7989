//! The Speedwell agent on a benchmark host. It speaks HTTP to the backend and never sees a database.

/// Performs what the protocol decides: the loop of one worker.
pub mod agent;
/// Archives from elsewhere, unpacked without trust.
pub mod archive;
/// The backend's HTTP client.
pub mod backend;
/// Running a suite.
pub mod bench;
/// From a commit to an interpreter.
pub mod build;
/// `worker.toml`.
pub mod config;
/// The kernel's and the processor's counters.
pub mod counters;
/// What this host is, and whether it may measure.
pub mod host;
/// One job from source to report.
pub mod job;
/// The only place that spawns.
pub mod process;
/// Where the time of running processes goes.
pub mod profile;
/// What a worker does next; pure.
pub mod protocol;
/// Pinned packages of public registries.
pub mod registry;
/// Commits into folders.
pub mod source;
/// Finished results on disk until the backend has them.
pub mod spool;
/// Server workloads, and the driver that runs them in the box.
pub mod workload;
