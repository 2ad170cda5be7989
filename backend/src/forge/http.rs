//! One HTTP client for everything that leaves: short-tempered, and it follows nobody elsewhere.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode};

use crate::domain::telling::Failure;

/// The client. It follows no redirect: a message is for the address that was configured.
pub fn client() -> anyhow::Result<Client> {
    Ok(builder().build()?)
}

/// What all clients have in common.
pub(super) fn builder() -> ClientBuilder {
    // Refused when somebody has installed the same provider before: that is fine.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
        .timeout(Duration::from_secs(30))
        .connect_timeout(Duration::from_secs(10))
        .redirect(Policy::none())
        .user_agent(concat!("speedwell/", env!("CARGO_PKG_VERSION")))
}

/// Sends a request and takes any 2xx for an answer. What another try cannot mend (a 4xx other than "too many" and "too slow", a
/// redirect) is permanent. The address is not part of the words: it may be a secret.
pub async fn send(request: RequestBuilder) -> Result<String, Failure> {
    let response = request.send().await.map_err(|error| {
        Failure::passing(format!("no answer: {}", causes(&error.without_url())))
    })?;
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    if status.is_success() {
        return Ok(text);
    }
    let start: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    let passing = status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        );
    Err(Failure {
        permanent: !passing,
        message: format!("answer {status}: {start}"),
    })
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        words = format!("{words}: {cause}");
        next = cause.source();
    }
    words
}
