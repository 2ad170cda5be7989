//! The recipe for CPython 2.7 and 3.5 to main: configure, make, install into a prefix that can be moved.
//!
//! The build folder lies beside the source. The prefix that `configure` hears is always the same, so that a build's
//! bytes do not depend on the host's folders; `make install` puts it under DESTDIR, and an interpreter finds its
//! library relative to itself wherever it is unpacked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use speedwell_wire::{BuildRecipe, ConfigureProfile};

use super::{Built, Workshop, environment};
use crate::job::{Context as _, Failure};
use crate::process::{self, Sandbox, Spec, Tail};

/// The prefix that every build is configured for.
const PREFIX: &str = "/opt/speedwell/python";
/// Lines of compiler output that a failure keeps.
const TAIL_LINES: usize = 60;

/// Builds. A compile error is permanent; a full disk or a killed compiler is not.
pub(super) fn build(recipe: &BuildRecipe, workshop: &Workshop<'_>) -> Result<Built, Failure> {
    let two = is_python2(workshop.source).transient("cannot read the source's version")?;
    let home = workshop.build.join("home");
    let objects = workshop.build.join("objects");
    let destination = workshop.build.join("installed");
    for folder in [&home, &objects, &destination] {
        crate::job::make_folder(folder, workshop.sandbox)?;
    }
    let mut variables = environment(&home, recipe);
    let statistics = home.join("ccache.log");
    variables.extend(compiler_cache(workshop, &statistics));
    variables.insert(
        "SOURCE_DATE_EPOCH".to_owned(),
        workshop.committed_at.to_string().into(),
    );
    variables.insert("PYTHONHASHSEED".to_owned(), "0".into());
    let mut steps = Steps {
        workshop,
        variables,
        folder: &objects,
        seconds: BTreeMap::new(),
    };

    let configure = workshop.source.join("configure");
    let mut command = vec![OsString::from("sh"), configure.into_os_string()];
    command.extend(
        configure_arguments(recipe, two)
            .into_iter()
            .map(OsString::from),
    );
    steps.run("configure", command, Progress::new(0.0, 12.0, 700))?;

    let jobs = workshop
        .config
        .make_jobs
        .or_else(|| std::thread::available_parallelism().ok().map(Into::into));
    let jobs = format!("-j{}", jobs.unwrap_or(1));
    // Measured lines of output of a whole make: about 450 plain, and about three times that with a profile run.
    let lines = if recipe.profile == ConfigureProfile::Plain {
        450
    } else {
        1500
    };
    steps.run(
        "make",
        vec!["make".into(), jobs.into()],
        Progress::new(12.0, 90.0, lines),
    )?;

    let mut destdir = OsString::from("DESTDIR=");
    destdir.push(&destination);
    steps.run(
        "install",
        vec!["make".into(), "install".into(), destdir],
        Progress::new(90.0, 97.0, 2500),
    )?;

    let begun = Instant::now();
    let prefix = destination.join(PREFIX.trim_start_matches('/'));
    prune(&prefix).transient("cannot prune the installed files")?;
    strip(&prefix, workshop)?;
    let mut step_seconds = steps.seconds;
    step_seconds.insert("prune".to_owned(), begun.elapsed().as_secs_f64());
    let (ccache_hits, ccache_misses) = cache_counts(&statistics);
    Ok(Built {
        prefix,
        step_seconds,
        ccache_hits,
        ccache_misses,
    })
}

/// `PY_MAJOR_VERSION` of the source.
fn is_python2(source: &Path) -> std::io::Result<bool> {
    let header = fs::read_to_string(source.join("Include/patchlevel.h"))?;
    let major = header
        .lines()
        .find_map(|line| line.strip_prefix("#define PY_MAJOR_VERSION"));
    Ok(major.is_some_and(|rest| rest.trim() == "2"))
}

