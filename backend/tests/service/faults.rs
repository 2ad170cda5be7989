//! Faults, tested by doing them to real processes. Afterwards: nothing lost, nothing twice, nothing stuck, and the page
//! says what happened.

mod rewriting;

use std::time::Duration;

use sqlx::{Executor as _, PgPool};

use crate::support::lab::{CRASHES, GOOD, HANGS, Lab, RUBBISH};

const QUICK: &str = "echo compiled\n";
const SLOW: &str = "if [ ! -e /tmp/never ]; then echo compiling; sleep 8; fi\n";
/// A benchmark that takes a while, so that one can be in the middle of it.
const LONG: &str = "import pyperf, time\npyperf.Runner().bench_func('long', time.sleep, 0.7)\n";

async fn started(benchmarks: &[(&str, &str)], build: &str) -> Lab {
    let mut lab = Lab::new(benchmarks);
    lab.commit(build);
    lab.start_backend().await;
    lab.start_worker();
    lab
}

#[tokio::test]
async fn the_worker_is_killed_in_the_middle_of_a_build() {
    let mut lab = started(&[("good", GOOD)], SLOW).await;
    lab.until_phase("build", "make").await;
    lab.kill_worker();
    lab.start_worker();
    lab.until_state("succeeded").await;
    lab.assert_one_run(1).await;
    let page = lab.get("/jobs/1").await;
    assert!(
        page.contains("the worker began anew") && page.contains("2 of 3"),
        "{page}"
    );
}

#[tokio::test]
async fn the_worker_is_killed_in_the_middle_of_a_run() {
    let mut lab = started(&[("good", GOOD), ("long", LONG)], QUICK).await;
    lab.until_phase("bench", "long").await;
    lab.kill_worker();
    lab.start_worker();
    lab.until_state("succeeded").await;
    lab.assert_one_run(2).await;
    let page = lab.get("/jobs/1").await;
    assert!(
        page.contains("use the stored build 1"),
        "the build was not lost with the run: {page}"
    );
}

/// Blocks ingest in its middle: the run's row is written, the measurements wait for a lock.
async fn block_ingest(pool: &PgPool) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut blocker = pool.begin().await.unwrap();
    blocker
        .execute("LOCK TABLE measurement IN SHARE MODE")
        .await
        .unwrap();
    blocker
}

async fn until_ingest_waits(lab: &Lab, pool: &PgPool) {
    lab.until("an ingest waits for the lock", Duration::from_secs(60), async |_| {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO measurement%'",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        waiting > 0
    })
    .await;
}

#[tokio::test]
async fn the_worker_is_killed_in_the_middle_of_an_upload() {
    let mut lab = started(&[("good", GOOD), ("long", LONG)], QUICK).await;
    lab.until_phase("bench", "long").await;
    let pool = lab.pool().await;
    let blocker = block_ingest(&pool).await;
    until_ingest_waits(&lab, &pool).await;
    lab.kill_worker();
    lab.start_worker();
    tokio::time::sleep(Duration::from_secs(1)).await;
    blocker.rollback().await.unwrap();
    lab.until_state("succeeded").await;
    lab.until("the spool is empty", Duration::from_secs(30), async |lab| {
        std::fs::read_dir(lab.worker_data.join("spool"))
            .unwrap()
            .count()
            == 1
    })
    .await;
    lab.assert_one_run(2).await;
}

#[tokio::test]
async fn the_backend_is_killed_in_the_middle_of_an_ingest() {
    let mut lab = started(&[("good", GOOD), ("long", LONG)], QUICK).await;
    lab.until_phase("bench", "long").await;
    let pool = lab.pool().await;
    let blocker = block_ingest(&pool).await;
    until_ingest_waits(&lab, &pool).await;
    // The private cluster dies with it: Postgres recovers from its log at the next start.
    lab.kill_backend();
    drop(blocker);
    drop(pool);
    tokio::time::sleep(Duration::from_secs(2)).await;
    lab.start_backend().await;
    lab.until_state("succeeded").await;
    lab.assert_one_run(2).await;
}

