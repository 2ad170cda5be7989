//! Advisory locks: a named piece of work is done by one backend at a time.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::Mutex;

/// Held while the work goes on; dropping it (or losing the connection) gives the lock up.
#[must_use = "the lock is given up when this is dropped"]
pub struct Lock(#[expect(dead_code, reason = "held for its drop")] Transaction<'static, Postgres>);

/// Takes the lock `name`, or returns `None` at once when another connection has it. It keeps a connection of the pool: for single
/// commands. What takes many locks and works with the pool meanwhile would wait for itself; that is [`Locks`]' business.
pub async fn try_lock(pool: &PgPool, name: &str) -> sqlx::Result<Option<Lock>> {
    let mut transaction = pool.begin().await?;
    let taken: bool = sqlx::query_scalar(
        "SELECT pg_try_advisory_xact_lock(hashtextextended('speedwell.' || $1, 0))",
    )
    .bind(name)
    .fetch_one(&mut *transaction)
    .await?;
    Ok(taken.then(|| Lock(transaction)))
}

/// Longest wait for an answer about a lock. A server that is gone without a word is taken for lost then.
const PATIENCE: Duration = Duration::from_secs(20);

/// All locks of one process, on one connection outside of its pool. Nobody who holds a lock can therefore keep the last connection from
/// another who needs it to get done. When the connection is lost, so are the locks: work under way goes on and may be done twice, which
/// ticks bear.
pub struct Locks {
    options: Arc<PgConnectOptions>,
    connection: Mutex<Option<PgConnection>>,
}

impl Locks {
    /// Connects to the pool's database when the first lock is wanted.
    pub fn new(pool: &PgPool) -> Self {
        Self {
            options: pool.connect_options(),
            connection: Mutex::new(None),
        }
    }

    /// Takes the lock `name`: whether nobody else has it. One who holds it must not ask for it again.
    ///
    /// # Errors
    /// The database is away; the next call connects anew.
    pub async fn take(&self, name: &str) -> sqlx::Result<bool> {
        self.ask(
            "SELECT pg_try_advisory_lock(hashtextextended('speedwell.' || $1, 0))",
            name,
        )
        .await
    }

    /// Gives it up.
    ///
    /// # Errors
    /// The database is away: then the lock is given up all the same, with the connection.
    pub async fn release(&self, name: &str) -> sqlx::Result<()> {
        self.ask(
            "SELECT pg_advisory_unlock(hashtextextended('speedwell.' || $1, 0))",
            name,
        )
        .await
        .map(drop)
    }

    async fn ask(&self, query: &'static str, name: &str) -> sqlx::Result<bool> {
        let mut kept = self.connection.lock().await;
        // Taken out: whatever goes wrong, a connection in an unknown state is not used again.
        let taken = kept.take();
        let asked = async {
            let mut connection = match taken {
                Some(connection) => connection,
                None => self.options.connect().await?,
            };
            let answer: bool = sqlx::query_scalar(query)
                .bind(name)
                .fetch_one(&mut connection)
                .await?;
            Ok((connection, answer))
        };
        let (connection, answer) = tokio::time::timeout(PATIENCE, asked)
            .await
            .map_err(|_elapsed| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
            .flatten()?;
        *kept = Some(connection);
        Ok(answer)
    }
}
