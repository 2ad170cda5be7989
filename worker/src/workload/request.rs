//! One connection and its exchanges: a request made from its template, the answer checked.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::definition::{Request, fill_in};

/// A request without an answer for this long is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection, made when it is first needed and again after it was closed.
pub struct Connection<'a> {
    origin: &'a str,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// An answer: status, headers and body.
pub struct Answer {
    /// Its headers.
    pub headers: hyper::HeaderMap,
}

impl<'a> Connection<'a> {
    /// A connection to `host:port`.
    pub fn new(origin: &'a str) -> Self {
        Self {
            origin,
            sender: None,
        }
    }

    /// Sends a request and takes its whole answer. The error says what was not as it must be.
    pub async fn exchange(
        &mut self,
        request: &Request,
        values: &BTreeMap<String, String>,
        payload: &Bytes,
    ) -> Result<Answer, String> {
        let path = fill_in(&request.path, values);
        let words = |what: String| format!("{} {path}: {what}", request.method);
        match tokio::time::timeout(PATIENCE, self.try_exchange(request, &path, values, payload))
            .await
        {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(what)) => {
                // Whether the connection is still good is not worth knowing.
                self.sender = None;
                Err(words(what))
            }
            Err(_) => {
                self.sender = None;
                Err(words(format!("no answer in {} s", PATIENCE.as_secs())))
            }
        }
    }

    async fn try_exchange(
        &mut self,
        request: &Request,
        path: &str,
        values: &BTreeMap<String, String>,
        payload: &Bytes,
    ) -> Result<Answer, String> {
        let body = match &request.body {
            Some(text) => Bytes::from(fill_in(text, values)),
            None => payload.slice(..request.body_bytes.min(payload.len())),
        };
        let mut builder = hyper::Request::builder()
            .method(request.method.as_str())
            .uri(path)
            .header("Host", self.origin);
        for (name, value) in &request.headers {
            builder = builder.header(name, fill_in(value, values));
        }
        let message = builder
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let sender = self.sender().await?;
        let answer = sender
            .send_request(message)
            .await
            .map_err(|error| error.to_string())?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        if !request.status.contains(&status) {
            let start = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
            return Err(format!("status {status}: {start}"));
        }
        if let Some(expected) = request.answer_bytes
            && expected != body.len() as u64
        {
            return Err(format!(
                "{} bytes where {expected} were expected",
                body.len()
            ));
        }
        let held = request.answer_holds.as_deref();
        if let Some(text) = held.map(|text| fill_in(text, values))
            && !body
                .windows(text.len().max(1))
                .any(|part| part == text.as_bytes())
        {
            return Err(format!("the answer does not hold {text:?}"));
        }
        Ok(Answer { headers })
    }

    async fn sender(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, String> {
        // A server may close a connection between two requests; that is no error.
        let open = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !open {
            let stream = TcpStream::connect(self.origin)
                .await
                .map_err(|error| format!("cannot connect: {error}"))?;
            stream
                .set_nodelay(true)
                .map_err(|error| error.to_string())?;
            let (sender, connection) = handshake(TokioIo::new(stream))
                .await
                .map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        self.sender
            .as_mut()
            .ok_or_else(|| "no connection".to_owned())
    }
}
