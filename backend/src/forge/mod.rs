//! Forges: GitHub, GitLab and Forgejo. Statuses and comments out.

mod http;
mod status;

pub use http::{client, send};
pub use status::{Forge, ForgeKind, Verdict};
