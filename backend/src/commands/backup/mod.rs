//! `backup`: the database, the artefacts and the configuration in one folder, while the service runs.
//!
//! The database is looked at first, at one moment (a snapshot that `pg_dump` shares), and the artefacts are copied afterwards. That
//! is enough: an artefact's row is written after its object, an object never changes because its name is its hash, and `retention`,
//! the only thing that removes objects, waits while a backup is made. What arrives during the backup is in the next one.

mod manifest;
mod programs;
mod redact;

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use chrono::Utc;
use clap::Args;
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use speedwell_backend::artefacts::Artefacts;
use speedwell_backend::config::Config;
use speedwell_backend::db::{audit, backups, locks};
use speedwell_backend::domain::audit::Action;
use sqlx::PgPool;

use super::{database, operator, percent::Percent};
pub(super) use manifest::{Artefact, DATABASE, Manifest};
use manifest::{CONFIGURATION, FORMAT, File, Missing, hash_file};
pub(super) use programs::restore as restore_database;

/// Objects that are copied at a time.
const AT_ONCE: usize = 4;

/// Where a backup goes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  speedwell-backend --config /etc/speedwell/speedwell.toml backup /srv/backups/2026-11-29
  sha256sum --check SHA256SUMS        in the backup's folder: is every file as it was made?
  speedwell-backend --config OTHER.toml restore /srv/backups/2026-11-29

The service may run meanwhile. The folder is readable only by its owner: it holds addresses, hashes of tokens and secrets of
subscriptions. Files that the configuration names (password_file, token_file) are not in it: keep them elsewhere.")]
pub(super) struct BackupArguments {
    /// The folder to make. It must not be there yet.
    folder: PathBuf,
}

pub(super) async fn run(
    config: &Config,
    config_file: &Path,
    arguments: BackupArguments,
) -> anyhow::Result<()> {
    let folder = std::path::absolute(&arguments.folder)?;
    ensure!(
        !folder.exists(),
        "{} is there already: name a folder that is not",
        folder.display()
    );
    // The name is given at the end: what is interrupted is never taken for a backup.
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)
            .with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&unfinished)
        .with_context(|| format!("cannot make the folder {}", unfinished.display()))?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o700))?;
    let made = fill(config, config_file, &unfinished).await?;
    fs::rename(&unfinished, &folder)?;
    let rows: i64 = made.rows.values().sum();
    println!(
        "{}: {rows} rows of {} tables and {} artefacts, {}",
        folder.display(),
        made.rows.len(),
        made.artefacts.len(),
        megabytes(made.bytes())
    );
    if let Some(first) = made.missing.first() {
        bail!(
            "the backup is complete but for {} artefact(s) that the store does not have or has damaged; the first is {}: {}. `manifest.json` lists them",
            made.missing.len(),
            first.sha256,
            first.why
        );
    }
    Ok(())
}

async fn fill(config: &Config, config_file: &Path, folder: &Path) -> anyhow::Result<Manifest> {
    // As it is: a backup before an upgrade must not be the upgrade.
    let database = database::connect(config).await?;
    let store = database::artefacts(config)?;
    let _no_retention = loop {
        match locks::try_lock(&database.pool, "retention").await? {
            Some(lock) => break lock,
            None => {
                eprintln!("waiting for retention to end");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    };
    let mut snapshot = backups::open_snapshot(&database.pool).await?;
    let made_at = Utc::now();
    let connection = &mut *snapshot.transaction;
    let postgres = backups::server_version(&mut *connection).await?;
    let migration = backups::newest_migration(&mut *connection)
        .await
        .context("the database holds no Speedwell")?;
    let wanted = backups::list_artefacts(&mut *connection).await?;
    eprintln!("counting rows");
    let rows = backups::count_rows(connection).await?;
    eprintln!("dumping {} rows", rows.values().sum::<i64>());
    let dump = folder.join(DATABASE);
    programs::dump(&database.url, &snapshot.name, &dump).await?;
    drop(snapshot);
    let subject = format!("backup {}", folder.display());
    note(&database.pool, Action::BackupMake, &subject).await;
    let (artefacts, missing) = copy_artefacts(&store, wanted, folder).await?;
    let text = fs::read_to_string(config_file)
        .with_context(|| format!("cannot read {}", config_file.display()))?;
    fs::write(folder.join(CONFIGURATION), redact::without_secrets(&text))?;
    let hashed = |name: &str| -> anyhow::Result<File> { hash_file(&folder.join(name)) };
    let manifest = Manifest {
        format: FORMAT,
        made_at,
        speedwell: env!("CARGO_PKG_VERSION").to_owned(),
        migration,
        postgres,
        database: hashed(DATABASE)?,
        configuration: hashed(CONFIGURATION)?,
        rows,
        artefacts,
        missing,
    };
    manifest.write(folder)?;
    Ok(manifest)
}

/// Notes it in the audit log. A database of before there was one has none, and is backed up all the same.
pub(super) async fn note(pool: &PgPool, action: Action, subject: &str) {
    let noted = audit::record(pool, &operator::name(), action, subject, json!({})).await;
    if let Err(error) = noted {
        tracing::warn!("this is not in the audit log: {error}");
    }
}

/// Copies objects, each checked against its name. What the store does not have is listed, not fatal: everything else is saved.
async fn copy_artefacts(
    store: &Artefacts,
    wanted: Vec<(String, i64)>,
    folder: &Path,
) -> anyhow::Result<(Vec<Artefact>, Vec<Missing>)> {
    let mut percent = Percent::new("artefacts", wanted.len() as u64);
    let mut copies = stream::iter(wanted)
        .map(|(sha256, _)| async move {
            let copied = copy(store, &sha256, folder).await;
            (sha256, copied)
        })
        .buffered(AT_ONCE);
    let (mut artefacts, mut missing) = (Vec::new(), Vec::new());
    while let Some((sha256, copied)) = copies.next().await {
        match copied? {
            Ok(bytes) => artefacts.push(Artefact { sha256, bytes }),
            Err(why) => missing.push(Missing { sha256, why }),
        }
        percent.show((artefacts.len() + missing.len()) as u64);
    }
    Ok((artefacts, missing))
}

/// The outer error is the backup's (its disk is full), the inner one the store's.
async fn copy(
    store: &Artefacts,
    sha256: &str,
    folder: &Path,
) -> anyhow::Result<Result<u64, String>> {
    let bytes = match store.get(sha256).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Err("is not in the store".to_owned())),
        Err(error) => return Ok(Err(format!("{error:#}"))),
    };
    let artefact = Artefact {
        sha256: sha256.to_owned(),
        bytes: bytes.len() as u64,
    };
    let path = folder.join(artefact.path());
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    tokio::fs::write(&path, &bytes)
        .await
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Ok(artefact.bytes))
}

/// Bytes for people.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
