//! Measures the noise floor of series that have new measurements. Each series stands alone; a killed pass leaves the rest.

use super::Outcome;
use crate::context::Context;
use crate::db::noise::{self, Repetition};
use crate::detection::Scale;
use crate::detection::noise::{Observation, measure};

/// Series in one pass.
const BATCH: i64 = 300;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let waiting = noise::list_series(&context.pool, BATCH).await?;
    let mut count = 0;
    for series in &waiting {
        let repetitions = noise::list_repetitions(&context.pool, series.id).await?;
        // Its measurements went away meanwhile.
        let Some(environment_id) = repetitions.first().map(|one| one.environment_id) else {
            continue;
        };
        if repetitions.iter().all(|one| one.sample_values.is_empty())
            && noise::keep(&context.pool, series).await?
        {
            count += 1;
            continue;
        }
        let added = Scale::named(&series.metric).map_or(0.0, |scale| scale.added);
        let floor = tokio::task::spawn_blocking(move || {
            let observations: Vec<Observation> = repetitions
                .iter()
                .filter(|one| !one.sample_values.is_empty())
                .map(observation)
                .collect();
            measure(&observations, added)
        })
        .await?;
        noise::replace(&context.pool, series, environment_id, &floor).await?;
        count += 1;
    }
    Ok((count > 0).then(|| format!("measured the noise of {count} series")))
}

fn observation(one: &Repetition) -> Observation {
    let samples = one.sample_values.iter().zip(&one.sample_process);
    let counted = samples
        .zip(&one.sample_warmup)
        .filter(|(_, warmup)| !**warmup);
    Observation {
        source: one.source,
        build: one.build_id,
        position: one.position,
        samples: counted
            .map(|((value, process), _)| (*process, *value))
            .collect(),
    }
}
