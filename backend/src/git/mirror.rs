//! One bare mirror per repository, without file contents: commits and trees are all that positions and paths need.
//!
//! Only `git` itself knows credentials, protocols and partial clones well, so it does the fetching. A fetch that is
//! killed leaves temporary packs behind, never half a reference.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
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
    ensure!(
        !url.starts_with('-') && !url.starts_with("ext::"),
        "{url:?} is no address to fetch from"
    );
    if !folder.join("HEAD").exists() {
        let path = folder.to_string_lossy();
        git(Path::new("/"), &["init", "--quiet", "--bare", "--", &path]).await?;
    }
    let settings = [
        ("remote.origin.url", url),
        ("remote.origin.promisor", "true"),
        ("remote.origin.partialclonefilter", "blob:none"),
        ("gc.auto", "0"),
    ];
    for (key, value) in settings {
        git(folder, &["config", key, value]).await?;
    }
    // A repository on this machine is asked to filter too; a server that cannot is answered with a warning.
    let upload = "--upload-pack=git -c uploadpack.allowFilter=true -c safe.directory=* upload-pack";
    let mut arguments = vec![
        "fetch",
        "--quiet",
        "--prune",
        "--force",
        "--no-write-fetch-head",
        "--filter=blob:none",
    ];
    if Path::new(url).is_dir() {
        arguments.push(upload);
    }
    arguments.extend([
        "origin",
        "+refs/heads/*:refs/heads/*",
        "+refs/tags/*:refs/tags/*",
    ]);
    git(folder, &arguments).await
}

async fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("git");
    command
        .args(arguments)
        .current_dir(folder)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C.UTF-8")
        .env_remove("GIT_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
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
