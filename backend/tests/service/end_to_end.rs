//! The whole thing as a newcomer starts it: `deploy/quickstart` over two real commits of CPython from Debian's source
//! packages, until both are points on the chart and in the API; and then some of pyperformance on the older of the two.
//!
//! Takes some minutes, so it runs where it is asked for: `SPEEDWELL_END_TO_END=1`, which `deploy/test` sets.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// A quickstart over the two commits, on a port of its own.
struct Quickstart {
    folder: tempfile::TempDir,
    address: String,
    process: Child,
}

impl Quickstart {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let folder = tempfile::Builder::new()
            .prefix("end-to-end")
            .tempdir_in("/tmp")
            .unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let history = folder.path().join("history.git");
        let made = Command::new(root.join("deploy/debian-history"))
            .arg("--minimal")
            .arg(&history)
            .status()
            .unwrap();
        assert!(made.success(), "deploy/debian-history");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let log = std::fs::File::create(folder.path().join("quickstart.log")).unwrap();
        // Who starts the tests in the background of a script has SIGINT ignored, and a shell cannot trap what it was born to ignore.
        let process = Command::new("env")
            .arg("--default-signal=INT")
            .arg(root.join("deploy/quickstart"))
            .args(["--repository", &format!("cpython={}", history.display())])
            .args(["--port", &port.to_string(), "--data"])
            .arg(folder.path().join("data"))
            .args([
                "--commits",
                "2",
                "--processes",
                "1",
                "--branch",
                "3.11",
                "--debug-build",
            ])
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            folder,
            address: format!("http://127.0.0.1:{port}"),
            process,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("quickstart.log")).unwrap()
    }

    async fn get(&self, path: &str) -> Option<String> {
        let response = crate::support::client()
            .get(format!("{}{path}", self.address))
            .send()
            .await
            .ok()?;
        response.error_for_status().ok()?.text().await.ok()
    }

    async fn json(&self, path: &str) -> Value {
        self.get(path)
            .await
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or(Value::Null)
    }

    /// A page with a chart, once its points have been packed.
    async fn until_drawn(&self, path: &str) -> String {
        let begun = Instant::now();
        loop {
            let page = self.get(path).await.unwrap();
            if page.contains("<svg class=\"chart\"") && !page.contains("being prepared") {
                return page;
            }
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(180), "no chart: {page}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn until_measured(&mut self) {
        let begun = Instant::now();
        while self.json("/api/v1/runtimes").await[0]["measured_count"] != 2 {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "quickstart ended: {}", self.log());
            assert!(
                begun.elapsed() < Duration::from_secs(1800),
                "not in time: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Waits for the end of a job and returns its run as the API has it.
    async fn until_run(&self, number: u64, log: &Path) -> Value {
        let begun = Instant::now();
        loop {
            let job = self.json(&format!("/api/v1/jobs/{number}")).await["job"].clone();
            let words = || std::fs::read_to_string(log).unwrap_or_default();
            assert_ne!(job["state"], "failed", "{job:#}\n{}", words());
            if job["run_id"].is_i64() {
                return self.json(&format!("/api/v1/runs/{}", job["run_id"])).await;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(900),
                "not in time: {job:#}\n{}",
                words()
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Ctrl-C.
    fn interrupt(&mut self) {
        let pid = i32::try_from(self.process.id()).unwrap();
        if kill(Pid::from_raw(pid), Signal::SIGINT).is_ok() {
            self.process.wait().unwrap();
        }
    }
}

impl Quickstart {
    /// Command lines of processes that still work in its folder.
    fn left(&self) -> Vec<String> {
        let folder = self.folder.path().display().to_string();
        let processes = std::fs::read_dir("/proc").unwrap();
        let lines = processes.filter_map(|entry| {
            // Most of them are no processes, and some have ended meanwhile.
            let line = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
            Some(String::from_utf8_lossy(&line).replace('\0', " "))
        });
        lines.filter(|line| line.contains(&folder)).collect()
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        self.interrupt();
    }
}

/// The services of a quickstart that has ended, over its data. They end with it.
struct Services(Vec<Child>);

impl Services {
    fn start(&mut self, program: &str, arguments: &[&str], log: &Path) {
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let child = command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        self.0.push(child);
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        // The worker before the backend that it reports to.
        while let Some(mut child) = self.0.pop() {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
            if kill(pid, Signal::SIGTERM).is_ok() {
                drop(child.wait());
            }
        }
    }
}

fn command(program: &str) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_speedwell-backend")).with_file_name(program);
    let mut command = Command::new(binary);
    command.env_remove("DATABASE_URL");
    command
}

/// The older commit once more, by another suite: its build is there. (Debian's patch of the newer one's pyexpat compiles only
/// statically, as Debian builds it; the plain build leaves that module out, and pip does not start without it.) Two of these benchmarks import what a lock installs
/// for that build, one from a wheel and one from a source archive.
async fn measure_modern(quickstart: &Quickstart, commit: &str) {
    const BENCHMARKS: [&str; 4] = ["nbody", "json_dumps", "mako", "crypto_pyaes"];
    let data = quickstart.folder.path().join("data");
    let written = std::fs::read_to_string(data.join("speedwell.toml")).unwrap();
    let modern = written.replace(
        "[[runtime]]\nname = \"cpython-3.11\"\n",
        "[[runtime]]\nname = \"cpython-3.11\"\nsuite = \"modern\"\n",
    );
    assert_ne!(modern, written);
    std::fs::write(data.join("modern.toml"), modern).unwrap();
    let configuration = data.join("modern.toml").display().to_string();
    let log = data.join("modern.log");
    let mut services = Services(Vec::new());
    services.start(
        "speedwell-backend",
        &["--config", &configuration, "serve"],
        &log,
    );
    let begun = Instant::now();
    while quickstart.get("/health").await.is_none() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{}",
            std::fs::read_to_string(&log).unwrap()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut request = command("speedwell-backend");
    request.args([
        "--config",
        &configuration,
        "request",
        "cpython-3.11",
        commit,
    ]);
    for benchmark in BENCHMARKS {
        request.args(["--benchmark", benchmark]);
    }
    let output = request.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    // ADDRESS/jobs/NUMBER: …
    let number = said.split_once("/jobs/").unwrap().1;
    let number: u64 = number.split_once(':').unwrap().0.parse().unwrap();
    let worker = data.join("worker.toml").display().to_string();
    services.start("speedwell-worker", &["--config", &worker, "run"], &log);
    let run = quickstart.until_run(number, &log).await;
    let measured = run["measurements"].as_array().unwrap();
    let times = measured.iter().filter(|one| one["metric"] == "wall_time");
    let mut names: Vec<&str> = times
        .map(|one| one["benchmark"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    let mut expected = BENCHMARKS;
    expected.sort_unstable();
    assert_eq!(names, expected, "{:#}", run["unavailable"]);
    assert_eq!(run["run"]["suite"], "modern", "{:#}", run["run"]);
}

#[tokio::test]
async fn two_commits_of_cpython_become_two_points_on_the_chart() {
    if std::env::var_os("SPEEDWELL_END_TO_END").is_none() {
        eprintln!("skipped: set SPEEDWELL_END_TO_END=1 (deploy/test does)");
        return;
    }
    let mut quickstart = Quickstart::start();
    quickstart.until_measured().await;

    // In the API: two points of one series, in branch order.
    let series = quickstart
        .json("/api/v1/series?benchmark=richards&metric=wall_time")
        .await;
    assert_eq!(series["items"].as_array().unwrap().len(), 1);
    let points = quickstart
        .json(&format!(
            "/api/v1/series/{}/points",
            series["items"][0]["id"]
        ))
        .await;
    let points = points["items"].as_array().unwrap();
    let mut positions: Vec<i64> = points
        .iter()
        .map(|point| point["position"].as_i64().unwrap())
        .collect();
    // A run on a busy machine is repeated, and both count when the repetition fares no better.
    positions.dedup();
    assert_eq!(positions, [0, 1]);
    // On the chart: both are links to their commits, with believable values.
    let page = quickstart
        .until_drawn("/timeline?benchmark=richards&metric=wall_time")
        .await;
    for point in points {
        let seconds = point["median"].as_f64().unwrap();
        assert!(
            (0.005..5.0).contains(&seconds),
            "richards takes {seconds} s"
        );
        let link = format!("<a href=\"/commits/{}\">", point["hash"].as_str().unwrap());
        // A commit with two runs has a whisker in its link, before its point.
        let mut links = page.split(&link).skip(1);
        let drawn = links.any(|rest| rest.split("</a>").next().unwrap().contains("<circle"));
        assert!(drawn, "no point of {link}: {page}");
    }
    // Every benchmark of the suite was measured on real CPython.
    let run = quickstart
        .json(&format!("/api/v1/runs/{}", points[1]["run_id"]))
        .await;
    let measured = run["measurements"].as_array().unwrap();
    let times = measured
        .iter()
        .filter(|one| one["metric"] == "wall_time")
        .count();
    assert_eq!(times, 41, "{:#}", run["unavailable"]);
    assert!(
        run["run"]["interpreter"].as_str().unwrap().contains("3.11"),
        "{}",
        run["run"]["interpreter"]
    );

    quickstart.interrupt();
    assert!(
        quickstart.get("/health").await.is_none(),
        "the backend still runs"
    );
    let data = quickstart.folder.path().join("data");
    assert!(
        !data.join("worker.pid").exists() && !data.join("backend.pid").exists(),
        "{}",
        quickstart.log()
    );

    assert_eq!(quickstart.left(), Vec::<String>::new());

    measure_modern(&quickstart, points[0]["hash"].as_str().unwrap()).await;
}
