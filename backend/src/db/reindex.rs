//! Indexes: which are broken or larger than they need to be, and building them anew without stopping anybody.

use sqlx::{AssertSqlSafe, PgExecutor, PgPool};

/// An index of this database.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its table.
    pub table_name: String,
    /// Its size in bytes.
    pub bytes: i64,
    /// The size that its rows need, as far as the planner's statistics tell: 0 when they do not.
    pub needed_bytes: i64,
    /// False: an interrupted build has left it, and nothing uses it.
    pub is_valid: bool,
}

impl Index {
    /// Size by what its rows need; 1 when that is not known.
    pub fn bloat(&self) -> f64 {
        if self.needed_bytes <= 0 {
            return 1.0;
        }
        self.bytes as f64 / self.needed_bytes as f64
    }
}

/// All indexes, the largest first.
///
/// A B-tree needs, for each row, the key's average width, eight bytes of tuple header and four of the page's item, at a tenth of free
/// space (fillfactor 90); pages of 8 KiB (PostgreSQL manual, 73.6 and `btree` fillfactor).
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Index>> {
    sqlx::query_as(
        "SELECT index.relname::text AS name, tab.relname::text AS table_name, pg_relation_size(index.oid) AS bytes,
            pg_index.indisvalid AS is_valid,
            CASE WHEN method.amname <> 'btree' OR index.reltuples < 1 OR bool_or(stats.avg_width IS NULL) THEN 0
                 ELSE 8192 * (2 + ceil(index.reltuples * (12 + 8 * ceil(sum(stats.avg_width) / 8.0)) / (8192 * 0.9)))::bigint END AS needed_bytes
         FROM pg_index JOIN pg_class index ON index.oid = indexrelid AND index.relkind = 'i'
         JOIN pg_class tab ON tab.oid = indrelid JOIN pg_am method ON method.oid = index.relam
         JOIN pg_attribute key ON key.attrelid = index.oid
         LEFT JOIN pg_stats stats ON stats.schemaname = 'public'
              AND ((stats.tablename = tab.relname AND stats.attname = (SELECT attname FROM pg_attribute of_table
                        WHERE of_table.attrelid = tab.oid AND of_table.attnum = pg_index.indkey[key.attnum - 1]))
                OR (stats.tablename = index.relname AND stats.attname = key.attname))
         WHERE tab.relnamespace = 'public'::regnamespace
         GROUP BY index.oid, index.relname, tab.relname, pg_index.indisvalid, method.amname, index.reltuples
         ORDER BY 3 DESC, 1",
    )
    .fetch_all(db)
    .await
}

/// Builds an index anew beside the old one and puts it in its place; reading and writing go on. One that an interrupted build has
/// left is dropped first. The new size in bytes.
pub async fn rebuild(pool: &PgPool, index: &Index) -> sqlx::Result<i64> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let name = quoted(&index.name);
    let is_left =
        !index.is_valid && (index.name.contains("_ccnew") || index.name.contains("_ccold"));
    if is_left {
        sqlx::query(AssertSqlSafe(format!("DROP INDEX CONCURRENTLY {name}")))
            .execute(pool)
            .await?;
        return Ok(0);
    }
    sqlx::query(AssertSqlSafe(format!("REINDEX INDEX CONCURRENTLY {name}")))
        .execute(pool)
        .await?;
    sqlx::query_scalar("SELECT pg_relation_size($1::regclass)")
        .bind(name)
        .fetch_one(pool)
        .await
}
