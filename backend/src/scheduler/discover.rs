//! Fetches the mirrors by their cron schedules and writes new commits with their branch positions.
//!
//! One transaction per branch: killed anywhere, the next pass finds the same difference between mirror and database and
//! writes it then. A force push rewrites the tail from the last common commit on.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use super::Outcome;
use crate::context::Context;
use crate::db::commits::{self, Branch};
use crate::db::releases::{self, Beside};
use crate::db::repositories::{self, Repository};
use crate::git;

/// Commits read and written at once.
const BATCH: usize = 5_000;
/// A tag may come before the commits that lead to it, by so much.
const RECENT: TimeDelta = TimeDelta::days(30);

/// One pass: looks at every repository that is due.
pub async fn tick(context: &Context) -> Outcome {
    let mut notes = Vec::new();
    for repository in repositories::list(&context.pool).await? {
        if is_due(context, &repository, Utc::now()) {
            match look(context, &repository).await {
                Ok(found) => {
                    repositories::mark_fetched(&context.pool, &repository, None).await?;
                    notes.extend(found);
                }
                Err(error) => {
                    let words = format!("{error:#}");
                    repositories::mark_fetched(&context.pool, &repository, Some(&words)).await?;
                    notes.push(format!("{}: {words}", repository.name));
                }
            }
        }
    }
    Ok((!notes.is_empty()).then(|| notes.join("; ")))
}

/// Due: configured, and never looked at, or asked for by a hook, or with a moment of its schedule since.
fn is_due(context: &Context, repository: &Repository, now: DateTime<Utc>) -> bool {
    let settings = context
        .config
        .repositories
        .iter()
        .find(|settings| settings.name == repository.name);
    let Some(settings) = settings else {
        return false;
    };
    let Some(last) = repository.last_fetch_at else {
        return true;
    };
    if repository.due_at.is_some() {
        return true;
    }
    let schedule = cron::Schedule::from_str(&context.config.schedule_of(settings));
    schedule.is_ok_and(|schedule| schedule.after(&last).next().is_some_and(|next| next <= now))
}

/// Fetches one repository and takes in what is new. Returns notes for the log.
async fn look(context: &Context, repository: &Repository) -> anyhow::Result<Vec<String>> {
    let folder = git::mirror_folder(&context.config.data, &repository.name);
    git::fetch(&repository.url, &folder).await?;
    let tags = read(&folder, git::tags).await?;
    let mut connection = context.pool.acquire().await?;
    commits::replace_tags(&mut connection, repository.id, &tags).await?;
    drop(connection);
    let mut notes = Vec::new();
    let mut missing = Vec::new();
    for branch in commits::list_branches(&context.pool, repository.id).await? {
        let name = branch.name.clone();
        let head = read(&folder, move |mirror| Ok(git::head(mirror, &name))).await?;
        match head {
            None => missing.push(branch.name),
            Some(head) if branch.head.as_ref() == Some(&head) => {}
            Some(head) => notes.extend(update(context, repository, &folder, &branch, head).await?),
        }
        place_releases(context, repository, &folder, branch.id).await?;
    }
    anyhow::ensure!(
        missing.is_empty(),
        "it has no branch {}",
        missing.join(", ")
    );
    Ok(notes)
}

async fn update(
    context: &Context,
    repository: &Repository,
    folder: &Path,
    branch: &Branch,
    head: String,
) -> anyhow::Result<Option<String>> {
    let begun = Instant::now();
    let positions: HashMap<String, i32> = commits::list_positions(&context.pool, branch.id)
        .await?
        .into_iter()
        .collect();
    let (mut fresh, common, positions) = read(folder, move |mirror| {
        let known: HashSet<&str> = positions.keys().map(String::as_str).collect();
        let (fresh, common) = git::first_parents(mirror, &head, &known)?;
        Ok((fresh, common, positions))
    })
    .await?;
    fresh.reverse();
    let first = common
        .and_then(|hash| positions.get(&hash))
        .map_or(0, |position| position + 1);
    let rewritten = positions.len() as i64 > i64::from(first);

    let mut transaction = context.pool.begin().await?;
    let mut note = format!(
        "{} {}: {} new commits",
        repository.name,
        branch.name,
        fresh.len()
    );
    if rewritten {
        let gone = commits::cut_tail(&mut transaction, branch.id, first).await?;
        note.push_str(&format!(", a force push took {gone} away"));
    }
    for batch in fresh.chunks(BATCH) {
        let hashes = batch.to_vec();
        let facts = read(folder, move |mirror| {
            hashes
                .iter()
                .map(|hash| git::read_commit(mirror, hash))
                .collect::<anyhow::Result<Vec<_>>>()
        })
        .await?;
        commits::insert(&mut transaction, repository.id, &facts).await?;
    }
    commits::append(&mut transaction, repository.id, branch.id, first, &fresh).await?;
    let recent = Utc::now() - RECENT;
    releases::forget(&mut transaction, branch.id, first, recent).await?;
    transaction.commit().await?;
    if fresh.len() >= BATCH {
        // Until autovacuum comes by, the planner would take the tables for small: seconds instead of milliseconds.
        commits::analyze(&context.pool).await?;
    }
    note.push_str(&format!(" in {:.1} s", begun.elapsed().as_secs_f64()));
    Ok(Some(note))
}

/// Finds out where the releases lie that are tagged beside a branch, and takes their commits in: they are measured like any other.
async fn place_releases(
    context: &Context,
    repository: &Repository,
    folder: &Path,
    branch_id: i64,
) -> anyhow::Result<()> {
    let unplaced = releases::list_unplaced(&context.pool, branch_id).await?;
    if unplaced.is_empty() {
        return Ok(());
    }
    let positions: HashMap<String, i32> = commits::list_positions(&context.pool, branch_id)
        .await?
        .into_iter()
        .collect();
    let (rows, facts) = read(folder, move |mirror| {
        let mut rows = Vec::with_capacity(unplaced.len());
        let mut facts = Vec::new();
        for hash in unplaced {
            let fork = git::fork(mirror, &hash, &positions)?;
            if fork.is_some() {
                facts.push(git::read_commit(mirror, &hash)?);
            }
            rows.push(Beside { hash, fork });
        }
        Ok((rows, facts))
    })
    .await?;
    let mut transaction = context.pool.begin().await?;
    commits::insert(&mut transaction, repository.id, &facts).await?;
    releases::insert(&mut *transaction, branch_id, &rows).await?;
    transaction.commit().await?;
    Ok(())
}

/// Reads a mirror outside the async threads.
async fn read<T: Send + 'static>(
    folder: &Path,
    work: impl FnOnce(&git2::Repository) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let folder: PathBuf = folder.to_owned();
    tokio::task::spawn_blocking(move || work(&git::open(&folder)?)).await?
}
