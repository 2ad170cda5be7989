//! Try runs: opening, approving and ending them, and how each stands.

pub mod resolve;
pub mod results;
pub mod rounds;
pub mod show;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::domain::try_run::{Refused, Request, Source, Trust, TryState, patch_key};

/// What became of a wish for a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// A new try.
    New(i64),
    /// The same origin has asked before: that try.
    Known(i64),
    /// A try of the same pull request is under way: that one has to end first.
    UnderWay(i64),
    /// It names something that is not there, or that cannot be tried.
    Refused(Refused),
}

/// Opens a try; `rounds` is the budget where the request names none. Run it in a transaction, together with the audit's record.
pub async fn open(db: &mut PgConnection, request: &Request, rounds: u32) -> sqlx::Result<Opened> {
    if let Some(id) = find_by_origin(&mut *db, request.origin.as_deref()).await? {
        return Ok(Opened::Known(id));
    }
    if let Err(refused) = request.check() {
        return Ok(Opened::Refused(refused));
    }
    let named = match find_named(&mut *db, request).await? {
        Ok(named) => named,
        Err(refused) => return Ok(Opened::Refused(refused)),
    };
    if let Source::Pull { number, .. } = &request.source
        && let Some(id) = find_open_of_pull(&mut *db, &request.repository, *number).await?
    {
        return Ok(Opened::UnderWay(id));
    }
    insert(
        db,
        request,
        &named,
        request.options.repeat.unwrap_or(rounds),
    )
    .await
}

async fn find_by_origin(
    db: impl PgExecutor<'_>,
    origin: Option<&str>,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("SELECT id FROM try_run WHERE origin = $1")
        .bind(origin)
        .fetch_optional(db)
        .await
}

/// Keys of what a request names.
struct Named {
    repository_id: i64,
    host_id: Option<i64>,
}

/// Looks up what a request names.
async fn find_named(
    db: &mut PgConnection,
    request: &Request,
) -> sqlx::Result<Result<Named, Refused>> {
    let repository: Option<i64> = sqlx::query_scalar("SELECT id FROM repository WHERE name = $1")
        .bind(&request.repository)
        .fetch_optional(&mut *db)
        .await?;
    let Some(repository_id) = repository else {
        let message = "there is no such repository in the configuration";
        return Ok(Err(Refused::new("repository", message)));
    };
    let known: Vec<String> = sqlx::query_scalar(
        "SELECT runtime.name FROM runtime JOIN branch ON branch.id = branch_id
         WHERE repository_id = $1 AND enabled AND NOT control ORDER BY ordinal, runtime.name",
    )
    .bind(repository_id)
    .fetch_all(&mut *db)
    .await?;
    if known.is_empty() {
        let message = format!("no runtime measures {}", request.repository);
        return Ok(Err(Refused::new("repository", message)));
    }
    let options = &request.options;
    if let Some(stranger) = options.runtimes.iter().find(|one| !known.contains(one)) {
        let message = format!("{stranger} is none of {}", known.join(", "));
        return Ok(Err(Refused::new("runtime", message)));
    }
    if let Some(suite) = &options.suite
        && !exists(
            &mut *db,
            "SELECT EXISTS (SELECT 1 FROM suite WHERE name = $1)",
            suite,
        )
        .await?
    {
        let message = format!("no worker has registered a suite {suite}");
        return Ok(Err(Refused::new("suite", message)));
    }
    let host_id = match &options.host {
        None => None,
        Some(name) => {
            let found: Option<i64> = sqlx::query_scalar("SELECT id FROM host WHERE name = $1")
                .bind(name)
                .fetch_optional(&mut *db)
                .await?;
            if found.is_none() {
                let message = format!("there is no host {name}");
                return Ok(Err(Refused::new("host", message)));
            }
            found
        }
    };
    Ok(Ok(Named {
        repository_id,
        host_id,
    }))
}

async fn exists(db: impl PgExecutor<'_>, query: &'static str, name: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar(query).bind(name).fetch_one(db).await
}

