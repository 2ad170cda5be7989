//! What the backend's tests share: the whole application on a port of its own, and a worker's requests.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

pub mod browser;
pub mod comparing;
pub mod doors;
pub mod forge;
pub mod git;
pub mod hooks;
pub mod importing;
pub mod lab;
pub mod npm;
pub mod oauth;
pub mod operate;
pub mod pypi;
pub mod regression;
pub mod smtp;
pub mod telling;
pub mod tour;
pub mod triage;
pub mod tries;
pub mod worker;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use speedwell_backend::artefacts::Artefacts;
use speedwell_backend::config::Config;
use speedwell_backend::context::Context;
use speedwell_backend::db;
use speedwell_backend::forge::Tokens;
use speedwell_backend::traces::Traces;
use speedwell_backend::web;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tempfile::TempDir;

/// A configuration with one repository and two runtimes; nothing of it needs to exist.
pub const CONFIG: &str = r#"
data = "DATA"
listen = "127.0.0.1:0"
[[repository]]
name = "cpython"
url = "/nowhere"
exclude = ["Misc/svnmap.txt"]
[[runtime]]
name = "cpython-main"
repository = "cpython"
branch = "main"
language = "python3"
policy = { measure = "every", newest = 10 }
[[runtime]]
name = "cpython-2.7"
repository = "cpython"
branch = "2.7"
language = "python2"
policy = { measure = "every", newest = 3 }
"#;

/// The application, serving.
pub struct TestApp {
    /// What its handlers and ticks are given; its pool belongs to the test's runtime.
    pub context: Context,
    /// `http://127.0.0.1:PORT`.
    pub address: String,
    /// A client without a token.
    pub client: reqwest::Client,
    /// The data folder.
    pub data: TempDir,
    /// Dropped with the application: the server ends, and gives its connections back before the database is dropped.
    _running: tokio::sync::oneshot::Sender<()>,
}

impl TestApp {
    /// Starts the application on a free port, over the test's own database.
    pub async fn start(pool: &PgPool) -> Self {
        Self::start_with(pool, CONFIG).await
    }

    /// As [`TestApp::start`], with another configuration; `DATA` stands for the data folder.
    pub async fn start_with(pool: &PgPool, config: &str) -> Self {
        Self::start_in(pool, config, tempfile::tempdir().unwrap()).await
    }

    /// As [`TestApp::start_with`], with a data folder that may hold something.
    pub async fn start_in(pool: &PgPool, config: &str, data: TempDir) -> Self {
        let text = config.replace("DATA", data.path().to_str().unwrap());
        let config = Arc::new(Config::parse(&text, "test.toml").unwrap());
        let artefacts = Artefacts::in_folder(&data.path().join("artefacts")).unwrap();
        let context = Context {
            pool: pool.clone(),
            planned: db::planned_once(pool),
            config,
            artefacts,
            forge_tokens: Tokens::default(),
            judged: Arc::default(),
            traces: Traces::default(),
        };
        let (sender, receiver) = mpsc::channel();
        let (running, ended) = tokio::sync::oneshot::channel::<()>();
        let mut served = context.clone();
        let options = (*pool.connect_options()).clone();
        // Handlers run in the server's own runtime, with connections of that runtime.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                served.pool = PgPoolOptions::new()
                    .max_connections(8)
                    .connect_lazy_with(options);
                served.planned = db::planned_once(&served.pool);
                let metrics = PrometheusBuilder::new().build_recorder().handle();
                let pools = [served.planned.clone(), served.pool.clone()];
                tokio::select! {
                    served = web::serve(served, metrics, |address| sender.send(address).unwrap()) => served.unwrap(),
                    _ = ended => {}
                }
                for pool in pools {
                    pool.close().await;
                }
            });
        });
        let address = receiver
            .recv_timeout(Duration::from_secs(30))
            .expect("the application did not start");
        Self {
            context,
            address: format!("http://{address}"),
            client: client(),
            data,
            _running: running,
        }
    }

    /// GETs a path; returns status and text.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = self
            .client
            .get(format!("{}{path}", self.address))
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

/// An HTTP client with a timeout.
pub fn client() -> reqwest::Client {
    // Refused when a test before it has installed the same provider: that is fine.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}
