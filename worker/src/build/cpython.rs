//! The recipe for CPython 2.7 and 3.5 to main: configure, make, install into a prefix that can be moved.
//!
//! The build folder lies beside the source. The prefix that `configure` hears is always the same, so that a build's
//! bytes do not depend on the host's folders; `make install` puts it under DESTDIR, and an interpreter finds its
//! library relative to itself wherever it is unpacked.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::time::Instant;

use speedwell_wire::{BuildRecipe, CPYTHON_PREFIX, ConfigureProfile};

use super::steps::{Progress, Steps};
use super::{Built, Recipe, Workshop, ccache, environment, trim};
use crate::job::{Context as _, Failure, given};

/// The recipe, with the options of one runtime.
#[derive(Debug)]
pub struct Cpython<'a> {
    /// Optimisation profile.
    pub profile: ConfigureProfile,
    /// Further arguments for `configure`.
    pub configure: &'a [String],
}

impl Recipe for Cpython<'_> {
    fn build(&self, recipe: &BuildRecipe, workshop: &Workshop<'_>) -> Result<Built, Failure> {
        build(self, recipe, workshop)
    }

    fn program(&self, prefix: &Path) -> Result<PathBuf, Failure> {
        super::first_program(prefix, &["bin/python3", "bin/python2.7", "bin/python"])
    }
}

fn build(
    options: &Cpython<'_>,
    recipe: &BuildRecipe,
    workshop: &Workshop<'_>,
) -> Result<Built, Failure> {
    let two = is_python2(workshop.source).transient("cannot read the source's version")?;
    let home = workshop.build.join("home");
    let objects = workshop.build.join("objects");
    let destination = workshop.build.join("installed");
    for folder in [&home, &objects, &destination] {
        crate::job::make_folder(folder, workshop.sandbox)?;
    }
    let mut variables = environment(&home, recipe);
    let statistics = home.join("ccache.log");
    variables.extend(ccache::variables(workshop, &statistics));
    if options.profile != ConfigureProfile::Plain {
        // A profile belongs to the objects of this very build: with some of them from the cache, gcc refused it ("source
        // locations for function 'main' have changed").
        variables.insert("CCACHE_DISABLE".to_owned(), "1".into());
    }
    variables.insert(
        "SOURCE_DATE_EPOCH".to_owned(),
        workshop.committed_at.to_string().into(),
    );
    variables.insert("PYTHONHASHSEED".to_owned(), "0".into());
    let mut steps = Steps::new(workshop, variables);

    // A relative path: the compiler writes the source's path into the program (assertions), and an absolute one has the job's
    // number in it. It moves what follows in memory, and differs from what ccache makes of it in builds that it serves.
    let configure = from_to(&objects, workshop.source).join("configure");
    let mut command = vec![OsString::from("sh"), configure.into_os_string()];
    command.extend(options.arguments(two).into_iter().map(OsString::from));
    steps.run(
        "configure",
        &objects,
        command,
        Progress::new(0.0, 12.0, 700),
    )?;

    // Measured lines of output of a whole make: about 450 plain, and about three times that with a profile run.
    let lines = if options.profile == ConfigureProfile::Plain {
        450
    } else {
        1500
    };
    let jobs = format!("-j{}", workshop.config.make_jobs());
    steps.run(
        "make",
        &objects,
        vec!["make".into(), jobs.into()],
        Progress::new(12.0, 90.0, lines),
    )?;

    let mut destdir = OsString::from("DESTDIR=");
    destdir.push(&destination);
    steps.run(
        "install",
        &objects,
        vec!["make".into(), "install".into(), destdir],
        Progress::new(90.0, 97.0, 2500),
    )?;

    let begun = Instant::now();
    let prefix = destination.join(CPYTHON_PREFIX.trim_start_matches('/'));
    workshop.check_place(&prefix)?;
    prune(&prefix).transient("cannot prune the installed files")?;
    trim::strip(&prefix, workshop)?;
    let mut step_seconds = steps.seconds;
    step_seconds.insert("prune".to_owned(), begun.elapsed().as_secs_f64());
    let (ccache_hits, ccache_misses) = ccache::counts(&statistics);
    Ok(Built {
        prefix,
        step_seconds,
        ccache_hits,
        ccache_misses,
    })
}

