//! Makes the verdicts of series that have new points. One transaction per series; a killed pass leaves the rest marked.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::PoisonError;

use speedwell_wire::Metric;

use super::Outcome;
use crate::context::Context;
use crate::db::verdicts::{self, DetectPoint};
use crate::db::{change_points, controls, holds};
use crate::detection::segments::Settings;
use crate::detection::{Judged, Point, Scale};

/// Series in one pass: a run of the portable suite touches about two hundred.
const BATCH: i64 = 500;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let waiting = verdicts::list_to_detect(&context.pool, BATCH).await?;
    let settings = &context.config.detection;
    let detector = settings.version();
    let mut around = 0;
    for series in &waiting {
        let points = verdicts::list_points(&context.pool, series.id).await?;
        let values = values(&points);
        let judged = match Metric::from_str(&series.metric) {
            Ok(metric) => {
                let own = Settings {
                    is_confirmed: series.is_confirmed,
                    ..*settings
                };
                let mut kept = context
                    .judged
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                kept.judge(series.id, &values, Scale::of(metric), &own)
            }
            Err(unknown) => {
                // A series that a newer version has written: its own detector judges it.
                tracing::warn!("series {}: {unknown}", series.id);
                Judged::default()
            }
        };
        let known = &points[..judged.judgements.len()];
        let mut transaction = context.pool.begin().await?;
        verdicts::replace(
            &mut transaction,
            series,
            &detector,
            known,
            &judged.judgements,
        )
        .await?;
        change_points::reconcile(&mut transaction, series, &detector, known, &judged.changes)
            .await?;
        around += controls::insert_around(&mut *transaction, series.id).await?;
        // After the controls were queued: a change that waits for one is held from the moment that it is seen.
        holds::update_series(&mut *transaction, series.id).await?;
        transaction.commit().await?;
    }
    Ok((!waiting.is_empty()).then(|| match around {
        0 => format!("judged {} series", waiting.len()),
        _ => format!(
            "judged {} series, queued {around} control(s) around what has changed",
            waiting.len()
        ),
    }))
}

/// The points as the detector takes them: an epoch is an environment, and a stretch between two moves of a control in it.
pub(super) fn values(points: &[DetectPoint]) -> Vec<Point> {
    let mut epochs: HashMap<(i64, i64), i64> = HashMap::new();
    let value = |point: &DetectPoint| {
        let next = i64::try_from(epochs.len()).unwrap_or(i64::MAX);
        let epoch = epochs.entry((point.environment_id, point.host_epoch));
        Point {
            value: point.median,
            low: point.low,
            high: point.high,
            epoch: *epoch.or_insert(next),
        }
    };
    points.iter().map(value).collect()
}
