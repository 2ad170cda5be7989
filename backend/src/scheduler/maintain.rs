//! Makes the partitions of measurements ahead of time, and forgets sign-ins that are long over.

use super::Outcome;
use crate::context::Context;
use crate::db::{ingest, sessions};

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let mut connection = context.pool.acquire().await?;
    ingest::ensure_partitions(&mut connection).await?;
    let gone = sessions::forget_old(&mut *connection).await?;
    Ok((gone > 0).then(|| format!("forgot {gone} sign-in(s) that ended a month ago")))
}
