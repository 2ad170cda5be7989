//! What can be taken along from a comparison: Markdown, tables, and what the real pyperf reads.

use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::comparing::{PAIR, two_runtimes};

/// pyperf as deploy/test unpacks it, or fetched into a folder here.
fn pyperf() -> PathBuf {
    let folder = std::env::temp_dir().join("speedwell-pyperf-2.9.0");
    if !folder.join("pyperf").is_dir() {
        let run = |arguments: &[&str]| {
            let done = Command::new("python3").args(arguments).output().unwrap();
            assert!(
                done.status.success(),
                "{}",
                String::from_utf8_lossy(&done.stderr)
            );
        };
        let folder = folder.to_str().unwrap();
        run(&[
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            "pyperf==2.9.0",
            "--dest",
            folder,
        ]);
        run(&[
            "-m",
            "zipfile",
            "-e",
            &format!("{folder}/pyperf-2.9.0-py3-none-any.whl"),
            folder,
        ]);
    }
    folder
}

fn run_pyperf(arguments: &[&Path]) -> String {
    let done = Command::new("python3")
        .env("PYTHONPATH", pyperf())
        .args(["-m", "pyperf"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn exports_are_read_by_pyperf_and_harm_no_spreadsheet(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    two_runtimes(&pool, &app).await;
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for letter in ["a", "b"] {
        let (status, text) = app
            .get(&format!("/compare.json?{PAIR}&subject={letter}"))
            .await;
        assert_eq!(status, 200, "{text}");
        let file = folder.path().join(format!("{letter}.json"));
        std::fs::write(&file, text).unwrap();
        files.push(file);
    }
    assert_eq!(
        app.get(&format!("/compare.json?{PAIR}&subject=c")).await.0,
        400
    );
    let (status, text) = app
        .get(&format!("/compare.json?{PAIR}&metric=max_rss"))
        .await;
    assert!(
        status == 400 && text.contains("pyperf knows times"),
        "{text}"
    );
    // A name that would be a formula.
    sqlx::query("UPDATE benchmark SET name = '=HYPERLINK(\"x\",1)' WHERE name = 'nbody'")
        .execute(&pool)
        .await
        .unwrap();
    let (status, text) = app.get(&format!("/compare.csv?{PAIR}")).await;
    assert_eq!(status, 200);
    assert!(
        text.lines().count() == 5 && text.contains("\"'=HYPERLINK(\"\"x\"\",1)\""),
        "{text}"
    );
    assert!(
        text.lines()
            .all(|line| !line.starts_with(['=', '+', '-', '@'])),
        "{text}"
    );
    let (_, text) = app.get(&format!("/compare.md?{PAIR}")).await;
    assert!(
        text.contains("| **Geometric mean** | |") && text.contains("× faster"),
        "{text}"
    );
    let (status, page) = app
        .get(&format!("/compare/%3DHYPERLINK%28%22x%22%2C1%29?{PAIR}"))
        .await;
    assert!(
        status == 200 && page.contains("=HYPERLINK(&#34;x&#34;,1)"),
        "{page}"
    );
    let (_, page) = app.get("/matrix").await;
    assert!(page.contains("/compare/%3DHYPERLINK"), "{page}");
    // Last: pyperf takes its time, and connections do not wait.
    let shown = run_pyperf(&[Path::new("show"), &files[0]]);
    assert!(
        shown.contains("nbody") && shown.contains("100 ms"),
        "{shown}"
    );
    let stats = run_pyperf(&[Path::new("stats"), &files[0]]);
    assert!(
        stats.contains("Number of values: 8") || stats.contains("Total number of values: 8"),
        "{stats}"
    );
    let compared = run_pyperf(&[Path::new("compare_to"), &files[0], &files[1]]);
    assert!(
        compared.contains("4.99x faster") || compared.contains("5.00x faster"),
        "{compared}"
    );
}
