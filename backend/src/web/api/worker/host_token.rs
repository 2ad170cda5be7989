//! Who is asking: the host that owns the bearer token. Tokens are 256 random bits, stored as SHA-256.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use speedwell_wire::{OLDEST_PROTOCOL_VERSION, PROTOCOL_HEADER, PROTOCOL_VERSION};

use crate::artefacts::sha256_hex;
use crate::context::Context;
use crate::db::hosts::{self, Host};
use crate::web::error::Error;

/// The authenticated host of a request. Being heard of keeps it from being shown as stale.
#[derive(Debug, Clone)]
pub struct HostToken(pub Host);

/// The version of the messages that a request's worker speaks: one that this backend speaks, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spoken(u32);

impl Spoken {
    /// Profiles by sampling came with version 5: a worker of version 4 cannot read that it is asked for one.
    pub fn can_sample(self) -> bool {
        self.0 >= 5
    }

    fn of(request: &HttpRequest) -> Result<Self, Error> {
        let said = request
            .headers()
            .get(PROTOCOL_HEADER)
            .and_then(|value| value.to_str().ok());
        let said = said.ok_or_else(|| {
            Error::UpgradeRequired(format!(
                "the header {PROTOCOL_HEADER} is missing: this is no worker of Speedwell, or a very old one. {UPGRADE_WORKER}"
            ))
        })?;
        let version: u32 = said.parse().map_err(|_no_number| {
            Error::UpgradeRequired(format!("{PROTOCOL_HEADER}: {said:?} is no version"))
        })?;
        if version > PROTOCOL_VERSION {
            return Err(Error::UpgradeRequired(format!(
                "the worker speaks protocol {version}, this backend {OLDEST_PROTOCOL_VERSION} and {PROTOCOL_VERSION}: upgrade the backend first. The worker waits meanwhile"
            )));
        }
        if version < OLDEST_PROTOCOL_VERSION {
            return Err(Error::UpgradeRequired(format!(
                "the worker speaks protocol {version}, this backend {OLDEST_PROTOCOL_VERSION} and {PROTOCOL_VERSION}. {UPGRADE_WORKER}"
            )));
        }
        Ok(Self(version))
    }
}

/// What an operator does about it.
const UPGRADE_WORKER: &str = "Upgrade the worker: install the `speedwell-worker` of this backend's version on its host and start it again; \
     results that wait on its disk are sent then";

impl FromRequest for Spoken {
    type Error = Error;
    type Future = std::future::Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(Self::of(request))
    }
}

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
    Spoken::of(request)?;
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
