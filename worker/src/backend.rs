//! The backend's HTTP client: one function per message, each with a time limit.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use speedwell_wire::{
    BuildReport, CLAIM_WAIT_SECONDS, ClaimRequest, ClaimResponse, ErrorBody, Heartbeat,
    HeartbeatResponse, JobFailure, PROTOCOL_HEADER, PROTOCOL_VERSION, RegisterRequest,
    RegisterResponse, Release, RunReceipt, RunReport, paths,
};

/// A small request.
const SHORT: Duration = Duration::from_secs(20);
/// A request with a large body.
const LONG: Duration = Duration::from_secs(600);

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The backend cannot be reached, or is in trouble: try again later.
    #[error("the backend is away: {0}")]
    Away(String),
    /// The lease is lost (409).
    #[error("{0}")]
    Lost(String),
    /// The message is not acceptable (400, 413, 422, 404): sending it again gives the same.
    #[error("the backend refused it: {0}")]
    Refused(String),
    /// The token is not known (401): an operator must act.
    #[error("{0}")]
    NotWelcome(String),
    /// Worker and backend speak no version of the protocol in common (426): one of both is about to be upgraded.
    #[error("{0}")]
    Outdated(String),
}

/// What an HTTP status means for a worker; `None` is success.
fn refusal(status: StatusCode, message: String) -> Option<Refusal> {
    match status.as_u16() {
        200..=299 => None,
        409 => Some(Refusal::Lost(message)),
        401 => Some(Refusal::NotWelcome(message)),
        426 => Some(Refusal::Outdated(message)),
        408 | 429 | 500..=599 => Some(Refusal::Away(message)),
        _ => Some(Refusal::Refused(message)),
    }
}

/// A client with a time limit for a whole request, unless the request sets its own.
pub fn http_client(timeout: Duration) -> anyhow::Result<Client> {
    // Refused when the process has a provider already: it is the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .timeout(timeout)
        .build()?;
    Ok(client)
}

/// The backend, as one host sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Backend {
    client: Client,
    address: String,
    token: String,
}

impl Backend {
    /// A client for the backend at `address` with this host's token.
    pub fn new(address: &str, token_file: &Path) -> anyhow::Result<Self> {
        let token = std::fs::read_to_string(token_file)
            .with_context(|| format!("token_file: cannot read {}", token_file.display()))?;
        let client = http_client(LONG)?;
        Ok(Self {
            client,
            address: address.trim_end_matches('/').to_owned(),
            token: token.trim().to_owned(),
        })
    }

    /// Introduces the host.
    pub async fn register(&self, request: &RegisterRequest) -> Result<RegisterResponse, Refusal> {
        self.post(paths::REGISTER, request, SHORT).await
    }