/// The columns that depend on what is tried.
#[derive(Default)]
struct Columns<'a> {
    head: Option<&'a str>,
    base: Option<&'a str>,
    base_branch: Option<&'a str>,
    pull: Option<i32>,
    patch: Option<String>,
}

async fn insert(
    db: &mut PgConnection,
    request: &Request,
    named: &Named,
    rounds: u32,
) -> sqlx::Result<Opened> {
    let columns = match &request.source {
        Source::Revision { head, base } => Columns {
            head: Some(head),
            base: base.as_deref(),
            ..Columns::default()
        },
        Source::Pull {
            number,
            base_branch,
        } => Columns {
            pull: i32::try_from(*number).ok(),
            base_branch: base_branch.as_deref(),
            ..Columns::default()
        },
        Source::Patch { base, text } => Columns {
            base: base.as_deref(),
            patch: Some(insert_patch(&mut *db, text).await?),
            ..Columns::default()
        },
    };
    let (state, approved_by) = match &request.trust {
        Trust::Given { by } => (TryState::Queued, Some(by)),
        Trust::Withheld => (TryState::WaitingForApproval, None),
    };
    let id: Option<i64> = sqlx::query_scalar(
        "INSERT INTO try_run (repository_id, requester, origin, source, head_name, base_name, base_branch, pull_number,
                              patch_sha256, runtimes, suite_name, benchmarks, host_id, budget, state, approved_by, approved_at,
                              diff, expected_head)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, CASE WHEN $16 IS NOT NULL THEN now() END,
                 (SELECT content FROM patch WHERE sha256 = $9),
                 (SELECT head_hash FROM pull_request WHERE repository_id = $1 AND number = $8 AND fork))
         ON CONFLICT DO NOTHING RETURNING id",
    )
    .bind(named.repository_id)
    .bind(&request.requester)
    .bind(&request.origin)
    .bind(request.source.as_str())
    .bind(columns.head)
    .bind(columns.base)
    .bind(columns.base_branch)
    .bind(columns.pull)
    .bind(columns.patch)
    .bind(&request.options.runtimes)
    .bind(&request.options.suite)
    .bind(request.options.benchmarks.as_deref().unwrap_or("*"))
    .bind(named.host_id)
    .bind(i32::try_from(rounds).unwrap_or(i32::MAX))
    .bind(state.as_str())
    .bind(approved_by)
    .fetch_optional(&mut *db)
    .await?;
    match id {
        Some(id) => Ok(Opened::New(id)),
        // Another request was a moment earlier: the same origin, or another of the same pull request.
        None => match find_by_origin(&mut *db, request.origin.as_deref()).await? {
            Some(id) => Ok(Opened::Known(id)),
            None => {
                let number = u32::try_from(columns.pull.unwrap_or(0)).unwrap_or(0);
                let other = find_open_of_pull(db, &request.repository, number).await?;
                other.map(Opened::UnderWay).ok_or(sqlx::Error::RowNotFound)
            }
        },
    }
}

/// Keeps a patch under the hash of its text.
async fn insert_patch(db: impl PgExecutor<'_>, text: &str) -> sqlx::Result<String> {
    let sha256 = patch_key(text);
    sqlx::query("INSERT INTO patch (sha256, content) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(&sha256)
        .bind(text)
        .execute(db)
        .await?;
    Ok(sha256)
}

/// The try of a pull request that is not over.
pub async fn find_open_of_pull(
    db: impl PgExecutor<'_>,
    repository: &str,
    number: u32,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT try_run.id FROM try_run JOIN repository ON repository.id = repository_id
         WHERE repository.name = $1 AND pull_number = $2 AND try_run.finished_at IS NULL",
    )
    .bind(repository)
    .bind(i64::from(number))
    .fetch_optional(db)
    .await
}

/// How many tries of one person wait for a triager, beside the one that this origin has asked for.
pub async fn count_waiting(
    db: impl PgExecutor<'_>,
    requester: &str,
    origin: &str,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM try_run
         WHERE state = 'waiting_for_approval' AND requester = $1 AND origin IS DISTINCT FROM $2",
    )
    .bind(requester)
    .bind(origin)
    .fetch_one(db)
    .await
}

