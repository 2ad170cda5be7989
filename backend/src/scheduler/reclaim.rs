//! Takes expired leases back, so that a dead worker's job goes on elsewhere.
//!
//! Killed anywhere, nothing is half done: one transaction takes back what has expired by then.

use super::Outcome;
use crate::context::Context;
use crate::db::jobs;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let mut transaction = context.pool.begin().await?;
    let count = jobs::reclaim_expired(&mut transaction).await?;
    transaction.commit().await?;
    Ok((count > 0).then(|| format!("took back {count} expired lease(s)")))
}
