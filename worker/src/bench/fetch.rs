//! The packages of a suite's lock: fetched once, checked against their hash, unpacked, and offline from then on. A crash
//! leaves a `.part` folder that the next try removes.

use std::fs;
use std::path::{Path, PathBuf};

use super::suite::Package;
use crate::process::Stop;
use crate::registry::{self, pypi};

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
    // Before the worker's first job: nothing asks it to stop yet.
    let stop = Stop::default();
    let downloads = suite.join("downloads");
    fs::create_dir_all(&downloads)?;
    let file = downloads.join(&package.file);
    if !file.exists() {
        pypi::download(&package.name, &package.sha256, &downloads, &stop)?;
    }
    registry::verify(&file, &package.sha256)?;
    let temporary = suite
        .join("packages")
        .join(format!("{}.part", package.name));
    if temporary.exists() {
        fs::remove_dir_all(&temporary)?;
    }
    fs::create_dir_all(&temporary)?;
    registry::unpack(&file, &temporary, &stop)?;
    fs::rename(&temporary, &target)?;
    Ok(())
}
