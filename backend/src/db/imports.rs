//! Results that others measured: finding where they belong, and storing them as runs.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

use super::builds;
use super::ingest::{self, RunKeys};
use super::{jobs, suites};
use crate::domain::import::{Earlier, Format, IMPORTED, Import};
use crate::domain::plan::Reason;

/// A host that results are imported for, or that is no such.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ImportHost {
    /// Key.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// Whether no worker of ours runs there.
    pub imported: bool,
}

/// A host by its name.
pub async fn find_host(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<ImportHost>> {
    sqlx::query_as("SELECT id, name, class, imported FROM host WHERE name = $1")
        .bind(name)
        .fetch_optional(db)
        .await
}

/// Adds a host that others measure on. `false`: one of this name is there, and is one of ours.
///
/// Its token is the hash of nothing that anybody has: no worker can speak for it.
pub async fn add_host(
    db: impl PgExecutor<'_>,
    name: &str,
    unknown_token_sha256: &str,
) -> sqlx::Result<bool> {
    let known: bool = sqlx::query_scalar(
        "INSERT INTO host (name, class, token_sha256, imported) VALUES ($1, $2, $3, true)
         ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING imported",
    )
    .bind(name)
    .bind(IMPORTED)
    .bind(unknown_token_sha256)
    .fetch_one(db)
    .await?;
    Ok(known)
}

/// Where an import belongs.
#[derive(Debug, Clone)]
pub struct Place {
    /// The runtime.
    pub runtime_id: i64,
    /// The commit.
    pub commit_id: i64,
    /// The host.
    pub host: ImportHost,
}

/// Who sends it, and from which file.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// Name of the token, or of the command's user.
    pub importer: &'a str,
    /// Name of the file, or the names that the sender gave.
    pub file_name: &'a str,
}

/// The raw file in the store.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a> {
    /// Its address there.
    pub artefact: &'a str,
    /// Its size there in bytes.
    pub bytes: u64,
    /// Hash of its bytes before compression.
    pub content_sha256: &'a str,
}

/// What came of storing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// A new run.
    New(i64),
    /// The run of the same file for the same place.
    Known(i64),
    /// There is a run of the same format at this place already, and the sender wants no second.
    Refused(i64),
}

/// Stores an import in the caller's transaction. The same upload id finds its run and changes nothing.
pub async fn store(
    db: &mut PgConnection,
    place: &Place,
    import: &Import,
    upload_id: Uuid,
    sender: &Sender<'_>,
    raw: &Raw<'_>,
) -> sqlx::Result<Stored> {
    // Two requests with the same file at once: the second waits, and finds the run.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(upload_id.to_string())
        .execute(&mut *db)
        .await?;
    if let Some((run_id, _)) = ingest::find_upload(&mut *db, upload_id).await? {
        return Ok(Stored::Known(run_id));
    }
    let before = list_earlier(&mut *db, place, import.format).await?;
    if let (Earlier::Refuse, Some(run_id)) = (import.earlier, before.last()) {
        return Ok(Stored::Refused(*run_id));
    }
    let environment_id = note_environment(&mut *db, place.host.id, import).await?;
    let suite_id = suites::extend(&mut *db, &import.suite).await?;
    mark_origin(&mut *db, suite_id, &import.origin).await?;
    let benchmarks = suites::keys_in_order(&mut *db, &import.report).await?;
    let job_id = insert_job(&mut *db, place, import, sender).await?;
    let keys = RunKeys {
        job_id,
        host_id: place.host.id,
        build_id: find_build(&mut *db, place, import, job_id).await?,
        runtime_id: place.runtime_id,
        commit_id: place.commit_id,
        suite_id,
    };
    let mut report = import.report.clone();
    report.environment_id = environment_id;
    report.upload_id = upload_id;
    builds::insert_artefact(&mut *db, raw.artefact, raw.bytes, "run").await?;
    let run_id = ingest::insert_run(&mut *db, &keys, &report, raw.artefact).await?;
    let measurements = &import.measurements;
    ingest::insert_measurements(&mut *db, &keys, run_id, &report, &benchmarks, measurements)
        .await?;
    ingest::insert_unavailable(&mut *db, run_id, &report, &benchmarks).await?;
    insert(&mut *db, run_id, import, sender, raw).await?;
    match import.earlier {
        Earlier::Keep | Earlier::Refuse => {}
        Earlier::ReplaceBenchmarks => replace(&mut *db, &before, run_id, Some(&benchmarks)).await?,
        Earlier::ReplaceRuns => replace(&mut *db, &before, run_id, None).await?,
    }
    let message = format!("run {run_id} imported from {}", sender.file_name);
    jobs::insert_event(&mut *db, job_id, Some(place.host.id), &message).await?;
    Ok(Stored::New(run_id))
}

