//! `bisect`: has the commit behind a change looked for between any two points of a runtime's branch.

use clap::Args;
use speedwell_backend::config::Config;
use speedwell_backend::web::search_by_hand::{ByHand, open};
use speedwell_wire::{CounterSource, Metric};

use super::{database, operator};

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
    let database = database::open(config).await?;
    let wanted = ByHand {
        runtime: arguments.runtime,
        benchmark: arguments.benchmark,
        good: arguments.good,
        bad: arguments.bad,
        metric: arguments.metric.as_str().to_owned(),
        source: arguments.source.as_str().to_owned(),
        host: arguments.host.unwrap_or_default(),
    };
    let opened = open(&database.pool, &wanted, &operator::name()).await?;
    println!(
        "{}/bisections/{}: {} commits after {} up to {}",
        config.public_url(),
        opened.id,
        opened.commits,
        opened.good,
        opened.bad
    );
    Ok(())
}
