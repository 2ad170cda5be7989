//! `retention`: takes what the configuration does not keep any longer, or says what would go.

use chrono::Utc;
use clap::Args;
use serde_json::json;
use speedwell_backend::config::Config;
use speedwell_backend::db::{audit, locks};
use speedwell_backend::domain::audit::Action;
use speedwell_backend::scheduler::retention;

use super::{database, operator};

/// Whether to do it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  speedwell-backend retention --dry-run      what would go, and how large it is
  speedwell-backend retention                take it now; the running service does so every hour

The configuration says what is kept for how long. What it does not name is kept for ever, but for messages and events of jobs (a year):
  [retention]
  samples_days = 1095      raw samples, a whole year at a time; summaries and charts stay
  raw_files_days = 365     pyperf files of runs
  logs_days = 180          logs of jobs
  profiles_days = 730      stacks of profiles
  builds_days = 90         built interpreters; one that is wanted again is built again
  messages_days = 365      messages that were sent or given up, and alarms that are over
  job_events_days = 365    what happened to jobs, line by line
  audit_days = 1825        who did what")]
pub(super) struct RetentionArguments {
    /// Take nothing, only say what would go.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(config: &Config, arguments: RetentionArguments) -> anyhow::Result<()> {
    let (context, database) = database::open_context(config).await?;
    let due = retention::find(&context, Utc::now()).await?;
    if due.is_empty() {
        println!("nothing is older than [retention] keeps it");
    }
    if arguments.dry_run {
        for one in &due {
            println!("would go: {}", one.describe());
        }
        return Ok(());
    }
    let lock = locks::try_lock(&database.pool, "retention").await?;
    anyhow::ensure!(
        lock.is_some(),
        "a backup is being made, or the service does this already: try again later"
    );
    for one in &due {
        println!("{}", one.describe());
        let done = retention::take(&context, one).await?;
        println!("  {done}");
        let (who, action) = (operator::name(), Action::RetentionApply);
        let details = json!({ "done": done });
        audit::record(&database.pool, &who, action, &one.describe(), details).await?;
    }
    if let Some(others) = retention::take_others(&context, Utc::now()).await? {
        println!("{others}");
    }
    Ok(())
}
