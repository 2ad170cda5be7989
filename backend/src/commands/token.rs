//! Tokens for people and programs: adding, listing, taking back.

use std::fs;
use std::path::PathBuf;

use anyhow::ensure;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use serde_json::json;
use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::config::Config;
use speedwell_backend::db::audit;
use speedwell_backend::db::tokens::{self, NewToken, Token};
use speedwell_backend::domain::audit::Action;
use speedwell_backend::domain::role::{Role, is_actor_name, is_owner_name};
use speedwell_backend::domain::token::{Scope, TokenKind, lifetime};
use sqlx::PgPool;

use super::secret::{make_token, write_secret};
use super::{database, operator};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Add a token, or give a known name a new one.
    Add(Box<AddArguments>),
    /// All tokens, without themselves; those of hosts, too.
    List,
    /// Take a token back; who has signed in with it is signed out.
    Revoke {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct AddArguments {
    /// Its name.
    name: String,
    /// What it allows: viewer (reads), triager (decides about regressions, asks for runs), operator (runs the service), admin (decides who
    /// may do what).
    #[arg(long, required_unless_present = "importer", conflicts_with = "importer",
        value_parser = PossibleValuesParser::new(Role::ALL.iter().map(|one| one.as_str())).try_map(|name| name.parse::<Role>()))]
    role: Option<Role>,
    /// A program's that sends results, instead of a person's.
    #[arg(long)]
    importer: bool,
    /// Who acts with it: the name that timelines show. Default: the token's name.
    #[arg(long)]
    owner: Option<String>,
    /// How long it holds: 90d, 12h or never.
    #[arg(long, default_value = "never", value_parser = lifetime_argument)]
    expires: Lifetime,
    /// Only runtimes whose name matches this glob: what it may ask runs of and write results of. May be given several times.
    #[arg(long = "runtime", value_name = "GLOB")]
    runtimes: Vec<String>,
    /// Only hosts whose name matches this glob. May be given several times.
    #[arg(long = "host", value_name = "GLOB")]
    hosts: Vec<String>,
    /// Write the token to this file, readable only by its owner, instead of printing it.
    /// A file that holds the name's current token with the same rights is left as it is.
    #[arg(long)]
    token_file: Option<PathBuf>,
}

/// How long a token holds; `None`: without end.
#[derive(Debug, Clone, Copy)]
struct Lifetime(Option<chrono::Duration>);

fn lifetime_argument(text: &str) -> Result<Lifetime, String> {
    lifetime(text).map(Lifetime)
}

pub(super) async fn run(config: &Config, command: TokenCommand) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    match command {
        TokenCommand::Add(arguments) => add(&database.pool, *arguments).await,
        TokenCommand::List => list(&database.pool).await,
        TokenCommand::Revoke { name } => revoke(&database.pool, &name).await,
    }
}

async fn add(pool: &PgPool, arguments: AddArguments) -> anyhow::Result<()> {
    let name = arguments.name.as_str();
    let owner = arguments.owner.as_deref().unwrap_or(name);
    let form = "use 1 to 64 letters, digits, '-', '_', '.' and '@', and not \"speedwell\"";
    ensure!(is_actor_name(name), "NAME: {form}");
    ensure!(is_owner_name(owner), "--owner: {form}");
    let scope = Scope::read(&arguments.runtimes, &arguments.hosts)
        .map_err(|(field, message)| anyhow::anyhow!("--{field}: {message}"))?;
    let (kind, role) = match arguments.role {
        Some(role) => (TokenKind::Person, role),
        None => (TokenKind::Importer, Role::Viewer),
    };
    let mut new = NewToken {
        name,
        owner,
        kind,
        role,
        scope,
        expires_at: arguments.expires.0.map(|long| Utc::now() + long),
        sha256: "",
    };
    let file = arguments.token_file.as_deref();
    if let Some(file) = file
        && let Ok(token) = fs::read_to_string(file)
        && let Some(known) =
            tokens::find_by_hash(pool, &sha256_hex(token.trim().as_bytes())).await?
        && is_same(&known, &new)
    {
        println!("token {name} is known, it is in {}", file.display());
        return Ok(());
    }
    let token = make_token();
    let hash = sha256_hex(token.as_bytes());
    new.sha256 = &hash;
    // The file first: a crash after it leaves a token that nobody accepts, and the next try writes another.
    if let Some(file) = file {
        write_secret(file, &token)?;
    }
    store(pool, &new).await?;
    match file {
        None => println!("{token}"),
        Some(file) => println!(
            "token {name} added as {}, it is in {}",
            rights(kind.as_str(), role.as_str()),
            file.display()
        ),
    }
    Ok(())
}

