//! The recipe for PyPy: RPython's translation by a Python 2, then PyPy's own packaging, which builds the cffi modules.
//!
//! A translation takes most of an hour or more, in one process that says little. Its own log names the phases; their
//! usual shares of the time give the percentage, and the table of times at its end becomes the build's steps. It leaves
//! nothing behind when it is killed: the job's folder goes whole, and the next try begins anew.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use speedwell_wire::{BuildRecipe, PYPY_PACKAGING, Translation};

use super::steps::{Progress, Steps};
use super::{Built, Recipe, Workshop, environment, trim};
use crate::job::{Context as _, Failure, make_folder};

/// Largest heap of a translating PyPy: about 5.8 GB are used (`reference/suites.md`); beyond this it ends with
/// `MemoryError` instead of making the host swap.
const LARGEST_HEAP: &str = "6500MB";

/// The recipe, with the options of one runtime.
#[derive(Debug)]
pub struct Pypy<'a> {
    /// With or without the JIT.
    pub translation: Translation,
    /// Further options for the target.
    pub options: &'a [String],
}

impl Recipe for Pypy<'_> {
    fn build(&self, recipe: &BuildRecipe, workshop: &Workshop<'_>) -> Result<Built, Failure> {
        let prefixes = workshop.config.data.join("prefixes");
        let translator = find_translator(workshop.config.translator.as_deref(), &prefixes)?;
        let home = workshop.build.join("home");
        let packaged = workshop.build.join("packaged");
        make_folder(&home, workshop.sandbox)?;
        make_folder(&packaged, workshop.sandbox)?;
        let mut variables = environment(&home, recipe);
        variables.extend(packaging_variables());
        variables.insert("PYPY_USESSION_DIR".to_owned(), home.clone().into());
        variables.insert("PYPY_GC_MAX".to_owned(), LARGEST_HEAP.into());
        let mut steps = Steps::new(workshop, variables);

        let mut phases = Phases::new(self.translation);
        let command = self.command(&translator, workshop.config.make_jobs());
        steps.watch(
            "translate",
            &workshop.source.join("pypy/goal"),
            command,
            &mut |line| phases.hear(line.unwrap_or_default()),
        )?;
        let mut step_seconds = std::mem::take(&mut phases.seconds);

        let command = [
            translator.into_os_string(),
            "pypy/tool/release/package.py".into(),
            "--archive-name=pypy".into(),
            joined("--builddir=", &packaged),
            joined("--targetdir=", &home),
        ];
        steps.run(
            "package",
            workshop.source,
            command.into(),
            Progress::new(96.0, 100.0, 400),
        )?;
        let prefix = packaged.join("pypy");
        workshop.check_place(&prefix)?;
        trim::remove_where(&prefix, &|name, is_folder| {
            is_folder && ["test", "tests", "idlelib", "lib2to3", "__pycache__"].contains(&name)
        })
        .transient("cannot prune the installed files")?;
        trim::strip(&prefix, workshop)?;
        step_seconds.append(&mut steps.seconds);
        Ok(Built {
            prefix,
            step_seconds,
            ccache_hits: 0,
            ccache_misses: 0,
        })
    }

    fn program(&self, prefix: &Path) -> Result<PathBuf, Failure> {
        super::first_program(prefix, &["bin/pypy3", "bin/pypy"])
    }
}

impl Pypy<'_> {
    fn command(&self, translator: &Path, jobs: usize) -> Vec<OsString> {
        let mut command: Vec<OsString> = vec![
            translator.into(),
            "../../rpython/bin/rpython".into(),
            // No debugger at the end of a failed translation.
            "--batch".into(),
            self.translation.level().into(),
            format!("--make-jobs={jobs}").into(),
            "targetpypystandalone.py".into(),
        ];
        command.extend(self.options.iter().map(OsString::from));
        command
    }
}

/// What PyPy's packaging hears: the same on every branch, while its options are spelled differently. Embedding and
/// rebuilding would fetch sources of other projects.
fn packaging_variables() -> BTreeMap<String, OsString> {
    PYPY_PACKAGING
        .into_iter()
        .map(|name| (name.to_owned(), "1".into()))
        .collect()
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut text = OsString::from(option);
    text.push(path);
    text
}

