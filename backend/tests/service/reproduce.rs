//! Reproducing a point, for real: the real worker measures, the bundle is downloaded, and its script repeats the measurement, once
//! from a commit that it fetches and builds, once with Debian's Python and packages of the index.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use speedwell_backend::artefacts::sha256_hex;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::lab::{GOOD, Lab};
use crate::support::worker::{insert_rows, measure};

/// A bundle's files by their path within its folder, and the names that it came under.
struct Bundle {
    files: BTreeMap<String, Vec<u8>>,
    folder: String,
    bytes: Vec<u8>,
}

impl Bundle {
    async fn fetch(address: &str, path: &str) -> Self {
        let response = crate::support::client()
            .get(format!("{address}{path}"))
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let (kind, sniff, disposition) = (
            header("content-type"),
            header("x-content-type-options"),
            header("content-disposition"),
        );
        assert_eq!(
            (status, kind.as_str(), sniff.as_str()),
            (200, "application/gzip", "nosniff")
        );
        let bytes = response.bytes().await.unwrap().to_vec();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let (mut files, mut folders) = (BTreeMap::new(), Vec::new());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let (folder, rest) = path.split_once('/').unwrap();
            folders.push(folder.to_owned());
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(rest.to_owned(), content);
        }
        folders.dedup();
        assert_eq!(folders.len(), 1);
        let folder = folders.remove(0);
        assert_eq!(
            disposition,
            format!("attachment; filename=\"{folder}.tar.gz\"")
        );
        Self {
            files,
            folder,
            bytes,
        }
    }

    fn text(&self, path: &str) -> &str {
        let found = self.files.get(path);
        let found = found.unwrap_or_else(|| panic!("{path} is not in {:?}", self.files.keys()));
        std::str::from_utf8(found).unwrap()
    }

    /// Unpacks it as a person would, and runs its script; whether it ended well, and what it said.
    fn run(&self, place: &Path, variables: &[(&str, &str)]) -> (bool, String) {
        let file = place.join("bundle.tar.gz");
        fs::write(&file, &self.bytes).unwrap();
        let unpacked = Command::new("tar")
            .arg("-xf")
            .arg(&file)
            .arg("-C")
            .arg(place)
            .status();
        assert!(unpacked.unwrap().success());
        let output = Command::new("sh")
            .arg("reproduce.sh")
            .current_dir(place.join(&self.folder))
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }
}

/// The lines that the script ends with.
fn assert_compared(said: &str) {
    let line = |begin: &str| {
        said.lines()
            .find(|line| line.starts_with(begin))
            .map(str::to_owned)
    };
    let yours = line("yours: median").unwrap_or_else(|| panic!("{said}"));
    let ours = line("ours:  median").unwrap();
    assert!(
        ours.contains("95 % interval") && ours.ends_with("on lab"),
        "{said}"
    );
    let ratio = line("yours / ours = ").unwrap();
    let number = ratio.split([' ', ';']).nth(4).unwrap();
    let ratio: f64 = number
        .parse()
        .unwrap_or_else(|_| panic!("{number:?} in {said}"));
    // The same program on the same machine: a factor of twenty would be another program.
    assert!((0.05..20.0).contains(&ratio), "{yours}\n{ours}");
}

