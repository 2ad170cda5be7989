//! From the words of an address to runs: which commit a subject means, and which runs of it there are on which host.

use chrono::{DateTime, Utc};
use serde_json::Value;
use speedwell_wire::Metric;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::domain::subject::Subject;

/// Series that are asked for a host's newest commit: those that came last, so that a benchmark that is gone does not speak for all.
const ASKED: i64 = 6;
/// Most runs of one commit on one host that a comparison is made from, the newest ones.
const MOST_RUNS: i64 = 20;

/// A runtime that a subject names, and the commits that its point can mean.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Place {
    /// Which subject, from 1.
    pub ordinal: i64,
    /// The runtime; absent when there is none of that name.
    pub runtime_id: Option<i64>,
    /// What it executes.
    pub language: Option<String>,
    /// How it is built, as [`speedwell_wire::BuildRecipe`]; one that this version cannot read hinders no comparison.
    pub recipe: Option<Json<Value>>,
    /// Commits by tag, or if there is no such tag, by hash; at most two, of which more than one is ambiguous. Empty for the head.
    pub commit_ids: Vec<i64>,
}

/// Looks up each subject's runtime and point.
pub async fn list_places(
    db: impl PgExecutor<'_>,
    subjects: &[Subject],
) -> sqlx::Result<Vec<Place>> {
    let names: Vec<&str> = subjects.iter().map(|one| one.runtime.as_str()).collect();
    let points: Vec<Option<&str>> = subjects.iter().map(|one| one.point.name()).collect();
    let hashes: Vec<Option<String>> = subjects
        .iter()
        .map(|one| one.point.as_hash_prefix())
        .collect();
    sqlx::query_as(
        "SELECT asked.ordinal, runtime.id AS runtime_id, runtime.language, runtime.recipe,
            coalesce(by_tag.ids, ARRAY(
                SELECT commit.id FROM commit WHERE commit.repository_id = branch.repository_id
                  AND hash >= asked.prefix AND hash < asked.prefix || 'g' ORDER BY hash LIMIT 2)) AS commit_ids
         FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS asked (runtime, point, prefix, ordinal)
         LEFT JOIN runtime ON runtime.name = asked.runtime
         LEFT JOIN branch ON branch.id = runtime.branch_id
         LEFT JOIN LATERAL (
            SELECT ARRAY[commit.id] AS ids FROM tag
            JOIN commit ON commit.repository_id = tag.repository_id AND commit.hash = tag.commit_hash
            WHERE tag.repository_id = branch.repository_id AND tag.name = asked.point
         ) by_tag ON true
         ORDER BY asked.ordinal",
    )
    .bind(names)
    .bind(points)
    .bind(hashes)
    .fetch_all(db)
    .await
}

/// One run of the commit that a subject means.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SubjectRun {
    /// Which subject, from 1.
    pub ordinal: i64,
    /// The run.
    pub run_id: i64,
    /// Its runtime.
    pub runtime_id: i64,
    /// Its host.
    pub host_id: i64,
    /// That host's name.
    pub host: String,
    /// Its environment.
    pub environment_id: i64,
    /// That environment's fingerprint.
    pub fingerprint: String,
    /// How many epochs controls had begun on the host by then; another number is another epoch.
    pub host_epoch: i64,
    /// The compiler of its build.
    pub toolchain: String,
    /// The recipe of its build, by hash.
    pub recipe_sha256: String,
    /// Whether all benchmarks of its suite were asked for.
    pub is_whole: bool,
    /// Whether something during it made its results unfit.
    pub marked: bool,
    /// The suite, as `name version`.
    pub suite: String,
    /// What the interpreter says of itself.
    pub interpreter: String,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// The commit's branch position; absent when it is not on the runtime's branch.
    pub position: Option<i32>,
    /// The commit.
    pub hash: String,
    /// Its subject line.
    pub subject: String,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// Tags that name it.
    pub tags: Vec<String>,
}

/// A subject whose runtime and commit are known.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Which subject, from 1.
    pub ordinal: i64,
    /// The runtime.
    pub runtime_id: i64,
    /// The commit; absent for the newest measured one of each host.
    pub commit_id: Option<i64>,
    /// The host's name; absent for every host.
    pub host: Option<String>,
}

