//! All the SQL: free functions named by a verb, one file per family of tables. The caller owns the transaction.

use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPoolOptions;

pub mod alarms;
pub mod annotations;
pub mod audit;
pub mod backups;
pub mod benchmarks;
pub mod bisections;
pub mod builds;
pub mod change_points;
pub mod check_runs;
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
pub mod metrics;
pub mod noise;
pub mod operate;
pub mod outbox;
pub mod overview;
pub mod profiles;
pub mod progress;
pub mod prune;
pub mod pulls;
pub mod queue;
pub mod recomputes;
pub mod regression_lists;
pub mod regressions;
pub mod reindex;
pub mod releases;
pub mod repetitions;
pub mod reports;
pub mod repositories;
pub mod reproduce;
pub mod retention;
pub mod runs;
pub mod searches;
pub mod series;
pub mod series_export;
pub mod server;
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

/// Connections of [`planned_once`].
const PLANNED: u32 = 8;

/// Further connections to a pool's database, opened as they are wanted, that plan each statement once, whatever its parameters. Postgres would plan
/// the statements of a timeline or a comparison for each request anew, because it thinks of plans for known numbers as cheaper; that takes as long as
/// all of their reading. Right for statements of one good plan, which look things up by their keys; wrong where a filter that is absent leaves the
/// whole table.
#[must_use]
pub fn planned_once(pool: &PgPool) -> PgPool {
    PgPoolOptions::new()
        .max_connections(PLANNED)
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::query("SET plan_cache_mode = force_generic_plan")
                    .execute(connection)
                    .await
                    .map(drop)
            })
        })
        .connect_lazy_with((*pool.connect_options()).clone())
}
