//! From names to commits: fetches what is tried, finds where it left its base, and keeps the difference for those who have to approve.

use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::db::commits;
use crate::db::tries;
use crate::db::tries::resolve::{self, Found, Unresolved};
use crate::domain::try_run::TryState;
use crate::forge::ForgeKind;
use crate::git;

/// Looks in vain before a try is given up: the forge may be away for some minutes.
const MOST_LOOKS: i32 = 10;
/// Longest difference that is kept, in bytes.
const LONGEST_DIFF: usize = 512 * 1024;

/// What a look came to.
enum Look {
    Found(Found),
    /// It will not be found by looking again.
    Hopeless(String),
}

/// Looks up the commits of each try that wants them. Notes for the log.
pub(super) async fn look_up(context: &Context) -> anyhow::Result<Vec<String>> {
    let mut notes = Vec::new();
    for wanted in resolve::list_unresolved(&context.pool).await? {
        let id = wanted.id;
        match look(context, &wanted).await {
            Ok(Look::Found(found)) => {
                resolve::set_commits(&context.pool, id, &found).await?;
                notes.push(format!("try {id}: {} against {}", found.head, found.base));
            }
            Ok(Look::Hopeless(words)) => {
                fail(context, id, &words).await?;
                notes.push(format!("try {id} fails: {words}"));
            }
            Err(error) => {
                let words = format!("Its commits cannot be fetched: {error:#}");
                if wanted.looks + 1 >= MOST_LOOKS {
                    fail(context, id, &words).await?;
                } else {
                    resolve::note_look(&context.pool, id, &words).await?;
                }
                notes.push(format!("try {id}: {error:#}"));
            }
        }
    }
    Ok(notes)
}

async fn fail(context: &Context, id: i64, words: &str) -> sqlx::Result<()> {
    let mut transaction = context.pool.begin().await?;
    tries::finish(&mut transaction, id, TryState::Failed, None, words).await?;
    transaction.commit().await
}

async fn look(context: &Context, wanted: &Unresolved) -> anyhow::Result<Look> {
    let folder = git::mirror_folder(&context.config.data, &wanted.repository);
    git::fetch(&wanted.url, &folder).await?;
    let branches =
        resolve::list_branches(&context.pool, wanted.repository_id, &wanted.runtimes).await?;
    let head = match find_head(context, wanted, &folder).await? {
        Ok(head) => head,
        Err(words) => return Ok(Look::Hopeless(words)),
    };
    let base_name = match &wanted.base_name {
        // A hash that no branch of ours leads to.
        Some(name) => fetch_named(wanted, &folder, name, "base").await?,
        None => None,
    };
    let question = Question {
        head,
        base: wanted.base_name.clone().map(|name| (name, base_name)),
        base_branch: wanted.base_branch.clone(),
        branches,
        is_pull: wanted.pull_number.is_some(),
    };
    let place = place(&folder, question).await?;
    let place = match place {
        Ok(place) => place,
        Err(words) => return Ok(Look::Hopeless(words)),
    };
    store(context, wanted, &folder, place)
        .await
        .map(Look::Found)
}

/// The head's hash; absent for a patch, whose head is made later. An error in words is for people.
async fn find_head(
    context: &Context,
    wanted: &Unresolved,
    folder: &Path,
) -> anyhow::Result<Result<Option<String>, String>> {
    if wanted.patch_sha256.is_some() {
        return Ok(Ok(None));
    }
    let kept = format!("refs/speedwell/tries/{}/head", wanted.id);
    if let Some(number) = wanted.pull_number {
        for from in pull_references(context, wanted, number) {
            if git::fetch_one(&wanted.url, folder, &from, &kept).await? {
                return Ok(Ok(
                    read(folder, move |mirror| Ok(git::find(mirror, &kept))).await?
                ));
            }
        }
        let words = format!(
            "{} has no pull request {number}, or gives its commits to nobody.",
            wanted.repository
        );
        return Ok(Err(words));
    }
    let name = wanted.head_name.clone().unwrap_or_default();
    let found = fetch_named(wanted, folder, &name, "head").await?;
    Ok(match found {
        Some(hash) => Ok(Some(hash)),
        None => Err(no_such(wanted, &name)),
    })
}

fn no_such(wanted: &Unresolved, name: &str) -> String {
    format!(
        "{} has no branch, tag or commit {name}, or several that begin so.",
        wanted.repository
    )
}

/// Where forges keep the heads of pull requests. What a fork holds is fetched from there and never from the fork's own address.
fn pull_references(context: &Context, wanted: &Unresolved, number: i32) -> Vec<String> {
    let repositories = context.config.repositories.iter();
    let mut settings = repositories.filter(|one| one.name == wanted.repository);
    let kind = settings.next().and_then(|one| one.forge.as_ref());
    let pull = format!("refs/pull/{number}/head");
    let merge = format!("refs/merge-requests/{number}/head");
    match kind.map(|forge| forge.kind) {
        Some(ForgeKind::Github | ForgeKind::Forgejo) => vec![pull],
        Some(ForgeKind::Gitlab) => vec![merge],
        None => vec![pull, merge],
    }
}

