//! What goes wrong in a handler, and the status it becomes. Visitors read a sentence; the cause goes to the log.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use speedwell_wire::ErrorBody;

/// An error of a handler. The API answers it as JSON; pages wrap it (see `pages`).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 400: a parameter does not parse.
    #[error("{message}")]
    BadRequest {
        /// The parameter.
        field: String,
        /// What is wrong and how to mend it.
        message: String,
    },
    /// 401: no token, or an unknown one.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// 403: known, but not allowed to.
    #[error("{0}")]
    Forbidden(String),
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 409: the lease is lost, or the state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// 413.
    #[error("{0}")]
    TooLarge(String),
    /// 422: well-formed, but not acceptable.
    #[error("{message}")]
    Unprocessable {
        /// The offending field as a path.
        field: String,
        /// What is wrong and how to mend it.
        message: String,
    },
    /// 426: a worker with a protocol version that is not spoken here.
    #[error("{0}")]
    UpgradeRequired(String),
    /// 429: too often; the seconds until it may be tried again.
    #[error("too many requests: try again in {0} seconds")]
    TooMany(u64),
    /// 500: the cause is logged, not shown.
    #[error("something went wrong here; it has been logged")]
    Internal(#[from] anyhow::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Internal(error.into())
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unprocessable { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::UpgradeRequired(_) => StatusCode::UPGRADE_REQUIRED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Internal(cause) = self {
            tracing::error!("{cause:#}");
        }
        let field = match self {
            Self::BadRequest { field, .. } | Self::Unprocessable { field, .. } => {
                Some(field.clone())
            }
            Self::Unauthorized(_)
            | Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::Conflict(_)
            | Self::TooLarge(_)
            | Self::UpgradeRequired(_)
            | Self::TooMany(_)
            | Self::Internal(_) => None,
        };
        let mut answer = HttpResponse::build(self.status_code());
        if let Self::TooMany(seconds) = self {
            answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        answer
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .json(ErrorBody {
                error: self.to_string(),
                field,
            })
    }
}