/// Runs at the same place that came in the same format and still count, oldest first.
async fn list_earlier(
    db: &mut PgConnection,
    place: &Place,
    format: Format,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT run.id FROM run JOIN import ON import.run_id = run.id
         WHERE run.commit_id = $1 AND run.runtime_id = $2 AND run.host_id = $3 AND import.format = $4 AND superseded_by IS NULL
         ORDER BY run.id",
    )
    .bind(place.commit_id)
    .bind(place.runtime_id)
    .bind(place.host.id)
    .bind(format.as_str())
    .fetch_all(db)
    .await
}

/// The environment of an import; the host is now as the newest import says.
async fn note_environment(
    db: &mut PgConnection,
    host_id: i64,
    import: &Import,
) -> sqlx::Result<i64> {
    // Mostly nothing is to be written: then many imports at once do not wait for each other here.
    let noted: Option<i64> = sqlx::query_scalar(
        "SELECT environment.id FROM environment JOIN host ON host.environment_id = environment.id
         WHERE host.id = $1 AND fingerprint = $2 AND first_seen_at <= $3 AND last_seen_at > now() - interval '1 minute'",
    )
    .bind(host_id)
    .bind(import.facts.fingerprint())
    .bind(import.report.started_at)
    .fetch_optional(&mut *db)
    .await?;
    if let Some(id) = noted {
        return Ok(id);
    }
    sqlx::query_scalar(
        "WITH known AS (
            INSERT INTO environment (host_id, fingerprint, facts, first_seen_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (host_id, fingerprint) DO UPDATE SET first_seen_at = least(environment.first_seen_at, excluded.first_seen_at)
            RETURNING id),
         used AS (UPDATE host SET environment_id = known.id, last_seen_at = now() FROM known WHERE host.id = $1)
         SELECT id FROM known",
    )
    .bind(host_id)
    .bind(import.facts.fingerprint())
    .bind(sqlx::types::Json(&import.facts))
    .bind(import.report.started_at)
    .fetch_one(db)
    .await
}

async fn mark_origin(db: &mut PgConnection, suite_id: i64, origin: &str) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE benchmark SET origin = $2 FROM suite_benchmark
         WHERE suite_id = $1 AND benchmark.id = benchmark_id AND origin IS NULL",
    )
    .bind(suite_id)
    .bind(origin)
    .execute(db)
    .await
    .map(drop)
}

/// The job that stands for the import: over before anybody could claim it.
async fn insert_job(
    db: &mut PgConnection,
    place: &Place,
    import: &Import,
    sender: &Sender<'_>,
) -> sqlx::Result<i64> {
    let named = import.report.benchmarks.iter();
    let some: Vec<&str> = named.map(|one| one.name.as_str()).collect();
    sqlx::query_scalar(
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, host_id, priority, reason, requester, benchmarks, state,
                          running_on, started_at, finished_at)
         VALUES ('measure', $1, $2, $3, $4, 0, $5, $6, $7, 'succeeded', $4, now(), now()) RETURNING id",
    )
    .bind(place.runtime_id)
    .bind(place.commit_id)
    .bind(&place.host.class)
    .bind(place.host.id)
    .bind(Reason::Requested.as_str())
    .bind(format!("{} (import)", sender.importer))
    .bind(if import.whole { Vec::new() } else { some })
    .fetch_one(db)
    .await
}