/// The commit of a name. A whole hash that no branch or tag leads to is fetched by itself, and kept under a name of ours.
async fn fetch_named(
    wanted: &Unresolved,
    folder: &Path,
    name: &str,
    side: &str,
) -> anyhow::Result<Option<String>> {
    let looked = name.to_owned();
    let found = read(folder, move |mirror| Ok(git::find(mirror, &looked))).await?;
    let whole = matches!(name.len(), 40 | 64) && name.chars().all(|c| c.is_ascii_hexdigit());
    if found.is_some() || !whole {
        return Ok(found);
    }
    let kept = format!("refs/speedwell/tries/{}/{side}", wanted.id);
    let hash = name.to_ascii_lowercase();
    if !git::fetch_one(&wanted.url, folder, &hash, &kept).await? {
        return Ok(None);
    }
    read(folder, move |mirror| Ok(git::find(mirror, &kept))).await
}

/// What is known when the base is looked for.
struct Question {
    /// Absent for a patch.
    head: Option<String>,
    /// A named base, and its hash if there is one.
    base: Option<(String, Option<String>)>,
    base_branch: Option<String>,
    /// Branches that runtimes measure.
    branches: Vec<String>,
    is_pull: bool,
}

/// Where a head stands.
struct Place {
    base_branch: String,
    base: String,
    head: Option<String>,
}

/// Finds the base: the named one, or where the head left its branch. An error in words is for people.
async fn place(folder: &Path, question: Question) -> anyhow::Result<Result<Place, String>> {
    read(folder, move |mirror| {
        let Some(nearest) = nearest(mirror, &question)? else {
            let words = "It shares no history with any branch that is measured: name a base.";
            return Ok(Err(words.to_owned()));
        };
        let (base_branch, parted) = nearest;
        let base = match &question.base {
            Some((_, Some(base))) => base.clone(),
            Some((name, None)) => {
                return Ok(Err(format!(
                    "There is no base {name}: name a branch, a tag or a commit."
                )));
            }
            None if question.head.as_ref() == Some(&parted) && question.is_pull => {
                let words = "Its commits are in its base branch already: there is nothing to try.";
                return Ok(Err(words.to_owned()));
            }
            // A commit of the branch itself is tried against the one before it.
            None if question.head.as_ref() == Some(&parted) => {
                match git::first_parent(mirror, &parted)? {
                    Some(parent) => parent,
                    None => return Ok(Err("It is the first commit: name a base.".to_owned())),
                }
            }
            None => parted,
        };
        if question.head.as_ref() == Some(&base) {
            return Ok(Err("Head and base are the same commit.".to_owned()));
        }
        Ok(Ok(Place {
            base_branch,
            base,
            head: question.head,
        }))
    })
    .await
}

/// Of the branches in question the one that the head (of a patch: its base) left last, and where.
fn nearest(
    mirror: &git2::Repository,
    question: &Question,
) -> anyhow::Result<Option<(String, String)>> {
    let named = question.base.as_ref().and_then(|(_, hash)| hash.clone());
    let from = question.head.clone().or(named);
    let candidates = match &question.base_branch {
        Some(branch) => std::slice::from_ref(branch),
        None => question.branches.as_slice(),
    };
    let mut best: Option<(usize, String, String)> = None;
    for branch in candidates {
        let Some(tip) = git::find(mirror, branch) else {
            continue;
        };
        // A patch without a base is for the head of the branch.
        let Some(from) = &from else {
            return Ok(Some((branch.clone(), tip)));
        };
        let Some(parted) = git::merge_base(mirror, from, &tip)? else {
            continue;
        };
        let distance = git::commits_between(mirror, &parted, from)?;
        if best.as_ref().is_none_or(|(least, _, _)| distance < *least) {
            best = Some((distance, branch.clone(), parted));
        }
    }
    Ok(best.map(|(_, branch, parted)| (branch, parted)))
}

/// Writes the commits of both sides, which get no place on any branch.
async fn store(
    context: &Context,
    wanted: &Unresolved,
    folder: &Path,
    place: Place,
) -> anyhow::Result<Found> {
    let hashes: Vec<String> = [Some(place.base.clone()), place.head.clone()]
        .into_iter()
        .flatten()
        .collect();
    let facts = read(folder, move |mirror| {
        let read = |hash: &String| git::read_commit(mirror, hash);
        hashes.iter().map(read).collect::<anyhow::Result<Vec<_>>>()
    })
    .await?;
    let mut transaction = context.pool.begin().await?;
    commits::insert(&mut transaction, wanted.repository_id, &facts).await?;
    let head = match (&place.head, &wanted.patch_sha256) {
        (Some(head), _) => head.clone(),
        (None, Some(patch)) => {
            resolve::insert_patch_commit(&mut transaction, wanted, patch, &place.base).await?
        }
        (None, None) => anyhow::bail!("there is neither a head nor a patch"),
    };
    transaction.commit().await?;
    // Whoever has vouched for a stranger's pull request has not seen what was pushed to it since.
    let expected = wanted.expected_head.as_ref();
    let moved = expected.is_some_and(|expected| place.head.as_ref() != Some(expected));
    let waits = moved || wanted.state == TryState::WaitingForApproval.as_str();
    let diff = match &place.head {
        Some(head) if waits => Some(git::diff(folder, &place.base, head, LONGEST_DIFF).await?),
        Some(_) | None => None,
    };
    Ok(Found {
        base_branch: place.base_branch,
        base: place.base,
        head,
        diff,
        moved,
    })
}

/// Reads a mirror outside the async threads.
async fn read<T: Send + 'static>(
    folder: &Path,
    work: impl FnOnce(&git2::Repository) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let folder: PathBuf = folder.to_owned();
    tokio::task::spawn_blocking(move || work(&git::open(&folder)?)).await?
}
