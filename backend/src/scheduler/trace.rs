//! Packs the points of series that have changed, for charts. One transaction per series; a killed pass leaves the rest marked.

use std::collections::HashMap;

use super::Outcome;
use crate::context::Context;
use crate::db::traces;
use crate::db::verdicts::{self, DetectPoint};
use crate::domain::trace::TracePoint;

/// Series in one pass.
const BATCH: i64 = 500;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let waiting = traces::list_to_trace(&context.pool, BATCH).await?;
    let mut written = 0;
    for series in &waiting {
        let points = verdicts::list_points(&context.pool, series.id).await?;
        let commits: Vec<i64> = points.iter().map(|point| point.commit_id).collect();
        let times = traces::list_times(&context.pool, &commits).await?;
        let packed: Vec<TracePoint> = points
            .iter()
            .filter_map(|point| trace_point(point, &times))
            .collect();
        let mut transaction = context.pool.begin().await?;
        written += traces::replace(&mut transaction, series, &packed).await?;
        transaction.commit().await?;
    }
    Ok((!waiting.is_empty()).then(|| {
        format!(
            "packed the points of {} series, {written} chunk(s) anew",
            waiting.len()
        )
    }))
}

fn trace_point(point: &DetectPoint, times: &HashMap<i64, i64>) -> Option<TracePoint> {
    Some(TracePoint {
        position: point.position,
        committed_at: *times.get(&point.commit_id)?,
        median: point.median,
        low: point.low,
        high: point.high,
        environment_id: point.environment_id,
        host_epoch: point.host_epoch,
        run_id: point.run_id,
        samples: u32::try_from(point.sample_count).unwrap_or(u32::MAX),
    })
}
