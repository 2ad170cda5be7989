//! Backup and restore, rehearsed with the operator's commands: everything comes back elsewhere, and what is damaged is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use speedwell_backend::cluster::Cluster;
use speedwell_backend::db::builds::insert_artefact;
use speedwell_backend::scheduler::{archive, detect, index, noise, trace, warmup};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tempfile::TempDir;

use crate::support::operate::{operate, url_of};
use crate::support::worker::{insert_rows, measure};
use crate::support::{TestApp, tour};

/// A folder that Postgres's user can enter.
fn open_folder() -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix("backup")
        .tempdir_in("/tmp")
        .unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Every row of every table as text, and every object of the store by its path.
async fn content(pool: &PgPool) -> Vec<(String, Vec<String>)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut content = Vec::new();
    for table in tables {
        let query = format!("SELECT one::text FROM \"{table}\" one ORDER BY 1");
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_all(pool)
            .await
            .unwrap();
        content.push((table, rows));
    }
    content
}

fn objects(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(folder).unwrap().to_owned();
                found.push((relative, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// A page without what depends on the moment of asking.
fn steady(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some(start) = rest.find("<time") {
        text.push_str(&rest[..start]);
        rest = rest[start..]
            .split_once("</time>")
            .map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text.lines()
        .filter(|line| !line.contains(" ago") && !line.contains("silent"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn everything_comes_back_in_an_empty_folder(pool: PgPool) {
    let (app, pages) = tour::start(&pool).await;
    // A log that has become an artefact, beside builds, raw files and texts.
    sqlx::query("INSERT INTO job_log (job_id, lease_id, start_offset, chunk) SELECT id, gen_random_uuid(), 0, 'a log' FROM job WHERE finished_at IS NOT NULL LIMIT 1")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query(
        "UPDATE job SET finished_at = now() - interval '1 minute' WHERE finished_at IS NOT NULL",
    )
    .execute(&pool)
    .await
    .unwrap();
    for size in [1, 1000, 100_000, 1_000_000] {
        let bytes: Vec<u8> = (0..size)
            .map(|place: u32| (place.wrapping_mul(size) >> 3) as u8)
            .collect();
        let sha256 = app.context.artefacts.put(bytes.into()).await.unwrap();
        insert_artefact(&pool, &sha256, u64::from(size), "source")
            .await
            .unwrap();
    }
    archive::tick(&app.context).await.unwrap();
    warmup::tick(&app.context).await.unwrap();
    for _ in 0..2 {
        detect::tick(&app.context).await.unwrap();
        noise::tick(&app.context).await.unwrap();
        trace::tick(&app.context).await.unwrap();
        index::tick(&app.context).await.unwrap();
    }
    let url = url_of(&pool).await;
    let place = open_folder();
    let backup = place.path().join("made");
    let to = backup.to_str().unwrap();
    let (good, said) = operate(app.data.path(), Some(&url), &["backup", to]);
    assert!(good, "{said}");
    assert_eq!(
        fs::metadata(&backup).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert!(
        fs::read_to_string(backup.join("speedwell.toml"))
            .unwrap()
            .starts_with("# kept")
    );
    let sums = Command::new("sha256sum")
        .args(["--check", "--quiet", "--strict", "SHA256SUMS"])
        .current_dir(&backup)
        .status()
        .unwrap();
    assert!(sums.success(), "checked without Speedwell");
    let (good, said) = operate(app.data.path(), Some(&url), &["backup", to]);
    assert!(!good && said.contains("is there already"), "{said}");
    let (good, said) = operate(app.data.path(), Some(&url), &["restore", to]);
    assert!(
        !good && said.contains("the database is not empty"),
        "{said}"
    );

    // Into a folder where nothing is: a private cluster is made.
    let data = open_folder();
    let (good, said) = operate(data.path(), None, &["restore", to]);
    assert!(good && said.contains("all counted and compared"), "{said}");
    let (good, said) = operate(data.path(), None, &["restore", to]);
    assert!(
        !good && said.contains("the database is not empty"),
        "{said}"
    );
    let cluster = Cluster::start(&data.path().join("postgres"), "postgres").unwrap();
    cluster.ready().await.unwrap();
    let restored = PgPoolOptions::new()
        .max_connections(8)
        .connect_with(cluster.connect_options())
        .await
        .unwrap();
    let (before, after) = (content(&pool).await, content(&restored).await);
    assert!(
        before
            .iter()
            .any(|(table, rows)| table == "measurement_2026" || rows.len() > 5)
    );
    for (one, other) in before.iter().zip(&after) {
        if one.0 == "audit" {
            // Behind the import of the tour's run.
            assert_eq!(one.1.len(), 2, "it was noted that there is a backup");
            assert_eq!(other.1.len(), 2, "and here, that it was restored");
            continue;
        }
        assert_eq!(one, other, "the table {}", one.0);
    }
    assert_eq!(before.len(), after.len());
    let stored = objects(&app.data.path().join("artefacts"));
    assert!(stored.len() > 6, "{} objects", stored.len());
    assert_eq!(stored, objects(&data.path().join("artefacts")));

    // Served, every page is as it was.
    let other = TestApp::start_in(&restored, &tour::config(), data).await;
    for page in pages {
        let (one, two) = (app.get(&page).await, other.get(&page).await);
        assert_eq!(one.0, two.0, "{page}");
        assert_eq!(steady(&one.1), steady(&two.1), "{page}");
    }
    drop(other);
    restored.close().await;
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_is_damaged_is_refused_before_anything_is_touched(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 2).await;
    measure(&pool, &app, &rows, &[0.1]).await;
    let url = url_of(&pool).await;
    let place = open_folder();
    let backup = place.path().join("made");
    let to = backup.to_str().unwrap();
    let (good, said) = operate(app.data.path(), Some(&url), &["backup", to]);
    assert!(good, "{said}");
    let data = open_folder();
    let files: Vec<PathBuf> = objects(&backup)
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| !path.ends_with("SHA256SUMS"))
        .collect();
    assert!(files.len() > 4, "{files:?}");
    for file in files {
        let path = backup.join(&file);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[whole.len() / 2] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let (good, said) = operate(data.path(), None, &["restore", to]);
        assert!(!good, "{} was restored: {said}", file.display());
        assert!(
            said.contains("damaged") && said.contains(file.to_str().unwrap()),
            "{}: {said}",
            file.display()
        );
        assert!(
            !data.path().join("postgres").exists() && !data.path().join("artefacts").exists(),
            "{}: something was touched",
            file.display()
        );
        fs::write(&path, &whole).unwrap();
    }
    let (good, said) = operate(data.path(), None, &["restore", to, "--verify"]);
    assert!(good && said.contains("is whole"), "{said}");
    assert!(!data.path().join("postgres").exists());
    fs::remove_file(backup.join("SHA256SUMS")).unwrap();
    let (good, said) = operate(data.path(), None, &["restore", to]);
    assert!(!good && said.contains("no finished backup"), "{said}");
}

/// A store that lost an object does not cost the rest; a copy tells nobody what the first has told.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_hole_in_the_store_is_named_and_a_copy_is_quiet(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 2).await;
    measure(&pool, &app, &rows, &[0.1]).await;
    sqlx::query("INSERT INTO outbox (key, channel, recipient, payload, next_attempt_at) VALUES ('k', 'mail', 'a@example.org', '{}', now())")
        .execute(&pool)
        .await
        .unwrap();
    let lost: String = sqlx::query_scalar("SELECT raw_artefact FROM run")
        .fetch_one(&pool)
        .await
        .unwrap();
    let store = app.data.path().join("artefacts");
    fs::remove_file(store.join(&lost[..2]).join(&lost)).unwrap();
    let place = open_folder();
    let backup = place.path().join("made");
    let to = backup.to_str().unwrap();
    let url = url_of(&pool).await;
    let (good, said) = operate(app.data.path(), Some(&url), &["backup", to]);
    assert!(
        !good && said.contains(&lost) && said.contains("complete but for 1"),
        "{said}"
    );
    let other = format!("copy_{}", std::process::id());
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {other}")))
        .execute(&pool)
        .await
        .unwrap();
    let copy = format!("{}/{other}", url.rsplit_once('/').unwrap().0);
    let data = open_folder();
    let (good, said) = operate(
        data.path(),
        Some(&copy),
        &["restore", to, "--hold-messages"],
    );
    assert!(
        good && said.contains("1 waiting message(s) are given up")
            && said.contains("1 artefact(s) were missing"),
        "{said}"
    );
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "DROP DATABASE {other} WITH (FORCE)"
    )))
    .execute(&pool)
    .await
    .unwrap();
}
