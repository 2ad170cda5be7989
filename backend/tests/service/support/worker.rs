//! A worker's side of the protocol, and the rows that it needs to find.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::db::hosts;
use speedwell_wire::*;
use sqlx::PgPool;
use uuid::Uuid;

use super::TestApp;

/// A repository with `commits` commits on `main`, a runtime on it, and a host `lab-1` with token `secret`.
pub struct Rows {
    /// The runtime's key.
    pub runtime_id: i64,
    /// The commits' keys in branch order.
    pub commits: Vec<i64>,
}

/// Inserts the rows.
pub async fn insert_rows(pool: &PgPool, commits: i32) -> Rows {
    let repository_id: i64 = sqlx::query_scalar(
        "INSERT INTO repository (name, url) VALUES ('cpython', '/nowhere') RETURNING id",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    let branch_id: i64 = sqlx::query_scalar(
        "INSERT INTO branch (repository_id, name) VALUES ($1, 'main') RETURNING id",
    )
    .bind(repository_id)
    .fetch_one(pool)
    .await
    .unwrap();
    let mut keys = Vec::new();
    for position in 0..commits {
        let key: i64 = sqlx::query_scalar(
            "INSERT INTO commit (repository_id, hash, parents, author_name, author_email, authored_at, committed_at, subject)
             VALUES ($1, lpad(to_hex($2 + 1), 40, '0'), '{}', 'A', 'a@example.org', now(), now(), 'Change ' || $2) RETURNING id",
        )
        .bind(repository_id)
        .bind(position)
        .fetch_one(pool)
        .await
        .unwrap();
        sqlx::query("INSERT INTO branch_commit VALUES ($1, $2, $3)")
            .bind(branch_id)
            .bind(position)
            .bind(key)
            .execute(pool)
            .await
            .unwrap();
        keys.push(key);
    }
    let runtime_id: i64 = sqlx::query_scalar(
        "INSERT INTO runtime (name, language, branch_id, recipe, recipe_sha256, suite_name)
         VALUES ('cpython-main', 'python3', $1, $2, 'r1', 'portable') RETURNING id",
    )
    .bind(branch_id)
    .bind(serde_json::json!({"name": "cpython", "profile": "plain", "family": "cpython", "sha256": "r1"}))
    .fetch_one(pool)
    .await
    .unwrap();
    hosts::upsert(pool, "lab-1", "local", &sha256_hex(b"secret"))
        .await
        .unwrap();
    Rows {
        runtime_id,
        commits: keys,
    }
}

/// Queues a job that may be tried twice.
pub async fn insert_job(pool: &PgPool, rows: &Rows, commit: usize, priority: i32) -> i64 {
    sqlx::query_scalar(
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, priority, reason, requester, max_attempts)
         VALUES ('measure', $1, $2, 'local', $3, 'newest', 'test', 2) RETURNING id",
    )
    .bind(rows.runtime_id)
    .bind(rows.commits[commit])
    .bind(priority)
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Two benchmarks of a suite `portable`.
pub fn manifest() -> SuiteManifest {
    let benchmark = |name: &str| BenchmarkIdentity {
        name: name.to_owned(),
        description: format!("{name} for a test"),
        script_sha256: sha256_hex(name.as_bytes()),
        inputs_sha256: sha256_hex(b""),
        arguments: vec![],
    };
    SuiteManifest {
        name: "portable".to_owned(),
        version: 1,
        sha256: sha256_hex(b"suite"),
        description: "Two for a test".to_owned(),
        lock: vec![LockedPackage {
            requirements: String::new(),
            requirement: "pyperformance==0.9.1".to_owned(),
            sha256: vec![sha256_hex(b"pyperformance")],
        }],
        benchmarks: vec![benchmark("nbody"), benchmark("richards")],
        baselines: BTreeMap::from([("richards".to_owned(), "nbody".to_owned())]),
    }
}

/// A host's facts.
pub fn facts() -> EnvironmentFacts {
    let golden: RegisterRequest = serde_json::from_str(include_str!(
        "../../../../wire/tests/golden/register_request.json"
    ))
    .unwrap();
    golden.facts
}

/// Measures commits in turn, from the first on, each with the given wall time of nbody in seconds.
pub async fn measure(pool: &PgPool, app: &TestApp, rows: &Rows, seconds: &[f64]) {
    let places: Vec<(usize, f64)> = seconds.iter().copied().enumerate().collect();
    measure_places(pool, app, rows, &places).await;
}

/// Measures commits by their places, in this order, each with the given wall time of nbody in seconds.
pub async fn measure_places(pool: &PgPool, app: &TestApp, rows: &Rows, places: &[(usize, f64)]) {
    let worker = TestWorker::register(app, "secret").await;
    for (commit, seconds) in places {
        insert_job(pool, rows, *commit, 1).await;
        let job = worker.claim().await.unwrap();
        // The same bytes for every commit: artefacts are known by their content, builds by their commit.
        let artefact = worker.build(&job, b"build").await;
        let (status, answer) = worker
            .upload(job.job_id, &worker.report(&job, &artefact, *seconds))
            .await;
        assert_eq!(status, 200, "{answer}");
    }
}

/// Sends a worker's requests with a token.
pub struct TestWorker<'a> {
    app: &'a TestApp,
    token: &'a str,
    /// From registering.
    pub environment_id: i64,
}

