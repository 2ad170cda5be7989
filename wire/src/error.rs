//! What the backend says when it refuses a message.

use serde::{Deserialize, Serialize};

/// Body of every 4xx and 5xx answer, of the worker's API and of the public one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// One sentence for a person: what was wrong and how to mend it.
    pub error: String,
    /// The offending field as a path (`benchmarks[3].measurements[0].samples[7]`), where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}
