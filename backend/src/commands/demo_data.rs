//! `demo-data`: fills an empty database with made-up measurements, for load tests. Every page over it says so.

use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use speedwell_backend::config::Config;
use speedwell_backend::db::synthetic;
use speedwell_backend::domain::synthetic::Plan;

use super::database;

/// What to make up.
#[derive(Debug, Args)]
pub(super) struct DemoDataArguments {
    /// About how many measurements: 100 benchmarks on ten runtimes, with more commits and metrics the more there are.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100_000..=1_000_000_000))]
    measurements: u64,
}

pub(super) async fn run(config: &Config, arguments: DemoDataArguments) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    anyhow::ensure!(
        !synthetic::is_in_use(&database.pool).await?,
        "this database holds repositories or hosts already: made-up data are never mixed with measured ones. Name an empty database by --database-url, or another `data` folder"
    );
    let plan = Plan::of(arguments.measurements);
    let begun = Instant::now();
    let mut told = 0;
    synthetic::fill(&database.pool, &plan, |done| {
        let percent = done * 100 / plan.measurements().max(1);
        if percent > told {
            told = percent;
            eprintln!("{percent} % of {} measurements", plan.measurements());
        }
    })
    .await
    .context(
        "the made-up data could not be loaded; drop this database and begin with an empty one",
    )?;
    println!(
        "{} measurements loaded in {:.0} s. Every page of this service says that they are made up. Leave [[runtime]] out of its configuration.",
        plan.measurements(),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}
