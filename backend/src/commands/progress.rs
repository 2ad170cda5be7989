//! Follows the newest commits until they are measured. Reads the database only; `deploy/quickstart` shows it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use speedwell_backend::config::Config;
use speedwell_backend::db::progress::{self, RuntimeProgress};

use super::database;

#[derive(Debug, Args)]
pub(super) struct ProgressArguments {
    /// End when the commits that the policies ask for are measured, with status 1 if none could be.
    #[arg(long)]
    once: bool,
}

/// Prints a line whenever something changed.
pub(super) async fn run(config: &Config, arguments: ProgressArguments) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    let wanted: BTreeMap<&str, Option<u32>> = config
        .runtimes
        .iter()
        .map(|runtime| (runtime.name.as_str(), runtime.policy.newest))
        .collect();
    let begun = Instant::now();
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    while !look(&database.pool, &wanted, (begun, &mut shown), arguments.once)
        .await
        .context("the database does not answer any more; was the backend stopped?")?
    {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    summary(config, &database.pool).await
}

/// Prints what has changed; whether all is over that is waited for.
async fn look(
    pool: &sqlx::PgPool,
    wanted: &BTreeMap<&str, Option<u32>>,
    (begun, shown): (Instant, &mut BTreeMap<String, String>),
    once: bool,
) -> sqlx::Result<bool> {
    for (name, line) in progress::list_troubles(pool).await? {
        show(shown, begun, format!("repository {name}"), line);
    }
    let runtimes = progress::list_runtimes(pool).await?;
    for runtime in &runtimes {
        let line = line_of(runtime, wanted.get(runtime.name.as_str()));
        show(shown, begun, runtime.name.clone(), line);
    }
    for (job, line) in progress::list_running(pool).await? {
        show(shown, begun, format!("job {job}"), line);
    }
    let over = |runtime: &RuntimeProgress| is_over(runtime, wanted.get(runtime.name.as_str()));
    Ok(once && runtimes.len() >= wanted.len() && runtimes.iter().all(over))
}

fn show(shown: &mut BTreeMap<String, String>, begun: Instant, what: String, line: String) {
    if shown.get(&what) != Some(&line) {
        let seconds = begun.elapsed().as_secs();
        println!("[{:>3}:{:02}] {what}: {line}", seconds / 60, seconds % 60);
        shown.insert(what, line);
    }
}

/// How many commits the policy asks for.
fn target(runtime: &RuntimeProgress, newest: Option<&Option<u32>>) -> i64 {
    newest.copied().flatten().map_or(runtime.commits, |newest| {
        runtime.commits.min(i64::from(newest))
    })
}

fn line_of(runtime: &RuntimeProgress, newest: Option<&Option<u32>>) -> String {
    if runtime.commits == 0 {
        return "waiting for the history".to_owned();
    }
    format!(
        "{} of {} measured, {} failed, {} waiting",
        runtime.measured,
        target(runtime, newest),
        runtime.failed,
        runtime.queued
    )
}

fn is_over(runtime: &RuntimeProgress, newest: Option<&Option<u32>>) -> bool {
    let target = target(runtime, newest);
    target > 0
        && runtime.queued + runtime.running == 0
        && runtime.measured + runtime.failed >= target
}

async fn summary(config: &Config, pool: &sqlx::PgPool) -> anyhow::Result<()> {
    let rows = progress::list_summary(pool).await?;
    println!(
        "\n{:<16} {:<10} {:<44} {:>8} {:>8} {:>6} {:>12}",
        "runtime", "commit", "subject", "build s", "run s", "bench", "geomean ms"
    );
    let seconds =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    for row in &rows {
        let subject: String = row
            .subject
            .chars()
            .filter(|c| !c.is_control())
            .take(44)
            .collect();
        println!(
            "{:<16} {:<10} {subject:<44} {:>8} {:>8} {:>6} {:>12}",
            row.runtime,
            row.hash.chars().take(10).collect::<String>(),
            seconds(row.build_seconds),
            seconds(row.run_seconds),
            row.benchmarks,
            row.geomean.map_or_else(
                || row.state.clone(),
                |value| format!("{:.3}", value * 1000.0)
            ),
        );
    }
    println!("\nThe charts are at {}", config.public_url());
    anyhow::ensure!(
        rows.iter().any(|row| row.geomean.is_some()),
        "no commit could be measured"
    );
    Ok(())
}
