//! Turns commits into jobs by each runtime's policy, a few ahead of the hosts.
//!
//! Every insert stands alone and the unique index on open work refuses doubles, so a killed pass is simply repeated.

use super::{Outcome, control};
use crate::context::Context;
use crate::db::{enqueue, repositories};
use crate::domain::plan::{self, Reason};
use crate::domain::policy::Measure;

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
            // A policy that counts commits leaves the older ones unread; one that asks for their days or tags cannot.
            let nth = match settings.policy.measure {
                Measure::Every => Some(1),
                Measure::Nth => Some(i64::from(settings.policy.nth.unwrap_or(1).max(1))),
                Measure::Nightly | Measure::Tags => None,
            };
            let newest = settings.policy.newest.map(i64::from);
            let newest = newest.zip(nth).map(|(newest, nth)| newest * nth);
            let candidates =
                enqueue::list_candidates(&context.pool, runtime.id, class, newest).await?;
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
