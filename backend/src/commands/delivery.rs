//! Deliveries of hooks: what forges have sent, what it caused; having the work of one done again.

use clap::Subcommand;
use speedwell_backend::config::Config;
use speedwell_backend::db::deliveries::{self, Filter, ListedRow};
use speedwell_backend::domain::hook::DeliveryState;

use super::{database, operator};

/// What may be listed.
const STATES: [&str; 4] = ["waiting", "done", "noted", "failed"];

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  speedwell-backend delivery list                     what came last
  speedwell-backend delivery list --state failed      whose work could not be done
  speedwell-backend delivery replay 4711")]
pub(super) enum DeliveryCommand {
    /// Deliveries, the newest first.
    #[command(
        after_help = "Example:\n  speedwell-backend delivery list --repository cpython --state failed"
    )]
    List {
        /// Only of this repository.
        #[arg(long)]
        repository: Option<String>,
        /// Only of this state.
        #[arg(long, value_parser = STATES)]
        state: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Have the work of a delivery that is over done again, as a new delivery.
    #[command(after_help = "Example:\n  speedwell-backend delivery replay 4711")]
    Replay {
        /// The delivery's number.
        delivery: i64,
    },
}

pub(super) async fn run(config: &Config, command: DeliveryCommand) -> anyhow::Result<()> {
    match command {
        DeliveryCommand::List {
            repository,
            state,
            limit,
        } => {
            let state = state.as_deref().map(str::parse::<DeliveryState>);
            let filter = Filter {
                repository,
                state: state.transpose().map_err(anyhow::Error::msg)?,
                before: None,
            };
            list(config, &filter, limit).await
        }
        DeliveryCommand::Replay { delivery } => replay(config, delivery).await,
    }
}

async fn list(config: &Config, filter: &Filter, limit: i64) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    let rows = deliveries::list(&database.pool, filter, limit).await?;
    if rows.is_empty() {
        println!("no delivery is as asked for");
    }
    for row in rows {
        println!("{}", line(&row));
    }
    Ok(())
}

/// A delivery in one line. What forges say is not trusted on a terminal.
fn line(row: &ListedRow) -> String {
    let caused: Vec<String> = row.caused.iter().map(|effect| effect.words()).collect();
    let followed = if caused.is_empty() {
        row.words.clone().unwrap_or_default()
    } else {
        caused.join(", ")
    };
    let text = format!(
        "{:>8} {} {:<8} {:<12} {:<8} {:<16} {followed}",
        row.id,
        row.received_at.format("%Y-%m-%d %H:%M"),
        row.state,
        row.repository,
        row.forge,
        row.event
    );
    text.chars().filter(|c| !c.is_control()).take(180).collect()
}

async fn replay(config: &Config, delivery: i64) -> anyhow::Result<()> {
    let database = database::open(config).await?;
    let mut transaction = database.pool.begin().await?;
    let new = deliveries::replay(&mut transaction, delivery, &operator::name()).await?;
    transaction.commit().await?;
    let Some(new) = new else {
        anyhow::bail!("there is no delivery {delivery} whose work is over");
    };
    println!(
        "the work of delivery {delivery} is done once more: {}/deliveries/{new}",
        config.public_url()
    );
    Ok(())
}
