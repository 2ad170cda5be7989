//! The recipe for an interpreter from pinned packages: fetched, checked by their hash and unpacked into one folder, beside
//! whatever the host has installed. Their scripts do not run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Instant;

use speedwell_wire::{BuildRecipe, PinnedPackage};

use super::{Built, Recipe, Workshop};
use crate::job::{Context as _, Failure, make_folder};
use crate::registry;

/// The recipe, with the options of one runtime.
#[derive(Debug)]
pub struct Package<'a> {
    /// Path of the interpreter within the folder.
    pub program: &'a str,
    /// What it must say of itself.
    pub version: &'a str,
    /// What is unpacked.
    pub packages: &'a [PinnedPackage],
}

impl Recipe for Package<'_> {
    fn build(&self, _recipe: &BuildRecipe, workshop: &Workshop<'_>) -> Result<Built, Failure> {
        let downloads = workshop.config.data.join("packages");
        let prefix = workshop.build.join("installed");
        make_folder(&prefix, workshop.sandbox)?;
        let mut step_seconds =
            BTreeMap::from([("fetch".to_owned(), 0.0), ("unpack".to_owned(), 0.0)]);
        for (index, package) in self.packages.iter().enumerate() {
            let words = format!("{} {}", package.name, package.version);
            let percent = index as f32 * 100.0 / self.packages.len() as f32;
            workshop.log.progress(percent, &words);
            let begun = Instant::now();
            let file = registry::fetch(package, &downloads, workshop.stop)
                .map_err(|error| failure(workshop, &words, &error))?;
            *step_seconds.entry("fetch".to_owned()).or_default() += begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            let folder = match &package.folder {
                Some(inner) => inner_folder(&prefix, inner)?,
                None => prefix.clone(),
            };
            registry::install(package, &file, &folder, workshop.stop)
                .map_err(|error| failure(workshop, &words, &error))?;
            *step_seconds.entry("unpack".to_owned()).or_default() += begun.elapsed().as_secs_f64();
            workshop.log.line(&format!("{words} unpacked"));
        }
        Ok(Built {
            prefix,
            step_seconds,
            ccache_hits: 0,
            ccache_misses: 0,
        })
    }

    fn program(&self, prefix: &Path) -> Result<PathBuf, Failure> {
        super::first_program(prefix, &[self.program])
    }

    /// Some carry their library within the program (MicroPython), and some are no Python.
    fn may_lack_library(&self) -> bool {
        true
    }

    fn version(&self) -> Option<&str> {
        Some(self.version)
    }
}

/// A folder within the prefix, made when no package brought it.
fn inner_folder(prefix: &Path, inner: &str) -> Result<PathBuf, Failure> {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if !Path::new(inner).components().all(plain) {
        return Err(Failure::permanent(format!(
            "{inner:?} is no folder within the unpacked packages"
        )));
    }
    let folder = prefix.join(inner);
    fs::create_dir_all(&folder).transient("cannot make a folder")?;
    // A package may hold links: what it says is beneath it must really be.
    let real = fs::canonicalize(&folder).transient("cannot read a folder")?;
    let root = fs::canonicalize(prefix).transient("cannot read a folder")?;
    if real.starts_with(&root) {
        return Ok(folder);
    }
    Err(Failure::permanent(format!(
        "{inner:?} leads out of the unpacked packages, to {}",
        real.display()
    )))
}

/// A registry that is away may come back; a client that was stopped is no fault of its own.
fn failure(workshop: &Workshop<'_>, words: &str, error: &anyhow::Error) -> Failure {
    if workshop.stop.is_requested() {
        Failure::stopped()
    } else {
        Failure::transient(format!("{words}: {error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_goes_into_a_folder_of_the_prefix_and_nowhere_else() {
        let place = tempfile::tempdir().unwrap();
        let prefix = place.path().join("installed");
        fs::create_dir(&prefix).unwrap();
        let folder = inner_folder(&prefix, "usr/lib/python3/dist-packages").unwrap();
        assert!(folder.is_dir() && folder.starts_with(&prefix));
        std::os::unix::fs::symlink(place.path(), prefix.join("link")).unwrap();
        for outside in ["../other", "/tmp", "link"] {
            let failure = inner_folder(&prefix, outside).unwrap_err();
            assert_eq!(failure.kind, speedwell_wire::FailureKind::Permanent);
        }
        assert!(!place.path().join("other").exists());
    }
}
