//! Asking for measurements: a commit that the policy leaves out, or repeats of one that is measured.

use anyhow::ensure;
use clap::Args;
use serde_json::json;
use speedwell_backend::config::Config;
use speedwell_backend::db::{audit, enqueue};
use speedwell_backend::domain::audit::Action;

use super::{database, lookup, operator};

#[derive(Debug, Args)]
pub(super) struct RequestArguments {
    /// The runtime's name in the configuration.
    runtime: String,
    /// A tag, or at least seven digits of a commit's hash.
    commit: String,
    /// How many runs of each build.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=1000))]
    times: i32,
    /// Build the commit so many times anew, without the compiler cache, to see how far builds differ; 0: use its one build.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=100))]
    builds: i32,
    /// Only this benchmark; may be given several times.
    #[arg(long = "benchmark")]
    benchmarks: Vec<String>,
    /// The class of hosts that may take it; default: the runtime's first.
    #[arg(long)]
    class: Option<String>,
}

/// Queues the runs and prints their jobs' addresses.
pub(super) async fn run(config: &Config, arguments: RequestArguments) -> anyhow::Result<()> {
    let settings = lookup::find_settings(config, &arguments.runtime)?;
    let class = match &arguments.class {
        Some(class) => {
            ensure!(
                settings.host_classes.contains(class),
                "--class: {} is measured on {}, not on {class:?}",
                settings.name,
                settings.host_classes.join(", ")
            );
            class
        }
        None => &settings.host_classes[0],
    };
    let database = database::open(config).await?;
    let runtime_id = lookup::find_runtime(&database.pool, settings).await?;
    let (commit_id, hash) =
        lookup::find_commit(&database.pool, settings, runtime_id, &arguments.commit).await?;
    let who = operator::name();
    let request = enqueue::Request {
        runtime_id,
        commit_id,
        class,
        requester: &who,
        benchmarks: &arguments.benchmarks,
    };
    let repeats = enqueue::Repeats {
        runs: arguments.times,
        builds: arguments.builds,
    };
    let mut transaction = database.pool.begin().await?;
    let jobs = enqueue::insert_requests(&mut *transaction, &request, repeats).await?;
    let details = json!({ "commit": hash, "class": class, "jobs": jobs });
    let subject = format!("runtime {}", settings.name);
    let action = Action::JobRequest;
    audit::record(&mut *transaction, &who, action, &subject, details).await?;
    transaction.commit().await?;
    for job in jobs {
        println!(
            "{}/jobs/{job}: {} at {hash}",
            config.public_url(),
            settings.name
        );
    }
    Ok(())
}
