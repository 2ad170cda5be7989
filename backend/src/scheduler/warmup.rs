//! Finds each process's steady state in new runs, and derives warm-up time and steady time from it. One transaction per
//! run; a killed pass leaves the rest unmarked.

use speedwell_wire::{CounterSource, Metric, Sample};

use super::Outcome;
use crate::context::Context;
use crate::db::warmup::{self, Iterations, Judged};
use crate::detection::warmup::{Class, Curve, WARMUP_VERSION, classify};
use crate::domain::run_report::NewMeasurement;
use crate::domain::summary::Summary;

/// Runs in one pass.
const BATCH: i64 = 20;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let runs = warmup::list_runs_to_judge(&context.pool, WARMUP_VERSION, BATCH).await?;
    for run in &runs {
        let iterations = warmup::list_iterations(&context.pool, *run).await?;
        if !iterations.is_empty() && iterations.iter().all(|one| one.sample_values.is_empty()) {
            // Retention has taken the samples: what older rules made of them stays.
            warmup::keep(&context.pool, *run, WARMUP_VERSION).await?;
            continue;
        }
        let (iterations, judged, derived) = tokio::task::spawn_blocking(move || {
            let (judged, derived) = judge(&iterations);
            (iterations, judged, derived)
        })
        .await?;
        let mut transaction = context.pool.begin().await?;
        warmup::replace(
            &mut transaction,
            *run,
            WARMUP_VERSION,
            &judged,
            &iterations,
            &derived,
        )
        .await?;
        transaction.commit().await?;
    }
    Ok((!runs.is_empty()).then(|| format!("looked at the warm-up of {} run(s)", runs.len())))
}

/// The classes of the benchmarks that have enough iterations, and the measurements derived from them.
fn judge(iterations: &[Iterations]) -> (Vec<Judged>, Vec<NewMeasurement>) {
    let mut judged = Vec::new();
    let mut derived = Vec::new();
    for (index, one) in iterations.iter().enumerate() {
        let curves: Option<Vec<(i16, Curve)>> = processes(one)
            .into_iter()
            .map(|(process, values)| Some((process, classify(&values)?)))
            .collect();
        let Some(curves) = curves else { continue };
        let classes: Vec<Class> = curves.iter().map(|(_, curve)| curve.class).collect();
        let Some(class) = Class::together(&classes) else {
            continue;
        };
        let index_of = |from: usize| i32::try_from(from).unwrap_or(i32::MAX);
        judged.push(Judged {
            benchmark_id: one.benchmark_id,
            class: class.as_str(),
            process_class: classes.iter().map(|class| class.as_str()).collect(),
            steady_from: curves
                .iter()
                .map(|(_, curve)| curve.steady_from.map(index_of))
                .collect(),
        });
        // A process without a steady state makes both times unavailable: those of the others alone would flatter.
        let of_all = |value: &dyn Fn(&Curve) -> Option<f64>| -> Option<Vec<(i16, f64)>> {
            let of_one = |(process, curve): &(i16, Curve)| Some((*process, value(curve)?));
            curves.iter().map(of_one).collect()
        };
        let steady = of_all(&|curve| curve.steady);
        let warmup = one
            .loops
            .and_then(|loops| of_all(&|curve| Some(curve.warmup? * loops as f64)));
        let bad = of_all(&|curve| Some(f64::from(u8::from(curve.class.is_bad()))));
        let found = [
            (Metric::SteadyTime, steady),
            (Metric::WarmupTime, warmup),
            (Metric::BadWarmup, bad),
        ];
        derived.extend(
            found
                .into_iter()
                .filter_map(|(metric, values)| measurement(index, metric, &values?)),
        );
    }
    (judged, derived)
}

/// The iterations of each process in the order taken.
fn processes(one: &Iterations) -> Vec<(i16, Vec<f64>)> {
    let mut found: Vec<(i16, Vec<f64>)> = Vec::new();
    for (value, process) in one.sample_values.iter().zip(&one.sample_process) {
        match found.iter_mut().find(|(known, _)| known == process) {
            Some((_, values)) => values.push(*value),
            None => found.push((*process, vec![*value])),
        }
    }
    found
}

fn measurement(benchmark: usize, metric: Metric, values: &[(i16, f64)]) -> Option<NewMeasurement> {
    let numbered: Vec<(u32, f64)> = values
        .iter()
        .map(|(process, value)| (u32::try_from(*process).unwrap_or(0), *value))
        .collect();
    Some(NewMeasurement {
        benchmark,
        metric,
        source: CounterSource::Software,
        summary: Summary::of_processes(&numbered)?,
        samples: numbered
            .into_iter()
            .map(|(process, value)| Sample {
                process,
                warmup: false,
                value,
            })
            .collect(),
    })
}
