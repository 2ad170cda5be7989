//! `/health` for whoever watches the service.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use crate::context::Context;
use crate::db::overview;

/// 200 when the database answers, 503 when it does not.
pub(super) async fn health(context: Data<Context>) -> HttpResponse {
    match overview::ping(&context.pool).await {
        Ok(()) => {
            HttpResponse::Ok().json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
        }
        Err(error) => {
            tracing::error!("the database does not answer: {error}");
            HttpResponse::ServiceUnavailable()
                .json(json!({ "status": "the database does not answer" }))
        }
    }
}