/// The relative path that leads from one absolute folder to another.
fn from_to(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components());
    let shared = shared.take_while(|(one, other)| one == other).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}

/// `PY_MAJOR_VERSION` of the source.
fn is_python2(source: &Path) -> std::io::Result<bool> {
    // A commit may have anything in its place.
    let header = given::read_text(&source.join("Include/patchlevel.h"), 1 << 20)?;
    let major = header
        .lines()
        .find_map(|line| line.strip_prefix("#define PY_MAJOR_VERSION"));
    Ok(major.is_some_and(|rest| rest.trim() == "2"))
}

impl Cpython<'_> {
    /// What `configure` is told.
    fn arguments(&self, two: bool) -> Vec<String> {
        let mut arguments = vec![format!("--prefix={CPYTHON_PREFIX}")];
        let of_profile = self.profile.configure_arguments(two).iter();
        arguments.extend(of_profile.map(|argument| (*argument).to_owned()));
        arguments.extend(self.configure.iter().cloned());
        arguments
    }
}

/// Removes what is not measured: tests, compiled files, static libraries, the bundled development tools.
fn prune(prefix: &Path) -> std::io::Result<()> {
    const FOLDERS: &[&str] = &[
        "test",
        "tests",
        "idlelib",
        "idle_test",
        "ensurepip",
        "turtledemo",
        "lib2to3",
        "__pycache__",
    ];
    trim::remove_where(&prefix.join("share"), &|_, _| true)?;
    trim::remove_where(prefix, &|name, is_folder| {
        if is_folder {
            // `config*` holds the static library and makefiles for embedding.
            FOLDERS.contains(&name) || name.starts_with("config-")
        } else {
            [".pyc", ".pyo", ".a", ".exe"]
                .iter()
                .any(|ending| name.ends_with(ending))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_source_is_named_without_the_jobs_number() {
        let path = |from: &str, to: &str| {
            let path = from_to(Path::new(from), Path::new(to));
            path.to_string_lossy().into_owned()
        };
        let one = path("/lab/jobs/7/build/objects", "/lab/jobs/7/source");
        assert_eq!(one, "../../source");
        assert_eq!(
            one,
            path("/other/jobs/1234/build/objects", "/other/jobs/1234/source")
        );
        assert_eq!(path("/a/b", "/c"), "../../c");
        assert_eq!(path("/a", "/a/b"), "b");
    }

    #[test]
    fn configure_hears_what_each_line_of_python_understands() {
        let arguments = |profile, two| {
            let options = Cpython {
                profile,
                configure: &["--with-pydebug".into()],
            };
            options.arguments(two).join(" ")
        };
        assert_eq!(
            arguments(ConfigureProfile::Plain, true),
            "--prefix=/opt/speedwell/python --enable-unicode=ucs4 --with-ensurepip=no --with-pydebug"
        );
        let three = arguments(ConfigureProfile::PgoLto, false);
        assert!(
            three.contains("--without-ensurepip --enable-optimizations --with-lto"),
            "{three}"
        );
    }

    #[test]
    fn pruning_keeps_the_library_and_drops_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            "lib/python3.11/os.py",
            "lib/python3.11/os.pyc",
            "lib/python3.11/test/a.py",
            "share/man/x",
            "lib/libpython3.11.a",
            "lib/python3.11/config-3.11-x86/Makefile",
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        prune(folder.path()).unwrap();
        let left: Vec<String> = walkdir::WalkDir::new(folder.path())
            .into_iter()
            .flatten()
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(left, ["os.py"]);
    }
}
