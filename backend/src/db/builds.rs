//! Builds and the rows of artefacts.

use speedwell_wire::{ArtefactReference, BuildReport};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

/// Notes that an object is in the store. Repeating it makes it young again, so that retention does not take it.
pub async fn insert_artefact(
    db: impl PgExecutor<'_>,
    sha256: &str,
    bytes: u64,
    kind: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO artefact (sha256, bytes, kind) VALUES ($1, $2, $3)
         ON CONFLICT (sha256) DO UPDATE SET stored_at = now(), removed_at = NULL
         WHERE artefact.removed_at IS NOT NULL OR artefact.stored_at < now() - interval '1 hour'",
    )
    .bind(sha256)
    .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
    .bind(kind)
    .execute(db)
    .await
    .map(drop)
}

/// The size of a stored artefact.
pub async fn find_artefact(db: impl PgExecutor<'_>, sha256: &str) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("SELECT bytes FROM artefact WHERE sha256 = $1 AND removed_at IS NULL")
        .bind(sha256)
        .fetch_optional(db)
        .await
}

/// The good build of a commit by a recipe with a toolchain; `repeat` 0 is the one that everything uses.
pub async fn find_artefact_of(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    commit_id: i64,
    recipe_sha256: &str,
    toolchain: &str,
    repeat: i32,
) -> sqlx::Result<Option<ArtefactReference>> {
    let row: Option<(String, i64, i64)> = sqlx::query_as(
        "SELECT artefact.sha256, artefact.bytes, build.id FROM build
         JOIN artefact ON artefact.sha256 = build.artefact_sha256 AND removed_at IS NULL
         WHERE runtime_id = $1 AND commit_id = $2 AND recipe_sha256 = $3 AND toolchain = $4
           AND repeat = $5",
    )
    .bind(runtime_id)
    .bind(commit_id)
    .bind(recipe_sha256)
    .bind(toolchain)
    .bind(repeat)
    .fetch_optional(db)
    .await?;
    Ok(row.map(|(sha256, bytes, build_id)| ArtefactReference {
        sha256,
        bytes: u64::try_from(bytes).unwrap_or(0),
        build_id,
    }))
}

/// Records a build of the fenced job. A good build that is known already stays as it is; so does a repeated failure
/// of the same job with the same words.
pub async fn insert(
    db: &mut PgConnection,
    job_id: i64,
    host_id: i64,
    runtime_id: i64,
    commit_id: i64,
    report: &BuildReport,
) -> sqlx::Result<()> {
    // One that retention has taken is made anew, perhaps of other bytes.
    sqlx::query(
        "UPDATE build SET artefact_sha256 = $4 FROM runtime, job, artefact
         WHERE runtime.id = $1 AND job.id = $5 AND build.runtime_id = $1 AND build.commit_id = $2 AND build.toolchain = $3
           AND build.recipe_sha256 = runtime.recipe_sha256 AND build.repeat = job.build_repeat
           AND artefact.sha256 = build.artefact_sha256 AND removed_at IS NOT NULL AND $4::text IS NOT NULL",
    )
    .bind(runtime_id)
    .bind(commit_id)
    .bind(&report.toolchain)
    .bind(&report.artefact_sha256)
    .bind(job_id)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "INSERT INTO build (runtime_id, commit_id, recipe_sha256, toolchain, job_id, host_id, artefact_sha256,
                            installed_bytes, step_seconds, ccache_hits, ccache_misses, version, failure, log_tail,
                            repeat)
         SELECT $1, $2, runtime.recipe_sha256, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, job.build_repeat
         FROM runtime, job WHERE runtime.id = $1 AND job.id = $4
           AND ($12::text IS NULL OR NOT EXISTS (SELECT 1 FROM build WHERE job_id = $4 AND failure = $12))
         ON CONFLICT DO NOTHING",
    )
    .bind(runtime_id)
    .bind(commit_id)
    .bind(&report.toolchain)
    .bind(job_id)
    .bind(host_id)
    .bind(&report.artefact_sha256)
    .bind(i64::try_from(report.installed_bytes).unwrap_or(i64::MAX))
    .bind(Json(&report.step_seconds))
    .bind(i64::try_from(report.ccache_hits).unwrap_or(i64::MAX))
    .bind(i64::try_from(report.ccache_misses).unwrap_or(i64::MAX))
    .bind(report.version.replace('\0', ""))
    .bind(report.failure.as_ref().map(|text| text.replace('\0', "")))
    .bind(report.log_tail.replace('\0', ""))
    .execute(db)
    .await
    .map(drop)
}

/// The build that an artefact of this runtime and commit came from, as far as builds are told apart: two that gave the
/// same bytes are the same, but for the repeat that the job asked for.
pub async fn find_by_artefact(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    commit_id: i64,
    artefact_sha256: &str,
    job_id: i64,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT id FROM build WHERE runtime_id = $1 AND commit_id = $2 AND artefact_sha256 = $3
         ORDER BY repeat = (SELECT build_repeat FROM job WHERE job.id = $4) DESC, id DESC LIMIT 1",
    )
    .bind(runtime_id)
    .bind(commit_id)
    .bind(artefact_sha256)
    .bind(job_id)
    .fetch_optional(db)
    .await
}
