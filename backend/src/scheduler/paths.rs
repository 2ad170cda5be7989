//! Reads the paths that commits touch, newest first, a batch at a time: nobody waits for them.

use std::time::{Duration, Instant};

use super::Outcome;
use crate::context::Context;
use crate::db::{commits, repositories};
use crate::git;

/// Commits in one transaction.
const BATCH: i64 = 500;
/// A pass ends after this long, so that a long history does not hold the tick's lock for hours.
const LONGEST: Duration = Duration::from_secs(5);

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let begun = Instant::now();
    let mut count = 0;
    for repository in repositories::list(&context.pool).await? {
        let folder = git::mirror_folder(&context.config.data, &repository.name);
        while begun.elapsed() < LONGEST && folder.exists() {
            let waiting = commits::list_without_paths(&context.pool, repository.id, BATCH).await?;
            if waiting.is_empty() {
                break;
            }
            count += waiting.len();
            let folder = folder.clone();
            let rows = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
                let mirror = git::open(&folder)?;
                let mut rows = Vec::with_capacity(waiting.len());
                for (key, hash) in waiting {
                    let (paths, touched) = git::touched_paths(&mirror, &hash)?.unwrap_or_default();
                    rows.push((key, paths, touched));
                }
                Ok(rows)
            })
            .await??;
            commits::set_paths(&context.pool, &rows).await?;
        }
    }
    Ok((count > 0).then(|| format!("read the paths of {count} commits")))
}
