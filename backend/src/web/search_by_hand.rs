//! Opening a search for the commit behind a change between any two points of a runtime's branch: one way for the page and the command line.

use serde::Deserialize;
use serde_json::json;
use speedwell_wire::{CounterSource, Metric};
use sqlx::PgPool;

use crate::db::bisections::{self, NewBisection, by_hand};
use crate::db::{audit, enqueue, repositories};
use crate::detection::bisection::{runs_for, usable_noise};
use crate::domain::audit::Action;
use crate::domain::bisection::budget;
use crate::web::error::Error;

/// What is asked for; names as people write them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ByHand {
    /// The runtime's name.
    #[serde(default)]
    pub runtime: String,
    /// The benchmark's name.
    #[serde(default)]
    pub benchmark: String,
    /// The end that is as before: a tag, or at least seven digits of a hash.
    #[serde(default)]
    pub good: String,
    /// The end that is changed; later on the branch.
    #[serde(default)]
    pub bad: String,
    /// What to look at; empty: wall time.
    #[serde(default)]
    pub metric: String,
    /// Where its values come from; empty: software.
    #[serde(default)]
    pub source: String,
    /// The host that measures; empty: the one that measured the runtime last.
    #[serde(default)]
    pub host: String,
}

/// A search that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Its number.
    pub id: i64,
    /// Commits after the good end up to the bad one.
    pub commits: i64,
    /// Hash of the good end.
    pub good: String,
    /// Hash of the bad end.
    pub bad: String,
}

fn wrong(field: &str, message: impl std::fmt::Display) -> Error {
    Error::Unprocessable {
        field: field.to_owned(),
        message: format!("{field}: {message}"),
    }
}

/// The text, or what it stands for when it is empty.
fn or<'a>(text: &'a str, usual: &'a str) -> &'a str {
    match text.trim() {
        "" => usual,
        text => text,
    }
}

async fn find_commit(
    pool: &PgPool,
    runtime_id: i64,
    field: &str,
    name: &str,
) -> Result<(i64, String), Error> {
    let mut found = enqueue::find_commits(pool, runtime_id, name.trim()).await?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(wrong(
            field,
            format!(
                "no tag and no commit {name:?} in the runtime's repository (give at least seven digits of the hash)"
            ),
        )),
        (Some(_), false) => Err(wrong(
            field,
            format!("several commits begin with {name}: give more digits"),
        )),
    }
}

/// The host that measures: it must be there, and the benchmark in the runtime's suite.
async fn find_host(
    pool: &PgPool,
    runtime_id: i64,
    benchmark: &str,
    host: &str,
) -> Result<i64, Error> {
    if !by_hand::is_in_suite(pool, runtime_id, benchmark).await? {
        return Err(wrong(
            "benchmark",
            format!("the runtime's suite has no {benchmark:?}"),
        ));
    }
    let name = Some(host.trim()).filter(|name| !name.is_empty());
    let found = by_hand::find_host(pool, runtime_id, name).await?;
    found.ok_or_else(|| {
        wrong(
            "host",
            "there is none of this name, or none has measured the runtime yet",
        )
    })
}

/// Opens the search; an error names the field and saves nothing.
pub async fn open(pool: &PgPool, wanted: &ByHand, requester: &str) -> Result<Opened, Error> {
    let metric: Metric = or(&wanted.metric, Metric::WallTime.as_str())
        .parse()
        .map_err(|error| wrong("metric", error))?;
    let source: CounterSource = or(&wanted.source, CounterSource::Software.as_str())
        .parse()
        .map_err(|error| wrong("source", error))?;
    let runtimes = repositories::list_runtimes(pool).await?;
    let runtime = runtimes
        .into_iter()
        .find(|one| one.name == wanted.runtime.trim())
        .ok_or_else(|| wrong("runtime", format!("there is no {:?}", wanted.runtime)))?;
    let (good, good_hash) = find_commit(pool, runtime.id, "good", &wanted.good).await?;
    let (bad, bad_hash) = find_commit(pool, runtime.id, "bad", &wanted.bad).await?;
    let commits = by_hand::count_between(pool, runtime.id, good, bad)
        .await?
        .ok_or_else(|| wrong("bad", "both ends must lie on the runtime's branch"))?;
    if commits <= 0 {
        return Err(wrong(
            "good",
            format!("{good_hash} does not come before {bad_hash} on the branch"),
        ));
    }
    let benchmark = wanted.benchmark.trim();
    let host = find_host(pool, runtime.id, benchmark, &wanted.host).await?;
    let noise = by_hand::find_noise(
        pool,
        runtime.id,
        host,
        benchmark,
        metric.as_str(),
        source.as_str(),
    )
    .await?;
    let mut new = NewBisection {
        regression_id: None,
        runtime_id: runtime.id,
        benchmark: benchmark.to_owned(),
        metric: metric.as_str().to_owned(),
        counter_source: source.as_str().to_owned(),
        before_commit_id: good,
        after_commit_id: bad,
        expected: None,
        noise: usable_noise(noise.unwrap_or(f64::NAN), None),
        requester: requester.to_owned(),
        budget: 0,
    };
    let mut transaction = pool.begin().await?;
    let hosts = bisections::list_fitting_hosts(&mut *transaction, host, &new, commits).await?;
    let steps = usize::try_from(commits).unwrap_or(usize::MAX);
    new.budget = budget(steps, runs_for(f64::NAN), hosts.len());
    let id = bisections::insert(&mut transaction, &new, &hosts).await?;
    let details = json!({
        "runtime": runtime.name, "benchmark": new.benchmark, "after": good_hash, "up_to": bad_hash,
    });
    let subject = format!("bisection {id}");
    let action = Action::BisectionOpen;
    audit::record(&mut *transaction, requester, action, &subject, details).await?;
    transaction.commit().await?;
    Ok(Opened {
        id,
        commits,
        good: good_hash,
        bad: bad_hash,
    })
}
