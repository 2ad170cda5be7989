//! What somebody's browser sends in their name must come from a page of ours.

use actix_web::HttpRequest;
use actix_web::http::header;

use super::find::{context_of, header_text};
use crate::web::error::Error;

/// Refuses what a page of another site sends in somebody's name. Browsers tell with `Sec-Fetch-Site` (all since 2023, where the address is
/// https or this machine's), and where that is missing (plain HTTP) with `Origin` (all since 2020, with every POST). A request with
/// neither is from no browser that could be told from a forged one, and is refused: an old browser cannot act, but nobody can act
/// through it. A secret in each form would protect the same requests, and nothing more.
pub(in crate::web) fn require_own_site(request: &HttpRequest) -> Result<(), Error> {
    let refused = || {
        Error::Forbidden(
            "This request comes from another site: open the page here and send it again. Programs send `authorization: Bearer …`."
                .to_owned(),
        )
    };
    if let Some(site) = header_text(request, &header::HeaderName::from_static("sec-fetch-site")) {
        return if site == "same-origin" {
            Ok(())
        } else {
            Err(refused())
        };
    }
    let origin = header_text(request, &header::ORIGIN).ok_or_else(refused)?;
    let public = context_of(request)?.config.public_url();
    let host = header_text(request, &header::HOST).unwrap_or_default();
    let own = origin == public
        || (!host.is_empty()
            && ["http://", "https://"]
                .iter()
                .any(|scheme| origin.strip_prefix(scheme) == Some(host)));
    if own { Ok(()) } else { Err(refused()) }
}
