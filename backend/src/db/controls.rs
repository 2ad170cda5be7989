//! Controls: when they were measured, what they showed, and the epochs of hosts that follow from it.

use chrono::{DateTime, Utc};
use speedwell_wire::Metric;
use sqlx::{PgConnection, PgExecutor};

use crate::detection::control::{CONTROL_VERSION, Move, Standing};
use crate::domain::plan::{AROUND_SUSPICION, Reason};

/// A host that may measure a control.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ControlHost {
    /// Key.
    pub id: i64,
    /// Whether such a job waits or runs.
    pub open: bool,
    /// When the newest such job was queued.
    pub queued_at: Option<DateTime<Utc>>,
}

/// The hosts of a class that have been heard of within so many seconds, with what they know of a control.
pub async fn list_hosts(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    commit_id: i64,
    class: &str,
    heard_seconds: i64,
) -> sqlx::Result<Vec<ControlHost>> {
    sqlx::query_as(
        "SELECT host.id, coalesce(bool_or(state IN ('queued', 'running')), false) AS open, max(job.created_at) AS queued_at
         FROM host LEFT JOIN job ON job.host_id = host.id AND job.runtime_id = $1 AND job.commit_id = $2
              AND job.reason = $5
         WHERE class = $3 AND last_seen_at > now() - make_interval(secs => $4::float8)
         GROUP BY host.id ORDER BY host.id",
    )
    .bind(runtime_id)
    .bind(commit_id)
    .bind(class)
    .bind(heard_seconds)
    .bind(Reason::Control.as_str())
    .fetch_all(db)
    .await
}

/// The commit that stands for the newest version of a program nobody builds.
pub async fn find_head(db: impl PgExecutor<'_>, runtime_id: i64) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT commit_id FROM runtime JOIN branch_commit USING (branch_id) WHERE runtime.id = $1
         ORDER BY position DESC LIMIT 1",
    )
    .bind(runtime_id)
    .fetch_optional(db)
    .await
}

/// Queues a control for one host; nothing happens when the same work is open already.
pub async fn insert_job(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    commit_id: i64,
    class: &str,
    host_id: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, host_id, priority, reason, requester)
         VALUES ('measure', $1, $2, $3, $4, $5, $6, 'scheduler') ON CONFLICT DO NOTHING",
    )
    .bind(runtime_id)
    .bind(commit_id)
    .bind(class)
    .bind(host_id)
    .bind(Reason::Control.priority())
    .bind(Reason::Control.as_str())
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Queues a control around what is suspicious in a series: the newest run that a verdict calls changed, when the control of
/// its language has not run on the host since. A control that waits there already goes first now. Which commit of the
/// control: the one that the host was last asked for. One that is to be repeated is waited for. Runs that confirm or bisect have their
/// other side measured beside them and need none. Returns how many were queued or moved.
pub async fn insert_around(db: impl PgExecutor<'_>, series_id: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, host_id, priority, reason, requester, suspected_run_id)
         SELECT 'measure', control.runtime_id, control.commit_id, control.host_class, suspect.host_id, $2, $3, 'scheduler',
                suspect.id
         FROM (SELECT run.id, run.host_id, language
               FROM verdict JOIN run ON run.id = verdict.run_id JOIN runtime ON runtime.id = run.runtime_id
               JOIN job asked ON asked.id = run.job_id
               WHERE series_id = $1 AND verdict.state IN ('improved', 'regressed') AND NOT runtime.control
                 AND asked.reason NOT IN ('confirmation', 'bisection', 'try')
                 AND NOT EXISTS (SELECT 1 FROM job WHERE repeats_run_id = run.id AND job.state IN ('queued', 'running'))
               ORDER BY run.id DESC LIMIT 1) suspect
         CROSS JOIN LATERAL (
            SELECT runtime.id AS runtime_id, newest.commit_id, newest.host_class FROM runtime
            CROSS JOIN LATERAL (
                SELECT commit_id, host_class FROM job
                WHERE job.host_id = suspect.host_id AND job.runtime_id = runtime.id AND reason = $3
                ORDER BY id DESC LIMIT 1) newest
            WHERE runtime.control AND enabled AND runtime.language = suspect.language
            ORDER BY ordinal, name LIMIT 1) control
         WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.runtime_id = control.runtime_id AND run.host_id = suspect.host_id
                           AND run.id > suspect.id)
           AND NOT EXISTS (SELECT 1 FROM job WHERE suspected_run_id = suspect.id)
         ON CONFLICT (kind, runtime_id, commit_id, host_class, coalesce(host_id, 0))
            WHERE state IN ('queued', 'running') AND reason NOT IN ('requested', 'repetition', 'confirmation', 'bisection', 'try')
         DO UPDATE SET priority = excluded.priority, suspected_run_id = excluded.suspected_run_id
            WHERE job.suspected_run_id IS NULL",
    )
    .bind(series_id)
    .bind(AROUND_SUSPICION)
    .bind(Reason::Control.as_str())
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// A control that a host has run anew.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct ControlToJudge {
    /// The host.
    pub host_id: i64,
    /// The control.
    pub runtime_id: i64,
    /// Its newest run there.
    pub run_id: i64,
}

