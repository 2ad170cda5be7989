//! `[[runtime]]`: one interpreter under test, and which keys go with which recipe.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde::Deserialize;
use speedwell_wire::{
    BuildRecipe, ConfigureProfile, Method, PinnedPackage, ProfilePolicy, Translation,
    ValgrindPolicy, python_probe,
};

use super::{Problem, check_name};
use crate::domain::import::IMPORTED;
use crate::domain::language::Language;
use crate::domain::policy::Policy;

/// The repository that stands for interpreters which nobody builds: each has a branch there, each version a commit.
pub const PROGRAMS: &str = "programs";

/// One line of one interpreter under test.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeConfig {
    /// The runtime's name (`cpython-main`).
    pub name: String,
    /// `python2`, `python3`, `javascript`, `php` or `java`.
    pub language: Language,
    /// How it is made: `cpython`, `pypy`, `prebuilt` or `package`.
    #[serde(default = "default_recipe")]
    pub recipe: String,
    /// Name of its repository; for `cpython` and `pypy`.
    pub repository: Option<String>,
    /// Branch whose first-parent history is measured; for `cpython` and `pypy`.
    pub branch: Option<String>,
    /// `plain` (default), `pgo` or `pgo_lto`; for `cpython`.
    pub profile: Option<ConfigureProfile>,
    /// Further arguments for `configure`; for `cpython`.
    pub configure: Option<Vec<String>>,
    /// `jit` (default) or `no_jit`; for `pypy`.
    pub translation: Option<Translation>,
    /// Further options of the translation's target; for `pypy`.
    pub options: Option<Vec<String>>,
    /// Absolute path of the program; for `prebuilt`.
    pub command: Option<String>,
    /// Path of the interpreter among the unpacked files; for `package`.
    pub program: Option<String>,
    /// Pinned packages, unpacked in order; for `package`.
    pub packages: Option<Vec<PinnedPackage>>,
    /// What the interpreter must say of itself (a part of `sys.version`); for `prebuilt` and `package`.
    pub version: Option<String>,
    /// Arguments that make it say so, for what is no Python; for `prebuilt` and `package`.
    pub probe: Option<Vec<String>>,
    /// Which of the suite's plans and loop counts it gets (`cpython`, `pypy`, `jit` …); default: the recipe's own.
    pub family: Option<String>,
    /// Environment of the build and of the benchmarks; `{prefix}` stands for the folder of the unpacked interpreter.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Arguments of the interpreter before each script, with `{prefix}` as above.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Suite to run; the newest version that a worker has registered.
    #[serde(default = "default_suite")]
    pub suite: String,
    /// Classes of hosts that measure it; one job for each class.
    #[serde(default = "default_classes")]
    pub host_classes: Vec<String>,
    /// Whether instructions are counted by valgrind: `never` (default), `no_pmu` or `always`.
    #[serde(default)]
    pub valgrind: ValgrindPolicy,
    /// Whether each benchmark is profiled: `never` (default), `sampling`, `sampling_python` or `callgrind`.
    #[serde(default)]
    pub profiler: ProfilePolicy,
    /// Which commits are measured.
    #[serde(default)]
    pub policy: Policy,
    /// True: it stays as it is and is measured again and again, to see whether the host does; no policy then.
    #[serde(default)]
    pub control: bool,
    /// True: our hosts do not measure it, and its results are imported.
    #[serde(default)]
    pub imported: bool,
    /// Tag, or at least seven digits of the hash, of the one commit that is measured; for a control that is built.
    pub pinned: Option<String>,
}

fn default_recipe() -> String {
    "cpython".to_owned()
}
fn default_suite() -> String {
    "portable".to_owned()
}
fn default_classes() -> Vec<String> {
    vec!["local".to_owned()]
}