#[tokio::test]
async fn a_commit_is_fetched_built_and_measured_again() {
    let mut lab = Lab::new(&[("good", GOOD)]);
    lab.commit("echo compiled\n");
    lab.start_backend().await;
    lab.start_worker();
    lab.until_state("succeeded").await;
    let page = lab.get("/runs/1/reproduce/good").await;
    assert!(
        page.contains("configure --prefix=/opt/speedwell/python --without-ensurepip"),
        "{page}"
    );
    assert!(!page.contains("cannot run the benchmark"), "{page}");
    // The worker has sent the script: the benchmark's page shows it.
    let source = lab.get("/benchmarks/good").await;
    assert!(
        source.contains("pyperf.Runner().bench_func(&#39;good&#39;, sum, range(20000))"),
        "{source}"
    );

    let bundle = Bundle::fetch(&lab.address(), "/runs/1/reproduce/good.tar.gz").await;
    assert_eq!(bundle.folder, "speedwell-run-1-good");
    assert_eq!(bundle.text("files/good.py"), GOOD);
    for path in [
        "README.md",
        "suite.lock",
        "harness/pyperf.py",
        "harness/micropython/pyperf.py",
    ] {
        assert!(!bundle.text(path).is_empty());
    }
    let run: Value = serde_json::from_str(bundle.text("run.json")).unwrap();
    assert_eq!(run["run"]["id"], 1);
    let samples = bundle.text("samples.csv");
    let of_time: Vec<&str> = samples
        .lines()
        .filter(|line| line.starts_with("wall_time,software,"))
        .collect();
    assert_eq!(of_time.len(), 3, "one warm-up and two values: {samples}");
    assert!(
        of_time[0].starts_with("wall_time,software,0,0,1,"),
        "{samples}"
    );
    let pyperf: Value = serde_json::from_str(bundle.text("pyperf.json")).unwrap();
    assert_eq!(pyperf["benchmarks"].as_array().unwrap().len(), 1);

    let place = tempfile::tempdir().unwrap();
    let (good, said) = bundle.run(place.path(), &[]);
    assert!(good, "{said}");
    assert_compared(&said);
    let work = place.path().join(&bundle.folder).join("work");
    assert!(
        work.join("installed/opt/speedwell/python/bin/python3")
            .exists()
    );
    let log = fs::read_to_string(work.join("build.log")).unwrap();
    assert!(log.contains("compiled"), "{log}");
    let values = fs::read_to_string(work.join("values.csv")).unwrap();
    assert_eq!(values.lines().count(), 3, "{values}");
    // A second time nothing is built; another interpreter does it, too.
    let (good, said) = bundle.run(
        place.path(),
        &[("PROCESSES", "2"), ("INTERPRETER", "/usr/bin/python3")],
    );
    assert!(
        good && said.contains("process 2 of 2 done") && said.contains("as INTERPRETER says"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(work.join("build.log")).unwrap(), log);
    // A commit that is nowhere is said so.
    let elsewhere = tempfile::tempdir().unwrap();
    let (good, said) = bundle.run(elsewhere.path(), &[("REPOSITORY", "/nowhere")]);
    assert!(
        !good && said.contains("/nowhere cannot be fetched from"),
        "{said}"
    );
}

/// A suite whose benchmark imports a library of the suite and a package of a lock.
fn write_suite(folder: &Path) {
    let own = folder.join("small/own");
    fs::create_dir_all(&own).unwrap();
    let script = "import pyperf, pytz, six\nassert six.PY3 and pytz.utc\nopen('beside.txt', 'w').close()\n\
                  runner = pyperf.Runner()\nrunner.bench_func('one', sum, range(20000))\n\
                  runner.bench_func('two', sum, range(10000))\n";
    fs::write(own.join("both.py"), script).unwrap();
    let lock = "pytz==2021.1 \\\n    --hash=sha256:eb10ce3e7736052ed3623d49975ce333bcd712c7bb19a58b9e2089d4057d0798\n";
    fs::write(own.join("pure.txt"), lock).unwrap();
    let text = format!(
        r#"name = "small"
version = 1
description = "Small"
[plan.cpython]
processes = 1
warmups = 1
values = 2
counter_values = 0
[[package]]
name = "six"
version = "1.16.0"
file = "six-1.16.0-py2.py3-none-any.whl"
sha256 = "8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254"
library = true
[[requirements]]
name = "pure"
file = "pure.txt"
sha256 = "{}"
[[benchmark]]
name = "two"
description = "The second of two"
source = "own"
script = "both.py"
sha256 = "{}"
select = "two"
arguments = []
requires = "pure"
loops = {{ cpython = 3 }}
"#,
        sha256_hex(lock.as_bytes()),
        sha256_hex(script.as_bytes())
    );
    fs::write(folder.join("small/suite.toml"), text).unwrap();
}

#[tokio::test]
async fn debians_python_runs_it_again_with_the_locked_packages() {
    let mut lab = Lab::new(&[]);
    let suites = lab.path("others");
    write_suite(&suites);
    let output = Command::new("/usr/bin/python3")
        .args(["-c", "import platform; print(platform.python_version())"])
        .output();
    let version = String::from_utf8(output.unwrap().stdout).unwrap();
    lab.configure_with(
        &format!(
            "[[runtime]]\nname = \"python3-debian\"\nlanguage = \"python3\"\nrecipe = \"prebuilt\"\ncommand = \"/usr/bin/python3\"\n\
             version = \"{}\"\nfamily = \"cpython\"\nsuite = \"small\"\nenvironment = {{ SPEEDWELL_TEST = \"it's\" }}\narguments = [\"-X\", \"utf8\"]\n",
            version.trim()
        ),
        &suites,
    );
    lab.start_backend().await;
    lab.start_worker();
    lab.until_state("succeeded").await;
    let bundle = Bundle::fetch(&lab.address(), "/runs/1/reproduce/two.tar.gz").await;
    assert!(
        bundle
            .text("requirements/pure.txt")
            .contains("pytz==2021.1")
    );
    assert!(bundle.text("suite.lock").contains("six==1.16.0"));
    let place = tempfile::tempdir().unwrap();
    let (good, said) = bundle.run(place.path(), &[]);
    assert!(good, "{said}");
    assert_compared(&said);
    assert!(
        place
            .path()
            .join(&bundle.folder)
            .join("work/environment/pytz")
            .is_dir()
    );
    // A package that is not the locked one is refused.
    let other = tempfile::tempdir().unwrap();
    let mut changed = Bundle { ..bundle };
    let script = changed.text("reproduce.sh").replace("eb10ce3e", "00000000");
    changed
        .files
        .insert("reproduce.sh".to_owned(), script.into_bytes());
    let (good, said) = run_files(&changed, other.path());
    assert!(
        !good && said.contains("cannot be fetched from the Python package index"),
        "{said}"
    );
}

/// Writes the files of a changed bundle, and runs its script.
fn run_files(bundle: &Bundle, place: &Path) -> (bool, String) {
    for (path, bytes) in &bundle.files {
        let to = place.join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    let output = Command::new("sh")
        .arg(place.join("reproduce.sh"))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_is_not_known_is_said(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 2).await;
    measure(&pool, &app, &rows, &[0.1]).await;
    sqlx::query("UPDATE repository SET url = 'https://me:secret@git.example.org/cpython'")
        .execute(&pool)
        .await
        .unwrap();
    let (status, page) = app.get("/runs/1/reproduce/nbody").await;
    assert_eq!(status, 200);
    assert!(
        page.contains("No worker has sent the definition of portable version 1"),
        "{page}"
    );
    assert!(
        page.contains("https://git.example.org/cpython") && !page.contains("secret"),
        "{page}"
    );
    let bundle = Bundle::fetch(&app.address, "/runs/1/reproduce/nbody.tar.gz").await;
    assert!(
        bundle
            .files
            .values()
            .all(|bytes| !String::from_utf8_lossy(bytes).contains("secret"))
    );
    let place = tempfile::tempdir().unwrap();
    let (good, said) = bundle.run(place.path(), &[("INTERPRETER", "/usr/bin/python3")]);
    assert!(
        !good && said.contains("No worker has sent the definition"),
        "{said}"
    );
    // A run of today whose runtime is configured otherwise tomorrow.
    sqlx::query("UPDATE runtime SET recipe_sha256 = 'other'")
        .execute(&pool)
        .await
        .unwrap();
    let (_, page) = app.get("/runs/1/reproduce/nbody").await;
    assert!(
        page.contains("configured otherwise since this run"),
        "{page}"
    );
    for missing in [
        "/runs/2/reproduce/nbody",
        "/runs/1/reproduce/nothing",
        "/runs/1/reproduce/nothing.tar.gz",
        "/runs/x/reproduce/nbody.tar.gz",
    ] {
        assert_eq!(app.get(missing).await.0, 404, "{missing}");
    }
}
