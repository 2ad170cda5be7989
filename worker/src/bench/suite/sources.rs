//! The texts that the backend may ask for, each by its hash: definitions of suites, scripts and what they read, the harness. They
//! are what a page shows as a benchmark's source, and what somebody needs to repeat a measurement.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use speedwell_wire::LARGEST_SOURCE;

use super::{MODULES, Suite, Suites};
use crate::build::artefact::hash_file;

/// Name of a suite's definition in its folder.
pub(super) const DEFINITION: &str = "suite.toml";
/// Name of the harness's list of modules in its folder.
pub(super) const LIST: &str = "modules.txt";

impl Suites {
    /// Where each text lies, by its hash. What is too large to be sent is left out.
    pub fn sources(&self) -> BTreeMap<String, PathBuf> {
        let mut found = BTreeMap::new();
        let mut offer = |sha256: &str, path: PathBuf| {
            let fits = fs::metadata(&path).is_ok_and(|file| file.len() <= LARGEST_SOURCE);
            if fits {
                found.insert(sha256.to_owned(), path);
            }
        };
        let folder = &self.harness.folder;
        offer(&self.harness.sha256, folder.join(LIST));
        for path in MODULES.map(|name| folder.join(name)) {
            if let Ok(sha256) = hash_file(&path) {
                offer(&sha256, path);
            }
        }
        for suite in &self.all {
            suite.offer(&mut offer);
        }
        found
    }
}

impl Suite {
    fn offer(&self, offer: &mut impl FnMut(&str, PathBuf)) {
        offer(&self.sha256, self.folder.join(DEFINITION));
        for (name, sha256) in self.definition.own_files() {
            offer(sha256, self.folder.join("own").join(name));
        }
        for benchmark in &self.definition.benchmarks {
            let script = [(&benchmark.script, &benchmark.sha256)];
            for (name, sha256) in script.into_iter().chain(&benchmark.inputs) {
                offer(sha256, self.source_folder(benchmark).join(name));
            }
        }
    }
}

/// The bytes of a text, unless they are no longer those of its hash.
pub fn read(path: &Path, sha256: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    (hex::encode(Sha256::digest(&bytes)) == sha256).then_some(bytes)
}