impl<'a> TestWorker<'a> {
    /// Registers the host that owns the token.
    pub async fn register(app: &'a TestApp, token: &'a str) -> Self {
        Self::register_with(app, token, facts()).await
    }

    /// As [`TestWorker::register`], with other facts of the host.
    pub async fn register_with(app: &'a TestApp, token: &'a str, facts: EnvironmentFacts) -> Self {
        let mut worker = Self {
            app,
            token,
            environment_id: 0,
        };
        let request = RegisterRequest {
            worker_version: "0.1.0".into(),
            facts,
            suites: vec![manifest()],
            sources: Vec::new(),
        };
        let (status, answer) = worker.post(paths::REGISTER, &request).await;
        assert_eq!(status, 200, "{answer}");
        worker.environment_id = answer["environment_id"].as_i64().unwrap();
        worker
    }

    /// POSTs JSON; returns status and answer (null when there is none).
    pub async fn post(&self, path: &str, body: &impl Serialize) -> (u16, Value) {
        self.send(
            self.app
                .client
                .post(format!("{}{path}", self.app.address))
                .json(body),
        )
        .await
    }

    /// Sends a request with the token and the protocol's version.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let request = request
            .bearer_auth(self.token)
            .header(PROTOCOL_HEADER, PROTOCOL_VERSION.to_string());
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Claims without waiting.
    pub async fn claim(&self) -> Option<JobAssignment> {
        self.claim_as(true).await
    }

    /// Claims as a worker that knows patches, or as one from before.
    pub async fn claim_as(&self, applies_patches: bool) -> Option<JobAssignment> {
        let request = ClaimRequest {
            environment_id: self.environment_id,
            wait_seconds: 0,
            toolchain: "gcc".into(),
            applies_patches,
        };
        let (status, answer) = self.post(paths::CLAIM, &request).await;
        assert_eq!(status, 200, "{answer}");
        serde_json::from_value::<ClaimResponse>(answer).unwrap().job
    }

    /// Renews a lease; the status.
    pub async fn heartbeat(&self, job: &JobAssignment) -> (u16, Value) {
        let beat = Heartbeat {
            lease_id: job.lease_id,
            phase: Phase::Bench,
            percent: 50.0,
            message: "nbody".into(),
        };
        self.post(&paths::heartbeat(job.job_id), &beat).await
    }

    /// Uploads an artefact and records the build; the artefact's hash.
    pub async fn build(&self, job: &JobAssignment, bytes: &'static [u8]) -> String {
        let sha256 = sha256_hex(bytes);
        let url = format!("{}{}", self.app.address, paths::artefact(&sha256));
        let (status, answer) = self.send(self.app.client.put(url).body(bytes)).await;
        assert_eq!(status, 204, "{answer}");
        let report = BuildReport {
            lease_id: job.lease_id,
            toolchain: "gcc".into(),
            artefact_sha256: Some(sha256.clone()),
            artefact_bytes: bytes.len() as u64,
            installed_bytes: 10,
            step_seconds: [("make".to_owned(), 12.5)].into(),
            ccache_hits: 1,
            ccache_misses: 2,
            version: "Python 3.14".into(),
            failure: None,
            log_tail: String::new(),
        };
        let path = format!("{}?lease={}", paths::build(job.job_id), job.lease_id);
        let (status, answer) = self.post(&path, &report).await;
        assert_eq!(status, 204, "{answer}");
        sha256
    }

