//! A suite's definition (`suite.toml`) as far as the backend reads it: which files a benchmark is made of. Workers check it; here
//! it is a text that somebody sent, known by its hash.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The definition. What is not needed here is passed over.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Definition {
    /// Packages with scripts and libraries.
    #[serde(default, rename = "package")]
    pub packages: Vec<Package>,
    /// Locks of what benchmarks import.
    #[serde(default)]
    pub requirements: Vec<Requirements>,
    /// The benchmarks that are scripts.
    #[serde(default, rename = "benchmark")]
    pub benchmarks: Vec<Script>,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Package {
    /// Its name on the package index.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Lower-case hex SHA-256 of its file.
    pub sha256: String,
    /// Folder inside the unpacked file that is importable or holds the scripts.
    #[serde(default)]
    pub folder: String,
    /// True: a library that benchmarks import.
    #[serde(default)]
    pub library: bool,
}

/// A lock.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Requirements {
    /// Its name.
    pub name: String,
    /// The requirements file, in the suite's own folder.
    pub file: String,
    /// Lower-case hex SHA-256 of it.
    pub sha256: String,
    /// What is installed before.
    pub tools: Option<String>,
    /// Lower-case hex SHA-256 of it.
    pub tools_sha256: Option<String>,
    /// Packages that are libraries of the system.
    #[serde(default)]
    pub unpacked: Vec<String>,
    /// A script that makes what no package has.
    pub build: Option<toml::Table>,
}

/// A benchmark that is a script.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Script {
    /// Its name.
    pub name: String,
    /// Name of its package, or `own`.
    pub source: String,
    /// The script, relative to the source.
    pub script: String,
    /// Lower-case hex SHA-256 of it.
    pub sha256: String,
    /// For a script of several benchmarks: the one that is meant.
    pub select: Option<String>,
    /// Files that it reads, with their SHA-256.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// Name of the lock of what it imports.
    pub requires: Option<String>,
}

impl Definition {
    /// Reads a definition; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    /// A benchmark by its name.
    pub fn script(&self, name: &str) -> Option<&Script> {
        self.benchmarks.iter().find(|one| one.name == name)
    }

    /// What a benchmark imports, by name.
    pub fn requirements_of(&self, script: &Script) -> Option<&Requirements> {
        let name = script.requires.as_ref()?;
        self.requirements.iter().find(|one| &one.name == name)
    }
}

impl Requirements {
    /// Its files with their hashes, in the order of installing.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let tools = self.tools.as_deref().zip(self.tools_sha256.as_deref());
        let main = (self.file.as_str(), self.sha256.as_str());
        tools.into_iter().chain([main])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repositorys_suites_can_be_read() {
        let suites = concat!(env!("CARGO_MANIFEST_DIR"), "/../worker/suites");
        let mut count = 0;
        for entry in std::fs::read_dir(suites).unwrap().flatten() {
            let Ok(text) = std::fs::read_to_string(entry.path().join("suite.toml")) else {
                continue;
            };
            let definition = Definition::parse(&text).unwrap();
            for script in &definition.benchmarks {
                assert_eq!(script.sha256.len(), 64, "{}", script.name);
                assert_eq!(
                    script.requires.is_some(),
                    definition.requirements_of(script).is_some(),
                    "{}",
                    script.name
                );
            }
            count += definition.benchmarks.len();
        }
        assert!(count > 100, "{count}");
        assert!(Definition::parse("[[benchmark]]\nname = 1").is_err());
    }
}
