//! What pages and API look up in the same way.

use crate::context::Context;
use crate::db::compare::{self, CommitDetail};
use crate::web::error::Error;

/// The commit that a hash or its beginning names.
pub(super) async fn find_commit(context: &Context, hash: &str) -> Result<CommitDetail, Error> {
    let hash = hash.to_ascii_lowercase();
    if hash.len() < 7 || hash.len() > 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let message = "give at least seven hexadecimal digits of a commit's hash".to_owned();
        return Err(Error::BadRequest {
            field: "hash".to_owned(),
            message,
        });
    }
    let mut found = compare::find_commits(&context.pool, &hash).await?;
    match (found.pop(), found.pop()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Error::NotFound(format!(
            "Several commits begin with {hash}: give more digits."
        ))),
        (None, _) => Err(Error::NotFound(format!(
            "No tracked repository has a commit {hash}."
        ))),
    }
}
