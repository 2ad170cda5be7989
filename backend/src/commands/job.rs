//! Jobs: what is queued, runs and failed; ending one, asking for one once more.

use clap::Subcommand;
use serde_json::json;
use speedwell_backend::config::Config;
use speedwell_backend::db::operate::{self, Retry};
use speedwell_backend::db::{audit, queue};
use speedwell_backend::domain::audit::Action;

use super::{database, operator};

/// What may be listed.
const STATES: [&str; 5] = ["queued", "running", "succeeded", "failed", "cancelled"];

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  speedwell-backend job list                     what waits and runs
  speedwell-backend job list --state failed      what failed, the newest first
  speedwell-backend job retry 4711
  speedwell-backend job cancel 4711")]
pub(super) enum JobCommand {
    /// Jobs by state: those that run and wait, unless others are asked for.
    #[command(after_help = "Example:\n  speedwell-backend job list --state failed --limit 20")]
    List {
        /// Only of this state; may be given several times.
        #[arg(long = "state", value_parser = STATES)]
        states: Vec<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Ask for a job's end.
    #[command(after_help = "Example:\n  speedwell-backend job cancel 4711")]
    Cancel {
        /// The job's number.
        job: i64,
    },
    /// Queue the work of a job that is over once more, as a new job.
    #[command(after_help = "Example:\n  speedwell-backend job retry 4711")]
    Retry {
        /// The job's number.
        job: i64,
    },
}

pub(super) async fn run(config: &Config, command: JobCommand) -> anyhow::Result<()> {
    match command {
        JobCommand::List { states, limit } => list(config, &states, limit).await,
        JobCommand::Cancel { job } => database::cancel(config, job).await,
        JobCommand::Retry { job } => retry(config, job).await,
    }
}

async fn list(config: &Config, states: &[String], limit: i64) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    let mut wanted: Vec<&str> = states.iter().map(String::as_str).collect();
    if wanted.is_empty() {
        wanted = vec!["queued", "running"];
    }
    let jobs = queue::list_jobs(&database.pool, &wanted, limit).await?;
    if jobs.is_empty() {
        println!("no job is {}", wanted.join(" or "));
    }
    for job in jobs {
        let note = job.failure_message.or(job.progress).unwrap_or_default();
        // What builds and benchmarks say is not trusted on a terminal.
        let note: String = note.chars().filter(|c| !c.is_control()).take(80).collect();
        println!(
            "{:>8} {:<9} {:<20} {:<10} {:<12} {:<12} {note}",
            job.id,
            job.state,
            job.runtime,
            job.hash.chars().take(10).collect::<String>(),
            job.host.unwrap_or(job.host_class),
            job.reason
        );
    }
    Ok(())
}

async fn retry(config: &Config, job: i64) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    let mut transaction = database.pool.begin().await?;
    let who = operator::name();
    let done = operate::retry(&mut transaction, job, &who).await?;
    if let Retry::Queued(new) = &done {
        let (action, subject) = (Action::JobRequest, format!("job {new}"));
        let details = json!({ "repeats": job });
        audit::record(&mut *transaction, &who, action, &subject, details).await?;
    }
    transaction.commit().await?;
    match done {
        Retry::Queued(new) => {
            println!(
                "job {job} is queued once more: {}/jobs/{new}",
                config.public_url()
            );
            Ok(())
        }
        Retry::Open(state) => anyhow::bail!("job {job} is {state}: there is nothing to repeat yet"),
        Retry::Unknown => anyhow::bail!("there is no job {job}"),
    }
}
