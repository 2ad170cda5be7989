//! Commits between measured ones that nobody measured, and the button that queues them.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Form};
use serde::Deserialize;
use serde_json::json;

use crate::context::Context;
use crate::db::audit;
use crate::db::enqueue::{self, Stretch};
use crate::domain::audit::Action;
use crate::web::error::Error;
use crate::web::pages::PageError;
use crate::web::session::Triager;
use crate::web::timeline::read::Timeline;

/// Stretches that are listed for a runtime on a host: the longest.
const SHOWN: usize = 8;
/// Commits that one press of the button queues.
const MOST: i32 = 25;

/// The unmeasured commits of a runtime on a host, within the range.
pub(super) struct Gaps {
    pub(super) runtime: String,
    pub(super) host: String,
    /// How many commits in how many stretches, in words.
    pub(super) words: String,
    pub(super) stretches: Vec<Gap>,
}

/// A stretch without a measurement.
pub(super) struct Gap {
    /// The measured positions around it.
    pub(super) between: (i32, i32),
    /// Its commits.
    pub(super) count: i32,
    /// What the button says.
    pub(super) button: String,
}

/// The gaps of every runtime and host on the page.
pub(super) fn gaps(read: &Timeline) -> Vec<Gaps> {
    let mut pairs: Vec<(&str, &str)> = read
        .lines
        .iter()
        .map(|line| (line.series.runtime.as_str(), line.series.host.as_str()))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    let of_pair = |(runtime, host): (&str, &str)| {
        let own = read
            .lines
            .iter()
            .filter(|line| line.series.runtime == runtime && line.series.host == host);
        let mut positions: Vec<i32> = own
            .flat_map(|line| line.points.iter().map(|point| point.position))
            .collect();
        positions.sort_unstable();
        positions.dedup();
        let stretches = longest(&positions);
        let missing: i64 = stretches.iter().map(|one| i64::from(one.count)).sum();
        let count = stretches.len();
        (count > 0).then(|| Gaps {
            runtime: runtime.to_owned(),
            host: host.to_owned(),
            words: format!(
                "{missing} commits in {count} {} between measured ones",
                if count == 1 { "stretch" } else { "stretches" }
            ),
            stretches: stretches.into_iter().take(SHOWN).collect(),
        })
    };
    pairs.into_iter().filter_map(of_pair).collect()
}

/// Stretches between measured positions (rising), the longest first.
fn longest(positions: &[i32]) -> Vec<Gap> {
    let mut found: Vec<Gap> = positions
        .windows(2)
        .filter_map(|pair| {
            let [before, after] = <[i32; 2]>::try_from(pair).ok()?;
            let count = after - before - 1;
            (count > 0).then(|| Gap {
                between: (before, after),
                count,
                button: match count {
                    1 => "Queue it".to_owned(),
                    2..=MOST => format!("Queue all {count}"),
                    _ => format!("Queue {MOST} of them, evenly spread"),
                },
            })
        })
        .collect();
    found.sort_by_key(|gap| (-gap.count, -gap.between.0));
    found
}

/// What the button sends.
#[derive(Debug, Deserialize)]
pub(in crate::web::pages) struct Missing {
    runtime: String,
    host: String,
    after: i32,
    before: i32,
    #[serde(default)]
    back: String,
}

/// `POST /timeline/queue`: queues the missing commits of a stretch, at most [`MOST`].
pub(in crate::web::pages) async fn queue(
    context: Data<Context>,
    actor: Triager,
    missing: Form<Missing>,
) -> Result<HttpResponse, PageError> {
    let (runtime, host) = (missing.runtime.as_str(), missing.host.as_str());
    actor.0.require_scope(runtime, Some(host))?;
    let mut transaction = context.pool.begin().await?;
    let stretch = Stretch {
        runtime: &missing.runtime,
        host: &missing.host,
        between: (missing.after, missing.before),
        most: MOST,
        requester: &actor.0.name,
    };
    let queued = enqueue::insert_stretch(&mut *transaction, &stretch)
        .await
        .map_err(Error::from)?;
    let queued = queued.ok_or_else(|| {
        Error::NotFound(format!(
            "There is no runtime {:?} that is still measured, or no host {:?}.",
            missing.runtime, missing.host
        ))
    })?;
    if queued == 0 {
        return Err(Error::Conflict(
            "Nothing was queued: every commit of this stretch is measured or waits already."
                .to_owned(),
        )
        .into());
    }
    let details =
        json!({ "host": host, "after": missing.after, "before": missing.before, "jobs": queued });
    let subject = format!("runtime {runtime}");
    let action = Action::JobRequest;
    audit::record(&mut *transaction, &actor.0.name, action, &subject, details).await?;
    transaction.commit().await?;
    // Back to where the button was; never to another site.
    let own = missing.back.starts_with("/timeline?") && !missing.back.contains(['\r', '\n']);
    let address = if own { missing.back.as_str() } else { "/queue" };
    Ok(HttpResponse::SeeOther()
        .insert_header((header::LOCATION, format!("{address}#gaps")))
        .finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_between_measured_positions() {
        let found = longest(&[1, 2, 5, 100, 102]);
        let places: Vec<((i32, i32), i32)> =
            found.iter().map(|gap| (gap.between, gap.count)).collect();
        assert_eq!(places, [((5, 100), 94), ((2, 5), 2), ((100, 102), 1)]);
        assert_eq!(found[0].button, "Queue 25 of them, evenly spread");
        assert_eq!(
            (found[1].button.as_str(), found[2].button.as_str()),
            ("Queue all 2", "Queue it")
        );
        assert!(longest(&[7]).is_empty() && longest(&[]).is_empty());
    }
}
