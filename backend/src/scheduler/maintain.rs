//! Makes the partitions of measurements ahead of time, and forgets old deliveries.

use chrono::{Days, Utc};

use super::Outcome;
use crate::context::Context;
use crate::db::{deliveries, ingest};

/// Deliveries forgotten at once: no long lock.
const BATCH: i64 = 500;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let mut connection = context.pool.acquire().await?;
    ingest::ensure_partitions(&mut connection).await?;
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
    Ok((forgotten > 0).then(|| format!("{forgotten} old delivery(s) forgotten")))
}
