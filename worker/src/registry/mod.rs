//! Packages of public registries: fetched once by each registry's own client, checked against their pinned hash, and
//! offline from then on. Nothing is unpacked before its hash is right.

pub mod debian;
pub mod pypi;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use speedwell_wire::{PinnedPackage, Registry};

use crate::build::artefact::hash_file;
use crate::process::{self, Stop};

/// A download over a slow line.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The file of a package in the folder of downloads, fetched if it is not there. A crash leaves a folder `*.part`, which
/// the next try removes.
pub fn fetch(package: &PinnedPackage, downloads: &Path, stop: &Stop) -> anyhow::Result<PathBuf> {
    check(package)?;
    let folder = downloads.join(format!("{}-{}", package.name, &package.sha256[..16]));
    if let Some(file) = only_file(&folder) {
        verify(&file, &package.sha256)?;
        return Ok(file);
    }
    let temporary = folder.with_extension("part");
    if temporary.exists() {
        fs::remove_dir_all(&temporary)?;
    }
    fs::create_dir_all(&temporary)?;
    match &package.registry {
        Registry::Debian(suite) => debian::download(package, suite, downloads, &temporary, stop)?,
        Registry::Pypi => {
            pypi::download(&package.name, &package.sha256, &temporary, stop)?;
        }
    }
    let file = only_file(&temporary)
        .with_context(|| format!("the registry gave no file for {}", package.name))?;
    verify(&file, &package.sha256)?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(&temporary, &folder)?;
    only_file(&folder).context("the download vanished")
}

/// Refuses a file that is not what was pinned.
pub fn verify(file: &Path, sha256: &str) -> anyhow::Result<()> {
    let found = hash_file(file).with_context(|| format!("cannot read {}", file.display()))?;
    ensure!(
        found == sha256,
        "{} has the hash {found}, it is pinned to {sha256}: refused",
        file.display()
    );
    Ok(())
}

/// Unpacks a wheel, a tar archive or a Debian package into a folder, by its name.
pub fn unpack(file: &Path, target: &Path, stop: &Stop) -> anyhow::Result<()> {
    let (from, to) = (file.to_string_lossy(), target.to_string_lossy());
    let command: Vec<&str> = if from.ends_with(".whl") {
        vec!["python3", "-m", "zipfile", "-e", &from, &to]
    } else if from.ends_with(".deb") {
        vec!["dpkg-deb", "--extract", &from, &to]
    } else {
        vec![
            "tar",
            "--extract",
            "--no-same-owner",
            "--no-same-permissions",
            "--file",
            &from,
            "--directory",
            &to,
        ]
    };
    run(&command, target, stop).with_context(|| format!("cannot unpack {}", file.display()))?;
    Ok(())
}

/// Names and versions become arguments and paths.
fn check(package: &PinnedPackage) -> anyhow::Result<()> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.+:~".contains(c);
    for text in [&package.name, &package.version] {
        ensure!(
            text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(safe),
            "{text:?} is no name or version of a package"
        );
    }
    ensure!(
        package.sha256.len() == 64 && package.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{:?} is no SHA-256 in hexadecimal",
        package.sha256
    );
    Ok(())
}

fn only_file(folder: &Path) -> Option<PathBuf> {
    let is_package = |path: &PathBuf| path.extension().is_some_and(|end| end != "lock");
    fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .find(is_package)
}

/// Runs a registry's client and returns its output.
fn run(command: &[&str], folder: &Path, stop: &Stop) -> anyhow::Result<String> {
    let (end, text) = process::output(command, folder, TIMEOUT, stop)?;
    if !end.success() {
        let last: Vec<&str> = text.lines().rev().take(5).collect();
        bail!(
            "{} ended with {}: {}",
            command[0],
            end.describe(),
            last.into_iter().rev().collect::<Vec<_>>().join(" / ")
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, sha256: String) -> PinnedPackage {
        PinnedPackage {
            registry: Registry::Pypi,
            name: name.into(),
            version: "1.0".into(),
            sha256,
            folder: None,
        }
    }

    #[test]
    fn a_fetched_file_is_used_offline_and_refused_when_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let known = package("hello", hash.to_owned());
        let there = folder.path().join(format!("hello-{}", &hash[..16]));
        fs::create_dir(&there).unwrap();
        fs::write(there.join("hello.whl"), "hello").unwrap();
        assert_eq!(
            fetch(&known, folder.path(), &Stop::default()).unwrap(),
            there.join("hello.whl")
        );
        fs::write(there.join("hello.whl"), "other").unwrap();
        let error = fetch(&known, folder.path(), &Stop::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("refused"), "{error}");
    }

    #[test]
    fn a_stopped_job_does_not_wait_for_a_registry() {
        let folder = tempfile::tempdir().unwrap();
        let stop = Stop::default();
        stop.request();
        let begun = std::time::Instant::now();
        assert!(fetch(&package("six", "a".repeat(64)), folder.path(), &stop).is_err());
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn names_that_could_be_options_or_paths_are_refused() {
        for name in ["--index-url", "../x", "a b", ""] {
            assert!(check(&package(name, "a".repeat(64))).is_err(), "{name:?}");
        }
        assert!(check(&package("a", "zz".into())).is_err());
        assert!(check(&package("libstdc++6", "a".repeat(64))).is_ok());
    }
}
