//! A whole Speedwell in a folder: the real backend with its private cluster, the real worker in its box, and a git
//! repository of small projects that build in a second by the CPython recipe and run the system's Python.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use speedwell_backend::artefacts::sha256_hex;
use sqlx::PgPool;
use tempfile::TempDir;

/// A benchmark that behaves.
pub const GOOD: &str = "import pyperf\npyperf.Runner().bench_func('good', sum, range(20000))\n";
/// One that never ends.
pub const HANGS: &str = "import time\nprint('waiting for nothing', flush=True)\ntime.sleep(1000)\n";
/// One that writes what is no event.
pub const RUBBISH: &str = "import os\nos.write(3, b'\\x1b[2J{not json}\\n' * 10)\n";
/// One that dies.
pub const CRASHES: &str = "import pyperf, os\npyperf.Runner().bench_func('crash', os.abort)\n";

const CONFIGURE: &str = r#"#!/bin/sh
source=$(cd "$(dirname "$0")" && pwd)
cat > Makefile <<END
prefix = \$(DESTDIR)/opt/speedwell/python
all:
	@sh $source/build.sh $source
install:
	mkdir -p \$(prefix)/bin \$(prefix)/lib/python3.0
	printf '#!/bin/sh\n%s\nexec /usr/bin/python3 "\$\$@"\n# %s\n' "$(cat "$source/environment")" "$(cat "$source/number")" > \$(prefix)/bin/python3
	chmod 755 \$(prefix)/bin/python3
	echo 'x = 1' > \$(prefix)/lib/python3.0/os.py
END
"#;

/// The lab. Everything that it started ends with it.
pub struct Lab {
    folder: TempDir,
    port: u16,
    backend: Option<Child>,
    worker: Option<Child>,
    /// Workers of other hosts.
    others: Vec<Child>,
    commits: u32,
    /// One for all requests: making one reads all root certificates, which costs a waiting test half a core that is measured on.
    client: reqwest::Client,
    /// Folder that the worker owns.
    pub worker_data: PathBuf,
}

impl Lab {
    /// A lab with the given benchmarks; nothing runs yet.
    pub fn new(benchmarks: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("lab")
            .tempdir_in("/tmp")
            .unwrap();
        // The benchmark user must reach the worker's folder.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let worker_data = folder.path().join("worker");
        fs::create_dir(&worker_data).unwrap();
        let lab = Self {
            folder,
            port,
            backend: None,
            worker: None,
            others: Vec::new(),
            commits: 0,
            client: super::client(),
            worker_data,
        };
        lab.write_suite(benchmarks);
        lab.write_configuration();
        let repository = lab.path("project");
        fs::create_dir_all(repository.join("Include")).unwrap();
        git(&repository, &["init", "--quiet", "--initial-branch=main"]);
        lab
    }

