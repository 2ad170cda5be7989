//! Checks that somebody wants again, by GitHub's button: the try is opened again, by the rules of a comment.

use super::commands::{Asked, Wish, look_up, trust};
use super::{Ended, passing};
use crate::config::ForgeConfig;
use crate::context::Context;
use crate::db::check_runs;
use crate::db::deliveries::DeliveryRow;
use crate::db::tries::show;
use crate::domain::hook::{Checked, Rerequest};
use crate::domain::telling::Failure;
use crate::domain::try_run::{Command, Options};

/// Finds the try that a check is about, and asks the forge what has to be known; no transaction is open meanwhile.
pub(super) async fn prepare(
    context: &Context,
    settings: &ForgeConfig,
    delivery: &DeliveryRow,
    wish: Rerequest,
) -> Result<Result<Asked, Ended>, Failure> {
    if settings.app_id != Some(wish.app) {
        let words = format!("a check of the app {}, which is not ours", wish.app);
        return Ok(Err(Ended::noted(words)));
    }
    let repository = &delivery.repository;
    let found = match &wish.checked {
        Checked::Run(key) => check_runs::find_try(&context.pool, repository, *key).await,
        Checked::Commit(hash) => {
            check_runs::find_try_of_commit(&context.pool, repository, hash).await
        }
    };
    let Some(try_id) = found.map_err(passing)? else {
        let words = "no check of a try: a regression's is measured again by its page";
        return Ok(Err(Ended::noted(words)));
    };
    let row = show::find(&context.pool, try_id).await.map_err(passing)?;
    let Some((row, pull)) = row.and_then(|row| {
        let pull = i64::from(row.pull_number?);
        Some((row, pull))
    }) else {
        return Ok(Err(Ended::noted("a check of a try of no pull request")));
    };
    let options = Options {
        runtimes: row.runtimes,
        suite: row.suite_name,
        benchmarks: (row.benchmarks != "*").then_some(row.benchmarks),
        host: row.host,
        repeat: u32::try_from(row.budget).ok(),
    };
    let trusted = trust(context, settings, &wish.author, None).await?;
    let facts = look_up(context, settings, pull).await?;
    Ok(Ok(Asked {
        wish: Wish {
            pull,
            author: wish.author,
            // Not of the try: the newest of a commit is another one by the time of a replay.
            origin: format!("delivery {} again", delivery.first_id),
            details: serde_json::json!({ "pull": pull, "again": try_id, "delivery": delivery.id }),
        },
        command: Ok(Command::Bench(options)),
        trusted,
        facts,
    }))
}
