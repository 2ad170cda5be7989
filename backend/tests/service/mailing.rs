//! Mails by a real server that wants TLS and a password: what is refused waits with its reason, and nothing leaves unencrypted.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration as Pause, Instant};

use chrono::{DateTime, Duration, Utc};
use serde_json::Value;
use speedwell_backend::context::Context;
use speedwell_backend::domain::regression::Transition;
use sqlx::PgPool;

use crate::support::regression::{go, insert};
use crate::support::telling::{deliver, notify, soon, start_with, states};

/// aiosmtpd and what it imports, from PyPI, unpacked into a folder.
fn aiosmtpd() -> PathBuf {
    let folder = std::env::temp_dir().join("speedwell-aiosmtpd-1.4.6");
    if !folder.join("ready").exists() {
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        pip.args(["--no-deps", "--only-binary=:all:", "--target"])
            .arg(&folder);
        pip.args(["aiosmtpd==1.4.6", "atpublic==6.0.1", "attrs==25.3.0"]);
        let done = pip.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
        std::fs::write(folder.join("ready"), "").unwrap();
    }
    folder
}

/// The server; it ends with the test.
struct Server {
    folder: tempfile::TempDir,
    process: Child,
    port: String,
}

impl Server {
    /// Starts it with a certificate for `localhost` that an authority of its own has signed.
    fn start(kind: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if kind != "plain" {
            certify(folder.path());
        }
        let password = folder.path().join("password");
        std::fs::write(password, "open sesame\n").unwrap();
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/support/mail_server.py");
        let process = Command::new("python3")
            .arg(script)
            .arg(folder.path())
            .arg(kind)
            .env("PYTHONPATH", aiosmtpd())
            // What it thinks of refused certificates.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let port = loop {
            if let Ok(port) = std::fs::read_to_string(folder.path().join("port")) {
                break port;
            }
            assert!(begun.elapsed() < Pause::from_secs(30), "it did not start");
            std::thread::sleep(Pause::from_millis(20));
        };
        Self {
            folder,
            process,
            port,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What somebody has tried, in order.
    fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.file("log")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// `ca.pem`, and `cert.pem` with `key.pem` that it has signed.
fn certify(folder: &Path) {
    let extensions = "subjectAltName = DNS:localhost\nbasicConstraints = CA:FALSE\n";
    std::fs::write(folder.join("extensions"), extensions).unwrap();
    let steps = [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=Authority",
        "req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=localhost",
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile extensions",
    ];
    for step in steps {
        let mut openssl = Command::new("openssl");
        let done = openssl
            .args(step.split(' '))
            .current_dir(folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{step}: {said}");
    }
}

/// The same service with other settings for mail.
fn with(
    context: &Context,
    smtp: &str,
    change: impl FnOnce(&mut speedwell_backend::config::MailConfig),
) -> Context {
    let mut config = (*context.config).clone();
    let mail = config.mail.as_mut().unwrap();
    smtp.clone_into(&mut mail.smtp);
    change(mail);
    Context {
        config: Arc::new(config),
        ..context.clone()
    }
}

/// Tries to send; what is kept of the one message: its state and the reason.
async fn attempt(pool: &PgPool, context: &Context, at: DateTime<Utc>) -> (String, String) {
    assert_eq!(deliver(context, at).await, 1);
    let (state, _, error) = states(pool).await.remove(0);
    (state, error.unwrap_or_default())
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn one_mail_waits_until_every_fault_is_mended(pool: PgPool) {
    let (server, plain) = (Server::start("tls-and-password"), Server::start("plain"));
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "guessed\n").unwrap();
    let settings = format!(
        "smtp = \"smtp://localhost:{}?tls=required\"\nuser = \"speedwell\"\npassword_file = \"{}\"\nca_file = \"{}\"",
        server.port,
        password.display(),
        server.file("ca.pem").display()
    );
    let (app, rows) = start_with(&pool, &settings, "").await;
    let id = insert(&pool, &rows, 2, 3).await;
    go(&pool, id, &[Transition::Confirm]).await;
    let now = soon();
    assert_eq!(notify(&app.context, now).await, 1);
    let mut hours = 0;
    let mut later = || {
        hours += 6;
        now + Duration::hours(hours)
    };
    let right = app.context.config.mail.as_ref().unwrap().smtp.clone();

    // An authority that nobody knows.
    let unknown = with(&app.context, &right, |mail| mail.ca_file = None);
    let (state, error) = attempt(&pool, &unknown, later()).await;
    assert!(
        state == "waiting" && error.contains("certificate"),
        "{error}"
    );
    // A certificate for another name.
    let other = right.replace("localhost", "127.0.0.1");
    let (state, error) = attempt(&pool, &with(&app.context, &other, |_| ()), later()).await;
    assert!(
        state == "waiting" && error.contains("certificate"),
        "{error}"
    );
    // A server without TLS.
    let bare = right.replace(&server.port, &plain.port);
    let (state, error) = attempt(&pool, &with(&app.context, &bare, |_| ()), later()).await;
    assert!(state == "waiting" && error.contains("STARTTLS"), "{error}");
    // A file of authorities that is none.
    std::fs::write(folder.path().join("none"), "nothing\n").unwrap();
    let none = with(&app.context, &right, |mail| {
        mail.ca_file = Some(folder.path().join("missing"));
    });
    let before = states(&pool).await;
    assert!(
        speedwell_backend::scheduler::deliver::Sender::open(&none)
            .await
            .is_err_and(|error| format!("{error:#}").contains("mail.ca_file"))
    );
    assert_eq!(states(&pool).await, before);
    // Nobody has heard anything so far, a password least of all.
    assert_eq!((server.log(), plain.log()), (vec![], vec![]));

    let (state, error) = attempt(&pool, &app.context, later()).await;
    assert!(state == "waiting" && error.contains("535"), "{error}");
    assert!(!error.contains("guessed"), "{error}");
    let log = server.log();
    assert!(
        log.len() == 1 && log[0]["what"] == "password" && log[0]["encrypted"] == true,
        "{log:?}"
    );

    std::fs::write(&password, "open sesame\n").unwrap();
    let (state, error) = attempt(&pool, &app.context, later()).await;
    assert_eq!((state.as_str(), error.as_str()), ("sent", ""));
    let log = server.log();
    let sent: Vec<&Value> = log.iter().filter(|one| one["what"] == "data").collect();
    assert_eq!(sent.len(), 1, "{log:?}");
    assert_eq!(sent[0]["to"], serde_json::json!(["list@example.org"]));
    let begun = log.iter().find(|one| one["what"] == "mail").unwrap();
    assert!(
        begun["encrypted"] == true && begun["user"] == "speedwell",
        "{log:?}"
    );
    assert_eq!(plain.log(), Vec::<Value>::new());
}
