//! Verdicts that are held back. Whether one is follows from the rows alone (its run, the jobs of repetitions and controls, what
//! controls were judged to be), so making it up again at any time is safe; `docs/detection.md` tells the rules.

use sqlx::PgExecutor;

/// Sets the hold of the changes that `$which` chooses, where it differs.
macro_rules! update_held {
    ($which:literal) => {
        concat!(
            "UPDATE verdict SET held = found.reason
             FROM (
                SELECT verdict.series_id, verdict.commit_id, CASE
                    WHEN EXISTS (SELECT 1 FROM job WHERE repeats_run_id = run.id AND job.state IN ('queued', 'running'))
                        THEN 'repetition_pending'
                    WHEN EXISTS (SELECT 1 FROM host_epoch WHERE host_epoch.host_id = run.host_id
                        AND run.finished_at > steady_until AND run.finished_at < begins_at)
                        THEN 'control_moved'
                    WHEN EXISTS (SELECT 1 FROM control_judged judged JOIN runtime control ON control.id = judged.runtime_id
                        WHERE judged.host_id = run.host_id AND control.control AND control.enabled
                          AND standing = 'unsteady' AND run.id > settled_run_id)
                        THEN 'control_unsteady'
                    WHEN EXISTS (SELECT 1 FROM runtime control
                        WHERE control.control AND control.enabled AND control.language = runtime.language
                          AND NOT EXISTS (SELECT 1 FROM control_judged judged WHERE judged.host_id = run.host_id
                              AND judged.runtime_id = control.id AND judged.run_id > run.id)
                          AND (EXISTS (SELECT 1 FROM job WHERE job.host_id = run.host_id AND job.runtime_id = control.id
                                  AND job.state IN ('queued', 'running'))
                            OR EXISTS (SELECT 1 FROM run since WHERE since.host_id = run.host_id
                                  AND since.runtime_id = control.id AND since.id > run.id)))
                        THEN 'control_pending'
                    WHEN point.state = 'suspected' AND NOT runtime.control THEN 'unconfirmed'
                    WHEN point.state = 'refuted' THEN 'refuted'
                    END AS reason
                FROM verdict JOIN run ON run.id = verdict.run_id JOIN runtime ON runtime.id = run.runtime_id
                LEFT JOIN change_point point ON point.series_id = verdict.series_id AND point.commit_id = verdict.commit_id
                WHERE verdict.state IN ('improved', 'regressed') AND ",
            $which,
            ") found
             WHERE verdict.series_id = found.series_id AND verdict.commit_id = found.commit_id
               AND verdict.held IS DISTINCT FROM found.reason"
        )
    };
}

/// The changes of one series, whose verdicts have just been made.
pub async fn update_series(db: impl PgExecutor<'_>, series_id: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(update_held!("verdict.series_id = $1"))
        .bind(series_id)
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}

/// The changes of a host that rest on runs after one.
pub async fn update_host(
    db: impl PgExecutor<'_>,
    host_id: i64,
    after_run: i64,
) -> sqlx::Result<u64> {
    let done = sqlx::query(update_held!("run.host_id = $1 AND run.id > $2"))
        .bind(host_id)
        .bind(after_run)
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}

/// The changes that are held now: what they wait for may have come, or been given up. Returns how many differ.
pub async fn update_held(db: impl PgExecutor<'_>) -> sqlx::Result<u64> {
    let done = sqlx::query(update_held!("verdict.held IS NOT NULL"))
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}
