//! A commit as it is kept.

use chrono::{DateTime, Utc};

/// What is kept of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitFacts {
    /// Full hash, lower-case hex.
    pub hash: String,
    /// Parents' hashes in order.
    pub parents: Vec<String>,
    /// Author's name.
    pub author_name: String,
    /// Author's address.
    pub author_email: String,
    /// Committer's name.
    pub committer_name: String,
    /// Committer's address.
    pub committer_email: String,
    /// When it was written.
    pub authored_at: DateTime<Utc>,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// First line of the message.
    pub subject: String,
}
