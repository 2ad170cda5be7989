//! Sends the spool, oldest first. Every message is idempotent, so a crash between sending and removing is harmless.

use std::fs;
use std::path::Path;

use speedwell_wire::{FailureKind, JobFailure, Phase};
use tokio::sync::Mutex;

use crate::backend::Refusal;
use crate::job::Shop;
use crate::spool::{Entry, Spool};

/// The companion and the agent may both deliver; one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Sends everything that waits. An error means that the rest still waits.
pub async fn all(shop: &Shop) -> Result<(), Refusal> {
    let _guard = ONE_AT_A_TIME.lock().await;
    let away = |error: std::io::Error| Refusal::Away(format!("the spool cannot be read: {error}"));
    for path in shop.spool.list().map_err(away)? {
        let entry = match Spool::read(&path) {
            Ok(entry) => entry,
            Err(error) => {
                tracing::error!("{} is damaged and set aside: {error}", path.display());
                shop.spool
                    .refuse(&path, &format!("damaged: {error}"))
                    .map_err(away)?;
                continue;
            }
        };
        match send(shop, &entry).await {
            Ok(()) => Spool::remove(&path).map_err(away)?,
            Err(Refusal::Lost(message)) => set_aside(shop, &path, &message)?,
            Err(Refusal::Refused(message)) => {
                set_aside(shop, &path, &message)?;
                report_refusal(shop, &entry, &message)?;
            }
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(())
}

/// Sends one result.
pub async fn send(shop: &Shop, entry: &Entry) -> Result<(), Refusal> {
    match entry {
        Entry::Build {
            job_id,
            report,
            artefact,
        } => {
            if let (Some(path), Some(sha256)) = (artefact, &report.artefact_sha256) {
                let bytes = fs::read(path).map_err(|error| {
                    Refusal::Refused(format!("the artefact's file is gone: {error}"))
                })?;
                shop.backend.put_artefact(sha256, bytes).await?;
            }
            shop.backend.build(*job_id, report).await
        }
        Entry::Run { job_id, report } => {
            let receipt = shop.backend.run(*job_id, report).await?;
            tracing::info!(
                job = job_id,
                run = receipt.run_id,
                created = receipt.created,
                "run delivered"
            );
            Ok(())
        }
        Entry::Failure { job_id, failure } => shop.backend.failure(*job_id, failure).await,
    }
}

fn set_aside(shop: &Shop, path: &Path, message: &str) -> Result<(), Refusal> {
    tracing::error!("{} is set aside: {message}", path.display());
    shop.spool
        .refuse(path, message)
        .map_err(|error| Refusal::Away(error.to_string()))
}

/// A result that the backend refuses ends its job: nobody must wait for a run that will never come.
fn report_refusal(shop: &Shop, entry: &Entry, message: &str) -> Result<(), Refusal> {
    let (job_id, lease_id, phase) = match entry {
        Entry::Build { job_id, report, .. } => (*job_id, report.lease_id, Phase::Build),
        Entry::Run { job_id, report } => (*job_id, report.lease_id, Phase::Upload),
        Entry::Failure { .. } => return Ok(()),
    };
    let failure = JobFailure {
        lease_id,
        kind: FailureKind::Permanent,
        phase,
        message: format!("the backend refused the result: {message}"),
        log_tail: String::new(),
    };
    let entry = Entry::Failure { job_id, failure };
    shop.spool
        .put(&entry)
        .map_err(|error| Refusal::Away(error.to_string()))
}