/// What `configure` is told. Bundled installers are left out: they need a network and are not measured.
fn configure_arguments(recipe: &BuildRecipe, two: bool) -> Vec<String> {
    let mut arguments = vec![format!("--prefix={PREFIX}")];
    if two {
        arguments.extend([
            "--enable-unicode=ucs4".to_owned(),
            "--with-ensurepip=no".to_owned(),
        ]);
    } else {
        arguments.push("--without-ensurepip".to_owned());
    }
    match recipe.profile {
        ConfigureProfile::Plain => {}
        ConfigureProfile::Pgo => arguments.push("--enable-optimizations".to_owned()),
        ConfigureProfile::PgoLto => {
            arguments.extend(["--enable-optimizations".to_owned(), "--with-lto".to_owned()]);
        }
    }
    arguments.extend(recipe.configure.iter().cloned());
    arguments
}

/// ccache keys on the compiler's arguments, so profiles never mix; paths below the job are made relative, so that
/// the same file of another commit hits.
fn compiler_cache(workshop: &Workshop<'_>, statistics: &Path) -> BTreeMap<String, OsString> {
    let job = workshop.source.parent().unwrap_or(workshop.source);
    BTreeMap::from([
        ("CC".to_owned(), "ccache gcc".into()),
        ("CXX".to_owned(), "ccache g++".into()),
        (
            "CCACHE_DIR".to_owned(),
            workshop.config.data.join("ccache").into(),
        ),
        (
            "CCACHE_MAXSIZE".to_owned(),
            workshop.config.ccache_size.clone().into(),
        ),
        ("CCACHE_BASEDIR".to_owned(), job.into()),
        ("CCACHE_NOHASHDIR".to_owned(), "1".into()),
        ("CCACHE_SLOPPINESS".to_owned(), "time_macros".into()),
        ("CCACHE_STATSLOG".to_owned(), statistics.into()),
    ])
}

/// ccache's statistics log has a line `direct_cache_hit`, `preprocessed_cache_hit` or `cache_miss` for each call.
fn cache_counts(statistics: &Path) -> (u64, u64) {
    let text = fs::read_to_string(statistics).unwrap_or_default();
    let count = |name: &str| text.lines().filter(|line| line.trim() == name).count() as u64;
    (
        count("direct_cache_hit") + count("preprocessed_cache_hit"),
        count("cache_miss"),
    )
}

struct Steps<'a> {
    workshop: &'a Workshop<'a>,
    variables: BTreeMap<String, OsString>,
    folder: &'a Path,
    seconds: BTreeMap<String, f64>,
}

/// Part of the build's percentage that a step takes, and how many lines of output it usually has.
struct Progress {
    from: f32,
    to: f32,
    expected: usize,
}

impl Progress {
    fn new(from: f32, to: f32, expected: usize) -> Self {
        Self { from, to, expected }
    }

    fn at(&self, lines: usize) -> f32 {
        let share = (lines as f32 / self.expected as f32).min(1.0);
        self.from + (self.to - self.from) * share
    }
}

impl Steps<'_> {
    fn run(
        &mut self,
        name: &str,
        command: Vec<OsString>,
        progress: Progress,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let spec = Spec {
            command,
            environment: self.variables.clone(),
            folder: self.folder.to_owned(),
            timeout: Duration::from_secs(self.workshop.config.build_timeout),
        };
        let log = self.workshop.log;
        log.line(&format!("── {name}"));
        let mut tail = Tail::new(TAIL_LINES);
        let mut first_error = None;
        let mut lines = 0;
        let end = process::run(
            self.workshop.sandbox,
            &spec,
            self.workshop.stop,
            &mut |line| {
                lines += 1;
                tail.push(line);
                if first_error.is_none() && is_error(line) {
                    first_error = Some(line.chars().take(300).collect::<String>());
                }
                log.line(line);
                log.progress(progress.at(lines), &format!("{name}: {lines} lines"));
            },
        )
        .transient(&format!("cannot run {name}"))?;
        self.seconds
            .insert(name.to_owned(), begun.elapsed().as_secs_f64());
        if end.success() {
            return Ok(());
        }
        let why = first_error.map_or_else(String::new, |error| format!(": {error}"));
        let message = format!("{name} failed with {}{why}", end.describe());
        let text = tail.text();
        let hosts_fault = end.was_killed() || is_hosts_fault(&text);
        let failure = match end {
            process::End::Stopped => Failure::stopped(),
            process::End::TimedOut => Failure::permanent(format!(
                "{name} took longer than build_timeout and was killed"
            )),
            process::End::Exited(_) if hosts_fault => Failure::transient(message),
            process::End::Exited(_) => Failure::permanent(message),
        };
        Err(failure.with_log(text))
    }
}

