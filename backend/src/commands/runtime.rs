//! Runtimes: what they are doing, holding them back, asking for runs.

use clap::Subcommand;
use serde_json::json;
use speedwell_backend::config::Config;
use speedwell_backend::db::{audit, operate};
use speedwell_backend::domain::audit::Action;

use super::{database, operator, request};

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  speedwell-backend runtime list
  speedwell-backend runtime pause cpython-main       before work on its recipe
  speedwell-backend runtime resume cpython-main
  speedwell-backend runtime measure cpython-main v3.14.0 --times 3

Runtimes are added and changed in the configuration (`[[runtime]]`); one that is taken out of it keeps its history.")]
pub(super) enum RuntimeCommand {
    /// All runtimes: what waits, what runs, when the newest result came.
    #[command(after_help = "Example:\n  speedwell-backend runtime list")]
    List,
    /// Give it no jobs, and let no host take those that wait. What runs is finished.
    #[command(after_help = "Example:\n  speedwell-backend runtime pause cpython-main")]
    Pause {
        /// Its name in the configuration.
        name: String,
    },
    /// Let it go on.
    #[command(after_help = "Example:\n  speedwell-backend runtime resume cpython-main")]
    Resume {
        /// Its name in the configuration.
        name: String,
    },
    /// Ask for runs of a commit, beside what the policy asks for (as `request`).
    #[command(
        after_help = "Example:\n  speedwell-backend runtime measure cpython-main v3.14.0 --times 3 --benchmark nbody"
    )]
    Measure(request::RequestArguments),
}

pub(super) async fn run(config: &Config, command: RuntimeCommand) -> anyhow::Result<()> {
    match command {
        RuntimeCommand::List => list(config).await,
        RuntimeCommand::Pause { name } => set_paused(config, &name, true).await,
        RuntimeCommand::Resume { name } => set_paused(config, &name, false).await,
        RuntimeCommand::Measure(arguments) => request::run(config, arguments).await,
    }
}

async fn list(config: &Config) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    println!(
        "{:<24} {:<28} {:>7} {:>7}  newest result",
        "runtime", "state", "waiting", "running"
    );
    for one in operate::list_runtimes(&database.pool).await? {
        let state = match (one.enabled, one.paused_at) {
            (false, _) => "no longer configured".to_owned(),
            (true, Some(since)) => format!("paused {}", since.format("%Y-%m-%d %H:%M")),
            (true, None) => "measured".to_owned(),
        };
        let newest = one.last_run_at.map_or("none".to_owned(), |at| {
            at.format("%Y-%m-%d %H:%M").to_string()
        });
        println!(
            "{:<24} {state:<28} {:>7} {:>7}  {newest}",
            one.name, one.queued, one.running
        );
    }
    Ok(())
}

async fn set_paused(config: &Config, name: &str, paused: bool) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    let mut transaction = database.pool.begin().await?;
    let since = operate::set_paused(&mut *transaction, name, paused).await?;
    if since.is_some() {
        let subject = format!("runtime {name}");
        let (who, action) = (operator::name(), Action::RuntimeChange);
        let details = json!({ "paused": paused });
        audit::record(&mut *transaction, &who, action, &subject, details).await?;
    }
    transaction.commit().await?;
    match since {
        Some(Some(since)) => println!("{name} is paused since {}", since.format("%Y-%m-%d %H:%M")),
        Some(None) => println!("{name} goes on"),
        None => anyhow::bail!("there is no runtime {name:?}: `runtime list` shows all"),
    }
    Ok(())
}
