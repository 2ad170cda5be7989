//! Reads what forges send: the few fields that matter, by their documented names. Pure.

mod github;
mod gitlab;

use serde_json::Value;

use crate::domain::fields::{Fields, Wrong};
use crate::domain::hook::{ForgeKind, Hook, PullFacts};

/// What a hook says. `event` is the header's name of it; GitLab says it in the body.
pub fn hook(kind: ForgeKind, event: &str, body: &Value) -> Result<Hook, Wrong> {
    match kind {
        ForgeKind::Github | ForgeKind::Forgejo => github::hook(event, Fields::of(body)),
        ForgeKind::Gitlab => gitlab::hook(Fields::of(body)),
    }
}

/// A pull request as the forge's API answers it.
pub fn pull(kind: ForgeKind, answer: &Value) -> Result<PullFacts, Wrong> {
    match kind {
        ForgeKind::Github | ForgeKind::Forgejo => github::pull(Fields::of(answer)),
        ForgeKind::Gitlab => gitlab::pull(Fields::of(answer)),
    }
}

/// The project that a hook is about, where it says so: `owner/name`.
pub fn project(kind: ForgeKind, body: &Value) -> Option<&str> {
    let path = match kind {
        ForgeKind::Github | ForgeKind::Forgejo => "repository.full_name",
        ForgeKind::Gitlab => "project.path_with_namespace",
    };
    Fields::of(body).find_text(path)
}

/// A commit of a push; forges write zeros where there is none.
fn commit(hash: &str) -> Option<String> {
    (!hash.bytes().all(|byte| byte == b'0')).then(|| hash.to_owned())
}
