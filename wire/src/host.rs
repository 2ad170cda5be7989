//! What was wrong with a host while it measured.

use serde::{Deserialize, Serialize};

/// How much it matters that something about a host is not as it should be. The order is that of weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostSeverity {
    /// Worth knowing.
    Note,
    /// Results are noisier than they could be.
    Warning,
    /// Results of this host cannot be trusted to say what the interpreter did.
    Unfit,
}

impl HostSeverity {
    /// The word on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Unfit => "unfit",
        }
    }
}

/// One thing about a host that was not as it should be when it measured. Results carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFlag {
    /// Stable name of the check (`turbo`, `busy`, `throttled_meanwhile` …).
    pub name: String,
    /// How much it matters.
    pub severity: HostSeverity,
    /// What was found.
    pub value: String,
    /// What it should have been.
    pub good: String,
}
