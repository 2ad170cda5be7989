//! From a commit to an interpreter: recipes, artefacts, and the unpacked prefixes that are measured.

pub mod artefact;
mod cpython;
pub mod prefix;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use speedwell_wire::BuildRecipe;

use crate::config::Config;
use crate::job::{Failure, JobLog};
use crate::process::{Sandbox, Stop};

pub use prefix::Prefixes;

/// What a recipe works with.
pub struct Workshop<'a> {
    /// The worker's configuration.
    pub config: &'a Config,
    /// The box.
    pub sandbox: &'a Sandbox,
    /// The checked-out source; the recipe may write to it.
    pub source: &'a Path,
    /// An empty folder for the build.
    pub build: &'a Path,
    /// Committer's time.
    pub committed_at: i64,
    /// Asks the build to stop.
    pub stop: &'a Stop,
    /// Where output goes.
    pub log: &'a JobLog,
}

/// What came out of a build.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The folder that becomes the artefact: a prefix with `bin`, `lib` …
    pub prefix: PathBuf,
    /// Seconds of each step.
    pub step_seconds: BTreeMap<String, f64>,
    /// Compiler calls that the cache answered.
    pub ccache_hits: u64,
    /// Compiler calls that it did not.
    pub ccache_misses: u64,
}

/// Builds by the recipe of the given name.
pub fn build(recipe: &BuildRecipe, workshop: &Workshop<'_>) -> Result<Built, Failure> {
    match recipe.name.as_str() {
        "cpython" => cpython::build(recipe, workshop),
        other => Err(Failure::permanent(format!(
            "this worker has no recipe {other:?}; known: cpython"
        ))),
    }
}

/// The fixed environment of builds: the same on every host, whatever the operator's shell says.
pub fn environment(home: &Path, recipe: &BuildRecipe) -> BTreeMap<String, OsString> {
    let mut environment = BTreeMap::from([
        (
            "PATH".to_owned(),
            OsString::from("/usr/local/bin:/usr/bin:/bin"),
        ),
        ("LANG".to_owned(), "C.UTF-8".into()),
        ("TZ".to_owned(), "UTC".into()),
        ("HOME".to_owned(), home.into()),
        ("TMPDIR".to_owned(), home.into()),
    ]);
    environment.extend(
        recipe
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), OsString::from(value))),
    );
    environment
}
