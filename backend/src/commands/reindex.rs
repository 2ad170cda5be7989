//! `reindex`: indexes that are broken or have grown beyond what their rows need, built anew while everything goes on.

use clap::Args;
use serde_json::json;
use speedwell_backend::config::Config;
use speedwell_backend::db::audit;
use speedwell_backend::db::reindex::{self, Index};
use speedwell_backend::domain::audit::Action;

use super::{database, operator};

/// Smaller indexes are not worth it, in bytes.
const SMALL: i64 = 8 << 20;

/// Which indexes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  speedwell-backend reindex --dry-run       which indexes would be built anew, and why
  speedwell-backend reindex                 build them, one by one; the service goes on
  speedwell-backend reindex --bloat 1.3     also those that are 1.3 times as large as their rows need
  speedwell-backend reindex --all           every index, after an upgrade of the C library or of Postgres

An index that an interrupted `reindex` has left is always removed.")]
pub(super) struct ReindexArguments {
    /// Build nothing, only say what would be built.
    #[arg(long)]
    dry_run: bool,
    /// Every index, whatever its size.
    #[arg(long)]
    all: bool,
    /// Those that are at least so many times as large as their rows need.
    #[arg(long, default_value_t = 2.0)]
    bloat: f64,
}

pub(super) async fn run(config: &Config, arguments: ReindexArguments) -> anyhow::Result<()> {
    anyhow::ensure!(
        arguments.bloat > 1.0,
        "--bloat {}: give a number above 1",
        arguments.bloat
    );
    let database = database::open(config).await?;
    let indexes = reindex::list(&database.pool).await?;
    let total: i64 = indexes.iter().map(|index| index.bytes).sum();
    let chosen: Vec<&Index> = indexes
        .iter()
        .filter(|index| {
            arguments.all
                || !index.is_valid
                || (index.bytes >= SMALL && index.bloat() >= arguments.bloat)
        })
        .collect();
    println!(
        "{} indexes, {:.1} MB; {} to build anew",
        indexes.len(),
        total as f64 / 1e6,
        chosen.len()
    );
    for index in chosen {
        let why = if index.is_valid {
            format!("{:.1} times what its rows need", index.bloat())
        } else {
            "broken: an interrupted build has left it".to_owned()
        };
        let line = format!(
            "{} of {}: {:.1} MB, {why}",
            index.name,
            index.table_name,
            index.bytes as f64 / 1e6
        );
        if arguments.dry_run {
            println!("would be built anew: {line}");
            continue;
        }
        let (who, action) = (operator::name(), Action::Reindex);
        let subject = format!("index {}", index.name);
        let details = json!({ "bytes": index.bytes });
        audit::record(&database.pool, &who, action, &subject, details).await?;
        let after = reindex::rebuild(&database.pool, index).await?;
        println!("{line}; now {:.1} MB", after as f64 / 1e6);
    }
    Ok(())
}
