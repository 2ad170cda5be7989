//! Somebody's patch on top of a checked-out commit. libgit2 reads it and works out the new files from the commit's own tree, in memory and
//! in a repository for the moment: no shell, no `patch` program that would look for a place to apply it. What is written then is
//! checked once more here, for the folder belongs to whoever runs the worker until it is handed to the box.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{Commit, Delta, Diff, DiffDelta, ErrorCode, Index, Repository};
use speedwell_wire::SourceReference;

use super::{is_plain, write_blob};
use crate::job::{Context as _, Failure};

/// Changes the files below `target`, where the commit is checked out. Returns how many were written.
pub(super) fn apply(
    repository: &Repository,
    commit: &Commit<'_>,
    source: &SourceReference,
    text: &str,
    target: &Path,
) -> Result<usize, Failure> {
    let diff = Diff::from_buffer(text.as_bytes())
        .map_err(|error| refused(&format!("cannot be read: {}", error.message())))?;
    for delta in diff.deltas() {
        if delta.flags().is_binary() {
            return Err(refused("changes a binary file"));
        }
    }
    let mut place = target.as_os_str().to_owned();
    place.push(".patched.git");
    let place = PathBuf::from(place);
    let scratch = borrow_objects(repository, &place)?;
    let written = changed_tree(&scratch, commit, &diff)
        .and_then(|index| write_changes(&scratch, &index, &diff, source, target));
    fs::remove_dir_all(&place).transient("cannot remove the repository of the patched files")?;
    written
}

fn refused(what: &str) -> Failure {
    Failure::permanent(format!("the patch {what}"))
}

/// A repository of its own that reads the other's objects: what the patch makes is never written there, where it may not be ours to
/// write.
fn borrow_objects(repository: &Repository, place: &Path) -> Result<Repository, Failure> {
    let made = Repository::init_bare(place).and_then(|scratch| {
        let objects = repository.commondir().join("objects");
        let objects = objects.canonicalize().unwrap_or(objects);
        let alternates = scratch.path().join("objects/info/alternates");
        fs::create_dir_all(scratch.path().join("objects/info"))
            .and_then(|()| fs::write(alternates, format!("{}\n", objects.display())))
            .map_err(|error| git2::Error::from_str(&error.to_string()))?;
        // Alternates are read when a repository is opened.
        Repository::open_bare(place)
    });
    made.transient("cannot make a repository for the patched files")
}

/// The commit's tree with the patch applied, every hunk of it or none.
fn changed_tree(
    scratch: &Repository,
    commit: &Commit<'_>,
    diff: &Diff<'_>,
) -> Result<Index, Failure> {
    let tree = scratch
        .find_commit(commit.id())
        .and_then(|commit| commit.tree())
        .map_err(|error| Failure::permanent(format!("its tree cannot be read: {error}")))?;
    scratch.apply_to_tree(&tree, diff, None).map_err(|error| {
        let base = commit.id().to_string();
        let short = base.get(..10).unwrap_or_default();
        let why = match error.code() {
            ErrorCode::ApplyFail => {
                "a hunk does not fit; make it anew with `git diff` against that commit".to_owned()
            }
            _ => error.message().to_owned(),
        };
        refused(&format!("does not apply to {short}: {why}"))
    })
}

/// Takes away what is gone or will be written anew, then writes what is new.
fn write_changes(
    scratch: &Repository,
    index: &Index,
    diff: &Diff<'_>,
    source: &SourceReference,
    target: &Path,
) -> Result<usize, Failure> {
    for delta in diff.deltas() {
        if let Some(path) = taken_away(&delta) {
            let file = inside(target, path)?;
            fs::remove_file(&file)
                .map_err(|error| refused(&format!("changes {}: {error}", path.display())))?;
        }
    }
    let mut written = 0;
    for delta in diff.deltas() {
        let Some(path) = put_there(&delta) else {
            continue;
        };
        let missing = || refused(&format!("leaves {} unclear", path.display()));
        let entry = index.get_path(path, 0).ok_or_else(missing)?;
        let mode = i32::try_from(entry.mode).map_err(|_| missing())?;
        let blob = scratch.find_blob(entry.id).map_err(|_| missing())?;
        let file = inside(target, path)?;
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).transient("cannot make a folder")?;
        }
        write_blob(&file, mode, blob.content(), source.committed_at)
            .map_err(|error| refused(&format!("makes {}: {error}", path.display())))?;
        written += 1;
    }
    Ok(written)
}

