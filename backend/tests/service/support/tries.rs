//! A repository with something to try, a service that tracks it, and a worker that measures what it is given.

use serde_json::Value;
use speedwell_backend::db::tries::{self, Opened};
use speedwell_backend::domain::try_run::{Options, Request, Source, Trust};
use speedwell_backend::scheduler::{discover, tries as tick};
use speedwell_wire::JobAssignment;
use sqlx::PgPool;

use super::TestApp;
use super::git::{Repository, sync};
use super::worker::TestWorker;

/// The service over a repository with `main` (two commits) and, from its head on, `topic` (one commit), which is also pull request 7.
pub struct TryLab {
    /// The service.
    pub app: TestApp,
    /// The repository.
    pub repository: Repository,
    /// Head of `main`.
    pub base: String,
    /// Head of `topic`.
    pub head: String,
}

impl TryLab {
    /// Starts it; `forge` goes into the repository's table.
    pub async fn start(pool: &PgPool, forge: &str) -> Self {
        let repository = Repository::new();
        repository.commit("One");
        repository.commit("The second");
        repository.git(&["checkout", "--quiet", "-b", "topic"]);
        std::fs::write(
            repository.path().join("evil.c"),
            "</pre><script>alert(1)</script>\u{202e}\n",
        )
        .unwrap();
        repository.commit("Somebody's <b>change</b>");
        repository.git(&["update-ref", "refs/pull/7/head", "topic"]);
        repository.git(&["checkout", "--quiet", "main"]);
        let config = super::CONFIG
            .replace("/nowhere", &repository.path().display().to_string())
            .replacen("[[runtime]]", &format!("{forge}\n[[runtime]]"), 1);
        let app = TestApp::start_with(pool, &config).await;
        sync(&app.context).await;
        discover::tick(&app.context).await.unwrap();
        let hash = |name: &str| {
            let repository = git2::Repository::open(repository.path()).unwrap();
            let object = repository.revparse_single(name).unwrap();
            object.id().to_string()
        };
        let (base, head) = (hash("main"), hash("topic"));
        speedwell_backend::db::hosts::upsert(
            pool,
            "lab-1",
            "local",
            &speedwell_backend::artefacts::sha256_hex(b"secret"),
        )
        .await
        .unwrap();
        Self {
            app,
            repository,
            base,
            head,
        }
    }

    /// Opens a try.
    pub async fn open(&self, source: Source, trust: Trust) -> i64 {
        let request = Request {
            repository: "cpython".to_owned(),
            source,
            options: Options::default(),
            requester: "ada".to_owned(),
            trust,
            origin: None,
        };
        let mut connection = self.app.context.pool.acquire().await.unwrap();
        match tries::open(&mut connection, &request, 6).await.unwrap() {
            Opened::New(id) => id,
            other => panic!("{other:?}"),
        }
    }

    /// Passes of the tick, more than are needed: repeating one changes nothing.
    pub async fn tick(&self) {
        for _ in 0..3 {
            tick::tick(&self.app.context).await.unwrap();
        }
    }

    /// Has a worker measure until nothing is left, each side with its wall time of nbody in seconds; the sides in order, `a` for the base.
    pub async fn measure(&self, worker: &TestWorker<'_>, base: f64, head: f64) -> String {
        let mut order = String::new();
        loop {
            self.tick().await;
            let Some(job) = worker.claim().await else {
                return order;
            };
            let is_base = job.source.commit == self.base && job.source.patch.is_none();
            order.push(if is_base { 'a' } else { 'b' });
            // What a head's build leaves in the compiler cache would be in later builds of tracked commits.
            assert_eq!(job.without_cache, !is_base);
            deliver(worker, &job, if is_base { base } else { head }).await;
            assert!(order.len() < 40, "{order} and no end");
        }
    }

    /// `(state, verdict, message)` of a try.
    pub async fn status(&self, id: i64) -> (String, Option<String>, String) {
        sqlx::query_as("SELECT state, verdict, message FROM try_run WHERE id = $1")
            .bind(id)
            .fetch_one(&self.app.context.pool)
            .await
            .unwrap()
    }

    /// Sends JSON to the API with a person's token; status and answer.
    pub async fn send(&self, method: &str, path: &str, who: &str, body: Value) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self
            .app
            .client
            .request(method, format!("{}{path}", self.app.address))
            .bearer_auth(format!("token-of-{who}"))
            .json(&body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }
}

/// Builds a job's commit and uploads a run of it.
pub async fn deliver(worker: &TestWorker<'_>, job: &JobAssignment, seconds: f64) {
    // The same bytes for every commit: artefacts are known by their content, builds by their commit.
    let artefact = worker.build(job, b"build").await;
    let report = worker.report(job, &artefact, seconds);
    let (status, answer) = worker.upload(job.job_id, &report).await;
    assert_eq!(status, 200, "{answer}");
}

/// Given by a triager.
pub fn trusted() -> Trust {
    Trust::Given {
        by: "ada".to_owned(),
    }
}

/// A branch, tag or commit without a named base.
pub fn revision(head: &str) -> Source {
    Source::Revision {
        head: head.to_owned(),
        base: None,
    }
}

/// The pull request of a [`TryLab`].
pub fn pull() -> Source {
    Source::Pull {
        number: 7,
        base_branch: None,
    }
}

/// A patch that `git apply` would take.
pub const PATCH: &str = "diff --git a/3.c b/3.c\n--- a/3.c\n+++ b/3.c\n@@ -1 +1 @@\n-One\n\\ No newline at end of file\n+Two\n\\ No newline at end of file\n";