/// The newest try of a pull request.
pub async fn find_newest_of_pull(
    db: impl PgExecutor<'_>,
    repository: &str,
    number: u32,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT try_run.id FROM try_run JOIN repository ON repository.id = repository_id
         WHERE repository.name = $1 AND pull_number = $2 ORDER BY try_run.id DESC LIMIT 1",
    )
    .bind(repository)
    .bind(i64::from(number))
    .fetch_optional(db)
    .await
}

/// Ends a try that is not over: what waits is taken out of the queue, what runs is stopped at its next heartbeat. `false`: it was over,
/// or there is none. Run it in a transaction.
pub async fn cancel(db: &mut PgConnection, id: i64, actor: &str) -> sqlx::Result<bool> {
    let message = format!("Cancelled by {actor}.");
    finish(db, id, TryState::Cancelled, None, &message).await
}

/// Ends a try. `false`: it was over. Run it in a transaction.
pub async fn finish(
    db: &mut PgConnection,
    id: i64,
    state: TryState,
    verdict: Option<&str>,
    message: &str,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE try_run SET state = $2, verdict = $3, message = $4, finished_at = now(), changed_at = clock_timestamp()
         WHERE id = $1 AND finished_at IS NULL",
    )
    .bind(id)
    .bind(state.as_str())
    .bind(verdict)
    .bind(message)
    .execute(&mut *db)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    cancel_jobs(db, id, None).await?;
    Ok(true)
}

/// Takes a try's jobs, or those of one of its runtimes, out of the queue, and asks the running one to stop.
pub async fn cancel_jobs(
    db: impl PgExecutor<'_>,
    id: i64,
    runtime_id: Option<i64>,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE job SET cancel_requested = true, state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END,
                finished_at = CASE WHEN state = 'queued' THEN now() END
         WHERE try_id = $1 AND ($2::bigint IS NULL OR runtime_id = $2) AND state IN ('queued', 'running')",
    )
    .bind(id)
    .bind(runtime_id)
    .execute(db)
    .await
    .map(drop)
}

/// What became of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// It will run.
    Given,
    /// It waits for none (any more), or there is no such try.
    NotWaiting,
    /// Its commits are not looked up yet: nobody can have seen what would run.
    NotReady,
    /// What would run is not what the page showed.
    Changed,
}

/// Lets a try run. `head` is the hash of what the triager has looked at: nothing else is approved.
pub async fn approve(
    db: &mut PgConnection,
    id: i64,
    head: &str,
    actor: &str,
) -> sqlx::Result<Approval> {
    let found: Option<Option<String>> = sqlx::query_scalar(
        "SELECT hash FROM try_run LEFT JOIN commit ON commit.id = head_commit_id
         WHERE try_run.id = $1 AND state = 'waiting_for_approval' FOR UPDATE OF try_run",
    )
    .bind(id)
    .fetch_optional(&mut *db)
    .await?;
    match found {
        None => return Ok(Approval::NotWaiting),
        Some(None) => return Ok(Approval::NotReady),
        Some(Some(hash)) if hash != head => return Ok(Approval::Changed),
        Some(Some(_)) => {}
    }
    sqlx::query(
        "UPDATE try_run SET state = 'queued', approved_by = $2, approved_at = now(), changed_at = clock_timestamp(),
                message = '' WHERE id = $1",
    )
    .bind(id)
    .bind(actor)
    .execute(db)
    .await?;
    Ok(Approval::Given)
}

/// How a try stands, for an answer in a few words.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Status {
    /// Key.
    pub id: i64,
    /// As [`TryState`].
    pub state: String,
    /// In words; may be empty.
    pub message: String,
    /// Who asked.
    pub requester: String,
    /// Its repository's name.
    pub repository: String,
    /// Its pull request.
    pub pull_number: Option<i32>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
}

/// How a try stands.
pub async fn status(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Option<Status>> {
    sqlx::query_as(
        "SELECT try_run.id, state, message, requester, repository.name AS repository, pull_number, try_run.created_at
         FROM try_run JOIN repository ON repository.id = repository_id WHERE try_run.id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await
}