impl RuntimeConfig {
    /// The recipe as workers get it, with the hash that is part of a build's identity.
    pub fn build_recipe(&self) -> anyhow::Result<BuildRecipe> {
        let method = self
            .method()
            .map_err(|problem| anyhow::anyhow!("{}: {}", problem.key, problem.message))?;
        let own = match method {
            Method::Cpython { .. } => Some("cpython"),
            Method::Pypy { .. } => Some("pypy"),
            Method::Prebuilt { .. } | Method::Package { .. } => None,
        };
        let family = self.family.as_deref().or(own);
        let mut recipe = BuildRecipe {
            method,
            environment: self.environment.clone(),
            arguments: self.arguments.clone(),
            family: family.context("runtime.family: missing")?.to_owned(),
            sha256: String::new(),
        };
        recipe.sha256 = crate::artefacts::sha256_hex(&serde_json::to_vec(&recipe)?);
        Ok(recipe)
    }

    /// Repository and branch: the configured ones, or those that stand for a program nobody builds.
    pub fn place(&self) -> (&str, &str) {
        match (&self.repository, &self.branch) {
            (Some(repository), Some(branch)) => (repository, branch),
            _ => (PROGRAMS, &self.name),
        }
    }

    /// Recipe and variant in words.
    pub fn describe(&self) -> String {
        match self.method() {
            Ok(method) => format!("recipe {} ({})", method.name(), method.variant()),
            Err(_) => format!("recipe {}", self.recipe),
        }
    }

    pub(super) fn validate(&self, repositories: &BTreeSet<&String>) -> Result<(), Problem> {
        check_name(&self.name).map_err(|e| Problem::new("runtime.name", &self.name, e))?;
        let method = self.method()?;
        if method.needs_source() {
            self.validate_place(repositories)?;
        } else if self.family.is_none() {
            let message = "needs family: the name of a plan of its suite, like \"cpython\"";
            return Err(Problem::new("runtime.recipe", &self.recipe, message));
        }
        if self.host_classes.iter().any(|class| class == IMPORTED) {
            let message = "no worker runs on hosts of this class: results for them are imported";
            return Err(Problem::new("runtime.host_classes", IMPORTED, message));
        }
        if self.host_classes.is_empty() {
            return Err(Problem::new(
                "runtime.host_classes",
                &self.name,
                "at least one class is needed",
            ));
        }
        super::control::validate(self)?;
        self.policy
            .validate()
            .map_err(|e| Problem::new("runtime.policy", &self.name, e))
    }

    fn validate_place(&self, repositories: &BTreeSet<&String>) -> Result<(), Problem> {
        let missing = |key| Problem::new(key, &self.name, "missing; this recipe builds commits");
        let repository = self
            .repository
            .as_ref()
            .ok_or_else(|| missing("runtime.repository"))?;
        if !repositories.contains(repository) {
            let message = "no [[repository]] has this name";
            return Err(Problem::new("runtime.repository", repository, message));
        }
        let branch = self
            .branch
            .as_ref()
            .ok_or_else(|| missing("runtime.branch"))?;
        if branch.is_empty() || !git2::Branch::name_is_valid(branch).unwrap_or(false) {
            let message = "not a valid branch name";
            return Err(Problem::new("runtime.branch", branch, message));
        }
        Ok(())
    }

