//! One bare mirror per repository, without file contents: commits and trees are all that positions and paths need.
//!
//! Only `git` itself knows credentials, protocols and partial clones well, so it does the fetching. A fetch that is
//! killed leaves temporary packs behind, never half a reference.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// A first fetch of a large history over a slow line.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// The mirror of a repository below the data folder. Names are checked by the configuration.
pub fn mirror_folder(data: &Path, repository: &str) -> PathBuf {
    data.join("mirrors").join(format!("{repository}.git"))
}

/// Brings all branches and tags of `url` into the mirror, which is made when missing. Branches that were force-pushed
/// or deleted there are so here.
pub async fn fetch(url: &str, folder: &Path) -> anyhow::Result<()> {
    prepare(url, folder).await?;
    let specifications = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
    fetch_what(folder, &["--prune"], &specifications).await
}

/// Brings one reference of `url` (`refs/pull/7/head`, or a commit's whole hash) into the mirror under a name of our own, by which its
/// commits stay. `false`: there is none such.
pub async fn fetch_one(url: &str, folder: &Path, from: &str, to: &str) -> anyhow::Result<bool> {
    let plain = |name: &str| !name.starts_with('-') && !name.contains([':', '*', '^', ' ']);
    ensure!(plain(from) && plain(to), "{from:?} is no reference");
    prepare(url, folder).await?;
    match fetch_what(folder, &["--no-tags"], &[&format!("+{from}:{to}")]).await {
        Ok(()) => Ok(true),
        Err(error) => {
            let words = error.to_string();
            // What git says of a name, and what servers say of a hash.
            let missing = ["couldn't find remote ref", "not our ref"];
            if missing.iter().any(|one| words.contains(one)) {
                return Ok(false);
            }
            Err(error)
        }
    }
}

/// What differs between two commits of the mirror, as text, at most `longest` bytes of it, and whether it was cut. The contents are
/// fetched for it. Nothing of either commit decides how it is shown: no attributes, no programs.
pub async fn diff(
    folder: &Path,
    base: &str,
    head: &str,
    longest: usize,
) -> anyhow::Result<(String, bool)> {
    let hexadecimal = |hash: &str| !hash.is_empty() && hash.chars().all(|c| c.is_ascii_hexdigit());
    ensure!(hexadecimal(base) && hexadecimal(head), "not two commits");
    let arguments = [
        "-c",
        "attr.tree=",
        "diff",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--find-renames",
        base,
        head,
        "--",
    ];
    let mut child = command(folder, &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run git; is it installed?")?;
    let output = child.stdout.take().context("git has no output")?;
    let mut output = output.take(longest as u64 + 1);
    let mut bytes = Vec::new();
    tokio::time::timeout(TIMEOUT, output.read_to_end(&mut bytes))
        .await
        .context("git diff took too long")??;
    let cut = bytes.len() > longest;
    if cut {
        child.kill().await?;
    } else {
        ensure!(child.wait().await?.success(), "git diff failed");
    }
    bytes.truncate(longest);
    let text = String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}");
    Ok((text, cut))
}

/// Makes the mirror when it is missing, and tells it where it comes from.
async fn prepare(url: &str, folder: &Path) -> anyhow::Result<()> {
    ensure!(
        !url.starts_with('-') && !url.starts_with("ext::"),
        "{url:?} is no address to fetch from"
    );
    if !folder.join("HEAD").exists() {
        let path = folder.to_string_lossy();
        git(Path::new("/"), &["init", "--quiet", "--bare", "--", &path]).await?;
    }
    // A repository on this machine is asked to filter too; a server that cannot is answered with a warning. A setting and no option, for
    // contents that are wanted later are fetched from there by git itself.
    let upload = if Path::new(url).is_dir() {
        "git -c uploadpack.allowFilter=true -c safe.directory=* upload-pack"
    } else {
        "git-upload-pack"
    };
    let settings = [
        ("remote.origin.uploadpack", upload),
        ("remote.origin.url", url),
        ("remote.origin.promisor", "true"),
        ("remote.origin.partialclonefilter", "blob:none"),
        ("gc.auto", "0"),
    ];
    for (key, value) in settings {
        git(folder, &["config", key, value]).await?;
    }
    Ok(())
}

async fn fetch_what(
    folder: &Path,
    options: &[&str],
    specifications: &[&str],
) -> anyhow::Result<()> {
    let mut arguments = vec![
        "fetch",
        "--quiet",
        "--force",
        "--no-write-fetch-head",
        "--filter=blob:none",
    ];
    arguments.extend(options);
    arguments.push("origin");
    arguments.extend(specifications);
    git(folder, &arguments).await
}

/// The `git` program, in a folder.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args(arguments)
        .current_dir(folder)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C.UTF-8")
        .env_remove("GIT_DIR")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = command(folder, arguments);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    if arguments[0] == "init" {
        let target = arguments.last().copied().unwrap_or_default();
        std::fs::create_dir_all(target)
            .with_context(|| format!("cannot make the folder {target}"))?;
    }
    let child = command
        .spawn()
        .context("cannot run git; is it installed?")?;
    let output = tokio::time::timeout(TIMEOUT, child.wait_with_output())
        .await
        .with_context(|| {
            format!(
                "git {} took longer than {} s",
                arguments[0],
                TIMEOUT.as_secs()
            )
        })??;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let words: String = text
            .trim()
            .chars()
            .filter(|c| !c.is_control() || *c == '\n')
            .take(1000)
            .collect();
        bail!("git {} failed: {words}", arguments[0]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_cannot_be_reached_is_an_error_in_gits_words() {
        let folder = tempfile::tempdir().unwrap();
        let error = fetch("/no/such/repository", &folder.path().join("m.git"))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("git fetch failed") && error.contains("/no/such/repository"),
            "{error}"
        );
        assert!(fetch("--upload-pack=x", folder.path()).await.is_err());
    }
}