/// A Python 2 that translates: the configured one; else a PyPy, which is several times faster at it, that this worker has
/// unpacked or the host has; else a CPython 2.7 of either kind.
fn find_translator(configured: Option<&Path>, prefixes: &Path) -> Result<PathBuf, Failure> {
    if let Some(program) = configured {
        return Ok(program.to_owned());
    }
    let unpacked = unpacked(prefixes);
    let installed = ["/usr/local/bin", "/usr/bin"].map(Path::new);
    ["pypy", "python2.7"]
        .iter()
        .flat_map(|name| {
            let found = unpacked.iter().map(|prefix| prefix.join("bin"));
            let folders = found.chain(installed.iter().map(|folder| folder.to_path_buf()));
            folders.map(move |folder| folder.join(name))
        })
        .find(|path| path.exists())
        .ok_or_else(|| {
            Failure::transient(
                "this host has no Python 2 to translate PyPy with: measure a runtime of CPython 2.7 or PyPy 2.7 here first, or \
                 set `translator` in worker.toml to one",
            )
        })
}

/// The unpacked prefixes that are no PyPy 3, in an order that stays.
fn unpacked(prefixes: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(prefixes).into_iter().flatten().flatten();
    let mut ready: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        // PyPy 3 has a `pypy` too, beside its `pypy3`.
        .filter(|path| path.join(".ready").exists() && !path.join("bin/pypy3").exists())
        .collect();
    ready.sort();
    ready
}

/// The translator's phases: title in its log, name in its table of times, and the seconds that they took of one
/// translation of PyPy 2.7 (commit 4eeb73ca9598 of 2026-08-05, by PyPy 7.3.3, on one of two virtual cores).
const PHASES: [(&str, &str, f32); 10] = [
    ("Translating target", "loading target", 19.0),
    ("Annotating&simplifying", "annotate", 245.0),
    ("RTyping", "rtype_lltype", 124.0),
    ("JIT compiler generation", "pyjitpl_lltype", 466.0),
    ("lltype back-end optimisations", "backendopt_lltype", 223.0),
    ("inserting stack checks", "stackcheckinsertion_lltype", 10.0),
    ("Creating database", "database_c", 364.0),
    ("Generating c source", "source_c", 153.0),
    ("Compiling c source", "compile_c", 878.0),
    ("Create cffi bindings", "build_cffi_imports", 19.0),
];
/// The build's percentage when the translation is over.
const TRANSLATED: f32 = 96.0;

/// Follows the translator's log.
struct Phases {
    expected: Vec<(&'static str, f32)>,
    current: usize,
    begun: Instant,
    /// From the table of times at the end, by `translate/` and the phase's name.
    seconds: BTreeMap<String, f64>,
}

impl Phases {
    fn new(translation: Translation) -> Self {
        let jit = translation == Translation::Jit;
        Self {
            expected: PHASES
                .iter()
                .filter(|phase| jit || phase.1 != "pyjitpl_lltype")
                .map(|phase| (phase.0, phase.2))
                .collect(),
            current: 0,
            begun: Instant::now(),
            seconds: BTreeMap::new(),
        }
    }

