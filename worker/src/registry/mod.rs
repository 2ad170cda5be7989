//! Packages of public registries: fetched once by each registry's own client, checked against their pinned hash, and
//! offline from then on. Nothing is unpacked before its hash is right.

pub mod debian;
pub mod npm;
pub mod pypi;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use speedwell_wire::{PinnedPackage, Registry};

use crate::archive;
use crate::build::artefact::hash_file;
use crate::process::{self, Stop};

/// A download over a slow line.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The file of a package in the folder of downloads, fetched if it is not there. A crash leaves a folder `*.part`, which
/// the next try removes.
pub fn fetch(package: &PinnedPackage, downloads: &Path, stop: &Stop) -> anyhow::Result<PathBuf> {
    check(package)?;
    // A name of npm's may have a scope: `@scope/name`.
    let name = package.name.replace('/', "+");
    let folder = downloads.join(format!("{name}-{}", &package.sha256[..16]));
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
        Registry::Npm => npm::download(package, &temporary, stop)?,
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

/// Unpacks a package's file into the folder of an interpreter.
pub fn install(
    package: &PinnedPackage,
    file: &Path,
    prefix: &Path,
    stop: &Stop,
) -> anyhow::Result<()> {
    match package.registry {
        Registry::Npm => npm::unpack(file, &package.name, prefix, stop),
        Registry::Debian(_) | Registry::Pypi => unpack(file, prefix, stop),
    }
}

/// Unpacks a wheel with the executable files that it marks, as pip does; `python3 -m zipfile` forgets the mark.
const UNPACK_WHEEL: &str = "\
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for entry in wheel.infolist():
        path = wheel.extract(entry, sys.argv[2])
        if entry.external_attr >> 16 & 0o111 and not entry.is_dir():
            os.chmod(path, 0o755)
";

/// Unpacks a wheel, a tar archive or a Debian package into a folder, by its name.
pub fn unpack(file: &Path, target: &Path, stop: &Stop) -> anyhow::Result<()> {
    let (from, to) = (file.to_string_lossy(), target.to_string_lossy());
    let command: Vec<&str> = if from.ends_with(".whl") {
        vec!["python3", "-c", UNPACK_WHEEL, &from, &to]
    } else if from.ends_with(".deb") {
        vec!["dpkg-deb", "--extract", &from, &to]
    } else {
        return extract(file, &[], target, stop);
    };
    run(&command, target, stop).with_context(|| format!("cannot unpack {}", file.display()))?;
    look_through(file, target)
}

/// What a program has unpacked is held to the rules of [`archive`].
fn look_through(file: &Path, target: &Path) -> anyhow::Result<()> {
    archive::inspect(target, file.metadata()?.len(), UNPACKED)
        .with_context(|| format!("{} is not as it should be", file.display()))
}

/// Several packages may go into one folder: the ratio says nothing of one.
const UNPACKED: archive::Most = archive::Most {
    ratio: u64::MAX,
    ..archive::MOST
};

/// Unpacks a tar archive into a folder.
fn extract(file: &Path, options: &[&str], target: &Path, stop: &Stop) -> anyhow::Result<()> {
    let (from, to) = (file.to_string_lossy(), target.to_string_lossy());
    let mut command = vec![
        "tar",
        "--extract",
        "--no-same-owner",
        "--no-same-permissions",
    ];
    command.extend(options);
    command.extend(["--file", &from, "--directory", &to]);
    run(&command, target, stop).with_context(|| format!("cannot unpack {}", file.display()))?;
    look_through(file, target)
}

/// Names and versions become arguments and paths.
fn check(package: &PinnedPackage) -> anyhow::Result<()> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.+:~".contains(c);
    if package.registry == Registry::Npm {
        npm::check(&package.name, &package.version)?;
    } else {
        for text in [&package.name, &package.version] {
            ensure!(
                text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(safe),
                "{text:?} is no name or version of a package"
            );
        }
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
    fn a_wheel_keeps_what_it_marks_as_executable() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a-1-py3-none-any.whl");
        let make = "import sys, zipfile\n\
                    with zipfile.ZipFile(sys.argv[1], 'w') as wheel:\n\
                    \x20   for name, mode in ('a/run', 0o100755), ('a/text', 0o100644):\n\
                    \x20       entry = zipfile.ZipInfo(name)\n\
                    \x20       entry.external_attr = mode << 16\n\
                    \x20       wheel.writestr(entry, name)\n";
        run(
            &["python3", "-c", make, &wheel.to_string_lossy()],
            folder.path(),
            &Stop::default(),
        )
        .unwrap();
        let target = folder.path().join("out");
        fs::create_dir(&target).unwrap();
        unpack(&wheel, &target, &Stop::default()).unwrap();
        let executable = |name: &str| {
            let mode = fs::metadata(target.join(name)).unwrap().permissions();
            mode.mode() & 0o111 != 0
        };
        assert!(executable("a/run") && !executable("a/text"));
        assert_eq!(fs::read_to_string(target.join("a/text")).unwrap(), "a/text");
    }

    #[test]
    fn the_file_of_a_scoped_package_lies_in_one_folder() {
        let folder = tempfile::tempdir().unwrap();
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let mut known = package("@scope/hello", hash.to_owned());
        assert!(check(&known).is_err(), "only npm has scopes");
        known.registry = Registry::Npm;
        known.version = "1.0.0".into();
        let there = folder.path().join(format!("@scope+hello-{}", &hash[..16]));
        fs::create_dir(&there).unwrap();
        fs::write(there.join("hello.tgz"), "hello").unwrap();
        assert_eq!(
            fetch(&known, folder.path(), &Stop::default()).unwrap(),
            there.join("hello.tgz")
        );
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
