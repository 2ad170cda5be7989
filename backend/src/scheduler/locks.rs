//! The locks of one backend's ticks, all on one connection outside of its pool: nobody who holds a lock can keep the last connection from
//! another who needs it to get done.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection, PgPool};
use tokio::sync::Mutex;

use crate::db::locks;

/// Longest wait for an answer about a lock. A server that is gone without a word is taken for lost then.
const PATIENCE: Duration = Duration::from_secs(20);

/// When the connection is lost, so are the locks: work under way goes on and may be done twice, which ticks bear.
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

    /// Takes the lock `name`: whether nobody else has it.
    ///
    /// # Errors
    /// The database is away; the next call connects anew.
    pub async fn take(&self, name: &str) -> sqlx::Result<bool> {
        self.ask(async |connection| locks::take(connection, name).await)
            .await
    }

    /// Gives it up.
    ///
    /// # Errors
    /// The database is away: then the lock is given up all the same, with the connection.
    pub async fn release(&self, name: &str) -> sqlx::Result<()> {
        self.ask(async |connection| locks::release(connection, name).await)
            .await
            .map(drop)
    }

    async fn ask(
        &self,
        question: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<bool>,
    ) -> sqlx::Result<bool> {
        let mut kept = self.connection.lock().await;
        // Taken out: whatever goes wrong, a connection in an unknown state is not used again.
        let taken = kept.take();
        let asked = async {
            let mut connection = match taken {
                Some(connection) => connection,
                None => self.options.connect().await?,
            };
            let answer = question(&mut connection).await?;
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
