//! Who is asking: the host that owns the bearer token. Tokens are 256 random bits, stored as SHA-256.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use speedwell_wire::{PROTOCOL_HEADER, PROTOCOL_VERSION};

use crate::artefacts::sha256_hex;
use crate::context::Context;
use crate::db::hosts::{self, Host};
use crate::web::error::Error;

/// The authenticated host of a request. Being heard of keeps it from being shown as stale.
#[derive(Debug, Clone)]
pub struct HostToken(pub Host);

impl FromRequest for HostToken {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authenticate(&request).await })
    }
}

async fn authenticate(request: &HttpRequest) -> Result<HostToken, Error> {
    let header_text = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let version = header_text(PROTOCOL_HEADER).unwrap_or("none");
    if version != PROTOCOL_VERSION.to_string() {
        return Err(Error::UpgradeRequired(format!(
            "the worker speaks protocol {version}, this backend {PROTOCOL_VERSION}: install the same version of both"
        )));
    }
    let token = header_text(header::AUTHORIZATION.as_str())
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or(Error::Unauthorized(
            "no token: send `authorization: Bearer …` with the host's token",
        ))?;
    let context = request
        .app_data::<web::Data<Context>>()
        .ok_or_else(|| anyhow::anyhow!("the context is not registered with the application"))?;
    // The look-up is by hash: its time says nothing about the token.
    let host = hosts::find_by_token(&context.pool, &sha256_hex(token.trim().as_bytes())).await?;
    host.map(HostToken).ok_or(Error::Unauthorized(
        "unknown token: add the host with `speedwell-backend host add`, and give its worker the token that it prints",
    ))
}