    /// Refuses keys that belong to another recipe.
    fn refuse_foreign_keys(&self) -> Result<(), Problem> {
        let keys: [(&'static str, bool, &[&str]); 11] = [
            (
                "runtime.repository",
                self.repository.is_some(),
                &["cpython", "pypy"],
            ),
            (
                "runtime.branch",
                self.branch.is_some(),
                &["cpython", "pypy"],
            ),
            ("runtime.profile", self.profile.is_some(), &["cpython"]),
            ("runtime.configure", self.configure.is_some(), &["cpython"]),
            ("runtime.translation", self.translation.is_some(), &["pypy"]),
            ("runtime.options", self.options.is_some(), &["pypy"]),
            ("runtime.command", self.command.is_some(), &["prebuilt"]),
            ("runtime.program", self.program.is_some(), &["package"]),
            ("runtime.packages", self.packages.is_some(), &["package"]),
            (
                "runtime.version",
                self.version.is_some(),
                &["prebuilt", "package"],
            ),
            (
                "runtime.probe",
                self.probe.is_some(),
                &["prebuilt", "package"],
            ),
        ];
        for (key, given, recipes) in keys {
            if given && !recipes.contains(&self.recipe.as_str()) {
                let message = format!(
                    "this key is for recipe {}; this runtime's is {}",
                    recipes.join(" or "),
                    self.recipe
                );
                return Err(Problem::new(key, "", message));
            }
        }
        Ok(())
    }

    /// The recipe's method, when every key that it needs is there and none that belongs to another.
    fn method(&self) -> Result<Method, Problem> {
        self.refuse_foreign_keys()?;
        let probe = || self.probe.clone().unwrap_or_else(python_probe);
        let need = |key: &'static str, value: &Option<String>| {
            value
                .clone()
                .filter(|text| !text.is_empty())
                .ok_or_else(|| {
                    let message = format!("recipe {} needs {key}", self.recipe);
                    Problem::new("runtime.recipe", &self.recipe, message)
                })
        };
        match self.recipe.as_str() {
            "cpython" => Ok(Method::Cpython {
                profile: self.profile.unwrap_or(ConfigureProfile::Plain),
                configure: self.configure.clone().unwrap_or_default(),
            }),
            "pypy" => Ok(Method::Pypy {
                translation: self.translation.unwrap_or(Translation::Jit),
                options: self.options.clone().unwrap_or_default(),
            }),
            "prebuilt" => {
                let command = need("command", &self.command)?;
                if !command.starts_with('/') {
                    let message = "give the program's absolute path";
                    return Err(Problem::new("runtime.command", &command, message));
                }
                let version = need("version", &self.version)?;
                Ok(Method::Prebuilt {
                    command,
                    version,
                    probe: probe(),
                })
            }
            "package" => Ok(Method::Package {
                program: inner_path("runtime.program", need("program", &self.program)?)?,
                version: need("version", &self.version)?,
                probe: probe(),
                packages: self.pinned_packages()?,
            }),
            other => {
                let message = "unknown; known recipes: cpython, pypy, prebuilt, package";
                Err(Problem::new("runtime.recipe", other, message))
            }
        }
    }

    fn pinned_packages(&self) -> Result<Vec<PinnedPackage>, Problem> {
        let packages = self.packages.clone().unwrap_or_default();
        if packages.is_empty() {
            let message = "recipe package needs at least one entry in packages";
            return Err(Problem::new("runtime.recipe", &self.recipe, message));
        }
        for package in &packages {
            let hash = &package.sha256;
            if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                let message = format!("the sha256 of {} needs 64 hexadecimal digits", package.name);
                return Err(Problem::new("runtime.packages", hash, message));
            }
            if let Some(folder) = &package.folder {
                inner_path("runtime.packages", folder.clone())?;
            }
        }
        Ok(packages)
    }
}

