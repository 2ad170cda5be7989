//! How an interpreter is made: from a commit by a recipe, from pinned packages, or not at all because it is there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A recipe and its options. Its hash is part of a build's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRecipe {
    /// What is done.
    #[serde(flatten)]
    pub method: Method,
    /// Extra environment of the build and of the benchmarks (`PYTHON_GIL=0` …). `{prefix}` in a value stands for the folder
    /// that the interpreter is unpacked in.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Arguments of the interpreter, before the script (`-X`, `heapsize=64m` …). `{prefix}` in one stands as above. Absent
    /// where there are none, so that the hashes of recipes without them stay what they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Runtime family, which chooses the suite's loop counts: `cpython` or `pypy`.
    pub family: String,
    /// Lower-case hex SHA-256 of the recipe as configured.
    pub sha256: String,
}

/// The prefix that every build of CPython is configured for, so that its bytes do not depend on a host's folders.
pub const CPYTHON_PREFIX: &str = "/opt/speedwell/python";

/// Variables that PyPy's packaging hears: embedding and rebuilding would fetch sources of other projects.
pub const PYPY_PACKAGING: [&str; 5] = [
    "PYPY_NO_EMBED_DEPENDENCIES",
    "PYPY_NO_REBUILD_EXTENSIONS",
    "PYPY_NO_MAKE_PORTABLE",
    "PYPY_PACKAGE_NOKEEPDEBUG",
    "PYPY_PACKAGE_WITHOUTTK",
];

/// The known ways to an interpreter. `name` tells them apart on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Method {
    /// `configure`, `make`, `make install` of a commit of CPython.
    Cpython {
        /// Optimisation profile.
        profile: ConfigureProfile,
        /// Further arguments for `configure`.
        #[serde(default)]
        configure: Vec<String>,
    },
    /// RPython translation of a commit of PyPy.
    Pypy {
        /// With or without the JIT.
        translation: Translation,
        /// Further options for the target (`--withoutmod-_rawffi` …).
        #[serde(default)]
        options: Vec<String>,
    },
    /// A program that is installed on the host.
    Prebuilt {
        /// Its absolute path.
        command: String,
        /// What it must say of itself: a part of the last line that it prints when it is called with `probe`.
        version: String,
        /// Arguments that make it say its version.
        #[serde(default = "python_probe")]
        probe: Vec<String>,
    },
    /// Packages of public registries, unpacked into a folder of their own.
    Package {
        /// The interpreter's path within that folder.
        program: String,
        /// What it must say of itself: a part of the last line that it prints when it is called with `probe`.
        version: String,
        /// Arguments that make it say its version.
        #[serde(default = "python_probe")]
        probe: Vec<String>,
        /// Everything that is unpacked, in order.
        packages: Vec<PinnedPackage>,
    },
}

/// Makes any Python say its version.
pub fn python_probe() -> Vec<String> {
    let script = "import sys; print(sys.version.replace('\\n', ' '))";
    vec!["-c".to_owned(), script.to_owned()]
}

impl Method {
    /// The name used in the configuration and on pages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cpython { .. } => "cpython",
            Self::Pypy { .. } => "pypy",
            Self::Prebuilt { .. } => "prebuilt",
            Self::Package { .. } => "package",
        }
    }

    /// Arguments that make the interpreter say its version.
    pub fn probe(&self) -> Vec<String> {
        match self {
            Self::Cpython { .. } | Self::Pypy { .. } => python_probe(),
            Self::Prebuilt { probe, .. } | Self::Package { probe, .. } => probe.clone(),
        }
    }

    /// Whether it starts from a commit's source.
    pub fn needs_source(&self) -> bool {
        match self {
            Self::Cpython { .. } | Self::Pypy { .. } => true,
            Self::Prebuilt { .. } | Self::Package { .. } => false,
        }
    }

    /// The variant in a few words, for pages: `plain`, `jit`, `7.3.11` …
    pub fn variant(&self) -> &str {
        match self {
            Self::Cpython { profile, .. } => profile.as_str(),
            Self::Pypy { translation, .. } => translation.as_str(),
            Self::Prebuilt { version, .. } | Self::Package { version, .. } => version,
        }
    }
}

/// How CPython's own configure is asked to optimise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigureProfile {
    /// `./configure` as it is.
    Plain,
    /// `--enable-optimizations`: profile-guided.
    Pgo,
    /// `--enable-optimizations --with-lto`.
    PgoLto,
}

impl ConfigureProfile {
    /// What `configure` is told besides the prefix; `two`: the source is Python 2. Bundled installers are left out: they need
    /// a network and are not measured.
    pub fn configure_arguments(self, two: bool) -> &'static [&'static str] {
        match (self, two) {
            (Self::Plain, true) => &["--enable-unicode=ucs4", "--with-ensurepip=no"],
            (Self::Plain, false) => &["--without-ensurepip"],
            (Self::Pgo, true) => &[
                "--enable-unicode=ucs4",
                "--with-ensurepip=no",
                "--enable-optimizations",
            ],
            (Self::Pgo, false) => &["--without-ensurepip", "--enable-optimizations"],
            (Self::PgoLto, true) => &[
                "--enable-unicode=ucs4",
                "--with-ensurepip=no",
                "--enable-optimizations",
                "--with-lto",
            ],
            (Self::PgoLto, false) => &[
                "--without-ensurepip",
                "--enable-optimizations",
                "--with-lto",
            ],
        }
    }

    /// The name used in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Pgo => "pgo",
            Self::PgoLto => "pgo_lto",
        }
    }
}

/// RPython's levels of optimisation that are worth measuring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Translation {
    /// `-Ojit`.
    Jit,
    /// `-O2`: the interpreter alone.
    NoJit,
}

impl Translation {
    /// RPython's option for it.
    pub fn level(self) -> &'static str {
        match self {
            Self::Jit => "-Ojit",
            Self::NoJit => "-O2",
        }
    }

    /// The name used in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jit => "jit",
            Self::NoJit => "no_jit",
        }
    }
}

/// One package of a public registry, known by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedPackage {
    /// Where it is found.
    pub registry: Registry,
    /// Its name there.
    pub name: String,
    /// Its version there.
    pub version: String,
    /// Lower-case hex SHA-256 of the file.
    pub sha256: String,
    /// Where among the unpacked files it goes: a wheel belongs beside an interpreter's other modules. Absent: at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

/// The registries that packages are fetched from, each by its own client as the host has it set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registry {
    /// Debian's archive, by suite: `{ debian = "bullseye" }`.
    Debian(String),
    /// The Python package index; a wheel.
    Pypi,
    /// The npm registry; unpacked into `node_modules/NAME`.
    Npm,
}