/// The build that stands for what was measured: one for each commit and compiler.
async fn find_build(
    db: &mut PgConnection,
    place: &Place,
    import: &Import,
    job_id: i64,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO build (runtime_id, commit_id, recipe_sha256, toolchain, job_id, host_id, installed_bytes, step_seconds,
                            ccache_hits, ccache_misses, version, log_tail)
         VALUES ($1, $2, $3, $4, $5, $6, 0, '{}', 0, 0, $7, '')
         ON CONFLICT (runtime_id, commit_id, toolchain) WHERE recipe_sha256 = 'imported'
         DO UPDATE SET toolchain = excluded.toolchain RETURNING id",
    )
    .bind(place.runtime_id)
    .bind(place.commit_id)
    .bind(IMPORTED)
    .bind(&import.toolchain)
    .bind(job_id)
    .bind(place.host.id)
    .bind(&import.report.interpreter)
    .fetch_one(db)
    .await
}

async fn insert(
    db: &mut PgConnection,
    run_id: i64,
    import: &Import,
    sender: &Sender<'_>,
    raw: &Raw<'_>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO import (run_id, format, origin, file_name, importer, content_sha256) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(run_id)
    .bind(import.format.as_str())
    .bind(&import.origin)
    .bind(sender.file_name)
    .bind(sender.importer)
    .bind(raw.content_sha256)
    .execute(db)
    .await
    .map(drop)
}

/// Lets a run count in the place of those before, as far as it has their benchmarks (`None`: altogether). Measurements stay, and
/// lose their position; a run of which none is left that counts is superseded.
async fn replace(
    db: &mut PgConnection,
    before: &[i64],
    run_id: i64,
    benchmarks: Option<&[i64]>,
) -> sqlx::Result<()> {
    if before.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "WITH placed AS (
            UPDATE measurement SET position = NULL FROM series
            WHERE run_id = ANY($1) AND series.id = series_id AND ($2::bigint[] IS NULL OR benchmark_id = ANY($2))
            RETURNING series_id)
         UPDATE series SET changed_at = greatest(clock_timestamp(), changed_at + interval '1 microsecond')
         WHERE id IN (SELECT series_id FROM placed)",
    )
    .bind(before)
    .bind(benchmarks)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE run SET superseded_by = $2 WHERE id = ANY($1) AND ($3 OR NOT EXISTS (
            SELECT 1 FROM measurement own JOIN series ON series.id = own.series_id
            WHERE own.run_id = run.id AND metric <> ALL($4) AND NOT EXISTS (
                SELECT 1 FROM measurement newer WHERE newer.series_id = own.series_id AND newer.run_id > run.id
                    AND newer.run_id = ANY($1 || $2))))",
    )
    .bind(before)
    .bind(run_id)
    .bind(benchmarks.is_none())
    .bind(super::warmup::derived_metrics())
    .execute(db)
    .await
    .map(drop)
}

/// Where an imported run came from.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct RunOrigin {
    /// In which form it came: `pyperf`, `codespeed`, `lnt` or `bencher`.
    pub format: String,
    /// The program that measured, with its version.
    pub origin: String,
    /// Name of its file, or the names that the sender gave.
    pub file_name: String,
    /// Name of the token that sent it, or of the operator's command.
    pub importer: String,
    /// SHA-256 of the raw file.
    pub content_sha256: String,
    /// When it came.
    pub created_at: DateTime<Utc>,
}

/// Where a run came from; `None`: our own worker.
pub async fn find(db: impl PgExecutor<'_>, run_id: i64) -> sqlx::Result<Option<RunOrigin>> {
    sqlx::query_as(
        "SELECT format, origin, file_name, importer, content_sha256, created_at FROM import WHERE run_id = $1",
    )
    .bind(run_id)
    .fetch_optional(db)
    .await
}

/// Those of some hosts, by name, that no worker of ours runs on.
pub async fn list_imported(db: impl PgExecutor<'_>, hosts: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT name FROM host WHERE name = ANY($1) AND imported ORDER BY name")
        .bind(hosts)
        .fetch_all(db)
        .await
}
