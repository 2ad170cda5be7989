//! Reading a mirror: first-parent order, commits, tags, touched paths.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use git2::{ObjectType, Oid, Repository, Sort};

use crate::domain::commit::CommitFacts;

/// The longest list of touched paths that is kept.
const MOST_PATHS: usize = 200;

/// The newest commit of a branch; `None` when there is no such branch.
pub fn head(repository: &Repository, branch: &str) -> Option<String> {
    let reference = repository
        .find_reference(&format!("refs/heads/{branch}"))
        .ok()?;
    Some(reference.peel_to_commit().ok()?.id().to_string())
}

/// The first-parent history of a commit, newest first, until a hash of `known` is met (which is not included).
/// Also returns that hash, or `None` when the root was reached.
pub fn first_parents(
    repository: &Repository,
    head: &str,
    known: &HashSet<&str>,
) -> anyhow::Result<(Vec<String>, Option<String>)> {
    let mut walk = repository.revwalk()?;
    walk.set_sorting(Sort::NONE)?;
    walk.simplify_first_parent()?;
    walk.push(Oid::from_str(head)?)?;
    let mut hashes = Vec::new();
    for oid in walk {
        let hash = oid.context("the history is incomplete")?.to_string();
        if known.contains(hash.as_str()) {
            return Ok((hashes, Some(hash)));
        }
        hashes.push(hash);
    }
    Ok((hashes, None))
}

/// Reads a commit. Names, addresses and subjects are anyone's: made valid text without control characters, and cut.
pub fn read_commit(repository: &Repository, hash: &str) -> anyhow::Result<CommitFacts> {
    let commit = repository.find_commit(Oid::from_str(hash)?)?;
    let (author, committer) = (commit.author(), commit.committer());
    Ok(CommitFacts {
        hash: hash.to_owned(),
        parents: commit
            .parent_ids()
            .map(|parent| parent.to_string())
            .collect(),
        author_name: clean(author.name_bytes(), 200),
        author_email: clean(author.email_bytes(), 200),
        committer_name: clean(committer.name_bytes(), 200),
        committer_email: clean(committer.email_bytes(), 200),
        authored_at: time(author.when()),
        committed_at: time(commit.time()),
        subject: clean(
            commit
                .message_bytes()
                .split(|byte| *byte == b'\n')
                .next()
                .unwrap_or_default(),
            300,
        ),
    })
}

fn clean(bytes: &[u8], longest: usize) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .filter(|c| !c.is_control())
        .take(longest)
        .collect()
}

fn time(time: git2::Time) -> DateTime<Utc> {
    DateTime::from_timestamp(time.seconds(), 0).unwrap_or_default()
}

/// Every tag that leads to a commit, with the commit's hash.
pub fn tags(repository: &Repository) -> anyhow::Result<Vec<(String, String)>> {
    let mut tags = Vec::new();
    for reference in repository.references_glob("refs/tags/*")? {
        let reference = reference?;
        let Ok(object) = reference.peel(ObjectType::Commit) else {
            continue;
        };
        let name = clean(reference.shorthand_bytes(), 200);
        tags.push((name, object.id().to_string()));
    }
    Ok(tags)
}

/// Commits that a release beside a branch may have of its own: more, and it is another line's.
const MOST_OWN: usize = 250;

/// Where a commit that is not on a branch left it: the largest position of the branch's commits that it descends from, and how many
/// commits it has beside them. `positions`: those of the branch's first-parent order. `None`: it has more than 250 of its own, or none
/// in common with the branch, or is not in the mirror.
pub fn fork(
    repository: &Repository,
    hash: &str,
    positions: &HashMap<String, i32>,
) -> anyhow::Result<Option<(i32, i32)>> {
    let mut waiting = vec![Oid::from_str(hash)?];
    let mut seen: HashSet<Oid> = waiting.iter().copied().collect();
    let (mut newest, mut own) = (None, 0);
    while let Some(oid) = waiting.pop() {
        if let Some(position) = positions.get(&oid.to_string()) {
            newest = newest.max(Some(*position));
            continue;
        }
        own += 1;
        let Ok(commit) = repository.find_commit(oid) else {
            return Ok(None);
        };
        if own > MOST_OWN {
            return Ok(None);
        }
        waiting.extend(commit.parent_ids().filter(|parent| seen.insert(*parent)));
    }
    Ok(newest.map(|position| (position, i32::try_from(own).unwrap_or(i32::MAX))))
}

/// The paths that a commit touches against its first parent, at most [`MOST_PATHS`], and how many there are.
/// `None` when the commit is not in the mirror.
pub fn touched_paths(
    repository: &Repository,
    hash: &str,
) -> anyhow::Result<Option<(Vec<String>, usize)>> {
    let Ok(commit) = repository.find_commit(Oid::from_str(hash)?) else {
        return Ok(None);
    };
    let before = commit
        .parent(0)
        .ok()
        .map(|parent| parent.tree())
        .transpose()?;
    let mut options = git2::DiffOptions::new();
    options.skip_binary_check(true).ignore_submodules(true);
    let diff =
        repository.diff_tree_to_tree(before.as_ref(), Some(&commit.tree()?), Some(&mut options))?;
    let paths = diff.deltas().take(MOST_PATHS).map(|delta| {
        let path = delta
            .new_file()
            .path_bytes()
            .or_else(|| delta.old_file().path_bytes());
        clean(path.unwrap_or_default(), 500)
    });
    Ok(Some((paths.collect(), diff.deltas().len())))
}

/// Opens a mirror.
pub fn open(folder: &Path) -> anyhow::Result<Repository> {
    Repository::open_bare(folder)
        .with_context(|| format!("cannot open the mirror {}", folder.display()))
}
