//! A pinned suite as the worker announces it: enough to know each benchmark, none of its code.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A suite's name, version and benchmarks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteManifest {
    /// The suite's name, for example `portable`.
    pub name: String,
    /// The suite's version. Any change of a benchmark, a lock or a setting is a new version.
    pub version: u32,
    /// Lower-case hex SHA-256 of the suite's definition file.
    pub sha256: String,
    /// What it is for, in a sentence or two for people.
    pub description: String,
    /// Every package that it is locked to.
    pub lock: Vec<LockedPackage>,
    /// Its benchmarks, in the order they run.
    pub benchmarks: Vec<BenchmarkIdentity>,
    /// The benchmark of this suite that a benchmark is compared with, both by name: the same work done otherwise.
    pub baselines: BTreeMap<String, String>,
}

/// A package of a suite's lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedPackage {
    /// Name of the requirements that it belongs to; empty: the suite's own scripts and libraries.
    pub requirements: String,
    /// `NAME==VERSION`, and for which interpreters, as pip takes it.
    pub requirement: String,
    /// Lower-case hex SHA-256 of each of its files: one for each kind of interpreter.
    pub sha256: Vec<String>,
}

/// What makes a benchmark the same benchmark: never its name alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BenchmarkIdentity {
    /// The benchmark's name, unique in its suite.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// Lower-case hex SHA-256 of its script.
    pub script_sha256: String,
    /// Lower-case hex SHA-256 over its input files' hashes in order; of nothing when it has none.
    pub inputs_sha256: String,
    /// The arguments it is run with.
    pub arguments: Vec<String>,
}

impl BenchmarkIdentity {
    /// Lower-case hex SHA-256 over name, script, inputs and arguments. Series are keyed by it.
    pub fn identity(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.name, &self.script_sha256, &self.inputs_sha256] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        for argument in &self.arguments {
            hash.update((argument.len() as u64).to_le_bytes());
            hash.update(argument.as_bytes());
        }
        hex::encode(hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nbody() -> BenchmarkIdentity {
        BenchmarkIdentity {
            name: "nbody".into(),
            description: "N-body simulation".into(),
            script_sha256: "ab".repeat(32),
            inputs_sha256: hex::encode(Sha256::digest(b"")),
            arguments: vec!["--cases".into(), "EMPTY".into()],
        }
    }

    #[test]
    fn identity_ignores_the_description_and_nothing_else() {
        let known = nbody();
        let described = BenchmarkIdentity {
            description: "other words".into(),
            ..nbody()
        };
        assert_eq!(known.identity(), described.identity());
        let joined = BenchmarkIdentity {
            arguments: vec!["--casesEMPTY".into()],
            ..nbody()
        };
        assert_ne!(known.identity(), joined.identity());
        let other = BenchmarkIdentity {
            script_sha256: "cd".repeat(32),
            ..nbody()
        };
        assert_ne!(known.identity(), other.identity());
    }
}