async fn store(pool: &PgPool, new: &NewToken<'_>) -> anyhow::Result<()> {
    let mut transaction = pool.begin().await?;
    let added = tokens::upsert(&mut transaction, new).await?;
    ensure!(
        added.is_some(),
        "NAME: there is a token {:?} of somebody else; take another name, or give its --owner",
        new.name
    );
    let details = json!({
        "owner": new.owner, "kind": new.kind.as_str(), "role": new.role.as_str(), "reaches": new.scope.words(),
        "until": new.expires_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
    });
    let subject = format!("token {}", new.name);
    let action = Action::TokenAdd;
    audit::record(
        &mut *transaction,
        &operator::name(),
        action,
        &subject,
        details,
    )
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// Whether a known token allows what a new one would, for as long, to a day.
fn is_same(known: &Token, new: &NewToken<'_>) -> bool {
    let near = match (known.expires_at, new.expires_at) {
        (None, None) => true,
        // A token that has begun to run out is made anew by whoever repeats the command.
        (Some(known), Some(new)) => (new - known).num_days() == 0,
        (Some(_), None) | (None, Some(_)) => false,
    };
    near && known.name == new.name
        && known.owner == new.owner
        && known.kind == new.kind.as_str()
        && known.role == new.role.as_str()
        && known.scope() == new.scope
}

fn rights<'a>(kind: &'a str, role: &'a str) -> &'a str {
    if kind == TokenKind::Importer.as_str() {
        kind
    } else {
        role
    }
}

async fn list(pool: &PgPool) -> anyhow::Result<()> {
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M").to_string();
    let used = |at: Option<DateTime<Utc>>| match at {
        Some(at) => format!("last used {}", time(at)),
        None => "never used".to_owned(),
    };
    for one in tokens::list(pool, None).await? {
        let state = match (one.revoked_at, one.expires_at) {
            (Some(at), _) => format!("revoked {}", time(at)),
            (None, Some(at)) if at <= Utc::now() => format!("expired {}", time(at)),
            (None, Some(at)) => format!("{}, until {}", used(one.last_used_at), time(at)),
            (None, None) => used(one.last_used_at),
        };
        println!(
            "{:<24} {:<9} of {:<16} reaches {}; made {}, {state}",
            one.name,
            rights(&one.kind, &one.role),
            one.owner,
            one.scope().words(),
            time(one.created_at),
        );
    }
    for one in tokens::list_of_hosts(pool).await? {
        let seen = one.last_seen_at.map_or_else(
            || "never seen".to_owned(),
            |at| format!("seen {}", time(at)),
        );
        println!(
            "{:<24} {:<9} of class {}; made {}, {seen}",
            one.name,
            "host",
            one.class,
            time(one.created_at)
        );
    }
    Ok(())
}

async fn revoke(pool: &PgPool, name: &str) -> anyhow::Result<()> {
    let mut transaction = pool.begin().await?;
    if !tokens::revoke(&mut transaction, name).await? {
        anyhow::bail!("there is no token {name:?} that is not revoked already");
    }
    let subject = format!("token {name}");
    let action = Action::TokenRevoke;
    audit::record(
        &mut *transaction,
        &operator::name(),
        action,
        &subject,
        json!({}),
    )
    .await?;
    transaction.commit().await?;
    println!("the token {name} is not accepted any more");
    Ok(())
}