/// The runs of each subject's commit on each host, for the head of the newest measured commit there (rather one of which the whole
/// suite was run than a newer one of which some benchmarks were). By subject, newest run first. Runs that a repetition
/// stands in for are left out.
///
/// The sum in the order of series keeps the planner from walking all series backwards by their key.
pub async fn list_runs(
    db: impl PgExecutor<'_>,
    wanted: &[Wanted],
) -> sqlx::Result<Vec<SubjectRun>> {
    sqlx::query_as(
        "SELECT asked.ordinal, own.run_id, asked.runtime_id, host.id AS host_id, host.name AS host, own.environment_id,
            environment.fingerprint, build.toolchain, build.recipe_sha256, own.is_whole, own.marked,
            suite.name || ' ' || suite.version AS suite, own.interpreter, own.finished_at, place.position, commit.hash, commit.subject,
            commit.committed_at,
            (SELECT count(*) FROM host_epoch WHERE host_epoch.host_id = host.id AND begins_at <= own.finished_at) AS host_epoch,
            ARRAY(SELECT tag.name FROM tag WHERE tag.repository_id = commit.repository_id AND tag.commit_hash = commit.hash
                  ORDER BY tag.name) AS tags
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) AS asked (ordinal, runtime_id, commit_id, host)
         JOIN runtime ON runtime.id = asked.runtime_id
         JOIN host ON asked.host IS NULL OR host.name = asked.host
         CROSS JOIN LATERAL (SELECT coalesce(asked.commit_id, (
            SELECT newest.commit_id
            FROM (SELECT series.id FROM series WHERE series.runtime_id = asked.runtime_id AND series.host_id = host.id
                    AND metric = ANY($5) ORDER BY series.id + 0 DESC LIMIT $6) latest
            CROSS JOIN LATERAL (SELECT commit_id, run_id, position FROM measurement
                WHERE series_id = latest.id AND position IS NOT NULL ORDER BY position DESC, id DESC LIMIT 1) newest
            JOIN run ON run.id = newest.run_id JOIN job ON job.id = run.job_id
            ORDER BY (job.benchmarks = '{}') DESC, newest.position DESC LIMIT 1)) AS commit_id OFFSET 0) chosen
         CROSS JOIN LATERAL (
            SELECT run.id AS run_id, run.environment_id, build_id, suite_id, marked, interpreter, run.finished_at, job.benchmarks = '{}' AS is_whole
            FROM run JOIN job ON job.id = run.job_id
            WHERE run.commit_id = chosen.commit_id AND run.runtime_id = asked.runtime_id AND run.host_id = host.id
              AND superseded_by IS NULL
            ORDER BY run.id DESC LIMIT $7) own
         JOIN environment ON environment.id = own.environment_id JOIN build ON build.id = own.build_id
         JOIN suite ON suite.id = own.suite_id JOIN commit ON commit.id = chosen.commit_id
         LEFT JOIN branch_commit place ON place.branch_id = runtime.branch_id AND place.commit_id = commit.id
         ORDER BY asked.ordinal, own.run_id DESC",
    )
    .bind(wanted.iter().map(|one| one.ordinal).collect::<Vec<_>>())
    .bind(wanted.iter().map(|one| one.runtime_id).collect::<Vec<_>>())
    .bind(wanted.iter().map(|one| one.commit_id).collect::<Vec<_>>())
    .bind(wanted.iter().map(|one| one.host.as_deref()).collect::<Vec<_>>())
    .bind(Metric::MAIN.map(Metric::as_str))
    .bind(ASKED)
    .bind(MOST_RUNS)
    .fetch_all(db)
    .await
}

/// A runtime that was measured, as it is offered for choosing.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Measurable {
    /// Its name.
    pub name: String,
    /// What it executes.
    pub language: String,
    /// Its branch.
    pub branch_id: i64,
    /// How it is built, as [`speedwell_wire::BuildRecipe`].
    pub recipe: Json<Value>,
    /// Whether it is a frozen one by which hosts are watched.
    pub control: bool,
    /// Whether it is still configured.
    pub enabled: bool,
    /// The hosts that have series of it.
    pub hosts: Vec<String>,
}

/// Every runtime with a series, in the order of the configuration.
pub async fn list_measurable(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Measurable>> {
    sqlx::query_as(
        "SELECT runtime.name, language, branch_id, recipe, control, enabled, measured.hosts
         FROM runtime CROSS JOIN LATERAL (SELECT ARRAY(
            SELECT host.name FROM host WHERE EXISTS (SELECT 1 FROM series WHERE series.runtime_id = runtime.id
                AND metric = ANY($1) AND series.host_id = host.id) ORDER BY host.name) AS hosts) measured
         WHERE measured.hosts <> '{}' ORDER BY enabled DESC, ordinal, runtime.name",
    )
    .bind(Metric::MAIN.map(Metric::as_str))
    .fetch_all(db)
    .await
}

/// The tags whose commits were measured, as `(runtime, tag)`: by runtime, the newest commit first.
pub async fn list_measured_tags(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as(
        "SELECT runtime.name, tag.name FROM tag
         JOIN commit ON commit.repository_id = tag.repository_id AND commit.hash = tag.commit_hash
         CROSS JOIN LATERAL (SELECT DISTINCT runtime_id FROM run WHERE run.commit_id = commit.id AND superseded_by IS NULL) measured
         JOIN runtime ON runtime.id = measured.runtime_id
         ORDER BY runtime.ordinal, runtime.name, commit.committed_at DESC, tag.name DESC",
    )
    .fetch_all(db)
    .await
}

/// A suite for choosing.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SuiteChoice {
    /// Its name.
    pub name: String,
    /// The identities of its newest version's benchmarks; empty but for the wanted suite.
    pub identities: Vec<String>,
}

/// Every suite, and of the wanted one its benchmarks.
pub async fn list_suites(
    db: impl PgExecutor<'_>,
    wanted: Option<&str>,
) -> sqlx::Result<Vec<SuiteChoice>> {
    sqlx::query_as(
        "SELECT newest.name, ARRAY(
            SELECT benchmark.identity FROM suite_benchmark JOIN benchmark ON benchmark.id = benchmark_id
            WHERE suite_id = newest.id AND newest.name = $1) AS identities
         FROM (SELECT DISTINCT ON (name) id, name FROM suite ORDER BY name, version DESC) newest ORDER BY newest.name",
    )
    .bind(wanted)
    .fetch_all(db)
    .await
}
