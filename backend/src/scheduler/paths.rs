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
        let mut before = i64::MAX;
        while begun.elapsed() < LONGEST && folder.exists() {
            let waiting =
                commits::list_without_paths(&context.pool, repository.id, before, BATCH).await?;
            let Some((last, _)) = waiting.last() else {
                break;
            };
            before = *last;
            let folder = folder.clone();
            let rows = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
                let mirror = git::open(&folder)?;
                let mut rows = Vec::with_capacity(waiting.len());
                for (key, hash) in waiting {
                    // Missing: another backend's mirror has it, or it was rewritten away. This one may have it after a fetch.
                    if let Some((paths, touched)) = git::touched_paths(&mirror, &hash)? {
                        rows.push((key, paths, touched));
                    }
                }
                Ok(rows)
            })
            .await??;
            count += rows.len();
            commits::set_paths(&context.pool, &rows).await?;
        }
    }
    Ok((count > 0).then(|| format!("read the paths of {count} commits")))
}
