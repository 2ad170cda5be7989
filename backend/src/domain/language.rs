//! The language that a runtime executes.

use serde::{Deserialize, Serialize};

/// Python 2, Python 3, or another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Python 2.
    Python2,
    /// Python 3.
    Python3,
    /// JavaScript.
    Javascript,
    /// PHP.
    Php,
    /// Java.
    Java,
}

impl Language {
    /// The stable name used in the database and the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Python2 => "python2",
            Self::Python3 => "python3",
            Self::Javascript => "javascript",
            Self::Php => "php",
            Self::Java => "java",
        }
    }
}
