//! Subscriptions by the operator: adding, listing, removing.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use serde_json::json;
use speedwell_backend::alerts::audience::check_glob;
use speedwell_backend::config::Config;
use speedwell_backend::db::audit;
use speedwell_backend::db::subscriptions::{self, NewSubscription};
use speedwell_backend::domain::audit::Action;
use speedwell_backend::domain::subscription::Words;

use super::{database, operator};

#[derive(Debug, Subcommand)]
pub(super) enum SubscriptionCommand {
    /// Add one.
    Add(Box<AddArguments>),
    /// All of them; of chats' addresses only the host, for the rest is a password.
    List,
    /// Remove one; what waits for it is not sent.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct AddArguments {
    /// Its name.
    name: String,
    /// `mail`, `webhook`, `slack`, `mattermost`, `zulip` or `matrix`.
    #[arg(long, default_value = "mail")]
    channel: String,
    /// A mail address or URL.
    #[arg(long)]
    address: String,
    /// File that holds the key of a webhook's signature, or a Matrix access token.
    #[arg(long)]
    secret_file: Option<PathBuf>,
    /// Glob over runtimes' names.
    #[arg(long, default_value = "*")]
    runtimes: String,
    /// Glob over benchmarks' names.
    #[arg(long, default_value = "*")]
    benchmarks: String,
    /// Glob over the paths that a culprit touches.
    #[arg(long, default_value = "*")]
    paths: String,
    /// Smallest change in per cent.
    #[arg(long, default_value = "0")]
    smallest: String,
    /// `worse`, `better` or `both`.
    #[arg(long, default_value = "both")]
    direction: String,
    /// `at_once` or `daily`.
    #[arg(long, default_value = "at_once")]
    digest: String,
    /// Quiet hours, UTC: `22-7`.
    #[arg(long, default_value = "")]
    quiet: String,
    /// Daily reports of these runtimes, too.
    #[arg(long)]
    reports: bool,
}

pub(super) async fn run(config: &Config, command: SubscriptionCommand) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    match command {
        SubscriptionCommand::Add(arguments) => add(&database.pool, *arguments).await,
        SubscriptionCommand::List => {
            for row in subscriptions::list(&database.pool).await? {
                let place = if row.channel == "mail" {
                    row.address
                } else {
                    row.address.split('/').take(3).collect::<Vec<_>>().join("/")
                };
                println!(
                    "{}: {} to {place}, runtimes {}, benchmarks {}, by {}",
                    row.name, row.channel, row.runtimes, row.benchmarks, row.created_by
                );
            }
            Ok(())
        }
        SubscriptionCommand::Remove { name } => {
            let mut transaction = database.pool.begin().await?;
            let id = subscriptions::find_id(&mut *transaction, &name).await?;
            let id = id.with_context(|| format!("there is no subscription {name:?}"))?;
            subscriptions::delete(&mut transaction, id).await?;
            let subject = format!("subscription {name}");
            let action = Action::SubscriptionRemove;
            let who = operator::name();
            audit::record(&mut *transaction, &who, action, &subject, json!({})).await?;
            transaction.commit().await?;
            println!("the subscription {name} is gone");
            Ok(())
        }
    }
}

async fn add(pool: &sqlx::PgPool, arguments: AddArguments) -> anyhow::Result<()> {
    let secret = match &arguments.secret_file {
        Some(file) => Some(
            fs::read_to_string(file)
                .with_context(|| format!("--secret-file: cannot read {}", file.display()))?,
        ),
        None => None,
    };
    let words = Words {
        name: arguments.name,
        channel: arguments.channel,
        address: arguments.address,
        runtimes: arguments.runtimes,
        benchmarks: arguments.benchmarks,
        paths: arguments.paths,
        smallest: arguments.smallest,
        direction: arguments.direction,
        digest: arguments.digest,
        quiet: arguments.quiet,
    };
    let subscription = words.read()?;
    for glob in [
        &subscription.runtimes,
        &subscription.benchmarks,
        &subscription.paths,
    ] {
        check_glob(glob).with_context(|| format!("{glob:?} is no glob"))?;
    }
    let who = operator::name();
    let new = NewSubscription {
        subscription: &subscription,
        secret: secret.as_deref().map(str::trim),
        reports: arguments.reports,
        created_by: &who,
    };
    let mut transaction = pool.begin().await?;
    let added = subscriptions::insert(&mut *transaction, &new).await?;
    ensure!(
        added.is_some(),
        "there is a subscription {:?} already",
        subscription.name
    );
    let subject = format!("subscription {}", subscription.name);
    let details =
        json!({ "channel": subscription.channel.as_str(), "runtimes": subscription.runtimes });
    let action = Action::SubscriptionAdd;
    audit::record(&mut *transaction, &who, action, &subject, details).await?;
    transaction.commit().await?;
    println!("added {}", subscription.name);
    Ok(())
}