#[tokio::test]
async fn the_backend_is_away_while_a_run_ends() {
    let mut lab = started(&[("good", GOOD), ("long", LONG)], QUICK).await;
    lab.until_phase("bench", "long").await;
    lab.kill_backend();
    lab.until(
        "the run waits on disk",
        Duration::from_secs(60),
        async |lab| {
            std::fs::read_dir(lab.worker_data.join("spool"))
                .unwrap()
                .count()
                == 2
        },
    )
    .await;
    // The worker is killed too: what is on disk is enough.
    lab.kill_worker();
    lab.start_backend().await;
    lab.start_worker();
    lab.until_state("succeeded").await;
    lab.assert_one_run(2).await;
}

#[tokio::test]
async fn postgres_is_killed_and_starts_again() {
    let lab = started(&[("good", GOOD), ("long", LONG)], QUICK).await;
    lab.until_phase("bench", "long").await;
    let file = lab.path("backend/postgres/cluster/postmaster.pid");
    let pid: i32 = std::fs::read_to_string(file)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    lab.until_state("succeeded").await;
    lab.assert_one_run(2).await;
}

#[tokio::test]
async fn a_commit_that_does_not_compile_shows_the_compilers_words() {
    let broken = "echo 'int main(void) { return x; }' > bad.c\ngcc -c bad.c\n";
    let mut lab = started(&[("good", GOOD)], broken).await;
    lab.until_state("failed").await;
    let job = lab.job().await;
    assert_eq!(
        (job["failure_kind"].as_str(), job["attempt"].as_i64()),
        (Some("permanent"), Some(1))
    );
    let page = lab.get("/jobs/1").await;
    assert!(
        page.contains("Why it failed") && page.contains("undeclared"),
        "{page}"
    );
    let page = lab.get("/").await;
    assert!(page.contains(">failed</a>"), "{page}");
    // The next commit is not hurt.
    lab.commit(QUICK);
    lab.until_state("succeeded").await;
    lab.assert_one_run(1).await;
}

#[tokio::test]
async fn benchmarks_that_hang_print_rubbish_or_crash_are_unavailable_and_the_run_goes_on() {
    let lab = started(
        &[
            ("crash", CRASHES),
            ("good", GOOD),
            ("hang", HANGS),
            ("rubbish", RUBBISH),
        ],
        QUICK,
    )
    .await;
    lab.until_state("succeeded").await;
    lab.assert_one_run(1).await;
    let page = lab.get("/runs/1").await;
    for words in [
        "timed_out",
        "waiting for nothing",
        "crashed",
        "signal 6",
        "invalid",
        "no event",
    ] {
        assert!(page.contains(words), "{words} is missing: {page}");
    }
    assert!(!page.contains('\u{1b}'));
}

/// Writes beside its script, and only where nothing was written before.
const BESIDE: &str = "import os, pyperf\nopen(os.path.join(os.path.dirname(__file__), 'made'), 'x').close()\n\
                      pyperf.Runner().bench_func('beside', sum, range(20000))\n";

#[tokio::test]
async fn a_benchmark_writes_beside_its_script_and_another_has_a_shorter_time_limit() {
    let mut lab = Lab::new(&[("beside", BESIDE), ("hang", HANGS)]);
    let path = lab.path("suites/faults/suite.toml");
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("name = \"beside\"\n", "name = \"beside\"\ncopied = true\n")
        .replace(
            "name = \"hang\"\n",
            "name = \"hang\"\ntimeout_seconds = 1\n",
        );
    std::fs::write(&path, text).unwrap();
    lab.commit(QUICK);
    lab.start_backend().await;
    lab.start_worker();
    lab.until_state("succeeded").await;
    // Twice: the process with counters has a copy of its own.
    lab.assert_one_run(1).await;
    let page = lab.get("/runs/1").await;
    assert!(
        page.contains("no end in 1 s; it was killed") && !page.contains("FileExistsError"),
        "{page}"
    );
}

#[tokio::test]
async fn sigterm_hands_the_job_back_and_it_costs_no_attempt() {
    let mut lab = started(&[("good", GOOD)], SLOW).await;
    lab.until_phase("build", "make").await;
    lab.terminate_worker();
    let job = lab.job().await;
    assert_eq!(
        (job["state"].as_str(), job["attempt"].as_i64()),
        (Some("queued"), Some(0)),
        "{job}"
    );
    lab.start_worker();
    lab.until_state("succeeded").await;
    lab.assert_one_run(1).await;
}

