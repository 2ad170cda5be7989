//! Two backends on one external Postgres and one S3 store behind a real proxy, with three workers; each of the five is killed in turn.
//! Afterwards: every commit measured once, nothing lost, nothing twice, and nobody who read a page noticed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use s3s::auth::SimpleAuth;
use speedwell_backend::artefacts::Artefacts;
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::lab::{GOOD, Lab};

/// Takes a while, so that one can be in the middle of it.
const LONG: &str = "import pyperf, time\npyperf.Runner().bench_func('long', time.sleep, 0.7)\n";
const BACKENDS: [&str; 2] = ["backend-1", "backend-2"];
const WORKERS: [&str; 3] = ["worker-1", "worker-2", "worker-3"];
const BUCKET: &str = "speedwell";

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A server that speaks S3 and checks signatures, over a folder.
async fn serve_s3(folder: &std::path::Path) -> u16 {
    fs::create_dir_all(folder.join(BUCKET)).unwrap();
    let files = s3s_fs::FileSystem::new(folder).unwrap();
    let mut builder = s3s::service::S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single("key", "secret"));
    let service = builder.build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let stream = hyper_util::rt::TokioIo::new(stream);
                // A client that goes away is none of the server's business.
                drop(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(stream, service)
                        .await,
                );
            });
        }
    });
    port
}

