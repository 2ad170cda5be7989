//! One HTTP client for everything that leaves: short-tempered, and it follows nobody elsewhere.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode};

use crate::domain::telling::Failure;

/// Nobody is waited for longer than this, whatever a server says.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(6);
/// What GitHub asks for after a secondary limit that names no time.
const SECONDARY_WAIT: TimeDelta = TimeDelta::minutes(1);

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
/// redirect) is permanent. One who asks to be left alone until some moment is ([`Failure::wait_until`]). The address is not part of
/// the words: it may be a secret.
pub async fn send(request: RequestBuilder) -> Result<String, Failure> {
    let response = request.send().await.map_err(|error| {
        Failure::passing(format!("no answer: {}", causes(&error.without_url())))
    })?;
    let status = response.status();
    let headers = response.headers().clone();
    let text = response.text().await.unwrap_or_default();
    if status.is_success() {
        return Ok(text);
    }
    let start: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    let wait_until = wait_until(status, &headers, &text, Utc::now());
    let passing = status.is_server_error()
        || wait_until.is_some()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        );
    Err(Failure {
        permanent: !passing,
        message: format!("answer {status}: {start}"),
        wait_until,
    })
}

/// Until when a server asks to be left alone. GitHub says so with 403 or 429 and `retry-after`, or with `x-ratelimit-remaining: 0` and
/// the second of `x-ratelimit-reset`, or (a secondary limit) in words only; GitLab with 429, `retry-after` and `ratelimit-reset`.
fn wait_until(
    status: StatusCode,
    headers: &HeaderMap,
    body: &str,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<i64>().ok();
    let retry_after = text("retry-after").and_then(|value| match value.parse::<i64>() {
        Ok(seconds) => now.checked_add_signed(TimeDelta::try_seconds(seconds)?),
        Err(_) => Some(DateTime::parse_from_rfc2822(value).ok()?.to_utc()),
    });
    let spent = ["x-ratelimit-remaining", "ratelimit-remaining"]
        .iter()
        .any(|name| number(name) == Some(0));
    let reset = ["x-ratelimit-reset", "ratelimit-reset"]
        .iter()
        .find_map(|name| DateTime::from_timestamp(number(name)?, 0));
    let asked = match status {
        StatusCode::TOO_MANY_REQUESTS => retry_after.or(reset),
        StatusCode::SERVICE_UNAVAILABLE => retry_after,
        StatusCode::FORBIDDEN => retry_after.or(reset.filter(|_| spent)).or_else(|| {
            let words = body.to_ascii_lowercase();
            words
                .contains("secondary rate limit")
                .then(|| now + SECONDARY_WAIT)
        }),
        _ => None,
    };
    // At least a moment: the two clocks need not agree.
    asked.map(|moment| moment.clamp(now + TimeDelta::seconds(1), now + LONGEST_WAIT))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(status: u16, headers: &[(&'static str, &str)], body: &str) -> Option<i64> {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let until = wait_until(StatusCode::from_u16(status).unwrap(), &map, body, now)?;
        Some((until - now).num_seconds())
    }

    #[test]
    fn each_forge_is_waited_for_as_it_asks() {
        let spent = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1800000900"),
        ];
        assert_eq!(wait(403, &spent, ""), Some(900));
        assert_eq!(wait(429, &spent, ""), Some(900));
        assert_eq!(wait(403, &[("retry-after", "70")], ""), Some(70));
        let secondary = "You have exceeded a secondary rate limit. Please wait.";
        assert_eq!(
            wait(403, &[("x-ratelimit-remaining", "12")], secondary),
            Some(60)
        );
        assert_eq!(
            wait(429, &[("ratelimit-reset", "1800000030")], ""),
            Some(30)
        );
        let date = "Fri, 15 Jan 2027 08:01:00 GMT";
        assert_eq!(wait(503, &[("retry-after", date)], ""), Some(60));
    }

    #[test]
    fn a_refusal_is_no_request_to_wait() {
        let left = [
            ("x-ratelimit-remaining", "4000"),
            ("x-ratelimit-reset", "1800000900"),
        ];
        assert_eq!(wait(403, &left, "Resource not accessible"), None);
        assert_eq!(wait(404, &[("retry-after", "5")], ""), None);
        assert_eq!(wait(429, &[], ""), None);
    }

    #[test]
    fn nobody_is_waited_for_for_ever() {
        assert_eq!(wait(429, &[("retry-after", "99999999")], ""), Some(21_600));
        assert_eq!(
            wait(429, &[("retry-after", "9223372036854775807")], ""),
            None
        );
        assert_eq!(wait(429, &[("retry-after", "-5")], ""), Some(1));
    }
}
