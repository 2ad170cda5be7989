//! `restore`: a backup into an empty database and its store. Everything is verified before anything is touched, nothing is overwritten.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use speedwell_backend::artefacts::Artefacts;
use speedwell_backend::config::Config;
use speedwell_backend::db::{self, backups};
use speedwell_backend::domain::audit::Action;

use super::backup::{self, DATABASE, Manifest, megabytes};
use super::{database, percent::Percent};

/// Objects that are stored at a time.
const AT_ONCE: usize = 4;

/// What to restore, and how.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  speedwell-backend --config speedwell.toml restore /srv/backups/2026-11-29
  speedwell-backend --config speedwell.toml restore /srv/backups/2026-11-29 --verify
  speedwell-backend --config speedwell.toml --database-url postgres://speedwell@db/copy restore FOLDER --hold-messages

The configuration names where to: `data` (whose private cluster is made when it is missing), `database_url`, `store`. The database
must be empty. Artefacts that the store has already stay. `serve` then starts as usual; workers go on with the tokens they have.")]
pub(super) struct RestoreArguments {
    /// The backup's folder.
    folder: PathBuf,
    /// Only compare every file with its hash, and say what the backup holds.
    #[arg(long)]
    verify: bool,
    /// Give up the messages that waited when the backup was made: for a copy beside the service that is still running.
    #[arg(long)]
    hold_messages: bool,
}

pub(super) async fn run(config: &Config, arguments: RestoreArguments) -> anyhow::Result<()> {
    let begun = Instant::now();
    let folder = arguments.folder;
    let manifest = verify(&folder).await?;
    println!(
        "the backup of {} by Speedwell {} is whole: {} tables, {} artefacts, {}",
        manifest.made_at.format("%Y-%m-%d %H:%M:%S UTC"),
        manifest.speedwell,
        manifest.rows.len(),
        manifest.artefacts.len(),
        megabytes(manifest.bytes())
    );
    if !manifest.missing.is_empty() {
        println!(
            "{} artefact(s) were missing when it was made; `manifest.json` lists them",
            manifest.missing.len()
        );
    }
    if arguments.verify {
        return Ok(());
    }
    let known = |version: i64| db::MIGRATOR.iter().any(|one| one.version == version);
    ensure!(
        known(manifest.migration),
        "the backup was made by Speedwell {}, with the migration {} that this version does not know: install that version or a newer one",
        manifest.speedwell,
        manifest.migration
    );
    let database = database::connect(config).await?;
    ensure!(
        backups::is_empty(&database.pool).await?,
        "the database is not empty, and nothing is overwritten: name another `data` folder or another --database-url"
    );
    let store = database::artefacts(config)?;
    put_artefacts(&store, &manifest, &folder).await?;
    eprintln!("restoring {} rows", manifest.rows.values().sum::<i64>());
    backup::restore_database(&database.url, &folder.join(DATABASE)).await?;
    let mut connection = database.pool.acquire().await?;
    let found = backups::count_rows(&mut connection).await?;
    if let Some((table, rows)) = manifest
        .rows
        .iter()
        .find(|(table, rows)| found.get(*table) != Some(*rows))
    {
        bail!(
            "the table {table} has {:?} rows, the backup says {rows}: drop this database and restore again",
            found.get(table)
        );
    }
    if arguments.hold_messages {
        let held = backups::hold_messages(&mut connection).await?;
        println!("{held} waiting message(s) are given up");
    }
    let subject = format!("backup of {}", manifest.made_at.format("%Y-%m-%d %H:%M:%S"));
    backup::note(&database.pool, Action::BackupRestore, &subject).await;
    backups::analyze(&mut *connection).await?;
    println!(
        "restored in {:.1} s: {} rows and {} artefacts, all counted and compared",
        begun.elapsed().as_secs_f64(),
        found.values().sum::<i64>(),
        manifest.artefacts.len()
    );
    Ok(())
}

async fn verify(folder: &Path) -> anyhow::Result<Manifest> {
    let folder = folder.to_owned();
    let verified = tokio::task::spawn_blocking(move || {
        let manifest = Manifest::read(&folder)?;
        let mut percent = Percent::new("verifying", manifest.bytes());
        manifest.verify(&folder, |done| percent.show(done))?;
        Ok(manifest)
    });
    verified.await?
}

/// Stores every object under its hash. Killed anywhere, it can be begun anew: what is there stays.
async fn put_artefacts(
    store: &Artefacts,
    manifest: &Manifest,
    folder: &Path,
) -> anyhow::Result<()> {
    let mut percent = Percent::new("artefacts", manifest.artefacts.len() as u64);
    let mut done = 0;
    let mut stored = stream::iter(&manifest.artefacts)
        .map(|artefact| async move {
            let path = folder.join(artefact.path());
            let bytes = tokio::fs::read(&path)
                .await
                .with_context(|| format!("cannot read {}", path.display()))?;
            let name = store.put(bytes.into()).await?;
            ensure!(
                name == artefact.sha256,
                "{} has changed since it was verified",
                path.display()
            );
            anyhow::Ok(())
        })
        .buffer_unordered(AT_ONCE);
    while stored.try_next().await?.is_some() {
        done += 1;
        percent.show(done);
    }
    Ok(())
}
