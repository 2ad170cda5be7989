//! Makes the partitions of measurements ahead of time, and forgets old deliveries, and sign-ins that are long over.

use chrono::{Days, Utc};

use super::Outcome;
use crate::context::Context;
use crate::db::{deliveries, ingest, sessions};

/// Deliveries forgotten at once: no long lock.
const BATCH: i64 = 500;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let mut connection = context.pool.acquire().await?;
    ingest::ensure_partitions(&mut connection).await?;
    let gone = sessions::forget_old(&mut *connection).await?;
    let kept = Days::new(u64::from(context.config.hooks.keep_days));
    let mut forgotten = 0;
    if let Some(before) = Utc::now().checked_sub_days(kept) {
        loop {
            let some = deliveries::prune(&mut *connection, before, BATCH).await?;
            forgotten += some;
            if some == 0 {
                break;
            }
        }
    }
    Ok((gone + forgotten > 0).then(|| {
        format!("forgot {gone} sign-in(s) that ended a month ago, {forgotten} old delivery(s)")
    }))
}