    /// A path in the lab's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_suite(&self, benchmarks: &[(&str, &str)]) {
        let own = self.path("suites/faults/own");
        fs::create_dir_all(&own).unwrap();
        let mut text = "name = \"faults\"\nversion = 1\ndescription = \"Faults\"\n[plan.cpython]\nprocesses = 1\nwarmups = 1\nvalues = 2\n\
                        counter_values = 1\n"
            .to_owned();
        for (name, script) in benchmarks {
            fs::write(own.join(format!("{name}.py")), script).unwrap();
            text.push_str(&format!(
                "[[benchmark]]\nname = \"{name}\"\ndescription = \"{name}\"\nsource = \"own\"\nscript = \"{name}.py\"\n\
                 sha256 = \"{}\"\nloops = {{ cpython = 1 }}\n",
                sha256_hex(script.as_bytes())
            ));
        }
        fs::write(self.path("suites/faults/suite.toml"), text).unwrap();
    }

    fn write_configuration(&self) {
        let backend = format!(
            "data = \"{}\"\nlisten = \"127.0.0.1:{}\"\nschedule = \"* * * * * *\"\n[[repository]]\nname = \"project\"\n\
             url = \"{}\"\n[[runtime]]\nname = \"project-main\"\nrepository = \"project\"\nbranch = \"main\"\n\
             language = \"python3\"\nsuite = \"faults\"\npolicy = {{ measure = \"every\", newest = 1, repeat_marked = 0 }}\n",
            self.path("backend").display(),
            self.port,
            self.path("project").display()
        );
        fs::write(self.path("speedwell.toml"), backend).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let worker = format!(
            "backend = \"http://127.0.0.1:{}\"\ntoken_file = \"host.token\"\ndata = \"worker\"\nharness = \"{}\"\n\
             suites = \"suites\"\nmin_free_mib = 1\nunfit_host = \"measure\"\nbenchmark_timeout = 4\nbuild_timeout = 60\n",
            self.port,
            root.join("worker/harness").display()
        );
        fs::write(self.path("worker.toml"), worker).unwrap();
    }

    /// Measures other runtimes, with the suites of this repository: one process for each benchmark.
    pub fn configure(&self, runtimes: &str) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        self.configure_with(runtimes, &root.join("worker/suites"));
    }

    /// Measures other runtimes with other suites: one process for each benchmark.
    pub fn configure_with(&self, runtimes: &str, suites: &Path) {
        // On a machine that runs other tests, a repetition may come or not.
        let runtimes = runtimes.replace(
            "[[runtime]]\n",
            "[[runtime]]\npolicy = { repeat_marked = 0 }\n",
        );
        let backend = format!(
            "data = \"backend\"\nlisten = \"127.0.0.1:{}\"\n{runtimes}",
            self.port
        );
        fs::write(self.path("speedwell.toml"), backend).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let worker = format!(
            "backend = \"http://127.0.0.1:{}\"\ntoken_file = \"host.token\"\ndata = \"worker\"\nharness = \"{}\"\n\
             suites = \"{}\"\nunfit_host = \"measure\"\nsuite_processes = 1\n",
            self.port,
            root.join("worker/harness").display(),
            suites.display()
        );
        fs::write(self.path("worker.toml"), worker).unwrap();
    }

    /// Commits a project whose `make` runs this shell script.
    pub fn commit(&mut self, build: &str) {
        self.commit_with(build, "");
    }

    /// As [`Lab::commit`], with a line of shell that the interpreter runs at its start.
    pub fn commit_with(&mut self, build: &str, environment: &str) {
        self.commits += 1;
        let project = self.path("project");
        fs::write(project.join("configure"), CONFIGURE).unwrap();
        fs::write(
            project.join("Include/patchlevel.h"),
            "#define PY_MAJOR_VERSION 3\n",
        )
        .unwrap();
        fs::write(project.join("build.sh"), build).unwrap();
        fs::write(project.join("environment"), environment).unwrap();
        fs::write(project.join("number"), self.commits.to_string()).unwrap();
        git(&project, &["add", "--all"]);
        git(
            &project,
            &[
                "commit",
                "--quiet",
                "-m",
                &format!("Change {}", self.commits),
            ],
        );
    }

    /// The hash of a revision of the project.
    pub fn revision(&self, name: &str) -> String {
        let output = Command::new("git")
            .args(["rev-parse", name])
            .current_dir(self.path("project"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs git in the project.
    pub fn git(&self, arguments: &[&str]) {
        git(&self.path("project"), arguments);
    }

    /// Runs a command of the backend's program; whether it ended well, and what it printed.
    pub async fn command(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_speedwell-backend"));
        command
            .args(["--config", self.path("speedwell.toml").to_str().unwrap()])
            .args(arguments)
            .env_remove("DATABASE_URL")
            .kill_on_drop(true);
        let ended = tokio::time::timeout(Duration::from_secs(300), command.output()).await;
        let output = ended.expect("the command does not end").unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// Starts the backend and registers the host.
    pub async fn start_backend(&mut self) {
        let log = self.open_log("backend.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_speedwell-backend"));
        command
            .args(["--config", self.path("speedwell.toml").to_str().unwrap()])
            .env_remove("DATABASE_URL");
        let child = command
            .arg("serve")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.backend = Some(child);
        self.until(
            "the backend is healthy",
            Duration::from_secs(60),
            async |lab| lab.client_get("/health").await.is_some(),
        )
        .await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_speedwell-backend"));
        command
            .args(["--config", self.path("speedwell.toml").to_str().unwrap()])
            .env_remove("DATABASE_URL");
        command.args([
            "host",
            "add",
            "lab",
            "--token-file",
            self.path("host.token").to_str().unwrap(),
        ]);
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
    }

    /// Starts the worker.
    pub fn start_worker(&mut self) {
        self.worker = Some(self.spawn_worker("worker"));
    }

    /// Adds a host of the same class, and starts its worker. It ends with the lab.
    pub async fn start_another_worker(&mut self, name: &str) {
        let file = self.path(&format!("{name}.token")).display().to_string();
        let (well, said) = self
            .command(&["host", "add", name, "--token-file", &file])
            .await;
        assert!(well, "{said}");
        let text = fs::read_to_string(self.path("worker.toml")).unwrap();
        let text = text
            .replace("host.token", &format!("{name}.token"))
            .replace("data = \"worker\"", &format!("data = \"{name}\""));
        fs::write(self.path(&format!("{name}.toml")), text).unwrap();
        let folder = self.path(name);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        self.others.push(self.spawn_worker(name));
    }

    fn open_log(&self, name: &str) -> fs::File {
        let options = fs::File::options().create(true).append(true).clone();
        options.open(self.path(name)).unwrap()
    }

    fn spawn_worker(&self, name: &str) -> Child {
        let log = self.open_log(&format!("{name}.log"));
        let configuration = self.path(&format!("{name}.toml")).display().to_string();
        Command::new(worker_program())
            .args(["--config", &configuration, "run"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Lets a worker do one job; whether it ended well, and what it said.
    pub async fn work_once(&self) -> (bool, String) {
        let configuration = self.path("worker.toml").display().to_string();
        let mut command = tokio::process::Command::new(worker_program());
        command
            .args(["--config", &configuration, "once"])
            .kill_on_drop(true);
        let ended = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
        let output = ended.expect("the worker does not end").unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    }

    /// SIGKILL.
    pub fn kill_worker(&mut self) {
        let mut worker = self.worker.take().unwrap();
        worker.kill().unwrap();
        worker.wait().unwrap();
    }

    /// SIGTERM; waits for the end.
    pub fn terminate_worker(&mut self) {
        let mut worker = self.worker.take().unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(worker.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(
            worker.wait().unwrap().success(),
            "{}",
            self.log("worker.log")
        );
    }

    /// SIGKILL.
    pub fn kill_backend(&mut self) {
        let mut backend = self.backend.take().unwrap();
        backend.kill().unwrap();
        backend.wait().unwrap();
    }

    /// Connections to the private cluster.
    pub async fn pool(&self) -> PgPool {
        let socket = self.path("backend/postgres/socket");
        let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
            .socket(socket)
            .username("speedwell")
            .database("speedwell");
        PgPool::connect_with(options).await.unwrap()
    }

    /// The backend's address.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A log of the lab.
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    async fn client_get(&self, path: &str) -> Option<String> {
        let address = format!("{}{path}", self.address());
        let response = self.client.get(address).send().await.ok()?;
        response.error_for_status().ok()?.text().await.ok()
    }

    /// GETs a page or an answer of the API.
    pub async fn get(&self, path: &str) -> String {
        let mut answer = self.client_get(path).await;
        // A machine that is measuring may be slow to answer once; a page that fails does so again.
        for _ in 0..3 {
            if answer.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer = self.client_get(path).await;
        }
        answer.unwrap_or_else(|| panic!("{path} fails\n{}", self.log("backend.log")))
    }

    /// The newest job; null when there is none or the backend is away.
    pub async fn job(&self) -> Value {
        let text = self
            .client_get("/api/v1/jobs?limit=1")
            .await
            .unwrap_or_default();
        serde_json::from_str::<Value>(&text)
            .map_or(Value::Null, |answer| answer["items"][0].clone())
    }

    /// Waits for something, and says what did not come.
    pub async fn until(
        &self,
        what: &str,
        limit: Duration,
        mut done: impl AsyncFnMut(&Self) -> bool,
    ) {
        let begun = Instant::now();
        while !done(self).await {
            assert!(
                begun.elapsed() < limit,
                "not in time: {what}\njob: {:#}\nbackend: {}\nworker: {}",
                self.job().await,
                self.log("backend.log"),
                self.log("worker.log")
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the newest job is in a state.
    pub async fn until_state(&self, state: &str) {
        self.until(
            &format!("the job is {state}"),
            Duration::from_secs(90),
            async |lab| lab.job().await["state"] == state,
        )
        .await;
    }

    /// Waits until the newest job is in a phase and does something whose words hold `words`.
    pub async fn until_phase(&self, phase: &str, words: &str) {
        self.until(
            &format!("the job is in {phase}: {words}"),
            Duration::from_secs(60),
            async |lab| {
                let job = lab.job().await;
                job["state"] == "running"
                    && job["phase"] == phase
                    && job["progress"].as_str().unwrap_or_default().contains(words)
            },
        )
        .await;
    }

    /// Nothing lost, nothing twice, nothing stuck: one run with each benchmark once, and no result refused.
    pub async fn assert_one_run(&self, benchmarks: i64) {
        let pool = self.pool().await;
        let runs: i64 = sqlx::query_scalar("SELECT count(*) FROM run")
            .fetch_one(&pool)
            .await
            .unwrap();
        let times: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM measurement JOIN series ON series.id = series_id WHERE metric = 'wall_time'",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        let open: i64 =
            sqlx::query_scalar("SELECT count(*) FROM job WHERE state IN ('queued', 'running')")
                .fetch_one(&pool)
                .await
                .unwrap();
        assert_eq!(
            (runs, times, open),
            (1, benchmarks, 0),
            "{}",
            self.log("worker.log")
        );
        let refused = fs::read_dir(self.worker_data.join("spool/refused"))
            .unwrap()
            .count();
        assert_eq!(refused, 0);
        pool.close().await;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let own = [&mut self.worker, &mut self.backend].into_iter().flatten();
        for child in self.others.iter_mut().chain(own) {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
            // Fails when it is gone already.
            if nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).is_err() {
                continue;
            }
            drop(child.wait());
        }
    }
}

fn worker_program() -> PathBuf {
    let program =
        Path::new(env!("CARGO_BIN_EXE_speedwell-backend")).with_file_name("speedwell-worker");
    assert!(
        program.exists(),
        "{} is missing: cargo build --workspace",
        program.display()
    );
    program
}

fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .args([
            "-c",
            "user.name=Lab",
            "-c",
            "user.email=lab@example.org",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(arguments)
        .current_dir(folder)
        .status()
        .unwrap();
    assert!(status.success(), "git {arguments:?}");
}
