//! Forges: GitHub, GitLab and Forgejo. Statuses, checks and comments out; hooks and people in.

mod app;
mod check;
mod http;
mod outgoing;
pub mod payload;
mod pull;
mod sign_in;
pub mod signature;
mod status;

pub use app::{Actor, App, Tokens};
pub use check::{Check, CheckState, Conclusion};
pub use http::{client, send};
pub use outgoing::{Allows, Outgoing};
pub use sign_in::{Person, Provider, Trip};
pub use status::{CommitState, Forge, Verdict};

pub use crate::domain::hook::ForgeKind;
