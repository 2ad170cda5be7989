//! An SMTP server on loopback: takes mails, and refuses as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A mail as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// The envelope's recipient.
    pub to: String,
    /// Headers and body.
    pub raw: String,
}

#[derive(Debug, Default)]
struct State {
    received: Vec<Received>,
    refusals: VecDeque<String>,
}

/// The server; it ends with the test's runtime.
#[derive(Debug, Clone)]
pub struct SmtpServer {
    /// Port on loopback.
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl SmtpServer {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move { drop(talk(stream, &state).await) });
            }
        });
        Self { port, state }
    }

    /// Answers the next recipient with this line (`451 later`) instead of taking it.
    pub fn refuse_next(&self, answer: &str) {
        self.state
            .lock()
            .unwrap()
            .refusals
            .push_back(answer.to_owned());
    }

    /// What has arrived.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }
}

async fn talk(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut to = String::new();
    writer.write_all(b"220 test\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let upper = line.to_ascii_uppercase();
        let answer = if upper.starts_with("EHLO") {
            "250-test\r\n250 8BITMIME".to_owned()
        } else if upper.starts_with("RCPT TO:") {
            to = line["RCPT TO:".len()..]
                .trim_matches(['<', '>', ' '])
                .to_owned();
            let refusal = state.lock().unwrap().refusals.pop_front();
            refusal.unwrap_or_else(|| "250 ok".to_owned())
        } else if upper == "DATA" {
            writer.write_all(b"354 go on\r\n").await?;
            let mut raw = String::new();
            while let Some(line) = lines.next_line().await? {
                if line == "." {
                    break;
                }
                raw.push_str(line.strip_prefix('.').unwrap_or(&line));
                raw.push_str("\r\n");
            }
            let received = Received {
                to: to.clone(),
                raw,
            };
            state.lock().unwrap().received.push(received);
            "250 taken".to_owned()
        } else if upper == "QUIT" {
            writer.write_all(b"221 bye\r\n").await?;
            return Ok(());
        } else {
            "250 ok".to_owned()
        };
        writer.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}
