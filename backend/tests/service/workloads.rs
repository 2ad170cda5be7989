//! Server workloads by the real worker: a small server of ours with every way to be wrong, and OpenStack Swift for some
//! seconds under Debian's Python 3.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use speedwell_backend::artefacts::sha256_hex;

use crate::support::lab::Lab;

const SERVER: &str = r#"
import http.server, itertools, six
NUMBER = itertools.count()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    def do_GET(self):
        body = (self.path.encode() + b"x" * 100)[:100]
        sometimes = self.path == "/sometimes" and next(NUMBER) % 5 == 4
        self.send_response(500 if sometimes else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Secret", "open sesame")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 18080), Handler).serve_forever()
"#;

const WORKLOAD: &str = r#"
name = "small"
origin = "127.0.0.1:18080"
prepare = [{ command = ["{python}", "-c", "open('prepared', 'w')"] }]
[[service]]
name = "server"
command = ["{python}", "{own}/server.py"]
port = 18080
path = "/"
ready_seconds = 30
[[setup]]
request = { method = "GET", path = "/", status = [200] }
save = { secret = "X-Secret" }
[warmup]
connections = 2
window_seconds = 0.2
mix = [{ method = "GET", path = "/{index}", headers = { X-Secret = "{secret}" }, status = [200] }]
[[phase]]
name = "small_read"
description = "As fast as it goes"
load = { closed = { connections = 2 } }
seconds = 0.5
mix = [{ method = "GET", path = "/{serial}", status = [200], answer_bytes = 100, answer_holds = "/{serial}x" }]
[[phase]]
name = "small_paced"
description = "At a rate"
load = { open = { rate = 100.0, connections = 8 } }
seconds = 1.0
mix = [{ method = "GET", path = "/", status = [200] }]
[[phase]]
name = "small_sometimes"
description = "One in five is an error"
load = { closed = { connections = 2 } }
seconds = 0.5
mix = [{ method = "GET", path = "/sometimes", status = [200] }]
[[phase]]
name = "small_short"
description = "The answer is not what was expected"
load = { closed = { connections = 1 } }
seconds = 0.2
mix = [{ method = "GET", path = "/", status = [200], answer_bytes = 99 }]
"#;

const LOCK: &str = "six==1.16.0 \\\n    --hash=sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254\n";

fn debian_python(suite: &str) -> String {
    format!(
        "[[runtime]]\nname = \"cpython-debian\"\nlanguage = \"python3\"\nrecipe = \"prebuilt\"\ncommand = \"/usr/bin/python3\"\n\
         version = \"3.\"\nfamily = \"cpython\"\nsuite = \"{suite}\"\n"
    )
}

/// Runs a suite to its end and returns the run as the API has it.
async fn run(lab: &mut Lab, limit: Duration) -> Value {
    lab.start_backend().await;
    lab.start_worker();
    lab.until("the suite has run", limit, async |lab| {
        run_id(lab).await.is_some()
    })
    .await;
    let run = run_id(lab).await.unwrap();
    serde_json::from_str(&lab.get(&format!("/api/v1/runs/{run}")).await).unwrap()
}

async fn run_id(lab: &Lab) -> Option<i64> {
    let jobs: Value = serde_json::from_str(&lab.get("/api/v1/jobs").await).unwrap();
    let job = &jobs["items"][0];
    assert_ne!(job["state"], "failed", "{job:#}");
    job["run_id"].as_i64()
}

/// The median of a benchmark's metric.
fn median(run: &Value, benchmark: &str, metric: &str) -> Option<f64> {
    let all = run["measurements"].as_array().unwrap();
    let one = all
        .iter()
        .find(|one| one["benchmark"] == benchmark && one["metric"] == metric)?;
    one["median"].as_f64()
}

#[tokio::test]
async fn a_workload_is_measured_and_a_window_with_a_wrong_answer_is_not() {
    let mut lab = Lab::new(&[]);
    let folder = lab.path("workloads/small");
    let own = folder.join("own");
    fs::create_dir_all(&own).unwrap();
    for (name, text) in [
        ("server.py", SERVER),
        ("small.toml", WORKLOAD),
        ("lock.txt", LOCK),
    ] {
        fs::write(own.join(name), text).unwrap();
    }
    let hash = |text: &str| sha256_hex(text.as_bytes());
    let suite = format!(
        "name = \"small\"\nversion = 1\ndescription = \"A small server\"\n[plan.cpython]\nprocesses = 1\nwarmups = 2\nwarmup_seconds = 0.5\n\
         warmup_limit_seconds = 3.0\ncounter_values = 1\n[[requirements]]\nname = \"six\"\nfile = \"lock.txt\"\nsha256 = \"{}\"\n\
         [[workload]]\nfile = \"small.toml\"\nsha256 = \"{}\"\nrequires = \"six\"\ninputs = {{ \"server.py\" = \"{}\" }}\n",
        hash(LOCK),
        hash(WORKLOAD),
        hash(SERVER)
    );
    fs::write(folder.join("suite.toml"), suite).unwrap();
    lab.configure_with(&debian_python("small"), &lab.path("workloads"));
    let run = run(&mut lab, Duration::from_secs(120)).await;

    let rate = median(&run, "small_read", "requests_per_second").unwrap();
    assert!(rate > 20.0, "{rate}");
    let paced = median(&run, "small_paced", "requests_per_second").unwrap();
    assert!(
        (60.0..140.0).contains(&paced),
        "100 arrivals per second were asked for: {paced}"
    );
    for metric in [
        "latency_p50",
        "latency_p95",
        "latency_p99",
        "cpu_per_request",
        "max_rss",
        "steady_rss",
        "task_clock",
    ] {
        assert!(
            median(&run, "small_read", metric).unwrap() > 0.0,
            "{metric}"
        );
    }
    let (middle, high) = (
        median(&run, "small_paced", "latency_p50"),
        median(&run, "small_paced", "latency_p99"),
    );
    assert!(middle <= high);
    let unavailable = run["unavailable"].as_array().unwrap();
    for (benchmark, words) in [
        ("small_sometimes", "status 500"),
        ("small_short", "100 bytes where 99 were expected"),
    ] {
        assert_eq!(
            median(&run, benchmark, "requests_per_second"),
            None,
            "{benchmark}"
        );
        let why = unavailable
            .iter()
            .find(|one| one["benchmark"] == benchmark && one["metric"].is_null())
            .unwrap();
        assert!(why["reason"].as_str().unwrap().contains(words), "{why}");
        assert_eq!(why["kind"], "invalid");
    }
    let pool = lab.pool().await;
    let histograms: i64 = sqlx::query_scalar("SELECT count(*) FROM latency_histogram")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(histograms, 2, "one for each phase that was measured");
    let page = lab.get(&format!("/runs/{}", run["run"]["id"])).await;
    assert!(
        page.contains("small_read") && page.contains("Requests per second"),
        "{page}"
    );
    // Nothing of the servers is left.
    assert!(std::net::TcpStream::connect("127.0.0.1:18080").is_err());
}

#[tokio::test]
async fn swift_is_served_for_some_seconds() {
    if std::env::var_os("SPEEDWELL_END_TO_END").is_none() {
        eprintln!("skipped: set SPEEDWELL_END_TO_END=1 (deploy/test does)");
        return;
    }
    let mut lab = Lab::new(&[]);
    lab.configure(&debian_python("swift"));
    let run = run(&mut lab, Duration::from_secs(900)).await;
    for phase in [
        "put_small",
        "get_small",
        "head_small",
        "delete_small",
        "put_large",
        "get_large",
        "mixed",
        "mixed_paced",
    ] {
        let name = format!("swift_{phase}");
        let rate = median(&run, &name, "requests_per_second");
        assert!(
            rate.is_some_and(|rate| rate > 1.0),
            "{name}: {:#}",
            run["unavailable"]
        );
        assert!(median(&run, &name, "cpu_per_request").unwrap() > 0.0);
    }
}