    /// A complete report of both benchmarks.
    pub fn report(&self, job: &JobAssignment, artefact_sha256: &str, seconds: f64) -> RunReport {
        let now: DateTime<Utc> = Utc::now();
        let samples = |offset: f64| {
            (0..10)
                .map(|index| Sample {
                    process: index / 5,
                    warmup: index % 5 == 0,
                    value: seconds + offset + f64::from(index) * 1e-5,
                })
                .collect::<Vec<_>>()
        };
        let result = |benchmark: &BenchmarkIdentity, offset: f64| BenchmarkResult {
            identity: benchmark.identity(),
            name: benchmark.name.clone(),
            loops: 1,
            measurements: vec![MeasurementReport {
                metric: Metric::WallTime,
                source: CounterSource::Software,
                samples: samples(offset),
            }],
            unavailable: vec![Unavailable {
                metric: Some(Metric::Instructions),
                kind: UnavailableKind::Unsupported,
                reason: "no counters on this machine".into(),
            }],
            latencies: Vec::new(),
            profile: None,
        };
        let benchmarks = manifest().benchmarks;
        RunReport {
            upload_id: Uuid::new_v4(),
            lease_id: job.lease_id,
            environment_id: self.environment_id,
            suite: job.suite.clone(),
            artefact_sha256: artefact_sha256.to_owned(),
            harness_sha256: sha256_hex(b"harness"),
            started_at: now,
            finished_at: now,
            interpreter: "3.14".into(),
            host_notes: [("load_1m".to_owned(), "0.1".to_owned())].into(),
            host_flags: Vec::new(),
            benchmarks: vec![result(&benchmarks[0], 0.0), result(&benchmarks[1], 0.1)],
            pyperf: serde_json::json!({"version": "1.0", "benchmarks": []}),
        }
    }

    /// Claims the next job and delivers its run, with what marks it; the runtime's name and the run's number. It is sent twice, as
    /// after a lost answer: the second time nothing happens.
    pub async fn deliver(&self, seconds: f64, marks: &[&str]) -> (String, i64) {
        let job = self.claim().await.unwrap();
        let artefact = self.build(&job, b"build").await;
        let mut report = self.report(&job, &artefact, seconds);
        let flag = |name: &&str| {
            HostFlag::meanwhile(name, HostSeverity::Unfit, "9 %".to_owned(), "less than 5 %")
        };
        report.host_flags = marks.iter().map(flag).collect();
        let (status, answer) = self.upload(job.job_id, &report).await;
        assert_eq!(status, 200, "{answer}");
        let (_, again) = self.upload(job.job_id, &report).await;
        assert_eq!(again["created"], false);
        (job.runtime, answer["run_id"].as_i64().unwrap())
    }

    /// Says that a job's commit does not compile.
    pub async fn fail(&self, job: &JobAssignment) {
        let failure = JobFailure {
            lease_id: job.lease_id,
            kind: FailureKind::Permanent,
            phase: Phase::Build,
            message: "make failed".into(),
            log_tail: String::new(),
        };
        let (status, answer) = self.post(&paths::failure(job.job_id), &failure).await;
        assert_eq!(status, 204, "{answer}");
    }

    /// Uploads a report.
    pub async fn upload(&self, job_id: i64, report: &RunReport) -> (u16, Value) {
        let body = zstd::encode_all(serde_json::to_vec(report).unwrap().as_slice(), 3).unwrap();
        self.send(
            self.app
                .client
                .post(format!("{}{}", self.app.address, paths::run(job_id)))
                .body(body),
        )
        .await
    }
}

/// Takes every suspected change for measured again and confirmed, as the confirm tick does.
pub async fn confirm_all(pool: &PgPool) {
    let series: Vec<i64> = sqlx::query_scalar(
        "UPDATE change_point SET state = 'confirmed' WHERE state = 'suspected' RETURNING series_id",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    for id in series {
        speedwell_backend::db::holds::update_series(pool, id)
            .await
            .unwrap();
    }
}

/// The key of nbody's wall time: of its oldest series.
pub async fn series_id(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT series.id FROM series JOIN benchmark ON benchmark.id = benchmark_id
         WHERE benchmark.name = 'nbody' AND metric = 'wall_time' ORDER BY series.id LIMIT 1",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}
