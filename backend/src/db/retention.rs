//! What retention takes: samples of old measurements, a partition at a time, and objects of the store by their age.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor, PgPool};

/// The partition of whatever lies in no year's.
const OTHER: &str = "measurement_other";

/// A year's partition of measurements.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Partition {
    /// Its table.
    pub name: String,
    /// Its measurements, as the planner counts them.
    pub rows: i64,
    /// Its size with indexes, in bytes.
    pub bytes: i64,
}

/// Years' partitions that still hold samples though the whole year was over before `before`, oldest first.
pub async fn list_partitions(pool: &PgPool, before: DateTime<Utc>) -> sqlx::Result<Vec<Partition>> {
    let partitions: Vec<(String, i64, i64, Option<i64>)> = sqlx::query_as(
        "SELECT relname::text, greatest(reltuples, 0)::bigint, pg_total_relation_size(pg_class.oid), newest_id
         FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid AND inhparent = 'measurement'::regclass
         LEFT JOIN thinned_partition ON name = relname
         WHERE relname ~ '^measurement_[0-9]{4}$'
           AND make_timestamptz(right(relname, 4)::integer + 1, 1, 1, 0, 0, 0, 'UTC') <= $1 ORDER BY relname",
    )
    .bind(before)
    .fetch_all(pool)
    .await?;
    let mut found = Vec::new();
    for (name, rows, bytes, newest_then) in partitions {
        let newest: Option<i64> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT max(id) FROM \"{name}\"")))
                .fetch_one(pool)
                .await?;
        if newest.is_some() && newest > newest_then {
            found.push(Partition { name, rows, bytes });
        }
    }
    Ok(found)
}

/// Puts a partition without samples in the place of one with them, and drops that one whole: no dead rows are left behind. Returns
/// the new size in bytes. Run it in a transaction of its own.
///
/// Reading goes on until the exchange at the end, which takes milliseconds; writing to this year waits. Should something else hold
/// the table for five seconds, this gives up, and the next pass tries again.
pub async fn thin(db: &mut PgConnection, partition: &Partition) -> sqlx::Result<i64> {
    let name = &partition.name;
    let year = name.trim_start_matches("measurement_");
    let (from, to) = (
        format!("{year}-01-01 00:00:00+00"),
        format!(
            "{}-01-01 00:00:00+00",
            year.parse::<i32>().unwrap_or(0).saturating_add(1)
        ),
    );
    run(db, "SET LOCAL lock_timeout = '5s'".to_owned()).await?;
    run(
        db,
        format!("LOCK TABLE \"{name}\" IN SHARE ROW EXCLUSIVE MODE"),
    )
    .await?;
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
    )
    .bind(name)
    .fetch_all(&mut *db)
    .await?;
    let into: Vec<String> = columns.iter().map(|name| format!("\"{name}\"")).collect();
    let select: Vec<String> = columns
        .iter()
        .map(|name| match name.as_str() {
            "sample_values" | "sample_process" | "sample_warmup" => "'{}'".to_owned(),
            name => format!("\"{name}\""),
        })
        .collect();
    // Bounds and references are there before the exchange, which therefore has nothing left to check.
    for statement in [
        format!("CREATE TABLE thin (LIKE \"{name}\" INCLUDING ALL EXCLUDING IDENTITY)"),
        format!(
            "ALTER TABLE thin ADD CONSTRAINT bounds CHECK (measured_at >= '{from}' AND measured_at < '{to}')"
        ),
        format!(
            "INSERT INTO thin ({}) SELECT {} FROM \"{name}\"",
            into.join(", "),
            select.join(", ")
        ),
        "ALTER TABLE thin ADD FOREIGN KEY (series_id) REFERENCES series, ADD FOREIGN KEY (run_id) REFERENCES run,
            ADD FOREIGN KEY (commit_id) REFERENCES commit, ADD FOREIGN KEY (environment_id) REFERENCES environment"
            .to_owned(),
        format!("ALTER TABLE measurement DETACH PARTITION \"{name}\""),
        format!("DROP TABLE \"{name}\""),
        format!("ALTER TABLE thin RENAME TO \"{name}\""),
        format!(
            "ALTER TABLE measurement ATTACH PARTITION \"{name}\" FOR VALUES FROM ('{from}') TO ('{to}')"
        ),
        format!("ALTER TABLE \"{name}\" DROP CONSTRAINT bounds"),
        format!("ANALYZE \"{name}\""),
    ] {
        run(db, statement).await?;
    }
    sqlx::query_scalar(AssertSqlSafe(format!(
        "INSERT INTO thinned_partition (name, newest_id, bytes_before, bytes_after)
         SELECT '{name}', max(id), $1, pg_total_relation_size('\"{name}\"') FROM \"{name}\"
         ON CONFLICT (name) DO UPDATE SET newest_id = excluded.newest_id, bytes_before = excluded.bytes_before,
            bytes_after = excluded.bytes_after, thinned_at = now() RETURNING bytes_after"
    )))
    .bind(partition.bytes)
    .fetch_one(db)
    .await
}

async fn run(db: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::query(AssertSqlSafe(statement))
        .execute(db)
        .await
        .map(drop)
}

/// Takes the samples of measurements that lie in no year's partition, some of them; how many it were.
pub async fn thin_others(
    db: impl PgExecutor<'_>,
    before: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let done = sqlx::query(AssertSqlSafe(format!(
        "UPDATE {OTHER} SET sample_values = '{{}}', sample_process = '{{}}', sample_warmup = '{{}}'
         WHERE (id, measured_at) IN (SELECT id, measured_at FROM {OTHER}
            WHERE measured_at < $1 AND cardinality(sample_values) > 0 LIMIT $2)"
    )))
    .bind(before)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Number and bytes of the objects of a kind that were stored before a moment and are still there.
pub async fn count_artefacts(
    db: impl PgExecutor<'_>,
    kind: &str,
    before: DateTime<Utc>,
) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as(
        "SELECT count(*), coalesce(sum(bytes), 0)::bigint FROM artefact WHERE kind = $1 AND stored_at < $2 AND removed_at IS NULL",
    )
    .bind(kind)
    .bind(before)
    .fetch_one(db)
    .await
}

/// Names of the oldest of them beyond a name, in the order of names.
pub async fn list_artefacts(
    db: impl PgExecutor<'_>,
    kind: &str,
    before: DateTime<Utc>,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT sha256 FROM artefact WHERE kind = $1 AND stored_at < $2 AND removed_at IS NULL AND sha256 > $3
         ORDER BY sha256 LIMIT $4",
    )
    .bind(kind)
    .bind(before)
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Notes that objects are gone from the store, unless one was stored again meanwhile. Their bytes.
pub async fn mark_removed(
    db: impl PgExecutor<'_>,
    names: &[String],
    before: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "WITH gone AS (UPDATE artefact SET removed_at = now() WHERE sha256 = ANY($1) AND stored_at < $2 RETURNING bytes)
         SELECT coalesce(sum(bytes), 0)::bigint FROM gone",
    )
    .bind(names)
    .bind(before)
    .fetch_one(db)
    .await
}
