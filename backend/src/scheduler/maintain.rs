//! Makes the partitions of measurements ahead of time.

use super::Outcome;
use crate::context::Context;
use crate::db::ingest;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let mut connection = context.pool.acquire().await?;
    ingest::ensure_partitions(&mut connection).await?;
    Ok(None)
}