#[tokio::test]
async fn a_cancelled_job_stops_at_its_next_heartbeat() {
    let lab = started(&[("good", GOOD)], "echo begins; sleep 50\n").await;
    lab.until_phase("build", "make").await;
    let pool = lab.pool().await;
    let mut connection = pool.acquire().await.unwrap();
    speedwell_backend::db::jobs::cancel(&mut connection, 1, "a test")
        .await
        .unwrap();
    lab.until_state("cancelled").await;
    assert!(
        lab.get("/jobs/1")
            .await
            .contains("cancellation asked for by a test")
    );
}

/// The worker's folder is a file system of its own, too small for the build.
#[tokio::test]
async fn the_disk_is_full_and_then_is_not() {
    if !nix::unistd::Uid::effective().is_root() {
        assert!(std::env::var_os("CI").is_none(), "CI runs as root");
        eprintln!("skipped: mounting a small file system needs root");
        return;
    }
    let mut lab = Lab::new(&[("good", GOOD)]);
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs"])
        .arg(&lab.worker_data)
        .output()
        .unwrap();
    if !mounted.status.success() {
        // A container without the right to mount cannot be given one by a test.
        eprintln!(
            "skipped: cannot mount here: {}",
            String::from_utf8_lossy(&mounted.stderr)
        );
        return;
    }
    let _unmount = Unmount(lab.worker_data.clone());
    lab.commit("head -c 60000000 /dev/zero > fills\n");
    lab.start_backend().await;
    lab.start_worker();
    lab.until("the try has failed", Duration::from_secs(60), async |lab| {
        lab.job().await["failure_kind"] == "transient"
    })
    .await;
    let job = lab.job().await;
    assert_eq!(
        job["state"], "queued",
        "a full disk is the host's fault: {job}"
    );
    assert!(lab.get("/jobs/1").await.contains("No space left on device"));
    assert!(lab.get("/queue").await.contains("tried again in"));
    // Somebody makes room.
    let grown = std::process::Command::new("mount")
        .args(["-o", "remount,size=200m"])
        .arg(&lab.worker_data)
        .status()
        .unwrap();
    assert!(grown.success());
    lab.until_state("succeeded").await;
    lab.assert_one_run(1).await;
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        drop(
            std::process::Command::new("umount")
                .arg("--lazy")
                .arg(&self.0)
                .status(),
        );
    }
}

#[tokio::test]
async fn an_unfit_host_takes_no_job_until_it_is_told_to() {
    let mut lab = Lab::new(&[("good", GOOD)]);
    let path = lab.path("worker.toml");
    let told = std::fs::read_to_string(&path).unwrap();
    let strict = told.replace("unfit_host = \"measure\"\n", "");
    assert_ne!(strict, told);
    std::fs::write(&path, &strict).unwrap();
    let doctor = std::process::Command::new(
        std::path::Path::new(env!("CARGO_BIN_EXE_speedwell-backend"))
            .with_file_name("speedwell-worker"),
    )
    .args(["--config", path.to_str().unwrap(), "doctor", "--json"])
    .output()
    .unwrap();
    if doctor.status.code() != Some(20) {
        eprintln!("skipped: this host is fit, so there is nothing for a worker to refuse");
        return;
    }
    lab.commit(QUICK);
    lab.start_backend().await;
    lab.start_worker();
    lab.until(
        "the worker says why",
        Duration::from_secs(60),
        async |lab| lab.log("worker.log").contains("not fit to measure"),
    )
    .await;
    lab.until("the job waits", Duration::from_secs(60), async |lab| {
        lab.job().await["state"] == "queued"
    })
    .await;
    // Some looks later it still does.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(lab.job().await["state"], "queued");
    lab.terminate_worker();
    // Who asks for one job is told why there is none, and does not wait.
    let (well, said) = lab.work_once().await;
    assert!(
        !well && said.contains("Error: this host is not fit to measure"),
        "{said}"
    );
    assert_eq!(lab.job().await["state"], "queued");
    std::fs::write(&path, &told).unwrap();
    lab.start_worker();
    lab.until_state("succeeded").await;
    let run = lab.get("/api/v1/runs/1").await;
    assert!(run.contains("\"severity\":\"unfit\""), "{run}");
    let page = lab.get("/runs/1").await;
    assert!(page.contains("The host was not as it should be"), "{page}");
}

