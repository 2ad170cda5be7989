//! A job's log as text: from its chunks while it runs, from the artefact store afterwards.

use crate::context::Context;
use crate::db::{logs, queue};
use crate::web::error::Error;

/// The whole log. Control characters other than line breaks and tabs are dropped, whoever wrote them.
pub(super) async fn read(context: &Context, job_id: i64) -> Result<String, Error> {
    let (_, artefact) = queue::find_log(&context.pool, job_id)
        .await?
        .ok_or_else(|| Error::NotFound(format!("There is no job {job_id}.")))?;
    let bytes = match artefact {
        Some(sha256) => {
            let compressed = context.artefacts.get(&sha256).await?;
            let compressed = compressed
                .ok_or_else(|| Error::NotFound("The log is no longer stored.".to_owned()))?;
            actix_web::web::block(move || zstd::decode_all(compressed.as_ref()))
                .await
                .map_err(anyhow::Error::from)?
                .map_err(anyhow::Error::from)?
        }
        None => logs::join(&logs::list_chunks(&context.pool, job_id).await?),
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .chars()
        .filter(|c| matches!(c, '\n' | '\t') || !c.is_control())
        .collect())
}