    /// Asks for a job and waits for one.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<ClaimResponse, Refusal> {
        self.post(
            paths::CLAIM,
            request,
            Duration::from_secs(CLAIM_WAIT_SECONDS) + SHORT,
        )
        .await
    }

    /// Renews a lease.
    pub async fn heartbeat(
        &self,
        job_id: i64,
        beat: &Heartbeat,
    ) -> Result<HeartbeatResponse, Refusal> {
        self.post(&paths::heartbeat(job_id), beat, SHORT).await
    }

    /// Appends bytes to the job's log.
    pub async fn log(
        &self,
        job_id: i64,
        lease: uuid::Uuid,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Result<(), Refusal> {
        let path = format!("{}?lease={lease}&offset={offset}", paths::log(job_id));
        self.send(self.client.post(self.url(&path)).body(bytes), SHORT)
            .await
            .map(drop)
    }

    /// Gives a job back.
    pub async fn release(&self, job_id: i64, release: &Release) -> Result<(), Refusal> {
        let request = self
            .client
            .post(self.url(&paths::release(job_id)))
            .json(release);
        self.send(request, SHORT).await.map(drop)
    }

    /// Reports a failed try.
    pub async fn failure(&self, job_id: i64, failure: &JobFailure) -> Result<(), Refusal> {
        let request = self
            .client
            .post(self.url(&paths::failure(job_id)))
            .json(failure);
        self.send(request, SHORT).await.map(drop)
    }

    /// Reports a build.
    pub async fn build(&self, job_id: i64, report: &BuildReport) -> Result<(), Refusal> {
        let path = format!("{}?lease={}", paths::build(job_id), report.lease_id);
        self.send(self.client.post(self.url(&path)).json(report), SHORT)
            .await
            .map(drop)
    }

    /// Uploads a run, compressed.
    pub async fn run(&self, job_id: i64, report: &RunReport) -> Result<RunReceipt, Refusal> {
        let json =
            serde_json::to_vec(report).map_err(|error| Refusal::Refused(error.to_string()))?;
        let body = zstd::encode_all(json.as_slice(), 6)
            .map_err(|error| Refusal::Refused(error.to_string()))?;
        let request = self
            .client
            .post(self.url(&paths::run(job_id)))
            .header("content-encoding", "zstd")
            .body(body);
        answer(self.send(request, LONG).await?).await
    }

    /// Fetches an artefact.
    pub async fn get_artefact(&self, sha256: &str) -> Result<Vec<u8>, Refusal> {
        let response = self
            .send(self.client.get(self.url(&paths::artefact(sha256))), LONG)
            .await?;
        response
            .bytes()
            .await
            .map(Into::into)
            .map_err(|error| Refusal::Away(error.to_string()))
    }

    /// Uploads an artefact.
    pub async fn put_artefact(&self, sha256: &str, bytes: Vec<u8>) -> Result<(), Refusal> {
        let request = self
            .client
            .put(self.url(&paths::artefact(sha256)))
            .body(bytes);
        self.send(request, LONG).await.map(drop)
    }

    /// Uploads a source.
    pub async fn put_source(&self, sha256: &str, bytes: Vec<u8>) -> Result<(), Refusal> {
        let request = self
            .client
            .put(self.url(&paths::source(sha256)))
            .body(bytes);
        self.send(request, LONG).await.map(drop)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<T, Refusal> {
        answer(
            self.send(self.client.post(self.url(path)).json(body), limit)
                .await?,
        )
        .await
    }

    async fn send(&self, request: RequestBuilder, limit: Duration) -> Result<Response, Refusal> {
        let response = request
            .timeout(limit)
            .bearer_auth(&self.token)
            .header(PROTOCOL_HEADER, PROTOCOL_VERSION.to_string())
            .send()
            .await
            .map_err(|error| Refusal::Away(chain(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let body: Option<ErrorBody> = serde_json::from_str(&text).ok();
        let message = match body {
            Some(ErrorBody {
                error,
                field: Some(field),
            }) => format!("{field}: {error}"),
            Some(ErrorBody { error, field: None }) => error,
            None => format!("status {status}"),
        };
        Err(refusal(status, message).unwrap_or(Refusal::Away(format!("status {status}"))))
    }
}

async fn answer<T: DeserializeOwned>(response: Response) -> Result<T, Refusal> {
    response
        .json()
        .await
        .map_err(|error| Refusal::Away(format!("its answer cannot be read: {}", chain(&error))))
}

/// An error with its causes: reqwest's own text leaves the reason out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_one_meaning() {
        let meaning = |status: u16| refusal(StatusCode::from_u16(status).unwrap(), String::new());
        assert!(meaning(204).is_none());
        assert!(matches!(meaning(409), Some(Refusal::Lost(_))));
        assert!(matches!(meaning(422), Some(Refusal::Refused(_))));
        assert!(matches!(meaning(413), Some(Refusal::Refused(_))));
        assert!(matches!(meaning(503), Some(Refusal::Away(_))));
        assert!(matches!(meaning(401), Some(Refusal::NotWelcome(_))));
        assert!(matches!(meaning(426), Some(Refusal::Outdated(_))));
    }
}