    /// Takes a line in; nothing when the translator was quiet. Returns the build's percentage and the phase.
    fn hear(&mut self, line: &str) -> (f32, String) {
        if let Some((name, seconds)) = read_timing(line) {
            self.seconds.insert(format!("translate/{name}"), seconds);
        }
        if line.starts_with("[translation:info]") {
            let later = &self.expected[self.current + 1..];
            if let Some(steps) = later.iter().position(|(title, _)| line.contains(title)) {
                self.current += steps + 1;
                self.begun = Instant::now();
            }
        }
        let total: f32 = self.expected.iter().map(|(_, seconds)| seconds).sum();
        let done: f32 = self.expected[..self.current]
            .iter()
            .map(|(_, seconds)| seconds)
            .sum();
        let (title, expected) = self.expected[self.current];
        // A phase that takes longer than usual stands at its end, and does not run into the next one's share.
        let within = self.begun.elapsed().as_secs_f32().min(expected * 0.95);
        ((done + within) / total * TRANSLATED, title.to_owned())
    }
}

/// A line of the table of times: `[Timer] annotate     --- 808.1 s`.
fn read_timing(line: &str) -> Option<(&str, f64)> {
    let (name, seconds) = line.strip_prefix("[Timer]")?.split_once("---")?;
    let name = name.trim();
    let known = PHASES.iter().any(|phase| phase.1 == name);
    let seconds = seconds.trim().strip_suffix('s')?.trim().parse().ok()?;
    known.then_some((name, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pypy_that_was_built_here_translates_the_next_one_and_a_python_3_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = |name: &str, programs: &[&str]| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.join("bin")).unwrap();
            for file in programs {
                std::fs::write(path.join("bin").join(file), "").unwrap();
            }
            std::fs::write(path.join(".ready"), "").unwrap();
            path
        };
        let find = || find_translator(None, folder.path()).unwrap();
        let two = prefix("b", &["python2.7", "python"]);
        prefix("a", &["pypy", "pypy3"]);
        if !Path::new("/usr/bin/pypy").exists() && !Path::new("/usr/local/bin/pypy").exists() {
            assert_eq!(find(), two.join("bin/python2.7"));
        }
        let pypy = prefix("c", &["pypy", "python"]);
        assert_eq!(find(), pypy.join("bin/pypy"));
        let configured = Path::new("/opt/pypy");
        assert_eq!(
            find_translator(Some(configured), folder.path()).unwrap(),
            configured
        );
    }

    /// What the translator said of itself on a real translation, the lines between left out.
    const RECORDED: &str = include_str!("testdata/pypy-translation.log");

    #[test]
    fn a_recorded_translation_moves_forward_and_gives_its_times() {
        let mut phases = Phases::new(Translation::Jit);
        let standing: Vec<(f32, String)> = RECORDED.lines().map(|line| phases.hear(line)).collect();
        assert!(
            standing
                .windows(2)
                .all(|pair| pair[0].0 <= pair[1].0 + 0.01),
            "{standing:?}"
        );
        let mut titles: Vec<&str> = standing.iter().map(|(_, title)| title.as_str()).collect();
        titles.dedup();
        assert_eq!(titles, PHASES.map(|phase| phase.0));
        let (last, _) = standing[standing.len() - 1];
        assert!((94.0..=TRANSLATED).contains(&last), "{last}");
        assert_eq!(phases.seconds.len(), PHASES.len());
        assert_eq!(phases.seconds["translate/pyjitpl_lltype"], 466.1);
    }

    #[test]
    fn without_the_jit_its_phase_is_not_waited_for() {
        let mut phases = Phases::new(Translation::NoJit);
        assert!(phases.expected.iter().all(|phase| !phase.0.contains("JIT")));
        let (percent, title) = phases.hear("[translation:info] RTyping...");
        assert!(percent > 12.0 && title == "RTyping", "{percent} {title}");
        // What is no line of the table of times is none of the steps.
        for line in [
            "[Timer] Total: --- 3.0 s",
            "[Timer] annotate --- x s",
            "annotate --- 3.0 s",
        ] {
            phases.hear(line);
        }
        assert!(phases.seconds.is_empty());
    }

    #[test]
    fn the_command_says_level_jobs_and_options() {
        let recipe = Pypy {
            translation: Translation::NoJit,
            options: &["--withoutmod-_tkinter".to_owned()],
        };
        let command = recipe.command(Path::new("/usr/bin/pypy"), 3);
        let words: Vec<&str> = command.iter().filter_map(|word| word.to_str()).collect();
        assert_eq!(
            words.join(" "),
            "/usr/bin/pypy ../../rpython/bin/rpython --batch -O2 --make-jobs=3 targetpypystandalone.py --withoutmod-_tkinter"
        );
    }
}
