//! Forms as old clients post them: `application/x-www-form-urlencoded`, or `multipart/form-data` as a browser's form with a file is.

use std::ops::Deref;

use actix_multipart::Multipart;
use actix_web::dev::Payload;
use actix_web::error::InternalError;
use actix_web::http::header;
use actix_web::web::{self, FormConfig};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use futures_util::TryStreamExt as _;
use futures_util::future::LocalBoxFuture;

use super::LARGEST_BODY;

/// Most fields of a form in parts: the largest of these services has some dozen.
const MOST_FIELDS: usize = 64;
/// Longest name of a field, in bytes.
const LONGEST_NAME: usize = 100;

/// A form's fields in order, whatever encoding they came in. A file is a field as any other.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// The value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Deref for Form {
    type Target = [(String, String)];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// How a service answers to a form that cannot be read; the text says why.
#[derive(Clone, Copy)]
pub(super) struct Refuses(pub(super) fn(&str) -> HttpResponse);

impl Refuses {
    /// The limits of forms with this answer.
    pub(super) fn limits(self) -> FormConfig {
        FormConfig::default()
            .limit(LARGEST_BODY)
            .error_handler(move |error, _| {
                let answer = (self.0)(&error.to_string());
                InternalError::from_response(error, answer).into()
            })
    }
}

impl FromRequest for Form {
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let is_multipart = kind
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data"));
        if is_multipart {
            let refuses = request.app_data::<Refuses>().copied();
            let parts = Multipart::new(request.headers(), payload.take());
            return Box::pin(async move {
                read(parts).await.map(Self).map_err(|message| {
                    let answer = match refuses {
                        Some(Refuses(answer)) => answer(&message),
                        None => HttpResponse::BadRequest().body(message.clone()),
                    };
                    InternalError::from_response(message, answer).into()
                })
            });
        }
        let form = web::Form::<Vec<(String, String)>>::from_request(request, payload);
        Box::pin(async move { form.await.map(|form| Self(form.into_inner())) })
    }
}

/// The fields of a form in parts. The error says what is wrong with it.
async fn read(mut parts: Multipart) -> Result<Vec<(String, String)>, String> {
    let unreadable = |error: actix_multipart::MultipartError| error.to_string();
    let (mut fields, mut left) = (Vec::new(), LARGEST_BODY);
    while let Some(mut part) = parts.try_next().await.map_err(unreadable)? {
        let name = part.name().unwrap_or_default().to_owned();
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(format!(
                "each part needs a name of at most {LONGEST_NAME} bytes"
            ));
        }
        if fields.len() >= MOST_FIELDS {
            return Err(format!("more than {MOST_FIELDS} parts"));
        }
        let mut value = Vec::new();
        while let Some(bytes) = part.try_next().await.map_err(unreadable)? {
            left = left
                .checked_sub(bytes.len())
                .ok_or_else(|| format!("larger than {LARGEST_BODY} bytes"))?;
            value.extend_from_slice(&bytes);
        }
        let value = String::from_utf8(value)
            .map_err(|_unreadable| format!("the part {name:?} is not UTF-8"))?;
        fields.push((name, value));
    }
    Ok(fields)
}
