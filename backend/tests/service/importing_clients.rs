//! Imports as their users make them: by the real `pyperformance upload`, and by the command over a folder of files.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::importing::{RULES, TOKEN, file, hash, start};
use crate::support::{CONFIG, TestApp, pypi};

/// pyperformance and what it imports.
fn pyperformance() -> PathBuf {
    let needed = [
        "pyperformance==1.14.0",
        "pyperf==2.10.0",
        "packaging==25.0",
        "psutil",
    ];
    pypi::packages("speedwell-pyperformance-1.14.0", &needed)
}

fn python(arguments: &[&str]) -> Output {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", pyperformance()).args(arguments);
    command.output().unwrap()
}

fn words(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Runs in a thread of its own: the application answers meanwhile.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn pyperformance_uploads_unchanged_and_pyperf_reads_it_back(pool: PgPool) {
    let (app, _) = start(&pool, 3).await;
    let folder = tempfile::tempdir().unwrap();
    let mut results = file(0.1);
    let metadata = results["metadata"].as_object_mut().unwrap();
    metadata.insert("commit_id".to_owned(), json!(hash(2)));
    metadata.insert("commit_branch".to_owned(), json!("main"));
    metadata.insert("commit_date".to_owned(), json!("2026-11-01T10:40:00+00:00"));
    let path = folder.path().join("results.json");
    std::fs::write(&path, results.to_string()).unwrap();
    let configuration = folder.path().join("bench.conf");
    let text = format!(
        "[config]\njson_dir = {}\n[upload]\nurl = {}/codespeed/{TOKEN}/\nenvironment = lab-of-others\nexecutable = main\nproject = CPython\n",
        folder.path().display(),
        app.address
    );
    std::fs::write(&configuration, text).unwrap();
    let (configuration, sent) = (
        configuration.display().to_string(),
        path.display().to_string(),
    );
    let done =
        aside(move || python(&["-m", "pyperformance", "upload", &configuration, &sent])).await;
    let said = words(&done);
    assert!(
        said.contains("Response: \"All result data saved successfully\""),
        "{said}"
    );
    assert!(
        folder.path().join("uploaded/results.json").exists(),
        "it moves what was taken"
    );
    // What pyperf makes of the run that came as means: the same means.
    let (status, text) = app.get("/api/v1/runs/1/pyperf").await;
    assert_eq!(status, 200, "{text}");
    let back = folder.path().join("back.json");
    std::fs::write(&back, text).unwrap();
    let (original, back) = (folder.path().join("uploaded/results.json"), back);
    let (first, second) = (original.display().to_string(), back.display().to_string());
    let shown = aside(move || python(&["-m", "pyperf", "compare_to", "-v", &first, &second])).await;
    let shown = words(&shown);
    assert!(shown.matches("no change").count() == 3, "{shown}");
}

fn write_packed(path: &Path, value: &Value) {
    let target = std::fs::File::create(path).unwrap();
    let mut packer = flate2::write::GzEncoder::new(target, flate2::Compression::fast());
    packer.write_all(value.to_string().as_bytes()).unwrap();
    packer.finish().unwrap();
}

/// The command, over the test's database and the application's store.
fn import(app: &TestApp, pool: &PgPool, arguments: &[&str]) -> Output {
    let data = app.data.path();
    let configuration = data.join("speedwell.toml");
    let text = format!("{CONFIG}{RULES}").replace("DATA", data.to_str().unwrap());
    std::fs::write(&configuration, text).unwrap();
    let url = std::env::var("DATABASE_URL").unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    let options = pool.connect_options();
    let database = format!("{server}/{}", options.get_database().unwrap());
    Command::new(env!("CARGO_BIN_EXE_speedwell-backend"))
        .args([
            "--config",
            configuration.to_str().unwrap(),
            "--database-url",
            &database,
            "import",
        ])
        .args(["--runtime", "cpython-main", "--host", "others"])
        .args(arguments)
        .output()
        .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_folder_is_imported_and_what_is_refused_is_told(pool: PgPool) {
    let (app, _) = start(&pool, 30).await;
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("2026/11");
    std::fs::create_dir_all(&inner).unwrap();
    // The hashes of the test's commits begin with zeros alone: whole ones tell them apart.
    for place in 0..20 {
        let name = format!(
            "bm-20261101-linux-x86_64-python-main-3.15.0a2-{}.json.gz",
            hash(place)
        );
        write_packed(
            &inner.join(name),
            &file(0.1 + 0.001 * f64::from(u8::try_from(place).unwrap())),
        );
    }
    let mut by_metadata = file(0.2);
    by_metadata["metadata"]["commit_id"] = json!(hash(25));
    std::fs::write(
        folder.path().join("by-metadata.json"),
        by_metadata.to_string(),
    )
    .unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no result").unwrap();
    let path = folder.path().to_str().unwrap();
    let done = import(&app, &pool, &[path]);
    let said = words(&done);
    assert!(
        done.status.success() && said.contains("21 runs with 84 measurements imported"),
        "{said}"
    );
    assert!(
        said.contains("21 of 21 files: 21 new, 0 known already, 0 refused"),
        "{said}"
    );
    // Again, with what cannot be taken: nothing is there twice, and each refusal has its reason.
    std::fs::write(folder.path().join("broken.json"), "{").unwrap();
    std::fs::write(folder.path().join("nameless.json"), file(0.3).to_string()).unwrap();
    let done = import(&app, &pool, &[path]);
    let said = words(&done);
    assert!(!done.status.success(), "{said}");
    for expected in [
        "0 runs",
        "21 were there already",
        "broken.json: body: is no pyperf JSON",
        "nameless.json: commit: neither its metadata",
        "2 of 23 files were refused",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let runs: i64 = sqlx::query_scalar("SELECT count(*) FROM run")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(runs, 21);
    // The file is in the same store as what comes by HTTP.
    let (status, text) = app.get("/api/v1/runs/1/pyperf").await;
    assert!(
        status == 200 && text.contains("\"performance_version\":\"1.14.0\""),
        "{text}"
    );
    let done = import(
        &app,
        &pool,
        &["--commit-from", "metadata", inner.to_str().unwrap()],
    );
    assert!(
        words(&done).contains("its metadata has no `commit_id`: give --commit-from filename"),
        "{}",
        words(&done)
    );
}
