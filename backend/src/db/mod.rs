//! All the SQL: free functions named by a verb, one file per family of tables. The caller owns the transaction.

use sqlx::migrate::Migrator;

pub mod annotations;
pub mod audit;
pub mod benchmarks;
pub mod bisections;
pub mod builds;
pub mod change_points;
pub mod commits;
pub mod compare;
pub mod comparisons;
pub mod confirmations;
pub mod controls;
pub mod deliveries;
pub mod enqueue;
pub mod explanations;
pub mod finds;
pub mod grouping;
pub mod holds;
pub mod home;
pub mod hosts;
pub mod imports;
pub mod index;
pub mod ingest;
pub mod jobs;
pub mod locks;
pub mod logs;
pub mod long_view;
pub mod noise;
pub mod outbox;
pub mod overview;
pub mod profiles;
pub mod progress;
pub mod pulls;
pub mod queue;
pub mod recomputes;
pub mod regression_lists;
pub mod regressions;
pub mod releases;
pub mod repetitions;
pub mod reports;
pub mod repositories;
pub mod reproduce;
pub mod runs;
pub mod searches;
pub mod series;
pub mod series_export;
pub mod sessions;
pub mod sources;
pub mod stories;
pub mod subjects;
pub mod subscriptions;
pub mod suites;
pub mod summaries;
pub mod synthetic;
pub mod timeline;
pub mod tokens;
pub mod traces;
pub mod triage;
pub mod tries;
pub mod verdicts;
pub mod versions;
/// Warm-up and steady state.
pub mod warmup;

/// The migrations, embedded.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");