/// A path that stays within the folder of the unpacked packages.
fn inner_path(key: &'static str, path: String) -> Result<String, Problem> {
    let plain = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
    if !path.is_empty() && std::path::Path::new(&path).components().all(plain) {
        return Ok(path);
    }
    let message = "give a path within the unpacked packages, like usr/bin/python";
    Err(Problem::new(key, &path, message))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const HEAD: &str = "data = \"/tmp/x\"\n[[repository]]\nname = \"pypy\"\nurl = \"/srv/pypy.git\"\n[[runtime]]\nname = \"it\"\nlanguage = \"python3\"\n";

    fn parse(rest: &str) -> Result<Config, String> {
        Config::parse(&format!("{HEAD}{rest}"), "speedwell.toml").map_err(|error| error.to_string())
    }

    #[test]
    fn each_recipe_has_its_keys_and_refuses_the_others() {
        let translated =
            parse("recipe = \"pypy\"\nrepository = \"pypy\"\nbranch = \"main\"\n").unwrap();
        let recipe = translated.runtimes[0].build_recipe().unwrap();
        assert_eq!(
            (recipe.method.variant(), recipe.family.as_str()),
            ("jit", "pypy")
        );

        let installed = "recipe = \"prebuilt\"\ncommand = \"/usr/bin/pypy3\"\nversion = \"7.3.11\"\nfamily = \"pypy\"\n";
        let config = parse(installed).unwrap();
        assert_eq!(config.runtimes[0].place(), ("programs", "it"));

        for (rest, words) in [
            ("recipe = \"gcc\"\n", "known recipes"),
            ("recipe = \"pypy\"\n", "runtime.repository"),
            ("recipe = \"prebuilt\"\nversion = \"1\"\n", "needs command"),
            (
                "recipe = \"prebuilt\"\ncommand = \"pypy3\"\nversion = \"1\"\n",
                "absolute path",
            ),
            (&installed.replace("family = \"pypy\"", ""), "family"),
            (
                &format!("{installed}profile = \"pgo\"\n"),
                "runtime.profile",
            ),
            (&format!("{installed}branch = \"main\"\n"), "runtime.branch"),
            (
                "recipe = \"package\"\nprogram = \"../x\"\nversion = \"1\"\n",
                "runtime.program",
            ),
            (
                "recipe = \"package\"\nprogram = \"x\"\nversion = \"1\"\n",
                "packages",
            ),
        ] {
            let error = parse(rest).unwrap_err();
            assert!(error.contains(words), "{rest:?} gives {error}");
        }
    }

    #[test]
    fn pinned_packages_are_read_with_their_registry() {
        let rest = format!(
            "recipe = \"package\"\nprogram = \"usr/bin/pypy\"\nversion = \"7.3.3\"\nfamily = \"pypy\"\n\
             packages = [{{ registry = {{ debian = \"bullseye\" }}, name = \"pypy\", version = \"7.3.3+dfsg-2\", sha256 = \"{}\" }}]\n",
            "a".repeat(64)
        );
        assert!(parse(&rest).is_ok(), "{:?}", parse(&rest));
        assert!(
            parse(&rest.replace("aaaa", "a"))
                .unwrap_err()
                .contains("64")
        );
        for registry in ["pypi", "npm"] {
            let rest = rest.replace("{ debian = \"bullseye\" }", &format!("\"{registry}\""));
            assert!(parse(&rest).is_ok(), "{:?}", parse(&rest));
        }
        assert!(parse(&rest.replace("{ debian = \"bullseye\" }", "\"ftp\"")).is_err());
        let beside = rest.replace("sha256", "folder = \"usr/lib/pypy/site-packages\", sha256");
        assert!(parse(&beside).is_ok(), "{:?}", parse(&beside));
        let outside = parse(&beside.replace("usr/lib", "../lib")).unwrap_err();
        assert!(outside.contains("runtime.packages"), "{outside}");
    }

    /// The entries of docs/runtimes.md that cannot be tried wherever the tests run.
    #[test]
    fn every_documented_python_is_a_runtime() {
        let text = format!(
            "data = \"/tmp/x\"\n{}",
            include_str!("testdata/pythons.toml")
        );
        let config = Config::parse(&text, "pythons.toml").map_err(|error| error.to_string());
        let config = config.unwrap();
        assert_eq!(config.runtimes.len(), text.matches("[[runtime]]").count());
        let mut hashes = std::collections::BTreeSet::new();
        for runtime in &config.runtimes {
            let recipe = runtime.build_recipe().unwrap();
            assert!(
                hashes.insert(recipe.sha256),
                "{} is there twice",
                runtime.name
            );
        }
    }

    #[test]
    fn arguments_of_the_interpreter_make_another_recipe() {
        let plain = "recipe = \"prebuilt\"\ncommand = \"/usr/bin/python3\"\nversion = \"3\"\nfamily = \"cpython\"\n";
        let hash = |rest: &str| {
            parse(rest).unwrap().runtimes[0]
                .build_recipe()
                .unwrap()
                .sha256
        };
        // The hash as it was before there were arguments: what is measured stays booked where it was.
        assert_eq!(
            hash(plain),
            "b3fbaa74806c50a1e2899c29979cbb9a6f762e88b9f21b83e132810e9b9a2eab"
        );
        let optimised = format!("{plain}arguments = [\"-O\"]\n");
        assert_ne!(hash(plain), hash(&optimised));
    }
}
