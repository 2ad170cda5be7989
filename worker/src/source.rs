//! Commits into folders: read with git2, fetched by the `git` program only when the commit is not here yet.
//!
//! A repository on this machine (a path) is read in place, without any copy. Others get one bare mirror
//! per repository under the data folder, which is given single commits (`--depth 1`), never the whole history.

mod patch;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use git2::{ObjectType, Oid, Repository, TreeWalkMode, TreeWalkResult};
use speedwell_wire::SourceReference;

use crate::job::{Context as _, Failure};
use crate::process::{self, Stop};

/// A fetch of one commit of a large repository over a slow line.
const FETCH_TIMEOUT: Duration = Duration::from_secs(1800);

/// Writes the commit's tree, changed by the job's patch if it has one, into `target`, which must not exist. Returns the number of
/// files that were written.
pub fn checkout(
    source: &SourceReference,
    mirrors: &Path,
    target: &Path,
    stop: &Stop,
) -> Result<usize, Failure> {
    let repository = open(source, mirrors, stop)?;
    let commit = Oid::from_str(&source.commit)
        .and_then(|oid| repository.find_commit(oid))
        .map_err(|error| {
            Failure::permanent(format!("commit {} cannot be read: {error}", source.commit))
        })?;
    let tree = commit
        .tree()
        .map_err(|error| Failure::permanent(format!("its tree cannot be read: {error}")))?;
    fs::create_dir_all(target).transient("cannot make the source folder")?;
    let mut files = 0;
    let mut failure = None;
    let walked = tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
        match write_entry(&repository, source, target, folder, entry) {
            Ok(Written::File) => {
                files += 1;
                TreeWalkResult::Ok
            }
            Ok(Written::Folder) => TreeWalkResult::Ok,
            Ok(Written::LeftOut) => TreeWalkResult::Skip,
            Err(error) => {
                failure = Some(error);
                TreeWalkResult::Abort
            }
        }
    });
    match (failure, walked) {
        (Some(failure), _) => Err(failure),
        (None, Err(error)) => Err(Failure::permanent(format!(
            "the tree cannot be read: {error}"
        ))),
        (None, Ok(())) => {
            let patched = match &source.patch {
                Some(text) => patch::apply(&repository, &commit, source, text, target)?,
                None => 0,
            };
            Ok(files + patched)
        }
    }
}

enum Written {
    File,
    Folder,
    LeftOut,
}

fn write_entry(
    repository: &Repository,
    source: &SourceReference,
    target: &Path,
    folder: &str,
    entry: &git2::TreeEntry<'_>,
) -> Result<Written, Failure> {
    let name = String::from_utf8_lossy(entry.name_bytes());
    let path = format!("{folder}{name}");
    if source.exclude.contains(&path) {
        return Ok(Written::LeftOut);
    }
    let relative = Path::new(&path);
    if !is_plain(relative) || name.contains('/') || path.contains('\u{fffd}') {
        return Err(Failure::permanent(format!(
            "the tree has an unsafe path: {path:?}"
        )));
    }
    let destination = target.join(relative);
    match entry.kind() {
        Some(ObjectType::Tree) => {
            // A tree made by hand can have two entries of one name: a link, and a folder that would be written through it.
            fs::create_dir(&destination).map_err(|error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    Failure::permanent(format!("the tree has {path:?} twice"))
                }
                _ => Failure::transient(format!("cannot make a folder: {error}")),
            })?;
            Ok(Written::Folder)
        }
        Some(ObjectType::Blob) => {
            let blob = repository.find_blob(entry.id()).map_err(|error| {
                Failure::permanent(format!(
                    "{path} cannot be read from the repository ({error}); if its object is missing there for good, \
                     add the path to `exclude` of the repository in speedwell.toml"
                ))
            })?;
            write_blob(
                &destination,
                entry.filemode(),
                blob.content(),
                source.committed_at,
            )
            .transient(&format!("cannot write {path}"))?;
            Ok(Written::File)
        }
        // A submodule: CPython and PyPy build without them.
        Some(_) | None => Ok(Written::LeftOut),
    }
}

