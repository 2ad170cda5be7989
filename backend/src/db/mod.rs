//! All the SQL: free functions named by a verb, one file per family of tables. The caller owns the transaction.

use sqlx::migrate::Migrator;

pub mod locks;

/// The migrations, embedded.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");
