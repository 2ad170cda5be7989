//! Doors for programs that were made for other services: Codespeed, LNT, Bencher. Each answers as its own service would.
//!
//! Such programs often know no token. Where they take an address, the token can be a part of it (`/codespeed/TOKEN/result/add/json/`):
//! Python's urllib, which `pyperformance upload` and `lnt submit` use, understands no `http://user:TOKEN@host/`.

mod bencher;
mod codespeed;
mod form;
mod lnt;

use actix_web::HttpRequest;
use actix_web::web::{Data, ServiceConfig};

use crate::context::Context;
use crate::db::imports::Sender;
use crate::domain::import::Import;
use crate::domain::import::mapping::{self, Names};
use crate::intake::{self, Receipt, Refusal, Target};
use crate::web::error::Error;
use crate::web::guard;
use crate::web::session::{Importer, check_token, find_actor};

/// Largest body of a form or of JSON.
const LARGEST_BODY: usize = 32 << 20;

/// The routes.
pub fn configure(config: &mut ServiceConfig) {
    codespeed::configure(config);
    lnt::configure(config);
    bencher::configure(config);
}

/// Who sends: by the token of the address, by another header's, or as everywhere else.
async fn importer(
    context: &Context,
    request: &HttpRequest,
    token: Option<&str>,
) -> Result<Importer, Error> {
    let actor = match token {
        Some(token) => {
            let found = check_token(context, token).await;
            // Whoever guesses tokens in addresses is slowed down like whoever guesses them elsewhere.
            if matches!(found, Err(Error::Unauthorized(_))) {
                guard::count_failure(request)?;
            }
            let actor = found?;
            guard::count_actor(request, &actor)?;
            Some(actor)
        }
        None => find_actor(request).await?,
    };
    Importer::of(actor)
}

/// Where something belongs that came under other names.
struct Ready {
    target: Target,
    commit: (i64, String),
    file_name: String,
    import: Import,
}

/// Finds the place of an import, and whether the sender may write there. Nothing is stored yet.
async fn prepare(
    context: &Context,
    importer: &Importer,
    names: &Names,
    import: Import,
) -> Result<Ready, Error> {
    let rule =
        mapping::find(&context.config.imports, names).map_err(|message| Error::Unprocessable {
            field: "environment".to_owned(),
            message,
        })?;
    importer.require(&rule.runtime, &rule.host)?;
    let target = intake::find_target(&context.pool, &rule.runtime, &rule.host).await?;
    let commit = import.commit.clone().unwrap_or_default();
    let commit = intake::find_commit(&context.pool, &target, &commit).await?;
    Ok(Ready {
        target,
        commit,
        file_name: names.words().chars().take(300).collect(),
        import,
    })
}

/// Stores what is ready.
async fn store(context: &Context, importer: &Importer, ready: &Ready) -> Result<Receipt, Refusal> {
    let sender = Sender {
        importer: &importer.0.name,
        file_name: &ready.file_name,
    };
    intake::store(
        &context.pool,
        &context.artefacts,
        &ready.target,
        &ready.commit,
        &ready.import,
        &sender,
    )
    .await
}

type Shared = Data<Context>;