/// Whether a path goes down from where it begins, and nowhere else.
fn is_plain(relative: &Path) -> bool {
    let mut parts = relative.components();
    relative.components().next().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Every file gets the commit's time: `make` then sees nothing as newer than what was generated from it (2.7 would
/// regenerate its parser with a Python it does not have), and ccache trusts headers that are not from this second.
fn write_blob(path: &Path, mode: i32, content: &[u8], committed_at: i64) -> std::io::Result<()> {
    if mode == 0o120_000 {
        return symlink(Path::new(&*String::from_utf8_lossy(content)), path);
    }
    let permissions = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(permissions)
        .open(path)?;
    file.write_all(content)?;
    let seconds = Duration::from_secs(u64::try_from(committed_at).unwrap_or(0));
    file.set_modified(std::time::UNIX_EPOCH + seconds)
}

/// The folder of a repository on this machine.
fn local_path(url: &str) -> Option<PathBuf> {
    (!url.contains("://") && Path::new(url).is_dir()).then(|| PathBuf::from(url))
}

fn open(source: &SourceReference, mirrors: &Path, stop: &Stop) -> Result<Repository, Failure> {
    // A lab's repositories belong to other users than the worker's; they are only read.
    // SAFETY: called before any other thread of this process uses libgit2's options; the flag is process-wide and
    // always set to the same value.
    #[expect(unsafe_code, reason = "libgit2's owner check has no other switch")]
    unsafe {
        git2::opts::set_verify_owner_validation(false)
            .map_err(|error| Failure::permanent(error.to_string()))?;
    }
    if let Some(path) = local_path(&source.url) {
        return Repository::open(&path).map_err(|error| {
            Failure::transient(format!("{} cannot be opened: {error}", path.display()))
        });
    }
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if source.url.starts_with('-')
        || source.url.starts_with("ext::")
        || !source.commit.chars().all(safe)
    {
        return Err(Failure::permanent(format!(
            "{:?} is no address to fetch from",
            source.url
        )));
    }
    if source.repository.starts_with('.') || !source.repository.chars().all(safe) {
        return Err(Failure::permanent(format!(
            "{:?} is no name of a repository",
            source.repository
        )));
    }
    let folder = mirrors.join(format!("{}.git", source.repository));
    let mirror = match Repository::open_bare(&folder) {
        Ok(mirror) => mirror,
        Err(_) => Repository::init_bare(&folder).transient("cannot make the mirror")?,
    };
    let known = Oid::from_str(&source.commit).is_ok_and(|oid| mirror.find_commit(oid).is_ok());
    if !known {
        let command = [
            "git",
            "-c",
            "gc.auto=0",
            "fetch",
            "--quiet",
            "--depth=1",
            "--no-tags",
            "--",
            &source.url,
            &source.commit,
        ];
        let (end, text) =
            process::output(&command, &folder, FETCH_TIMEOUT, stop).transient("cannot run git")?;
        if !end.success() {
            let words = text.lines().last().unwrap_or("").to_owned();
            return Err(Failure::transient(format!(
                "git fetch of {} ended with {}: {words}",
                source.commit,
                end.describe()
            )));
        }
    }
    Ok(mirror)
}

#[cfg(test)]
mod tests {
    use super::*;
    use git2::Signature;
    use std::os::unix::fs::PermissionsExt;

    fn repository_with_odd_files(folder: &Path) -> SourceReference {
        let repository = Repository::init_bare(folder).unwrap();
        let mut tools = repository.treebuilder(None).unwrap();
        tools
            .insert(
                "run.sh",
                repository.blob(b"#!/bin/sh\n").unwrap(),
                0o100_755,
            )
            .unwrap();
        tools
            .insert("link", repository.blob(b"run.sh").unwrap(), 0o120_000)
            .unwrap();
        let tools = tools.write().unwrap();
        let mut root = repository.treebuilder(None).unwrap();
        root.insert("Tools", tools, 0o040_000).unwrap();
        root.insert("README", repository.blob(b"text\n").unwrap(), 0o100_644)
            .unwrap();
        let missing = repository.blob(b"will be gone").unwrap();
        root.insert("missing.txt", missing, 0o100_644).unwrap();
        let tree = repository.find_tree(root.write().unwrap()).unwrap();
        let me = Signature::now("A", "a@example.org").unwrap();
        let commit = repository
            .commit(None, &me, &me, "one", &tree, &[])
            .unwrap();
        let hex = missing.to_string();
        fs::remove_file(folder.join("objects").join(&hex[..2]).join(&hex[2..])).unwrap();
        SourceReference {
            repository: "toy".into(),
            url: folder.display().to_string(),
            commit: commit.to_string(),
            committed_at: 0,
            exclude: vec!["missing.txt".into()],
            patch: None,
        }
    }

    #[test]
    fn a_checkout_keeps_modes_and_links_and_leaves_paths_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut source = repository_with_odd_files(&folder.path().join("toy.git"));
        let target = folder.path().join("out");
        assert_eq!(
            checkout(&source, folder.path(), &target, &Stop::default()).unwrap(),
            3
        );
        assert_eq!(
            fs::metadata(target.join("Tools/run.sh"))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o755
        );
        assert_eq!(
            fs::read_link(target.join("Tools/link")).unwrap(),
            Path::new("run.sh")
        );
        assert!(!target.join("missing.txt").exists());
        source.exclude.clear();
        let failure = checkout(
            &source,
            folder.path(),
            &folder.path().join("two"),
            &Stop::default(),
        )
        .unwrap_err();
        assert!(
            failure.message.contains("missing.txt") && failure.message.contains("`exclude`"),
            "{}",
            failure.message
        );
    }

    /// A tree that no `git` makes: a link and a folder of one name. The folder's file would land where the link leads.
    #[test]
    fn no_folder_is_written_through_a_link_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("toy.git");
        let repository = Repository::init_bare(&place).unwrap();
        let link = repository.blob(b"..").unwrap();
        let mut inner = repository.treebuilder(None).unwrap();
        let evil = repository.blob(b"evil").unwrap();
        inner.insert("evil", evil, 0o100_644).unwrap();
        let inner = inner.write().unwrap();
        let mut raw = b"120000 a\0".to_vec();
        raw.extend_from_slice(link.as_bytes());
        raw.extend_from_slice(b"40000 a\0");
        raw.extend_from_slice(inner.as_bytes());
        let odb = repository.odb().unwrap();
        let tree = odb.write(ObjectType::Tree, &raw).unwrap();
        let tree = repository.find_tree(tree).unwrap();
        let me = Signature::now("A", "a@example.org").unwrap();
        let commit = repository
            .commit(None, &me, &me, "two", &tree, &[])
            .unwrap();
        let mut source = repository_with_odd_files(&folder.path().join("other.git"));
        source.url = place.display().to_string();
        source.commit = commit.to_string();
        let target = folder.path().join("out");
        let failure = checkout(&source, folder.path(), &target, &Stop::default()).unwrap_err();
        assert!(
            failure.message.contains("\"a\" twice"),
            "{}",
            failure.message
        );
        assert!(!folder.path().join("evil").exists());
    }

    #[test]
    fn a_remote_commit_is_fetched_alone_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut source = repository_with_odd_files(&folder.path().join("toy.git"));
        let clone = folder.path().join("work");
        let git = |arguments: &[&str]| {
            let status = std::process::Command::new("git")
                .args(arguments)
                .current_dir(folder.path())
                .status();
            assert!(status.unwrap().success(), "{arguments:?}");
        };
        git(&["init", "--quiet", "work"]);
        fs::write(clone.join("a.c"), "int a;").unwrap();
        git(&["-C", "work", "add", "a.c"]);
        git(&[
            "-C",
            "work",
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@b",
            "commit",
            "--quiet",
            "-m",
            "x",
        ]);
        let head = Repository::open(&clone)
            .unwrap()
            .head()
            .unwrap()
            .target()
            .unwrap()
            .to_string();
        // Fetched by the `git` program as any other address.
        source.url = format!("file://{}", clone.display());
        source.commit = head;
        let target = folder.path().join("out");
        assert_eq!(
            checkout(
                &source,
                &folder.path().join("mirrors"),
                &target,
                &Stop::default()
            )
            .unwrap(),
            1
        );
        fs::remove_dir_all(&clone).unwrap();
        let again = folder.path().join("again");
        assert_eq!(
            checkout(
                &source,
                &folder.path().join("mirrors"),
                &again,
                &Stop::default()
            )
            .unwrap(),
            1
        );
        source.url = "--upload-pack=touch /tmp/x".into();
        assert!(
            checkout(
                &source,
                folder.path(),
                &folder.path().join("o"),
                &Stop::default()
            )
            .is_err()
        );
    }
}
