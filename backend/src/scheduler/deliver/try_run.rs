//! One try of a try run's answer: the status or the check of its head, and the one comment on its pull request.

use super::perform::{id, passing};
use super::{Sender, checks};
use crate::alerts::check;
use crate::alerts::try_run::{self, Told, ToldFailing, ToldPart, ToldSeries};
use crate::config::Report;
use crate::context::Context;
use crate::db::check_runs::Subject;
use crate::db::tries::{results, show};
use crate::domain::telling::Failure;
use crate::domain::try_run::{Change, TryState, TryVerdict};
use crate::forge::{Check, Verdict};
use crate::scheduler::forges;

/// Names our status, or our check, among others'. One for all tries of a head: the newest counts.
const CONTEXT: &str = "speedwell/try";

/// What is told now, which is more than was known when the message was written.
async fn read(context: &Context, try_id: i64) -> Result<(show::TryRow, Told), Failure> {
    let pool = &context.pool;
    let row = show::find(pool, try_id).await.map_err(passing)?;
    let row = row.ok_or_else(|| Failure::permanent("the try is gone"))?;
    let unknown = || Failure::permanent("a state that this version does not know");
    let state: TryState = row.state.parse().map_err(|_unreadable| unknown())?;
    let verdict = row.verdict.as_deref().map(str::parse::<TryVerdict>);
    let parts = show::list_parts(pool, try_id).await.map_err(passing)?;
    let series = results::list_results(pool, try_id).await.map_err(passing)?;
    let failing = results::list_failing(pool, try_id).await.map_err(passing)?;
    let told = Told {
        id: row.id,
        state,
        verdict: verdict.transpose().map_err(|_unreadable| unknown())?,
        message: row.message.clone(),
        requester: row.requester.clone(),
        head: row.head_hash.clone(),
        base: row.base_hash.clone(),
        base_branch: row.base_branch.clone(),
        budget: row.budget,
        parts: parts
            .into_iter()
            .map(|part| ToldPart {
                runtime: part.runtime,
                host: part.host,
                rounds: part.rounds,
            })
            .collect(),
        series: series
            .into_iter()
            .filter_map(|one| {
                let size = (one.change, one.change_low, one.change_high);
                Some(ToldSeries {
                    change: Change::read(&one.metric, &one.verdict, size)?,
                    runtime: one.runtime,
                    benchmark: one.benchmark,
                    base: one.base,
                    head: one.head,
                })
            })
            .collect(),
        failing: failing
            .into_iter()
            .filter(|one| !one.base_too)
            .map(|one| ToldFailing {
                runtime: one.runtime,
                benchmark: one.benchmark,
                reason: one.reason,
            })
            .collect(),
    };
    Ok((row, told))
}

/// Tells how the head is, by a status or by a check. Telling it twice is telling it once.
pub(super) async fn state(context: &Context, sender: &Sender, try_id: i64) -> Result<(), Failure> {
    let (row, told) = read(context, try_id).await?;
    let hash = row
        .head_hash
        .ok_or_else(|| Failure::permanent("its head is not known"))?;
    let (settings, forge) = forges::open(context, &sender.http, &row.repository).await?;
    let address = format!("{}/tries/{try_id}", context.config.public_url());
    match settings.report {
        Report::Status => {
            let (state, description) = try_run::status(&told);
            let verdict = Verdict {
                hash: &hash,
                state,
                description: &description,
                target_url: &address,
                context: CONTEXT,
            };
            forge.set_status(&sender.http, &verdict).await
        }
        Report::Check => {
            let (state, title) = check::of_try(&told);
            let check = Check {
                name: CONTEXT,
                hash: &hash,
                external_id: &id(sender, &format!("try {try_id}")),
                details_url: &address,
                state,
                title: &title,
                summary: &try_run::comment(&told, &context.config.public_url()),
            };
            let place = (row.repository.as_str(), &forge);
            checks::set(context, sender, place, Subject::Try(try_id), &check).await
        }
    }
}

/// Writes the comment, or edits it.
pub(super) async fn comment(
    context: &Context,
    sender: &Sender,
    try_id: i64,
) -> Result<(), Failure> {
    let (row, told) = read(context, try_id).await?;
    let number = row
        .pull_number
        .ok_or_else(|| Failure::permanent("it is about no pull request"))?;
    let (_, forge) = forges::open(context, &sender.http, &row.repository).await?;
    let text = try_run::comment(&told, &context.config.public_url());
    let mark = id(sender, &format!("try {try_id}"));
    let key = forge
        .comment_on_pull(
            &sender.http,
            i64::from(number),
            &text,
            &mark,
            row.comment_id,
        )
        .await?;
    show::set_comment(&context.pool, try_id, key)
        .await
        .map_err(passing)
}
