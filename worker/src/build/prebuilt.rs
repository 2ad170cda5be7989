//! The recipe for a program that is installed on the host: nothing is built. Its artefact is a link to it and a note of
//! what it was, so that a run is never booked on a program that was replaced since.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use speedwell_wire::BuildRecipe;

use super::{Built, Recipe, Workshop};
use crate::build::artefact::hash_file;
use crate::job::{Context as _, Failure};

/// The link within the artefact.
const LINK: &str = "bin/interpreter";
/// The hash of the program's file when the artefact was made.
const NOTE: &str = "program.sha256";

/// The recipe, with the options of one runtime.
#[derive(Debug)]
pub struct Prebuilt<'a> {
    /// Absolute path.
    pub command: &'a str,
    /// What it must say of itself.
    pub version: &'a str,
}

impl Recipe for Prebuilt<'_> {
    fn build(&self, _recipe: &BuildRecipe, workshop: &Workshop<'_>) -> Result<Built, Failure> {
        let hash = self.hash()?;
        let prefix = workshop.build.join("installed");
        let link = prefix.join(LINK);
        fs::create_dir_all(prefix.join("bin")).transient("cannot make a folder")?;
        std::os::unix::fs::symlink(self.command, &link).transient("cannot make a link")?;
        fs::write(prefix.join(NOTE), hash).transient("cannot write a note")?;
        Ok(Built {
            prefix,
            step_seconds: BTreeMap::new(),
            ccache_hits: 0,
            ccache_misses: 0,
        })
    }

    /// The program itself and not the link: some interpreters find their library from the name they are called by.
    fn program(&self, _prefix: &Path) -> Result<PathBuf, Failure> {
        Ok(PathBuf::from(self.command))
    }

    fn outside(&self) -> Option<PathBuf> {
        Some(PathBuf::from(self.command))
    }

    fn holds_library(&self) -> bool {
        false
    }

    fn check(&self, prefix: &Path) -> Result<(), Failure> {
        let noted = fs::read_to_string(prefix.join(NOTE)).transient("cannot read the artefact")?;
        if self.hash()? == noted {
            return Ok(());
        }
        Err(Failure::permanent(format!(
            "{} is not the program it was when this version was first measured: give its runtime the new version",
            self.command
        )))
    }

    fn version(&self) -> Option<&str> {
        Some(self.version)
    }
}

impl Prebuilt<'_> {
    /// The hash of the program's file, behind all links.
    fn hash(&self) -> Result<String, Failure> {
        let missing = |error: std::io::Error| {
            // Transient: another host of the class may have it, and an operator can install it.
            Failure::transient(format!("{} cannot be read: {error}", self.command))
        };
        let file = fs::canonicalize(self.command).map_err(missing)?;
        hash_file(&file).map_err(|error| Failure::transient(format!("{}: {error}", file.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_program_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("python");
        fs::write(&program, "one").unwrap();
        let command = program.to_str().unwrap();
        let recipe = Prebuilt {
            command,
            version: "1",
        };
        fs::write(folder.path().join(NOTE), recipe.hash().unwrap()).unwrap();
        assert!(recipe.check(folder.path()).is_ok());
        fs::write(&program, "two").unwrap();
        let failure = recipe.check(folder.path()).unwrap_err();
        assert!(failure.message.contains("not the program it was"));
        fs::remove_file(&program).unwrap();
        assert_eq!(
            recipe.check(folder.path()).unwrap_err().kind,
            speedwell_wire::FailureKind::Transient
        );
    }
}