fn store_settings(port: u16) -> [(String, String); 5] {
    [
        ("AWS_ENDPOINT", format!("http://127.0.0.1:{port}")),
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

/// All the processes, by name.
struct Fleet {
    lab: Lab,
    ports: BTreeMap<&'static str, u16>,
    processes: BTreeMap<&'static str, Child>,
    environment: Vec<(String, String)>,
    pool: PgPool,
    admin: PgPool,
    database: String,
    s3: u16,
}

impl Fleet {
    async fn new() -> Self {
        let lab = Lab::new(&[("good", GOOD), ("long", LONG)]);
        let url = std::env::var("DATABASE_URL").expect("DATABASE_URL: a Postgres for tests");
        let admin = PgPool::connect(&url).await.unwrap();
        let database = format!("several_{}", uuid::Uuid::new_v4().simple());
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {database}")))
            .execute(&admin)
            .await
            .unwrap();
        let (server, _) = url.rsplit_once('/').unwrap();
        let url = format!("{server}/{database}");
        let s3 = serve_s3(&lab.path("s3")).await;
        let mut environment = vec![("DATABASE_URL".to_owned(), url.clone())];
        environment.extend(store_settings(s3));
        let mut fleet = Self {
            lab,
            ports: BTreeMap::new(),
            processes: BTreeMap::new(),
            environment,
            pool: PgPool::connect(&url).await.unwrap(),
            admin,
            database,
            s3,
        };
        for name in ["proxy"].into_iter().chain(BACKENDS) {
            fleet.ports.insert(name, free_port());
        }
        fleet.write_configurations();
        fleet
    }

    fn write_configurations(&self) {
        let proxy = self.ports["proxy"];
        for name in BACKENDS {
            let text = format!(
                "data = \"{name}\"\nlisten = \"127.0.0.1:{}\"\npublic_url = \"http://127.0.0.1:{proxy}\"\nstore = \"s3://{BUCKET}/artefacts\"\n\
                 schedule = \"* * * * * *\"\n[[repository]]\nname = \"project\"\nurl = \"{}\"\n[[runtime]]\nname = \"project-main\"\n\
                 repository = \"project\"\nbranch = \"main\"\nlanguage = \"python3\"\nsuite = \"faults\"\n\
                 policy = {{ measure = \"every\", newest = 40, repeat_marked = 0 }}\n",
                self.ports[name],
                self.lab.path("project").display()
            );
            fs::write(self.lab.path(&format!("{name}.toml")), text).unwrap();
        }
        let worker = fs::read_to_string(self.lab.path("worker.toml")).unwrap();
        let (_, rest) = worker.split_once('\n').unwrap();
        for name in WORKERS {
            let rest = rest
                .replace("host.token", &format!("{name}.token"))
                .replace("data = \"worker\"", &format!("data = \"{name}\""))
                // Three at once on a small machine: a benchmark that is slow is none that is lost.
                .replace("benchmark_timeout = 4", "benchmark_timeout = 60");
            let text = format!("backend = \"http://127.0.0.1:{proxy}\"\n{rest}");
            fs::write(self.lab.path(&format!("{name}.toml")), text).unwrap();
            let folder = self.lab.path(name);
            fs::create_dir_all(&folder).unwrap();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let servers: String = BACKENDS
            .iter()
            .map(|name| {
                format!(
                    // Never left out for a while: the other is killed as soon as this one is back.
                    "server 127.0.0.1:{} max_fails=0; ",
                    self.ports[name]
                )
            })
            .collect();
        let folder = self.lab.path("proxy");
        fs::create_dir_all(&folder).unwrap();
        let folder = folder.display();
        let text = format!(
            "daemon off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\nhttp {{\n access_log off; client_body_temp_path {folder}/body; \
             proxy_temp_path {folder}/temp; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n \
             upstream backends {{ {servers} }}\n server {{ listen 127.0.0.1:{proxy}; client_max_body_size 0;\n \
             location / {{ proxy_pass http://backends; proxy_read_timeout 120s; }} }}\n}}\n"
        );
        fs::write(self.lab.path("proxy.conf"), text).unwrap();
    }

    fn command(&self, name: &'static str) -> Command {
        let backend = std::path::Path::new(env!("CARGO_BIN_EXE_speedwell-backend"));
        let configuration = self.lab.path(&format!("{name}.toml")).display().to_string();
        let (program, arguments) = if name == "proxy" {
            let file = self.lab.path("proxy.conf").display().to_string();
            (
                std::path::PathBuf::from("nginx"),
                vec!["-c".to_owned(), file],
            )
        } else if BACKENDS.contains(&name) {
            let words = ["--config".to_owned(), configuration, "serve".to_owned()];
            (backend.to_owned(), words.to_vec())
        } else {
            let words = ["--config".to_owned(), configuration, "run".to_owned()];
            (backend.with_file_name("speedwell-worker"), words.to_vec())
        };
        let mut command = Command::new(program);
        command.args(arguments);
        if BACKENDS.contains(&name) {
            command.envs(self.environment.clone());
        } else {
            // A worker never sees a database.
            command.env_remove("DATABASE_URL");
        }
        command
    }

    fn start(&mut self, name: &'static str) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.lab.path(&format!("{name}.log")))
            .unwrap();
        let mut command = self.command(name);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        self.processes.insert(name, child);
    }

    async fn start_backend(&mut self, name: &'static str) {
        self.start(name);
        let health = format!("http://127.0.0.1:{}/health", self.ports[name]);
        self.until(&format!("{name} is healthy"), async |_| {
            let answer = crate::support::client().get(&health).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    /// SIGKILL.
    fn kill(&mut self, name: &str) {
        let mut child = self.processes.remove(name).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn add_host(&self, name: &'static str) {
        let mut command = self.command(BACKENDS[0]);
        let words: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
        command = Command::new(env!("CARGO_BIN_EXE_speedwell-backend"));
        command.args(&words[..2]).envs(self.environment.clone());
        let token = self.lab.path(&format!("{name}.token"));
        command
            .args(["host", "add", name, "--token-file"])
            .arg(token);
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    async fn until(&self, what: &str, mut done: impl AsyncFnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self).await {
            if begun.elapsed() > Duration::from_secs(120) {
                let logs: String = self
                    .processes
                    .keys()
                    .map(|name| {
                        let log = self.lab.log(&format!("{name}.log"));
                        let from = log.floor_char_boundary(log.len().saturating_sub(1500));
                        format!("\n── {name}\n{}", &log[from..])
                    })
                    .collect();
                panic!("not in time: {what}{logs}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs of what was asked for. On a busy machine a value may look suspicious, and is measured again beside.
    async fn runs(&self) -> i64 {
        let asked_for = "SELECT count(*) FROM run JOIN job ON job.id = job_id WHERE confirmation_id IS NULL AND bisection_id IS NULL";
        self.count(asked_for).await
    }

    /// Waits until this host, or any, is in the middle of a benchmark.
    async fn until_measuring(&self, host: &str) {
        self.until(&format!("{host} measures"), async |fleet| {
            let measuring: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM job JOIN host ON host.id = running_on
                 WHERE job.state = 'running' AND job.phase = 'bench' AND ($1 = '' OR host.name = $1)",
            )
            .bind(host)
            .fetch_one(&fleet.pool)
            .await
            .unwrap();
            measuring > 0
        })
        .await;
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Workers first: they hand their jobs back to a backend.
        let order = WORKERS.into_iter().chain(["proxy"]).chain(BACKENDS);
        for name in order {
            let Some(mut child) = self.processes.remove(name) else {
                continue;
            };
            let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
            if nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).is_ok() {
                drop(child.wait());
            }
        }
    }
}

/// Reads the home page through the proxy until it is told to stop: how often, and how often it failed.
fn read_pages(address: String, stop: Arc<AtomicBool>) -> (Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (read, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&read), Arc::clone(&failed));
    tokio::spawn(async move {
        let client = crate::support::client();
        while !stop.load(Ordering::Relaxed) {
            let answer = client.get(&address).send().await;
            read.fetch_add(1, Ordering::Relaxed);
            if !answer.is_ok_and(|answer| answer.status().is_success()) {
                failed.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    counters
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_two_backends_and_three_workers_is_killed_and_nothing_is_lost_or_doubled() {
    let mut fleet = Fleet::new().await;
    for _ in 0..3 {
        fleet.lab.commit("echo compiled\n");
    }
    let mut sent: i64 = 3;
    for name in BACKENDS {
        fleet.start_backend(name).await;
    }
    fleet.start("proxy");
    for name in WORKERS {
        fleet.add_host(name);
        fleet.start(name);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let address = format!("http://127.0.0.1:{}/", fleet.ports["proxy"]);
    fleet.until_measuring("").await;
    let (read, failed) = read_pages(address, Arc::clone(&stop));
    for name in BACKENDS {
        fleet.lab.commit("echo compiled\n");
        fleet.lab.commit("echo compiled\n");
        sent += 2;
        fleet.until_measuring("").await;
        let before = fleet.runs().await;
        fleet.kill(name);
        // The other one alone: it takes commits in, gives jobs out and takes runs.
        fleet
            .until(&format!("a run is stored without {name}"), async |fleet| {
                fleet.runs().await > before
                    && fleet.count("SELECT count(*) FROM branch_commit").await == sent
            })
            .await;
        fleet.start_backend(name).await;
    }
    for name in WORKERS {
        // Enough for each to have something to do.
        for _ in 0..3 {
            fleet.lab.commit("echo compiled\n");
        }
        sent += 3;
        fleet.until_measuring(name).await;
        fleet.kill(name);
        fleet.start(name);
    }
    fleet
        .until("every commit is measured", async |fleet| {
            fleet.count("SELECT count(*) FROM branch_commit").await == sent
                && fleet
                    .count("SELECT count(*) FROM job WHERE state = 'succeeded' AND confirmation_id IS NULL AND bisection_id IS NULL")
                    .await
                    == sent
        })
        .await;
    stop.store(true, Ordering::Relaxed);
    check_ledger(&fleet, sent, &read, &failed).await;
    check_store(&fleet).await;
    fleet.pool.close().await;
    let (admin, database) = (fleet.admin.clone(), fleet.database.clone());
    drop(fleet);
    sqlx::query(AssertSqlSafe(format!("DROP DATABASE {database}")))
        .execute(&admin)
        .await
        .unwrap();
}

async fn check_ledger(fleet: &Fleet, sent: i64, read: &AtomicUsize, failed: &AtomicUsize) {
    let stored = fleet
        .count("SELECT count(DISTINCT commit_id) FROM run")
        .await;
    let runs = fleet.runs().await;
    let jobs = fleet
        .count("SELECT count(*) FROM job WHERE confirmation_id IS NULL AND bisection_id IS NULL")
        .await;
    let times = fleet
        .count(
            "SELECT count(*) FROM measurement JOIN series ON series.id = series_id JOIN run ON run.id = run_id JOIN job ON job.id = job_id
             WHERE metric = 'wall_time' AND confirmation_id IS NULL AND bisection_id IS NULL",
        )
        .await;
    let hosts = fleet
        .count("SELECT count(DISTINCT running_on) FROM job WHERE state = 'succeeded'")
        .await;
    let resumed = fleet
        .count("SELECT count(*) FROM job WHERE attempt > 1")
        .await;
    let (read, failed) = (read.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
    println!(
        "sent {sent} commits; stored {stored}; lost {}; doubled {}; jobs begun anew {resumed}; pages read {read}, failed {failed}",
        sent - stored,
        runs - stored
    );
    assert_eq!((stored, runs, jobs), (sent, sent, sent));
    assert_eq!(times, 2 * sent, "each benchmark of each run once");
    // Whatever they were asked for.
    let doubled = fleet
        .count("SELECT count(*) - count(DISTINCT job_id) FROM run")
        .await;
    assert_eq!(doubled, 0, "no job has two runs");
    assert_eq!(hosts, 3, "each worker has had a part in it");
    assert!(read > 20, "{read}");
    assert_eq!(failed, 0, "of {read} pages");
    for name in WORKERS {
        let spool = fleet.lab.path(&format!("{name}/spool"));
        let waiting: Vec<_> = fs::read_dir(&spool)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|entry| entry != "refused")
            .collect();
        assert!(waiting.is_empty(), "{name}: {waiting:?}");
        let refused = fs::read_dir(spool.join("refused")).unwrap().count();
        assert_eq!(refused, 0, "{name}");
    }
}

/// Every artefact that a row names is in the store, whole.
async fn check_store(fleet: &Fleet) {
    let store = Artefacts::by_url(
        &format!("s3://{BUCKET}/artefacts"),
        store_settings(fleet.s3),
    )
    .unwrap();
    let names: Vec<String> = sqlx::query_scalar("SELECT sha256 FROM artefact")
        .fetch_all(&fleet.pool)
        .await
        .unwrap();
    assert!(!names.is_empty());
    for name in &names {
        assert!(
            store.get(name).await.unwrap().is_some(),
            "{name} is missing"
        );
    }
    let mut wrong = store_settings(fleet.s3);
    wrong[2].1 = "guessed".to_owned();
    let stranger = Artefacts::by_url(&format!("s3://{BUCKET}/artefacts"), wrong).unwrap();
    assert!(
        stranger.get(&names[0]).await.is_err(),
        "the server looks at signatures"
    );
}
