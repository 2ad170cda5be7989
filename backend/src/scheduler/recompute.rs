//! Replays history with other parameters of the detector and stores how the alarms would differ. It changes nothing else: a killed
//! pass begins anew.

use std::collections::HashMap;
use std::str::FromStr as _;

use speedwell_wire::Metric;
use sqlx::PgPool;

use super::Outcome;
use super::detect::values;
use crate::context::Context;
use crate::db::recomputes::{self, SeriesToReplay};
use crate::db::verdicts::{self, DetectPoint};
use crate::detection::Scale;
use crate::detection::replay::{Alarm, difference, replay};
use crate::detection::segments::Settings;
use crate::domain::recompute::{AlarmRow, Preview};
use crate::domain::regression::OPENING;

/// One pass: the oldest preview that waits.
pub async fn tick(context: &Context) -> Outcome {
    let Some(wanted) = recomputes::next(&context.pool).await? else {
        return Ok(None);
    };
    let runtime = wanted.runtime.as_deref();
    let present = &context.config.detection;
    match preview(&context.pool, present, &wanted.settings, runtime).await {
        Ok(preview) => recomputes::finish(&context.pool, wanted.id, Ok(&preview)).await?,
        Err(error) => {
            let why = format!("{error:#}");
            recomputes::finish(&context.pool, wanted.id, Err(&why)).await?;
        }
    }
    Ok(Some(format!("previewed {}", wanted.detector)))
}

/// How the alarms of all series, or of one runtime's, differ between two sets of parameters.
pub async fn preview(
    pool: &PgPool,
    present: &Settings,
    proposed: &Settings,
    runtime: Option<&str>,
) -> anyhow::Result<Preview> {
    let metrics = OPENING.map(Metric::as_str);
    let mut preview = Preview::default();
    for series in recomputes::list_series(pool, runtime, &metrics).await? {
        let Ok(metric) = Metric::from_str(&series.metric) else {
            continue;
        };
        let points = verdicts::list_points(pool, series.id).await?;
        let settings = [*present, *proposed];
        let read = values(&points);
        let [before, after] = tokio::task::spawn_blocking(move || {
            settings.map(|settings| replay(&read, Scale::of(metric), &settings))
        })
        .await?;
        let stay = |alarms: &[Alarm]| alarms.iter().filter(|one| one.stays).count();
        preview.series += 1;
        preview.points += points.len();
        preview.present += before.len();
        preview.present_stay += stay(&before);
        preview.proposed += after.len();
        preview.proposed_stay += stay(&after);
        let (lost, gained) = difference(&before, &after);
        if !lost.is_empty() || !gained.is_empty() {
            preview
                .lost
                .extend(rows(pool, &series, &points, &lost).await?);
            preview
                .gained
                .extend(rows(pool, &series, &points, &gained).await?);
        }
    }
    Ok(preview)
}

/// Alarms with the names of what they are about, and what became of them here.
async fn rows(
    pool: &PgPool,
    series: &SeriesToReplay,
    points: &[DetectPoint],
    alarms: &[Alarm],
) -> sqlx::Result<Vec<AlarmRow>> {
    let outcomes: HashMap<i64, String> = recomputes::list_outcomes(pool, series.id)
        .await?
        .into_iter()
        .collect();
    let commits: Vec<i64> = alarms
        .iter()
        .map(|one| points[one.change.at].commit_id)
        .collect();
    let hashes: HashMap<i64, String> = recomputes::list_hashes(pool, &commits)
        .await?
        .into_iter()
        .collect();
    let row = |(alarm, commit): (&Alarm, &i64)| AlarmRow {
        series_id: series.id,
        runtime: series.runtime.clone(),
        benchmark: series.benchmark.clone(),
        metric: series.metric.clone(),
        host: series.host.clone(),
        commit: hashes.get(commit).cloned().unwrap_or_default(),
        change: alarm.change.change.change,
        stays: alarm.stays,
        known: outcomes.get(commit).cloned().unwrap_or_default(),
    };
    Ok(alarms.iter().zip(&commits).map(row).collect())
}
