//! Forges: GitHub, GitLab and Forgejo. Statuses and comments out; hooks in.

mod http;
pub mod payload;
mod pull;
pub mod signature;
mod status;

pub use http::{client, send};
pub use status::{CommitState, Forge, Verdict};

pub use crate::domain::hook::ForgeKind;
