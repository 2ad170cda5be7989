//! Types and rules that hold without a database, a clock or a network.

pub mod bisection;
pub mod commit;
pub mod compare;
pub mod components;
pub mod explain;
pub mod hold;
pub mod job;
pub mod language;
pub mod latency;
pub mod plan;
pub mod policy;
pub mod profile;
pub mod profile_difference;
pub mod query;
pub mod recompute;
pub mod regression;
pub mod repetition;
pub mod report;
pub mod role;
pub mod run_report;
pub mod sibling;
pub mod subscription;
pub mod summary;
pub mod telling;
pub mod triage;