/// Controls with runs that were not judged yet.
pub async fn list_to_judge(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<ControlToJudge>> {
    sqlx::query_as(
        "SELECT newest.* FROM (
            SELECT host.id AS host_id, runtime.id AS runtime_id,
                (SELECT id FROM run WHERE runtime_id = runtime.id AND host_id = host.id ORDER BY id DESC LIMIT 1) AS run_id
            FROM runtime CROSS JOIN host WHERE runtime.control) newest
         LEFT JOIN control_judged judged USING (host_id, runtime_id)
         WHERE newest.run_id IS NOT NULL AND newest.run_id IS DISTINCT FROM judged.run_id",
    )
    .fetch_all(db)
    .await
}

/// One benchmark of one run of a control.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ControlValue {
    /// The control.
    pub runtime_id: i64,
    /// Its name.
    pub runtime: String,
    /// The commit: another version of the control is another control.
    pub hash: String,
    /// The run.
    pub run_id: i64,
    /// When it ended.
    pub measured_at: DateTime<Utc>,
    /// The environment.
    pub environment_id: i64,
    /// How many epochs the host had begun by then.
    pub host_epoch: i64,
    /// The benchmark.
    pub benchmark_id: i64,
    /// The metric that it is there for.
    pub metric: String,
    /// Median.
    pub median: f64,
    /// 95 % interval of it.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The main metrics of the newest `limit` runs of each control on a host, of the build that everything uses; by control
/// and version, oldest run first. `runtime_id`: only this control.
pub async fn list_values(
    db: impl PgExecutor<'_>,
    host_id: i64,
    runtime_id: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<ControlValue>> {
    sqlx::query_as(
        "SELECT runtime.id AS runtime_id, runtime.name AS runtime, commit.hash, run.id AS run_id, measured_at,
                measurement.environment_id,
                (SELECT count(*) FROM host_epoch WHERE host_epoch.host_id = $1 AND begins_at <= measured_at) AS host_epoch,
                series.benchmark_id, metric, median, interval_low AS low, interval_high AS high
         FROM runtime CROSS JOIN LATERAL (
            SELECT run.id, run.commit_id FROM run JOIN build ON build.id = build_id
            WHERE run.runtime_id = runtime.id AND run.host_id = $1 AND build.repeat = 0 AND superseded_by IS NULL
            ORDER BY run.id DESC LIMIT $3) run
         JOIN commit ON commit.id = run.commit_id
         JOIN measurement ON measurement.run_id = run.id JOIN series ON series.id = series_id
         WHERE runtime.control AND ($2::bigint IS NULL OR runtime.id = $2) AND metric = ANY($4)
         ORDER BY runtime.ordinal, runtime.name, run.commit_id, run.id, series.benchmark_id",
    )
    .bind(host_id)
    .bind(runtime_id)
    .bind(limit)
    .bind(Metric::MAIN.map(Metric::as_str).to_vec())
    .fetch_all(db)
    .await
}

/// Begins an epoch of a host (`steady_until`: when its control was last seen as it had been), and lets the detect and noise ticks look at its series again.
pub async fn begin_epoch(
    db: &mut PgConnection,
    control: &ControlToJudge,
    begins_at: DateTime<Utc>,
    moved: &Move,
    steady_until: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO host_epoch (host_id, begins_at, runtime_id, change, threshold, version, steady_until)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(control.host_id)
    .bind(begins_at)
    .bind(control.runtime_id)
    .bind(moved.change)
    .bind(moved.threshold)
    .bind(CONTROL_VERSION)
    .bind(steady_until)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE series SET changed_at = greatest(clock_timestamp(), changed_at + interval '1 microsecond')
         WHERE host_id = $1",
    )
    .bind(control.host_id)
    .execute(db)
    .await
    .map(drop)
}