/// A line that names the cause of a failed build.
fn is_error(line: &str) -> bool {
    line.contains(": error:")
        || line.contains(": fatal error:")
        || line.starts_with("configure: error:")
}

/// Out of disk or memory, or a compiler killed from outside: another try may do better.
fn is_hosts_fault(text: &str) -> bool {
    [
        "No space left on device",
        "Cannot allocate memory",
        "out of memory",
        "Killed signal terminated program",
    ]
    .iter()
    .any(|words| text.contains(words))
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
    remove_where(&prefix.join("share"), &|_, _| true)?;
    remove_where(prefix, &|name, is_folder| {
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

fn remove_where(folder: &Path, gone: &dyn Fn(&str, bool) -> bool) -> std::io::Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_folder = entry.file_type()?.is_dir();
        match (gone(&name, is_folder), is_folder) {
            (true, true) => fs::remove_dir_all(entry.path())?,
            (true, false) => fs::remove_file(entry.path())?,
            (false, true) => remove_where(&entry.path(), gone)?,
            (false, false) => {}
        }
    }
    Ok(())
}

/// Drops debug information; symbol names stay for profiles.
fn strip(prefix: &Path, workshop: &Workshop<'_>) -> Result<(), Failure> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(prefix).into_iter().flatten() {
        let name = entry.file_name().to_string_lossy();
        let binary = entry
            .path()
            .parent()
            .is_some_and(|folder| folder.ends_with("bin"));
        if entry.file_type().is_file()
            && (name.ends_with(".so") || (binary && is_elf(entry.path())))
        {
            files.push(entry.into_path().into_os_string());
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    let mut command: Vec<OsString> = vec!["strip".into(), "-g".into(), "--".into()];
    command.extend(files);
    let spec = Spec {
        command,
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".into())]),
        folder: prefix.to_owned(),
        timeout: Duration::from_secs(120),
    };
    let sandbox = Sandbox {
        cpus: None,
        ..workshop.sandbox.clone()
    };
    let end = process::run(&sandbox, &spec, workshop.stop, &mut |line| {
        workshop.log.line(line)
    })
    .transient("cannot run strip")?;
    if end.success() {
        Ok(())
    } else {
        Err(Failure::transient(format!(
            "strip failed with {}",
            end.describe()
        )))
    }
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok()
        && magic == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(profile: ConfigureProfile) -> BuildRecipe {
        BuildRecipe {
            name: "cpython".into(),
            profile,
            configure: vec!["--with-pydebug".into()],
            environment: BTreeMap::new(),
            family: "cpython".into(),
            sha256: String::new(),
        }
    }

    #[test]
    fn configure_hears_what_each_line_of_python_understands() {
        let two = configure_arguments(&recipe(ConfigureProfile::Plain), true).join(" ");
        assert_eq!(
            two,
            "--prefix=/opt/speedwell/python --enable-unicode=ucs4 --with-ensurepip=no --with-pydebug"
        );
        let three = configure_arguments(&recipe(ConfigureProfile::PgoLto), false).join(" ");
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

    #[test]
    fn the_hosts_faults_are_told_from_the_commits() {
        assert!(is_hosts_fault(
            "cc1: fatal error: x.s: No space left on device"
        ));
        assert!(!is_hosts_fault("ceval.c:1: error: expected ';'"));
        assert!(is_error(
            "../Python/ceval.c:10:1: error: unknown type name 'x'"
        ));
    }
}
