//! Registering benchmark hosts.

use std::fs;
use std::path::PathBuf;

use clap::Subcommand;
use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::config::Config;
use speedwell_backend::db::{hosts, imports};
use speedwell_backend::domain::import::IMPORTED;
use sqlx::PgPool;

use super::database;
use super::secret::{make_token, write_secret};

#[derive(Debug, Subcommand)]
pub(super) enum HostCommand {
    /// Add a host, or give a known one a new class and token.
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
    let HostCommand::Add {
        name,
        class,
        token_file,
        imported,
    } = command;
    let database = database::open(config).await?;
    if imported {
        return add_imported(&database.pool, &name).await;
    }
    anyhow::ensure!(
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
    hosts::upsert(&database.pool, &name, &class, &sha256_hex(token.as_bytes())).await?;
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
