//! Forges: GitHub, GitLab and Forgejo. Statuses and comments out, people in.

mod http;
mod outgoing;
mod sign_in;
mod status;

pub use http::{client, send};
pub use outgoing::{Allows, Outgoing};
pub use sign_in::{Person, Provider, Trip};
pub use status::{Forge, ForgeKind, Verdict};