/// What a commit's build does that means harm; `{lab}` is the lab's folder, which holds the worker's secrets.
const HOSTILE: &str = r#"printf '\033[2J\033]0;owned\007<script>alert(1)</script>\n\000nul \377\n'
cat {lab}/host.token {lab}/worker.toml {lab}/worker/spool/* {lab}/decoy/share/precious
cat /proc/*/environ | tr '\000' '\n' | grep -a token_file
for place in / /usr /etc /root {lab} {lab}/decoy {lab}/worker {lab}/worker/spool {lab}/worker/suites; do
  { echo owned > $place/owned-by-a-build; } 2>/dev/null && echo "wrote $place"
done
(setsid sleep 76543.25 >/dev/null 2>&1 &)
kill -9 1
echo survived
"#;
/// It installs a pipe that nobody writes to: whoever reads all of its files waits for ever.
const LEAVES_A_PIPE: &str = "printf 'install: late\\nlate:\\n\\tmkdir -p $(prefix)/bin && mkfifo $(prefix)/bin/pipe\\n' >> Makefile\n";
/// It installs a link in place of its prefix: whoever prunes that prunes something else.
const LEAVES_A_LINK: &str = "printf 'install:\\n\\tmkdir -p $(DESTDIR)/opt/speedwell && ln -s {lab}/decoy $(DESTDIR)/opt/speedwell/python\\n' > Makefile\n";

async fn until_failed(lab: &Lab, number: i64) -> String {
    lab.until("the job has failed", Duration::from_secs(90), async |lab| {
        let job = lab.job().await;
        job["id"] == number && job["state"] == "failed"
    })
    .await;
    lab.get(&format!("/jobs/{number}")).await
}

#[tokio::test]
async fn hostile_commits_get_nothing_and_the_next_one_is_measured() {
    let mut lab = Lab::new(&[("good", GOOD)]);
    let here = lab.path("").display().to_string();
    let here = here.trim_end_matches('/');
    let decoy = lab.path("decoy/share");
    std::fs::create_dir_all(&decoy).unwrap();
    std::fs::write(decoy.join("precious"), "a precious file\n").unwrap();
    lab.commit(&format!("{HOSTILE}{LEAVES_A_PIPE}").replace("{lab}", here));
    lab.start_backend().await;
    lab.start_worker();
    let page = until_failed(&lab, 1).await;
    let token = std::fs::read_to_string(lab.path("host.token")).unwrap();
    assert!(page.contains("pipe is no regular file"), "{page}");
    assert!(
        page.contains("&#60;script&#62;alert(1)") || page.contains("&lt;script&gt;alert(1)"),
        "{page}"
    );
    assert!(!page.contains("<script>alert(1)") && !page.contains('\u{1b}') && !page.contains('\0'));
    assert!(page.contains("survived") && !page.contains(token.trim()));
    let worker = lab.log("worker.log");
    if worker.contains("box: sealed") || worker.contains("box: metered") {
        assert!(
            !page.contains("wrote ") && !page.contains("a precious file"),
            "{page}"
        );
    } else {
        eprintln!(
            "not tested, for this host seals no box: what a build may read and write\n{worker}"
        );
    }
    let sleeps = std::process::Command::new("pgrep")
        .args(["-f", "sleep 76543.25"])
        .output()
        .unwrap();
    assert!(sleeps.stdout.is_empty(), "a daemon lives on");

    lab.commit(&LEAVES_A_LINK.replace("{lab}", here));
    let page = until_failed(&lab, 2).await;
    assert!(page.contains("the build has no prefix"), "{page}");
    assert!(
        decoy.join("precious").exists(),
        "the worker pruned behind a link"
    );

    lab.commit(QUICK);
    lab.until_state("succeeded").await;
    lab.assert_one_run(1).await;
}
