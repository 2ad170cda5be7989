//! Works out what differs on both sides of a commit that was found, and keeps it with the regression.

use std::str::FromStr as _;

use anyhow::Context as _;
use speedwell_wire::{CounterSource, Metric, ProfileReport};

use super::Outcome;
use crate::binary;
use crate::context::Context;
use crate::db::explanations::{self, ProfilePair, SidesRow, ToExplain};
use crate::domain::compare::Estimate;
use crate::domain::components;
use crate::domain::explain::{
    EXPLAIN_VERSION, Evidence, MetricPair, ProfileDifference, Sizes, explain,
};
use crate::domain::profile::cost;
use crate::domain::profile_difference::parts;

/// Regressions in one pass.
const BATCH: i64 = 5;
/// Benchmarks whose profiles are compared.
const PROFILES: i64 = 3;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let waiting = explanations::list_to_explain(&context.pool, EXPLAIN_VERSION, BATCH).await?;
    let mut count = 0;
    for one in &waiting {
        count += usize::from(explain_one(context, one).await?);
    }
    Ok((count > 0).then(|| format!("explained {count}")))
}

async fn explain_one(context: &Context, of: &ToExplain) -> anyhow::Result<bool> {
    let (sides, rows) = find_sides(context, of).await?;
    let touched = explanations::find_touched(&context.pool, of.branch_id, sides.0, sides.1).await?;
    let pairs =
        explanations::list_profile_pairs(&context.pool, of.id, sides.0, sides.1, PROFILES).await?;
    let mut profiles = Vec::new();
    for pair in pairs {
        profiles.extend(compare_profiles(context, pair).await?);
    }
    let confirmed = explanations::list_confirmed_metrics(&context.pool, of.id).await?;
    let evidence = Evidence {
        confirmed: confirmed
            .iter()
            .filter_map(|name| Metric::from_str(name).ok())
            .collect(),
        metrics: rows.into_iter().filter_map(metric_pair).collect(),
        profiles,
        sizes: find_sizes(context, of, sides).await?,
        paths: (touched.commits > 0 && touched.read == touched.commits)
            .then(|| (touched.paths, usize::try_from(touched.count).unwrap_or(0))),
        commits: touched.commits,
    };
    let explanation = explain(&evidence);
    let mut transaction = context.pool.begin().await?;
    let stored =
        explanations::store(&mut transaction, of, sides, EXPLAIN_VERSION, &explanation).await?;
    transaction.commit().await?;
    Ok(stored)
}

/// The commit and its parent when both were measured, else the ends of the range.
async fn find_sides(
    context: &Context,
    of: &ToExplain,
) -> anyhow::Result<((i64, i64), Vec<SidesRow>)> {
    let ends = (of.before_commit_id, of.after_commit_id);
    let candidates = of
        .parent_commit_id
        .map(|parent| (parent, of.culprit_commit_id));
    for sides in candidates.into_iter().chain([ends]) {
        let rows = explanations::list_sides(&context.pool, of.id, sides.0, sides.1).await?;
        if !rows.is_empty() {
            return Ok((sides, rows));
        }
    }
    Ok((ends, Vec::new()))
}

/// What a newer worker measures and this version does not know is left out.
fn metric_pair(row: SidesRow) -> Option<MetricPair> {
    Some(MetricPair {
        metric: Metric::from_str(&row.metric).ok()?,
        source: CounterSource::from_str(&row.counter_source).ok()?,
        benchmark: row.benchmark,
        host: row.host,
        before: Estimate {
            median: row.before,
            low: row.before_low,
            high: row.before_high,
        },
        after: Estimate {
            median: row.after,
            low: row.after_low,
            high: row.after_high,
        },
    })
}

async fn compare_profiles(
    context: &Context,
    pair: ProfilePair,
) -> anyhow::Result<Option<ProfileDifference>> {
    // What the store has dropped is not compared.
    let before = context.artefacts.get(&pair.before_artefact).await?;
    let after = context.artefacts.get(&pair.after_artefact).await?;
    let (Some(before), Some(after)) = (before, after) else {
        return Ok(None);
    };
    let difference = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let read = |bytes: &[u8]| -> anyhow::Result<ProfileReport> {
            let json = zstd::decode_all(bytes).context("a profile cannot be unpacked")?;
            Ok(serde_json::from_slice(&json)?)
        };
        let (before, after) = (read(&before)?, read(&after)?);
        let (components, functions) = parts(components::mapping(), &after, &before);
        Ok(ProfileDifference {
            benchmark: pair.benchmark,
            noun: cost(&after).noun.to_owned(),
            runs: (pair.before_run_id, pair.after_run_id),
            components,
            functions,
        })
    });
    difference.await?.map(Some)
}

/// Sizes of both interpreters. An artefact that is none of ours (an interpreter that nobody builds) has none; that is said, not failed.
async fn find_sizes(
    context: &Context,
    of: &ToExplain,
    sides: (i64, i64),
) -> anyhow::Result<Option<(Sizes, Sizes)>> {
    let builds = explanations::find_builds(&context.pool, of.id, sides.0, sides.1).await?;
    let Some((before, after)) = builds else {
        return Ok(None);
    };
    let mut found = Vec::new();
    for sha256 in [before, after] {
        let Some(bytes) = context.artefacts.get(&sha256).await? else {
            return Ok(None);
        };
        let read = tokio::task::spawn_blocking(move || binary::sizes(&bytes)).await?;
        match read {
            Ok(Some(sizes)) => found.push(sizes),
            Ok(None) => return Ok(None),
            Err(error) => {
                tracing::warn!("sizes of the build {sha256}: {error:#}");
                return Ok(None);
            }
        }
    }
    let after = found.pop();
    Ok(found.pop().zip(after))
}
