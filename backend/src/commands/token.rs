//! Tokens for people and programs that act: adding, listing, taking back.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::config::Config;
use speedwell_backend::db::tokens;
use speedwell_backend::domain::role::{Role, is_actor_name};
use sqlx::PgPool;

use super::database;
use super::secret::{make_token, write_secret};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Add a token, or give a known name a new one.
    Add {
        /// Whose it is: the name that timelines show.
        name: String,
        /// What it allows.
        #[arg(long, value_parser = PossibleValuesParser::new(Role::ALL.iter().map(|one| one.as_str()))
            .try_map(|name| name.parse::<Role>()))]
        role: Role,
        /// Write the token to this file, readable only by its owner, instead of printing it.
        /// A file that holds the name's current token is left as it is.
        #[arg(long)]
        token_file: Option<PathBuf>,
    },
    /// All tokens, without themselves.
    List,
    /// Take a token back.
    Revoke {
        /// Its name.
        name: String,
    },
}

pub(super) async fn run(config: &Config, command: TokenCommand) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    match command {
        TokenCommand::Add {
            name,
            role,
            token_file,
        } => add(&database.pool, &name, role, token_file.as_deref()).await,
        TokenCommand::List => list(&database.pool).await,
        TokenCommand::Revoke { name } => {
            if !tokens::revoke(&database.pool, &name).await? {
                anyhow::bail!("there is no token {name:?} that is not revoked already");
            }
            println!("the token {name} is not accepted any more");
            Ok(())
        }
    }
}

async fn add(pool: &PgPool, name: &str, role: Role, file: Option<&Path>) -> anyhow::Result<()> {
    anyhow::ensure!(
        is_actor_name(name),
        "NAME: use 1 to 64 letters, digits, '-', '_', '.' and '@', and not \"speedwell\""
    );
    if let Some(file) = file
        && let Ok(token) = fs::read_to_string(file)
        && let Some(known) =
            tokens::find_by_hash(pool, &sha256_hex(token.trim().as_bytes())).await?
        && known.name == name
        && known.role == role.as_str()
    {
        println!("token {name} is known, it is in {}", file.display());
        return Ok(());
    }
    let token = make_token();
    // The file first: a crash after it leaves a token that nobody accepts, and the next try writes another.
    match file {
        Some(file) => write_secret(file, &token)?,
        None => println!("{token}"),
    }
    tokens::upsert(pool, name, role, &sha256_hex(token.as_bytes())).await?;
    if let Some(file) = file {
        println!(
            "token {name} added as {}, it is in {}",
            role.as_str(),
            file.display()
        );
    }
    Ok(())
}

async fn list(pool: &PgPool) -> anyhow::Result<()> {
    for one in tokens::list(pool).await? {
        let used = match (one.revoked_at, one.last_used_at) {
            (Some(at), _) => format!("revoked {}", at.format("%Y-%m-%d %H:%M")),
            (None, Some(at)) => format!("last used {}", at.format("%Y-%m-%d %H:%M")),
            (None, None) => "never used".to_owned(),
        };
        let made = one.created_at.format("%Y-%m-%d %H:%M");
        println!("{:<24} {:<9} made {made}, {used}", one.name, one.role);
    }
    Ok(())
}