/// Notes that a control's runs on a host are judged up to its newest, and how it stands. `settled`: its newest run that was not
/// unsteady.
pub async fn mark_judged(
    db: impl PgExecutor<'_>,
    control: &ControlToJudge,
    standing: Standing,
    settled: i64,
) -> sqlx::Result<()> {
    let (change, threshold) = match standing {
        Standing::Unknown | Standing::Steady => (None, None),
        Standing::Unsteady {
            change, threshold, ..
        } => (Some(change), Some(threshold)),
    };
    sqlx::query(
        "INSERT INTO control_judged (host_id, runtime_id, run_id, standing, change, threshold, settled_run_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (host_id, runtime_id) DO UPDATE SET run_id = excluded.run_id, standing = excluded.standing,
             change = excluded.change, threshold = excluded.threshold, settled_run_id = excluded.settled_run_id",
    )
    .bind(control.host_id)
    .bind(control.runtime_id)
    .bind(control.run_id)
    .bind(standing.as_str())
    .bind(change)
    .bind(threshold)
    .bind(settled)
    .execute(db)
    .await
    .map(drop)
}

/// Queues a control once more because its newest run differs, unless it waits on the host already. Whether one was queued.
pub async fn insert_again(db: impl PgExecutor<'_>, control: &ControlToJudge) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, host_id, priority, reason, requester, suspected_run_id)
         SELECT 'measure', run.runtime_id, run.commit_id, job.host_class, run.host_id, $2, $3, 'scheduler', run.id
         FROM run JOIN job ON job.id = run.job_id JOIN runtime ON runtime.id = run.runtime_id
         WHERE run.id = $1 AND enabled AND NOT EXISTS (
            SELECT 1 FROM job WHERE job.host_id = run.host_id AND job.runtime_id = run.runtime_id
              AND job.state IN ('queued', 'running'))
         ON CONFLICT DO NOTHING",
    )
    .bind(control.run_id)
    .bind(AROUND_SUSPICION)
    .bind(Reason::Control.as_str())
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Hosts with an unsteady control: the host, and the control's newest run that was not.
pub async fn list_unsteady(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(i64, i64)>> {
    sqlx::query_as(
        "SELECT host_id, settled_run_id FROM control_judged JOIN runtime ON runtime.id = runtime_id
         WHERE standing = 'unsteady' AND control AND enabled",
    )
    .fetch_all(db)
    .await
}

/// How a control stands on a host.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct StandingRow {
    /// The control.
    pub runtime: String,
    /// Its newest run that was judged.
    pub run_id: i64,
    /// `unknown`, `steady` or `unsteady`.
    pub standing: String,
    /// How far that run lies off, as a ratio minus one; of an unsteady one.
    pub change: Option<f64>,
    /// What it has passed.
    pub threshold: Option<f64>,
    /// Changes that are held back on this host, whatever the reason.
    pub held: i64,
}

/// How each control stands on a host.
pub async fn list_standings(
    db: impl PgExecutor<'_>,
    host_id: i64,
) -> sqlx::Result<Vec<StandingRow>> {
    sqlx::query_as(
        "SELECT runtime.name AS runtime, run_id, standing, change, threshold,
            (SELECT count(*) FROM verdict JOIN series ON series.id = series_id
             WHERE held IS NOT NULL AND series.host_id = $1) AS held
         FROM control_judged JOIN runtime ON runtime.id = runtime_id
         WHERE control_judged.host_id = $1 AND control AND enabled ORDER BY ordinal, runtime.name",
    )
    .bind(host_id)
    .fetch_all(db)
    .await
}
