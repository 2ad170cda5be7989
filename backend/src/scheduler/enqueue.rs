//! Turns commits into jobs by each runtime's policy, a few ahead of the hosts.
//!
//! Every insert stands alone and the unique index on open work refuses doubles, so a killed pass is simply repeated.

use super::{Outcome, control};
use crate::context::Context;
use crate::db::{enqueue, repositories};
use crate::domain::plan::{self, Candidate, Reason};
use crate::domain::policy::{Measure, Policy};

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let mut count = 0;
    for runtime in repositories::list_runtimes(&context.pool).await? {
        let settings = context
            .config
            .runtimes
            .iter()
            .find(|settings| settings.name == runtime.name);
        let Some(settings) = settings else { continue };
        if settings.imported {
            continue;
        }
        if settings.control {
            count += control::enqueue(context, runtime.id, settings).await?;
            continue;
        }
        for class in &settings.host_classes {
            let queued = enqueue::count_queued(&context.pool, runtime.id, class).await?;
            let room = i64::from(settings.policy.queue) - queued;
            if room <= 0 {
                continue;
            }
            let candidates = candidates(context, runtime.id, class, &settings.policy).await?;
            let mut chosen = plan::choose(
                &candidates,
                &settings.policy,
                usize::try_from(room).unwrap_or(0),
            );
            // The overview compares with the release before, so that one is measured whatever the policy leaves out.
            let release = enqueue::find_release(&context.pool, runtime.id, class).await?;
            if let Some((commit_id, false)) = release {
                chosen.push((commit_id, Reason::Release));
            }
            for (commit_id, reason) in chosen {
                if enqueue::insert_job(&context.pool, runtime.id, commit_id, class, reason).await? {
                    count += 1;
                }
            }
        }
    }
    Ok((count > 0).then(|| format!("queued {count} job(s)")))
}

/// What a policy chooses from.
async fn candidates(
    context: &Context,
    runtime_id: i64,
    class: &str,
    policy: &Policy,
) -> sqlx::Result<Vec<Candidate>> {
    // What is older than the policy's newest is left unread.
    let (pool, newest) = (&context.pool, policy.newest.map(i64::from));
    let nth = match policy.measure {
        Measure::Tags => return enqueue::list_tagged(pool, runtime_id, class).await,
        Measure::Nightly => return enqueue::list_nights(pool, runtime_id, class, newest).await,
        Measure::Every => 1,
        Measure::Nth => i64::from(policy.nth.unwrap_or(1).max(1)),
    };
    let newest = newest.map(|newest| newest * nth);
    enqueue::list_candidates(pool, runtime_id, class, newest).await
}
