//! A host and everything about it that can move a result.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::SuiteManifest;

/// The facts that make up an environment. Two equal sets of facts have the same fingerprint;
/// any difference begins a new epoch in the host's series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentFacts {
    /// CPU model name as the kernel says it.
    pub cpu_model: String,
    /// `vendor family/model/stepping`, for example `GenuineIntel 6/85/7`.
    pub cpu_signature: String,
    /// Microcode revision (`0x…`), or `unknown`.
    pub microcode: String,
    /// Logical processors online.
    pub cores: u32,
    /// Main memory in bytes.
    pub memory_bytes: u64,
    /// Kernel release and version.
    pub kernel: String,
    /// Distribution's pretty name.
    pub distribution: String,
    /// First line of the compiler's `--version`.
    pub compiler: String,
    /// C library's version.
    pub libc: String,
    /// Further settings that can move a result (governor, SMT, ASLR, hypervisor, pinned processors …), by name.
    pub settings: BTreeMap<String, String>,
}

impl EnvironmentFacts {
    /// Lower-case hex SHA-256 of the facts' canonical JSON (field order fixed, maps sorted).
    pub fn fingerprint(&self) -> String {
        // Serialising a struct of strings, integers and a string map cannot fail.
        let canonical = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(Sha256::digest(&canonical))
    }
}

/// A worker introduces its host. Sent at start and whenever the facts change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterRequest {
    /// Version of the worker program.
    pub worker_version: String,
    /// The host as it is now.
    pub facts: EnvironmentFacts,
    /// The suites this worker can run. A suite that the backend knows with the same name and
    /// version but another hash is refused: suites are immutable.
    pub suites: Vec<SuiteManifest>,
    /// Lower-case hex SHA-256 of every text that it can send: definitions of suites, scripts, their inputs, the harness.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
}

/// The backend's answer to [`RegisterRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterResponse {
    /// The host's name as the operator gave it.
    pub host: String,
    /// Identifies the environment in claims and reports.
    pub environment_id: i64,
    /// Those of [`RegisterRequest::sources`] that the backend does not have: to be sent once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wanted_sources: Vec<String>,
}
