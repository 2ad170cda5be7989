//! What is asked of a private Postgres as a whole: its database, and how sure its writes are.

use sqlx::PgConnection;

/// Makes the database `speedwell`, unless it is there or another process is making it this moment.
pub async fn create_database(db: &mut PgConnection) -> sqlx::Result<()> {
    let created = sqlx::query("CREATE DATABASE speedwell").execute(db).await;
    match created {
        Ok(_) => Ok(()),
        // 42P04: it exists; 23505: another process is making it this moment.
        Err(sqlx::Error::Database(error))
            if matches!(error.code().as_deref(), Some("42P04" | "23505")) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Writes several times as fast, for tests alone: a crash may lose or damage everything.
pub async fn give_up_durability(db: &mut PgConnection) -> sqlx::Result<()> {
    for statement in [
        "ALTER SYSTEM SET fsync = off",
        "ALTER SYSTEM SET synchronous_commit = off",
        "ALTER SYSTEM SET full_page_writes = off",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::query(statement).execute(&mut *db).await?;
    }
    Ok(())
}
