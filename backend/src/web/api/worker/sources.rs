//! Texts of benchmarks, suites and the harness, by their hash.

use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Path};
use speedwell_wire::LARGEST_SOURCE;

use super::HostToken;
use crate::artefacts::{is_sha256, sha256_hex};
use crate::context::Context;
use crate::db::builds;
use crate::web::error::Error;

/// Most texts that one worker may offer.
const MOST: usize = 10_000;

/// Refuses an offer that is none.
pub(super) fn check_offer(hashes: &[String]) -> Result<(), Error> {
    let complain = |field: String, message: String| Err(Error::Unprocessable { field, message });
    if hashes.len() > MOST {
        let message = format!("{} hashes are more than {MOST}", hashes.len());
        return complain("sources".to_owned(), message);
    }
    match hashes.iter().position(|hash| !is_sha256(hash)) {
        Some(index) => complain(
            format!("sources[{index}]"),
            "is no SHA-256 in lower-case hexadecimal digits".to_owned(),
        ),
        None => Ok(()),
    }
}

/// Stores a text under its own hash; a wrong hash is refused.
pub(super) async fn put(
    context: Data<Context>,
    _: HostToken,
    sha256: Path<String>,
    body: Bytes,
) -> Result<HttpResponse, Error> {
    let bytes = body.len() as u64;
    if bytes > LARGEST_SOURCE {
        return Err(Error::TooLarge(format!(
            "a source of {bytes} bytes is larger than {LARGEST_SOURCE}"
        )));
    }
    let found = sha256_hex(&body);
    if !is_sha256(&sha256) || found != *sha256 {
        return Err(Error::Unprocessable {
            field: "sha256".to_owned(),
            message: format!("the bytes hash to {found}: the upload was damaged, send it again"),
        });
    }
    context.artefacts.put(body).await?;
    builds::insert_artefact(&context.pool, &sha256, bytes, "source").await?;
    Ok(HttpResponse::NoContent().finish())
}
