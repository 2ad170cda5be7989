//! `try`: a branch, commit or patch measured against its base.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use speedwell_backend::config::Config;
use speedwell_backend::db::audit;
use speedwell_backend::db::tries::{self, Opened, results, show};
use speedwell_backend::domain::audit::Action;
use speedwell_backend::domain::try_run::{Options, Request, Source, Trust, TryState};
use sqlx::PgPool;

use super::{database, lookup, operator};

/// How often `--follow` looks.
const LOOK_EVERY: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct TryArguments {
    /// The runtime's name in the configuration.
    runtime: String,
    /// What is tried: a branch, a tag or a commit; with --patch what the patch is made to.
    head: String,
    /// What it is compared with; default: where the head left the branch, or of a commit on it the one before.
    #[arg(long, conflicts_with = "patch")]
    base: Option<String>,
    /// Apply this patch, as `git diff` writes it, to HEAD, and compare with HEAD itself.
    #[arg(long, value_name = "FILE")]
    patch: Option<PathBuf>,
    /// Only the benchmarks that match this glob.
    #[arg(long, value_name = "GLOB")]
    benchmarks: Option<String>,
    /// Another suite than the runtime's own.
    #[arg(long)]
    suite: Option<String>,
    /// The host that measures; default: the one with least to do.
    #[arg(long)]
    host: Option<String>,
    /// Rounds at most; each measures both sides once.
    #[arg(long, value_name = "N")]
    repeat: Option<u32>,
    /// Wait until it is decided, and print what was found. Exits with 1 when the head is slower.
    #[arg(long)]
    follow: bool,
}

/// Opens the try and prints its address.
pub(super) async fn run(config: &Config, arguments: TryArguments) -> anyhow::Result<()> {
    let settings = lookup::find_settings(config, &arguments.runtime)?;
    let repository = settings
        .repository
        .clone()
        .context("RUNTIME: nobody builds this one, so there is nothing to try")?;
    let source = match &arguments.patch {
        None => Source::Revision {
            head: arguments.head,
            base: arguments.base,
        },
        Some(file) => Source::Patch {
            base: Some(arguments.head),
            text: std::fs::read_to_string(file)
                .with_context(|| format!("--patch: cannot read {}", file.display()))?,
        },
    };
    let actor = operator::name();
    let request = Request {
        repository,
        source,
        options: Options {
            runtimes: vec![arguments.runtime],
            suite: arguments.suite,
            benchmarks: arguments.benchmarks,
            host: arguments.host,
            repeat: arguments.repeat,
        },
        requester: actor.clone(),
        // Who reads the database's password may run what they like.
        trust: Trust::Given { by: actor.clone() },
        origin: None,
    };
    let database = database::open(config).await?;
    let mut transaction = database.pool.begin().await?;
    let rounds = config.try_runs.rounds;
    let id = match tries::open(&mut transaction, &request, rounds).await? {
        Opened::New(id) | Opened::Known(id) | Opened::UnderWay(id) => id,
        Opened::Refused(refused) => bail!("{refused}"),
    };
    let details = json!({ "repository": request.repository, "source": request.source.as_str() });
    let subject = format!("try {id}");
    audit::record(
        &mut *transaction,
        &actor,
        Action::TryOpen,
        &subject,
        details,
    )
    .await?;
    transaction.commit().await?;
    println!("{}/tries/{id}", config.public_url());
    if arguments.follow {
        follow(&database.pool, id).await?;
    }
    Ok(())
}

/// Waits for the end, with the running job on a line of its own, and prints what was found.
async fn follow(pool: &PgPool, id: i64) -> anyhow::Result<()> {
    let mut last = String::new();
    let row = loop {
        let row = show::find(pool, id).await?.context("the try is gone")?;
        let state: TryState = row.state.parse()?;
        if state.is_over() {
            break row;
        }
        let line = line(pool, &row).await?;
        if line != last && std::io::stderr().is_terminal() {
            eprintln!("{line}");
        }
        last = line;
        tokio::time::sleep(LOOK_EVERY).await;
    };
    for one in results::list_results(pool, id).await? {
        if one.metric == "wall_time" || one.metric == "requests_per_second" {
            println!(
                "{:32} {:+7.2} %  ({:+.2} to {:+.2} %)  {} pairs  {}",
                one.benchmark,
                one.change * 100.0,
                one.change_low * 100.0,
                one.change_high * 100.0,
                one.pairs,
                one.verdict
            );
        }
    }
    println!("{}", row.message);
    match row.verdict.as_deref() {
        Some("worse" | "mixed") => bail!("the head is slower"),
        Some(_) => Ok(()),
        None => bail!("the try has {}", row.state),
    }
}

async fn line(pool: &PgPool, row: &show::TryRow) -> anyhow::Result<String> {
    let jobs = show::list_jobs(pool, row.id, 1000).await?;
    let over = jobs.iter().filter(|job| job.run_id.is_some()).count();
    let running = jobs.iter().find(|job| job.state == "running");
    let running = running.map_or_else(String::new, |job| {
        let side = if job.head { "head" } else { "base" };
        format!(", {side}: {}", job.progress.as_deref().unwrap_or_default())
    });
    Ok(format!(
        "{} {}: {over} of {} runs{running}",
        row.state,
        row.message,
        jobs.len()
    ))
}
