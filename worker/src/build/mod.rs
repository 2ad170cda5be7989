//! From a commit to an interpreter: recipes, artefacts, and the unpacked prefixes that are measured.

pub mod artefact;
mod ccache;
mod cpython;
mod package;
mod prebuilt;
pub mod prefix;
mod pypy;
mod steps;
mod trim;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use speedwell_wire::{BuildRecipe, Method};

use crate::config::Config;
use crate::job::{Failure, JobLog, given};
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
    /// Whether the compiler cache may answer.
    pub use_cache: bool,
    /// Asks the build to stop.
    pub stop: &'a Stop,
    /// Where output goes.
    pub log: &'a JobLog,
}

impl Workshop<'_> {
    /// Refuses a folder that the build's programs have put elsewhere: the worker prunes and packs it with its own rights.
    pub fn check_place(&self, prefix: &Path) -> Result<(), Failure> {
        given::really_below(prefix, self.build)
            .map_err(|error| Failure::permanent(format!("the build has no prefix: {error}")))
    }
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

/// One way to an interpreter, with the options of one runtime. A new kind of interpreter is one more of these, and a
/// variant of [`Method`].
pub trait Recipe {
    /// Makes the folder that becomes the artefact. What is the commit's fault is a permanent failure.
    fn build(&self, recipe: &BuildRecipe, workshop: &Workshop<'_>) -> Result<Built, Failure>;

    /// The interpreter within an unpacked artefact.
    fn program(&self, prefix: &Path) -> Result<PathBuf, Failure>;

    /// Whether the artefact holds the standard library, to be byte-compiled once where it is unpacked.
    fn holds_library(&self) -> bool {
        true
    }

    /// Whether an artefact without a standard library in files is none the worse for it.
    fn may_lack_library(&self) -> bool {
        false
    }

    /// Checks, just before a run, what the artefact only refers to.
    fn check(&self, _prefix: &Path) -> Result<(), Failure> {
        Ok(())
    }

    /// The program outside of the artefact that it refers to.
    fn outside(&self) -> Option<PathBuf> {
        None
    }

    /// A part of what the interpreter must say of itself, where the configuration pins it.
    fn version(&self) -> Option<&str> {
        None
    }
}

/// The recipe of a method.
pub fn recipe(method: &Method) -> Box<dyn Recipe + '_> {
    match method {
        Method::Cpython { profile, configure } => Box::new(cpython::Cpython {
            profile: *profile,
            configure,
        }),
        Method::Pypy {
            translation,
            options,
        } => Box::new(pypy::Pypy {
            translation: *translation,
            options,
        }),
        Method::Prebuilt {
            command, version, ..
        } => Box::new(prebuilt::Prebuilt { command, version }),
        Method::Package {
            program,
            version,
            packages,
            ..
        } => Box::new(package::Package {
            program,
            version,
            packages,
        }),
    }
}

/// The first of some paths that a prefix has.
fn first_program(prefix: &Path, names: &[&str]) -> Result<PathBuf, Failure> {
    names
        .iter()
        .map(|name| prefix.join(name))
        .find(|path| path.exists())
        .ok_or_else(|| Failure::permanent(format!("the build has none of {}", names.join(", "))))
}

/// The runtime's own variables, as they are where its interpreter lies unpacked.
pub fn variables(recipe: &BuildRecipe, prefix: &Path) -> BTreeMap<String, OsString> {
    let prefix = prefix.to_string_lossy();
    recipe
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), value.replace("{prefix}", &prefix).into()))
        .collect()
}

/// The interpreter's own arguments, before any script, as they are where it lies unpacked.
pub fn arguments(recipe: &BuildRecipe, prefix: &Path) -> Vec<OsString> {
    let prefix = prefix.to_string_lossy();
    recipe
        .arguments
        .iter()
        .map(|argument| argument.replace("{prefix}", &prefix).into())
        .collect()
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
