//! The packages of a suite's lock: fetched once with pip, checked against their hash, unpacked, and offline from then on.
//!
//! The hash is checked twice: by pip before it looks into the file, and by us before anything is unpacked. A crash
//! leaves a `.part` folder that the next try removes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::suite::Package;
use crate::build::artefact::hash_file;
use crate::process::{self, Stop};

/// A download over a slow line.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The folder that a package's scripts are named from.
pub fn unpacked(package: &Package, suite: &Path) -> PathBuf {
    suite
        .join("packages")
        .join(&package.name)
        .join(&package.folder)
}

/// Makes sure that the package lies unpacked in the suite's folder.
pub fn ensure(package: &Package, suite: &Path) -> anyhow::Result<()> {
    let target = suite.join("packages").join(&package.name);
    if target.exists() {
        return Ok(());
    }
    let downloads = suite.join("downloads");
    fs::create_dir_all(&downloads)?;
    let file = downloads.join(&package.file);
    if !file.exists() {
        download(package, &downloads)?;
    }
    let found = hash_file(&file).with_context(|| format!("cannot read {}", file.display()))?;
    ensure!(
        found == package.sha256,
        "{} has the hash {found}, the suite is locked to {}: refused",
        package.file,
        package.sha256
    );
    let temporary = suite
        .join("packages")
        .join(format!("{}.part", package.name));
    if temporary.exists() {
        fs::remove_dir_all(&temporary)?;
    }
    fs::create_dir_all(&temporary)?;
    let (from, to) = (file.to_string_lossy(), temporary.to_string_lossy());
    let command: Vec<&str> = if package.file.ends_with(".whl") {
        vec!["python3", "-m", "zipfile", "-e", &from, &to]
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
    run(&command, suite).with_context(|| format!("cannot unpack {}", package.file))?;
    fs::rename(&temporary, &target)?;
    Ok(())
}

fn download(package: &Package, downloads: &Path) -> anyhow::Result<()> {
    let lock = downloads.join(format!("{}.lock", package.name));
    fs::write(
        &lock,
        format!(
            "{}=={} --hash=sha256:{}\n",
            package.name, package.version, package.sha256
        ),
    )?;
    let form = if package.file.ends_with(".whl") {
        "--only-binary=:all:"
    } else {
        "--no-binary=:all:"
    };
    let (lock, to) = (lock.to_string_lossy(), downloads.to_string_lossy());
    let command = [
        "python3",
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        form,
        "--require-hashes",
        "--requirement",
        &lock,
        "--dest",
        &to,
    ];
    run(&command, downloads).with_context(|| {
        format!(
            "cannot fetch {} {} from the package index (it is needed once)",
            package.name, package.version
        )
    })
}

fn run(command: &[&str], folder: &Path) -> anyhow::Result<()> {
    let (end, text) = process::output(command, folder, TIMEOUT, &Stop::default())?;
    if !end.success() {
        let last: Vec<&str> = text.lines().rev().take(5).collect();
        bail!(
            "{} ended with {}: {}",
            command[0],
            end.describe(),
            last.into_iter().rev().collect::<Vec<_>>().join(" / ")
        );
    }
    Ok(())
}
