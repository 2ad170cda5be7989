//! What commands name: a runtime that the service has met, and a commit of its repository.

use anyhow::{Context as _, bail};
use speedwell_backend::config::{Config, RuntimeConfig};
use speedwell_backend::db::{enqueue, repositories};
use sqlx::PgPool;

/// A runtime's configuration by its name.
pub(super) fn find_settings<'a>(
    config: &'a Config,
    runtime: &str,
) -> anyhow::Result<&'a RuntimeConfig> {
    config
        .runtimes
        .iter()
        .find(|settings| settings.name == runtime)
        .with_context(|| format!("the configuration has no runtime {runtime:?}"))
}

/// The key of a configured runtime.
pub(super) async fn find_runtime(pool: &PgPool, settings: &RuntimeConfig) -> anyhow::Result<i64> {
    let known = repositories::list_runtimes(pool).await?;
    let runtime = known
        .into_iter()
        .find(|runtime| runtime.name == settings.name);
    let runtime = runtime
        .with_context(|| format!("start the service once: it has not met {}", settings.name))?;
    Ok(runtime.id)
}

/// The commit that a tag, or at least seven digits of a hash, names: its key and hash.
pub(super) async fn find_commit(
    pool: &PgPool,
    settings: &RuntimeConfig,
    runtime_id: i64,
    name: &str,
) -> anyhow::Result<(i64, String)> {
    let mut found = enqueue::find_commits(pool, runtime_id, name).await?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => bail!(
            "{} has no tag and no commit {name:?} (give at least seven digits of the hash)",
            settings.place().0
        ),
        (Some(_), false) => bail!("several commits begin with {name}: give more digits"),
    }
}