/// The path whose file goes, for good or to be written anew.
fn taken_away<'a>(delta: &DiffDelta<'a>) -> Option<&'a Path> {
    match delta.status() {
        Delta::Deleted | Delta::Modified | Delta::Renamed | Delta::Typechange => {
            delta.old_file().path()
        }
        Delta::Added
        | Delta::Copied
        | Delta::Unmodified
        | Delta::Ignored
        | Delta::Untracked
        | Delta::Unreadable
        | Delta::Conflicted => None,
    }
}

/// The path of a new file.
fn put_there<'a>(delta: &DiffDelta<'a>) -> Option<&'a Path> {
    match delta.status() {
        Delta::Added | Delta::Modified | Delta::Renamed | Delta::Copied | Delta::Typechange => {
            delta.new_file().path()
        }
        Delta::Deleted
        | Delta::Unmodified
        | Delta::Ignored
        | Delta::Untracked
        | Delta::Unreadable
        | Delta::Conflicted => None,
    }
}

/// A path of the patch below `target`. Every folder on the way must be one: a link, of the commit or of the patch itself, could lead
/// anywhere.
fn inside(target: &Path, relative: &Path) -> Result<PathBuf, Failure> {
    let unsafe_path = || refused(&format!("has an unsafe path: {:?}", relative.display()));
    if !is_plain(relative) || relative.to_str().is_none() {
        return Err(unsafe_path());
    }
    let mut place = target.to_owned();
    let parent = relative.parent().unwrap_or(Path::new(""));
    for part in parent.components() {
        place.push(part);
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(unsafe_path()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Err(error) => return Err(Failure::transient(format!("{}: {error}", place.display()))),
        }
    }
    Ok(target.join(relative))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use git2::Signature;

    use super::super::checkout;
    use super::*;
    use crate::process::Stop;

    /// A repository with `a.txt` (a to e), `gone.txt`, `old.txt` and a link to the folder above.
    fn repository(folder: &Path) -> SourceReference {
        let repository = Repository::init_bare(folder).unwrap();
        let mut root = repository.treebuilder(None).unwrap();
        for (name, text) in [
            ("a.txt", "a\nb\nc\nd\ne\n"),
            ("gone.txt", "gone\n"),
            ("old.txt", "same\n"),
        ] {
            let blob = repository.blob(text.as_bytes()).unwrap();
            root.insert(name, blob, 0o100_644).unwrap();
        }
        root.insert("up", repository.blob(b"..").unwrap(), 0o120_000)
            .unwrap();
        let tree = repository.find_tree(root.write().unwrap()).unwrap();
        let me = Signature::now("A", "a@example.org").unwrap();
        let commit = repository
            .commit(None, &me, &me, "one", &tree, &[])
            .unwrap();
        SourceReference {
            repository: "toy".into(),
            url: folder.display().to_string(),
            commit: commit.to_string(),
            committed_at: 1_000,
            exclude: vec![],
            patch: None,
        }
    }

    /// Checks out with a patch; the folder and the outcome.
    fn patched(text: &str) -> (tempfile::TempDir, Result<usize, Failure>) {
        let folder = tempfile::tempdir().unwrap();
        let mut source = repository(&folder.path().join("toy.git"));
        source.patch = Some(text.to_owned());
        let target = folder.path().join("out");
        let done = checkout(&source, folder.path(), &target, &Stop::default());
        (folder, done)
    }

    #[test]
    fn files_are_changed_added_renamed_and_taken_away() {
        let (folder, done) = patched(
            "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1,5 +1,5 @@\n a\n b\n-c\n+C\n d\n e\n\
             diff --git a/gone.txt b/gone.txt\ndeleted file mode 100644\n--- a/gone.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n\
             diff --git a/old.txt b/new/name.txt\nsimilarity index 100%\nrename from old.txt\nrename to new/name.txt\n\
             diff --git a/run.sh b/run.sh\nnew file mode 100755\n--- /dev/null\n+++ b/run.sh\n@@ -0,0 +1 @@\n+#!/bin/sh\n",
        );
        done.unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join("out").join(name));
        assert_eq!(read("a.txt").unwrap(), "a\nb\nC\nd\ne\n");
        assert_eq!(read("new/name.txt").unwrap(), "same\n");
        assert!(read("gone.txt").is_err() && read("old.txt").is_err());
        let run = fs::metadata(folder.path().join("out/run.sh")).unwrap();
        assert_eq!(run.permissions().mode() & 0o777, 0o755);
        // Nothing is newer than the commit, as in a checkout without a patch.
        let seconds = run
            .modified()
            .unwrap()
            .duration_since(std::time::UNIX_EPOCH);
        assert_eq!(seconds.unwrap().as_secs(), 1_000);
        assert!(!folder.path().join("out.patched.git").exists());
    }

    #[test]
    fn what_git_mails_applies_too() {
        let (folder, done) = patched(
            "From 73a85c4e1d Mon Sep 17 00:00:00 2001\nFrom: A <a@example.org>\nSubject: [PATCH] x\n\n---\n a.txt | 2 +-\n\n\
             diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n-a\n+A\n b\n c\n-- \n2.47.3\n\n",
        );
        done.unwrap();
        let text = fs::read_to_string(folder.path().join("out/a.txt")).unwrap();
        assert!(text.starts_with("A\n"), "{text}");
    }

    #[test]
    fn what_does_not_fit_is_a_permanent_failure_that_says_so() {
        for (text, words) in [
            (
                "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n-x\n+A\n b\n c\n",
                "does not apply to",
            ),
            (
                "diff --git a/none.txt b/none.txt\n--- a/none.txt\n+++ b/none.txt\n@@ -1 +1 @@\n-x\n+A\n",
                "the patch",
            ),
            ("@@ -1,9999999 +1 @@\n-x\n", "the patch"),
            (
                "diff --git a/b b/b\nnew file mode 100644\nindex 0000000..1111111\nGIT binary patch\nliteral 5\nMcmZQzWMT#Y01f~L\n\nliteral 0\nHcmV?d00001\n\n",
                "the patch",
            ),
        ] {
            let (folder, done) = patched(text);
            let failure = done.unwrap_err();
            assert!(
                failure.message.contains(words),
                "{text:?}: {}",
                failure.message
            );
            assert_eq!(failure.kind, speedwell_wire::FailureKind::Permanent);
            assert!(!folder.path().join("out.patched.git").exists());
        }
    }

    #[test]
    fn no_path_leads_out_of_the_tree() {
        let new = |path: &str| {
            format!(
                "diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
            )
        };
        let link = "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+..\n\\ No newline at end of file\n";
        for text in [
            new("../evil"),
            new("a/../../evil"),
            new("/evil"),
            new("./evil"),
            new("up/evil"),
            new(".git/hooks/post-checkout"),
            format!("{link}{}", new("l/evil")),
            format!("{}{link}", new("l/evil")),
            "diff --git a/gone.txt b/../evil\n--- a/gone.txt\n+++ b/../evil\n@@ -1 +1 @@\n-gone\n+x\n".to_owned(),
            "diff --git a/old.txt b/../evil\nsimilarity index 100%\nrename from old.txt\nrename to ../evil\n".to_owned(),
        ] {
            let (folder, done) = patched(&text);
            assert!(!folder.path().join("evil").exists(), "{text}");
            assert!(!Path::new("/evil").exists(), "{text}");
            // Where libgit2 reads a harmless path from it, that one is inside.
            if done.is_ok() {
                assert!(walk(&folder.path().join("out")).contains("evil"), "{text}");
            }
        }
    }

    /// Paths below a folder, links not followed.
    fn walk(folder: &Path) -> String {
        let mut text = String::new();
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            text += &format!("{}\n", entry.path().display());
            if entry.file_type().unwrap().is_dir() {
                text += &walk(&entry.path());
            }
        }
        text
    }
}
