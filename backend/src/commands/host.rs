//! Benchmark hosts: registering them, holding them back, giving them another token.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::Subcommand;
use serde_json::{Value, json};
use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::config::Config;
use speedwell_backend::db::{audit, hosts, imports, operate};
use speedwell_backend::domain::audit::Action;
use speedwell_backend::domain::import::IMPORTED;
use sqlx::{PgConnection, PgPool};

use super::secret::{make_token, write_secret};
use super::{database, operator};

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  speedwell-backend host add lab-1 --class xeon --token-file lab-1.token
  speedwell-backend host list
  speedwell-backend host disable lab-1       before maintenance: what runs is finished, nothing else is begun
  speedwell-backend host enable lab-1
  speedwell-backend host rotate-token lab-1 --token-file lab-1.token")]
pub(super) enum HostCommand {
    /// All hosts: class, worker, when they were last heard of, what they do.
    #[command(after_help = "Example:\n  speedwell-backend host list")]
    List,
    /// Give a host no more jobs. What it runs is finished and taken.
    #[command(after_help = "Example:\n  speedwell-backend host disable lab-1")]
    Disable {
        /// The host's name.
        name: String,
    },
    /// Give it jobs again.
    #[command(after_help = "Example:\n  speedwell-backend host enable lab-1")]
    Enable {
        /// The host's name.
        name: String,
    },
    /// Give a host another token. The one of before is refused at once: its worker must be given the new one.
    #[command(
        after_help = "Example:\n  speedwell-backend host rotate-token lab-1 --token-file /tmp/lab-1.token"
    )]
    RotateToken {
        /// The host's name.
        name: String,
        /// Write the token to this file, readable only by its owner, instead of printing it.
        #[arg(long)]
        token_file: Option<PathBuf>,
    },
    /// Add a host, or give a known one a new class and token.
    #[command(
        after_help = "Example:\n  speedwell-backend host add lab-1 --class xeon --token-file lab-1.token"
    )]
    Add {
        /// The host's name.
        name: String,
        /// Its class: runtimes name the classes of hosts that measure them.
        #[arg(long, default_value = "local")]
        class: String,
        /// Write the token to this file, readable only by its owner, instead of printing it.
        /// A file that holds the host's current token is left as it is.
        #[arg(long)]
        token_file: Option<PathBuf>,
        /// A host whose results are measured by others and imported: it has no class of its own and no token.
        #[arg(long, conflicts_with_all = ["class", "token_file"])]
        imported: bool,
    },
}

pub(super) async fn run(config: &Config, command: HostCommand) -> anyhow::Result<()> {
    match command {
        HostCommand::List => list(config).await,
        HostCommand::Disable { name } => set_disabled(config, &name, true).await,
        HostCommand::Enable { name } => set_disabled(config, &name, false).await,
        HostCommand::RotateToken { name, token_file } => {
            rotate_token(config, &name, token_file.as_deref()).await
        }
        HostCommand::Add {
            name,
            class,
            token_file,
            imported: false,
        } => add(config, name, class, token_file).await,
        HostCommand::Add {
            name,
            imported: true,
            ..
        } => {
            let database = database::open(config).await?;
            add_imported(&database.pool, &name).await
        }
    }
}

async fn list(config: &Config) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    println!(
        "{:<20} {:<12} {:<10} {:<17} doing",
        "host", "class", "worker", "last heard of"
    );
    for one in operate::list_hosts(&database.pool).await? {
        let minute = "%Y-%m-%d %H:%M";
        let doing = match (one.job_id, one.disabled_at) {
            (Some(job), None) => format!("job {job}"),
            (Some(job), Some(_)) => format!("job {job}, then disabled"),
            (None, Some(since)) => format!("disabled since {}", since.format(minute)),
            (None, None) => "waiting".to_owned(),
        };
        let seen = one.last_seen_at;
        println!(
            "{:<20} {:<12} {:<10} {:<17} {doing}",
            one.name,
            one.class,
            one.worker_version.as_deref().unwrap_or("-"),
            seen.map_or("never".to_owned(), |at| at.format(minute).to_string())
        );
    }
    Ok(())
}

/// Notes in the audit log what an operator did to a host.
async fn note(
    db: &mut PgConnection,
    action: Action,
    name: &str,
    details: Value,
) -> sqlx::Result<()> {
    let subject = format!("host {name}");
    audit::record(db, &operator::name(), action, &subject, details).await
}

async fn set_disabled(config: &Config, name: &str, disabled: bool) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    let mut transaction = database.pool.begin().await?;
    ensure!(
        operate::set_disabled(&mut *transaction, name, disabled).await?,
        "there is no host {name:?}: `host list` shows all"
    );
    let details = json!({ "disabled": disabled });
    note(&mut transaction, Action::HostChange, name, details).await?;
    transaction.commit().await?;
    println!(
        "{name} {}",
        if disabled {
            "gets no more jobs"
        } else {
            "gets jobs again"
        }
    );
    Ok(())
}

async fn rotate_token(config: &Config, name: &str, file: Option<&Path>) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    ensure!(
        hosts::find_by_name(&database.pool, name).await?.is_some(),
        "there is no host {name:?}: `host list` shows all"
    );
    let token = make_token();
    // The file first: a crash after it leaves a token that nobody accepts, and the worker goes on with the old one.
    if let Some(file) = file {
        write_secret(file, &token)?;
    }
    let mut transaction = database.pool.begin().await?;
    operate::set_token(&mut *transaction, name, &sha256_hex(token.as_bytes())).await?;
    let details = json!({ "token": "exchanged" });
    note(&mut transaction, Action::HostChange, name, details).await?;
    transaction.commit().await?;
    match file {
        Some(file) => println!(
            "{name} has another token, it is in {}: give it to its worker",
            file.display()
        ),
        None => println!("{token}"),
    }
    Ok(())
}

async fn add(
    config: &Config,
    name: String,
    class: String,
    token_file: Option<PathBuf>,
) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    ensure!(
        class != IMPORTED,
        "--class: {IMPORTED:?} is for hosts that no worker of ours runs on: give --imported instead"
    );
    if let Some(file) = &token_file
        && let Ok(token) = fs::read_to_string(file)
        && let Some(known) =
            hosts::find_by_token(&database.pool, &sha256_hex(token.trim().as_bytes())).await?
        && known.name == name
        && known.class == class
    {
        println!("host {name} is known, its token is in {}", file.display());
        return Ok(());
    }
    let token = make_token();
    // The file first: a crash after it leaves a token that nobody accepts, and the next try writes another.
    match &token_file {
        Some(file) => write_secret(file, &token)?,
        None => println!("{token}"),
    }
    let mut transaction = database.pool.begin().await?;
    let hash = sha256_hex(token.as_bytes());
    hosts::upsert(&mut *transaction, &name, &class, &hash).await?;
    let details = json!({ "class": class });
    note(&mut transaction, Action::HostAdd, &name, details).await?;
    transaction.commit().await?;
    if let Some(file) = &token_file {
        println!(
            "host {name} of class {class} added, its token is in {}",
            file.display()
        );
    }
    Ok(())
}

async fn add_imported(pool: &PgPool, name: &str) -> anyhow::Result<()> {
    // Nobody is told the token, so no worker can speak for this host.
    let unknown = sha256_hex(make_token().as_bytes());
    anyhow::ensure!(
        imports::add_host(pool, name, &unknown).await?,
        "{name} is a host of ours, whose worker measures: choose another name"
    );
    println!("host {name} takes imported results; nothing is measured there");
    Ok(())
}
