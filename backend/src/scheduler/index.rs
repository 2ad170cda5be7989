//! Keeps the index: a point for each whole run of a runtime on a host, compared with the release before it.
//!
//! Level-triggered: a pass asks which pairs of runtime and host have inputs that their points were not made from, and makes
//! only what differs. Every point stands alone, and the pair's signature is written last: a killed pass leaves the rest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use speedwell_wire::{CounterSource, Metric};

use super::Outcome;
use crate::context::Context;
use crate::db::index::{self, Packed, RunRow, ValueRow, Waiting};
use crate::domain::index::{INDEX_VERSION, Measured, Place, Release, against, places};

/// Runs whose values are read at once.
const BATCH: usize = 50;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let mut count = 0;
    for waiting in index::list_waiting(&context.pool).await? {
        count += bring_up_to_date(context, &waiting).await?;
    }
    Ok((count > 0).then(|| format!("compared {count} runs with the release before them")))
}

/// Brings the points of one pair up to date; how many were compared.
async fn bring_up_to_date(context: &Context, waiting: &Waiting) -> anyhow::Result<usize> {
    let pool = &context.pool;
    let runs = index::list_runs(pool, waiting.runtime_id, waiting.host_id).await?;
    let keys: Vec<i64> = runs.iter().map(|run| run.run_id).collect();
    index::forget(pool, waiting, &keys).await?;
    let measured: Vec<Measured> = runs.iter().map(measured).collect();
    let places = places(&measured);
    let both: Vec<(&RunRow, Place)> = runs.iter().zip(places).collect();

    let missing: Vec<(&RunRow, Place)> = both
        .iter()
        .filter(|(run, _)| run.version.is_none())
        .copied()
        .collect();
    for batch in missing.chunks(BATCH) {
        add(context, waiting, batch).await?;
    }
    for (run, place) in &both {
        if run.version.is_some() && !(run.placed && run.weekly == Some(place.weekly)) {
            index::place(pool, waiting, run, place.weekly).await?;
        }
    }
    // A reference that has become a release, or is none any more, is told anew.
    let moved: BTreeSet<i64> = runs
        .iter()
        .filter(|run| !run.placed)
        .map(|run| run.run_id)
        .collect();
    let stale: Vec<(i64, Option<i64>)> = both
        .iter()
        .filter(|(run, place)| {
            run.version.as_deref() != Some(INDEX_VERSION)
                || run.reference_run_id != place.reference
                || place.reference.is_some_and(|run| moved.contains(&run))
        })
        .map(|(run, place)| (run.run_id, place.reference))
        .collect();
    for batch in stale.chunks(BATCH) {
        compare(context, batch).await?;
    }
    let commits: BTreeSet<i32> = runs.iter().filter_map(|run| run.position).collect();
    index::finish(pool, waiting, commits.len()).await?;
    Ok(stale.len())
}

fn measured(run: &RunRow) -> Measured {
    let release = run.release_line.clone().map(|line| Release {
        line,
        is_final: run.release_final.unwrap_or(false),
    });
    Measured {
        run_id: run.run_id,
        environment_id: run.environment_id,
        epoch: run.epoch,
        commit_id: run.commit_id,
        position: run.position,
        own_commits: run.own_commits,
        committed_at: run.committed_at,
        release,
    }
}

