//! The command line.

mod backup;
mod bisect;
mod database;
mod delivery;
mod demo_data;
mod examples;
mod host;
mod import;
mod job;
mod lookup;
mod operator;
mod percent;
mod progress;
mod recompute;
mod reindex;
mod request;
mod restore;
mod retention;
mod runtime;
mod secret;
mod serve;
mod subscription;
mod sync;
mod token;
mod try_run;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use speedwell_backend::config::Config;
use tracing_subscriber::EnvFilter;

pub(crate) use examples::parse;

/// The Speedwell service: tracks the performance of interpreters, commit by commit.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(
        long,
        short,
        env = "SPEEDWELL_CONFIG",
        default_value = "speedwell.toml",
        global = true
    )]
    config: PathBuf,
    /// A Postgres to use instead of the private cluster; wins over the configuration.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    database_url: Option<String>,
    /// Write the log as JSON lines.
    #[arg(long, global = true)]
    json_log: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the service.
    Serve,
    /// Validate the configuration and print what would happen.
    Check,
    /// Benchmark hosts: add, list, disable, enable, another token.
    #[command(subcommand)]
    Host(host::HostCommand),
    /// Runtimes: list, pause, resume, ask for runs.
    #[command(subcommand)]
    Runtime(runtime::RuntimeCommand),
    /// Jobs: list, cancel, retry.
    #[command(subcommand)]
    Job(job::JobCommand),
    /// What forges have sent by hooks: list, do the work of one again.
    #[command(subcommand)]
    Delivery(delivery::DeliveryCommand),
    /// Build indexes anew that are broken or too large; the service goes on.
    Reindex(reindex::ReindexArguments),
    /// Tokens of people and programs that act.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Who is told of regressions.
    #[command(subcommand)]
    Subscription(subscription::SubscriptionCommand),
    /// Import results that others measured: files and folders of pyperf JSON.
    Import(import::ImportArguments),
    /// Follow the newest commits until they are measured, and print a summary.
    Progress(progress::ProgressArguments),
    /// Ask for runs of a commit, beside what the policy asks for.
    Request(request::RequestArguments),
    /// Make every summary and verdict again, from the stored samples.
    Redetect,
    /// Have the commit behind a change looked for between any two points of a runtime's branch.
    Bisect(bisect::BisectArguments),
    /// Measure a branch, a commit or a patch against its base, in turn on one host.
    Try(try_run::TryArguments),
    /// Replay history with other parameters of the detector and print how the alarms would differ.
    Recompute(recompute::RecomputeArguments),
    /// Save the database, the artefacts and the configuration in a folder, while the service runs.
    Backup(backup::BackupArguments),
    /// Fill an empty database and its store from a backup.
    Restore(restore::RestoreArguments),
    /// Take what the configuration does not keep any longer; the service does so every hour.
    Retention(retention::RetentionArguments),
    /// Fill an empty database with made-up measurements, for load tests.
    DemoData(demo_data::DemoDataArguments),
    /// Ask for a job's end.
    Cancel {
        /// The job's number.
        job: i64,
    },
    /// Start a private cluster alone in a folder, print its address, and keep it until this process ends (for tests).
    Cluster {
        /// The folder that holds, or will hold, the cluster.
        folder: PathBuf,
        /// Give up durability for speed.
        #[arg(long)]
        fast: bool,
    },
}

/// Sends the log to standard error; `RUST_LOG` chooses what.
pub(crate) fn start_logging(arguments: &Arguments) -> anyhow::Result<()> {
    let quiet = !matches!(arguments.command, Command::Serve);
    let default = if quiet {
        "warn"
    } else {
        "info,tracing_actix_web=warn"
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = if arguments.json_log {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

/// Does what the command line asks for.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Command::Cluster { folder, fast } = &arguments.command {
        return database::run_cluster(folder, *fast).await;
    }
    let mut config = Config::read(&arguments.config)?;
    if let Some(url) = &arguments.database_url {
        config.database_url = Some(url.clone());
    }
    std::fs::create_dir_all(&config.data)
        .with_context(|| format!("data: cannot make the folder {}", config.data.display()))?;
    match arguments.command {
        Command::Serve => serve::serve(config).await,
        Command::Check => {
            println!("{}", sync::describe(&config));
            Ok(())
        }
        Command::Host(command) => host::run(&config, command).await,
        Command::Runtime(command) => runtime::run(&config, command).await,
        Command::Job(command) => job::run(&config, command).await,
        Command::Delivery(command) => delivery::run(&config, command).await,
        Command::Reindex(arguments) => reindex::run(&config, arguments).await,
        Command::Token(command) => token::run(&config, command).await,
        Command::Subscription(command) => subscription::run(&config, command).await,
        Command::Import(arguments) => import::run(&config, arguments).await,
        Command::Progress(arguments) => progress::run(&config, arguments).await,
        Command::Request(arguments) => request::run(&config, arguments).await,
        Command::Redetect => database::redetect(&config).await,
        Command::Bisect(arguments) => bisect::run(&config, arguments).await,
        Command::Try(arguments) => try_run::run(&config, arguments).await,
        Command::Recompute(arguments) => recompute::run(&config, arguments).await,
        Command::Backup(given) => backup::run(&config, &arguments.config, given).await,
        Command::Restore(arguments) => restore::run(&config, arguments).await,
        Command::Retention(arguments) => retention::run(&config, arguments).await,
        Command::DemoData(arguments) => demo_data::run(&config, arguments).await,
        Command::Cancel { job } => database::cancel(&config, job).await,
        Command::Cluster { .. } => Ok(()),
    }
}
