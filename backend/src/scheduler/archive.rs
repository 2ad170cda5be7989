//! Compresses the logs of jobs that are over into the artefact store.
//!
//! The artefact is stored before the chunks are deleted; a crash in between leaves the chunks, and the next pass
//! stores the same bytes under the same name.

use std::io::Write as _;

use bytes::Bytes;

use super::Outcome;
use crate::context::Context;
use crate::db::{builds, logs};

/// Jobs done in one pass.
const BATCH: i64 = 20;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let jobs = logs::list_to_archive(&context.pool, BATCH).await?;
    for job_id in &jobs {
        archive(context, *job_id).await?;
    }
    Ok((!jobs.is_empty()).then(|| format!("archived {} log(s)", jobs.len())))
}

async fn archive(context: &Context, job_id: i64) -> anyhow::Result<()> {
    let chunks = logs::list_chunks(&context.pool, job_id).await?;
    let mut encoder = zstd::Encoder::new(Vec::new(), 9)?;
    encoder.write_all(&logs::join(&chunks))?;
    let compressed = encoder.finish()?;
    let bytes = compressed.len() as u64;
    let sha256 = context.artefacts.put(Bytes::from(compressed)).await?;
    let mut transaction = context.pool.begin().await?;
    builds::insert_artefact(&mut *transaction, &sha256, bytes, "log").await?;
    logs::mark_archived(&mut transaction, job_id, &sha256).await?;
    transaction.commit().await?;
    Ok(())
}