/// Makes points that are not compared yet, each with its values.
async fn add(
    context: &Context,
    waiting: &Waiting,
    batch: &[(&RunRow, Place)],
) -> anyhow::Result<()> {
    let keys: Vec<i64> = batch.iter().map(|(run, _)| run.run_id).collect();
    let rows = index::list_values(&context.pool, &keys).await?;
    let mut by_run: HashMap<i64, Vec<ValueRow>> = HashMap::new();
    for row in rows {
        by_run.entry(row.run_id).or_default().push(row);
    }
    for (run, place) in batch {
        let own = by_run.remove(&run.run_id).unwrap_or_default();
        let packed = pack(&own);
        let mut transaction = context.pool.begin().await?;
        index::place(&mut *transaction, waiting, run, place.weekly).await?;
        index::store_values(&mut *transaction, run.run_id, &packed).await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// Packs the values of one run. Of several sources of counters the nearest to the hardware is taken, and only that one.
fn pack(rows: &[ValueRow]) -> Packed {
    let mut packed = Packed::default();
    let sources = [
        CounterSource::Pmu,
        CounterSource::PmuEmulated,
        CounterSource::Valgrind,
        CounterSource::Software,
    ];
    let counted = |row: &&ValueRow| {
        [Metric::Ipc, Metric::FrontendBound]
            .iter()
            .any(|metric| metric.as_str() == row.metric)
    };
    let has = |source: &CounterSource| {
        rows.iter()
            .filter(counted)
            .any(|row| row.counter_source == source.as_str())
    };
    let source = sources.into_iter().find(has).map(CounterSource::as_str);
    let mut counters: BTreeMap<i64, [Option<f64>; 2]> = BTreeMap::new();
    for row in rows {
        match row.metric.parse::<Metric>() {
            Ok(metric) if Metric::MAIN.contains(&metric) => {
                let value = (row.median, row.interval_low, row.interval_high);
                packed.values.push(row.benchmark_id, metric, value);
            }
            Ok(metric) if Some(row.counter_source.as_str()) == source && row.median.is_finite() => {
                let place = usize::from(metric == Metric::FrontendBound);
                if let Some(cell) = counters.entry(row.benchmark_id).or_default().get_mut(place) {
                    *cell = Some(row.median);
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
    for id in &packed.values.benchmark_ids {
        let [ipc, front] = counters.get(id).copied().unwrap_or_default();
        packed.ipc.push(ipc);
        packed.frontend_bound.push(front);
    }
    packed.source = source.map(str::to_owned);
    packed
}

/// Compares runs with their references.
async fn compare(context: &Context, batch: &[(i64, Option<i64>)]) -> anyhow::Result<()> {
    let keys: BTreeSet<i64> = batch
        .iter()
        .flat_map(|(run, reference)| [Some(*run), *reference])
        .flatten()
        .collect();
    let keys: Vec<i64> = keys.into_iter().collect();
    let packed: HashMap<i64, Packed> = index::list_packed(&context.pool, &keys)
        .await?
        .into_iter()
        .collect();
    let none = Packed::default();
    for (run, reference) in batch {
        let of = |run: &i64| &packed.get(run).unwrap_or(&none).values;
        let total = reference.map(|reference| against(of(run), of(&reference)));
        index::store_comparison(&context.pool, *run, *reference, total.as_ref()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(benchmark_id: i64, metric: Metric, source: CounterSource, median: f64) -> ValueRow {
        ValueRow {
            run_id: 1,
            benchmark_id,
            metric: metric.as_str().to_owned(),
            counter_source: source.as_str().to_owned(),
            median,
            interval_low: median * 0.9,
            interval_high: median * 1.1,
        }
    }

    #[test]
    fn counters_are_of_one_source_and_beside_their_benchmark() {
        assert_eq!(pack(&[]), Packed::default());
        let software = CounterSource::Software;
        let packed = pack(&[
            row(1, Metric::WallTime, software, 1.0),
            row(1, Metric::Ipc, CounterSource::PmuEmulated, 9.0),
            row(2, Metric::WallTime, software, 2.0),
            row(2, Metric::Ipc, CounterSource::Pmu, 2.0),
            row(2, Metric::FrontendBound, CounterSource::Pmu, 0.5),
            row(3, Metric::Ipc, CounterSource::Pmu, 3.0),
        ]);
        assert_eq!(packed.values.benchmark_ids, [1, 2]);
        assert_eq!(packed.source.as_deref(), Some("pmu"));
        assert_eq!(packed.ipc, [None, Some(2.0)]);
        assert_eq!(packed.frontend_bound, [None, Some(0.5)]);
    }
}
