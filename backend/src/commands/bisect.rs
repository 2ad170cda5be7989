//! `bisect`: has the commit behind a change looked for between any two points of a runtime's branch.

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;
use speedwell_backend::config::Config;
use speedwell_backend::db::audit;
use speedwell_backend::db::bisections::{self, NewBisection, by_hand};
use speedwell_backend::detection::bisection::{runs_for, usable_noise};
use speedwell_backend::domain::audit::Action;
use speedwell_backend::domain::bisection::budget;
use speedwell_wire::{CounterSource, Metric};

use super::{database, lookup, operator};

#[derive(Debug, Args)]
pub(super) struct BisectArguments {
    /// The runtime's name in the configuration.
    runtime: String,
    /// The benchmark's name.
    benchmark: String,
    /// The end that is as before: a tag, or at least seven digits of a hash.
    good: String,
    /// The end that is changed; later on the branch.
    bad: String,
    /// What to look at.
    #[arg(long, default_value = "wall_time")]
    metric: Metric,
    /// Where its values come from.
    #[arg(long, default_value = "software")]
    source: CounterSource,
    /// The host that measures; default: the one that measured the runtime last.
    #[arg(long)]
    host: Option<String>,
}

/// Opens the search and prints its number.
pub(super) async fn run(config: &Config, arguments: BisectArguments) -> anyhow::Result<()> {
    let settings = lookup::find_settings(config, &arguments.runtime)?;
    let database = database::open(config).await?;
    let pool = &database.pool;
    let runtime_id = lookup::find_runtime(pool, settings).await?;
    let (good, good_hash) =
        lookup::find_commit(pool, settings, runtime_id, &arguments.good).await?;
    let (bad, bad_hash) = lookup::find_commit(pool, settings, runtime_id, &arguments.bad).await?;
    let commits = by_hand::count_between(pool, runtime_id, good, bad)
        .await?
        .with_context(|| {
            format!(
                "GOOD and BAD: both must lie on the branch {}",
                settings.place().1
            )
        })?;
    ensure!(
        commits > 0,
        "GOOD must come before BAD on the branch: {good_hash} does not come before {bad_hash}"
    );
    ensure!(
        by_hand::is_in_suite(pool, runtime_id, &arguments.benchmark).await?,
        "BENCHMARK: the suite {} has no {:?}",
        settings.suite,
        arguments.benchmark
    );
    let host = by_hand::find_host(pool, runtime_id, arguments.host.as_deref())
        .await?
        .context("--host: there is none of this name, or none has measured the runtime yet")?;
    let noise = by_hand::find_noise(
        pool,
        runtime_id,
        host,
        &arguments.benchmark,
        arguments.metric.as_str(),
        arguments.source.as_str(),
    )
    .await?;
    let noise = usable_noise(noise.unwrap_or(f64::NAN), None);
    let new = NewBisection {
        regression_id: None,
        runtime_id,
        benchmark: arguments.benchmark,
        metric: arguments.metric.as_str().to_owned(),
        counter_source: arguments.source.as_str().to_owned(),
        before_commit_id: good,
        after_commit_id: bad,
        expected: None,
        noise,
        requester: operator::name(),
        budget: budget(usize::try_from(commits)?, runs_for(f64::NAN), 1),
    };
    let mut transaction = pool.begin().await?;
    let id = bisections::insert(&mut transaction, &new, &[host]).await?;
    let details = json!({
        "runtime": settings.name, "benchmark": new.benchmark, "after": good_hash, "up_to": bad_hash,
    });
    let subject = format!("bisection {id}");
    let action = Action::BisectionOpen;
    audit::record(&mut *transaction, &new.requester, action, &subject, details).await?;
    transaction.commit().await?;
    println!(
        "{}/bisections/{id}: {commits} commits after {good_hash} up to {bad_hash}",
        config.public_url()
    );
    Ok(())
}
