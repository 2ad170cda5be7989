//! What is taken away: Parquet, badges, pictures.

use std::collections::BTreeMap;
use std::process::Command;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use serde_json::{Value, json};
use speedwell_backend::scheduler::{detect, index, trace};
use sqlx::PgPool;

use crate::support::comparing::{PAIR, tag, two_runtimes};
use crate::support::importing::{file, hash, send, start};
use crate::support::{TestApp, pypi};

async fn bytes(app: &TestApp, path: &str) -> (u16, String, Vec<u8>) {
    let response = app
        .client
        .get(format!("{}{path}", app.address))
        .send()
        .await
        .unwrap();
    let kind = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    (
        response.status().as_u16(),
        kind,
        response.bytes().await.unwrap().to_vec(),
    )
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_set_of_series_is_one_file_of_columns(pool: PgPool) {
    let (app, _) = start(&pool, 4).await;
    for place in 0..3 {
        let query = format!("runtime=cpython-main&host=others&commit={}", hash(place));
        let (status, answer) = send(&app, &query, file(0.1).to_string().into_bytes()).await;
        assert_eq!(status, 201, "{answer}");
    }
    let (status, kind, parquet) = bytes(
        &app,
        "/api/v1/series.parquet?runtime=cpython-main&benchmark=nbody",
    )
    .await;
    assert_eq!(
        (status, kind.as_str()),
        (200, "application/vnd.apache.parquet")
    );
    let reader = SerializedFileReader::new(bytes::Bytes::from(parquet)).unwrap();
    let fields = reader
        .metadata()
        .file_metadata()
        .schema()
        .get_fields()
        .to_vec();
    let place = |name: &str| {
        fields
            .iter()
            .position(|field| field.name() == name)
            .unwrap()
    };
    let rows: Vec<_> = reader
        .get_row_iter(None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), 6, "wall time and peak memory of three commits");
    let first = &rows[0];
    assert_eq!(first.get_string(place("commit")).unwrap(), &hash(0));
    assert_eq!(
        first.get_string(place("origin")).unwrap(),
        "pyperformance 1.14.0"
    );
    assert_eq!(first.get_string(place("benchmark")).unwrap(), "nbody");
    assert_eq!(first.get_long(place("position")).unwrap(), 0);
    let wall = rows
        .iter()
        .find(|row| row.get_string(place("metric")).unwrap() == "wall_time")
        .unwrap();
    assert!((wall.get_double(place("median")).unwrap() - 0.100025).abs() < 1e-9);
    assert_eq!(wall.get_string(place("unit")).unwrap(), "seconds");
    let (status, _, text) = bytes(&app, "/api/v1/series.parquet").await;
    assert!(status == 400 && String::from_utf8_lossy(&text).contains("at least one of runtime"));
    assert_eq!(
        bytes(&app, "/api/v1/series.parquet?nonsense=1").await.0,
        400
    );
    let (status, _, empty) = bytes(&app, "/api/v1/series.parquet?runtime=nobody").await;
    assert_eq!(status, 200);
    assert_eq!(
        SerializedFileReader::new(bytes::Bytes::from(empty))
            .unwrap()
            .metadata()
            .file_metadata()
            .num_rows(),
        0
    );
}

/// Types and rows of a Parquet file, and the rows of a CSV file, as DuckDB reads them: JSON on one line.
const READ: &str = r#"
import json, sys, duckdb
def rows(table):
    moments = [name for name, kind in zip(table.columns, table.types) if "TIMESTAMP" in str(kind)]
    names = [f"epoch_us({name}) AS {name}" if name in moments else f'"{name}"' for name in table.columns]
    return [dict(zip(table.columns, row)) for row in table.project(", ".join(names)).fetchall()]
table = duckdb.read_parquet(sys.argv[1])
types = dict(zip(table.columns, map(str, table.types)))
print(json.dumps({"types": types, "rows": rows(table), "csv": rows(duckdb.read_csv(sys.argv[2]))}))
"#;

async fn duckdb(app: &TestApp, parquet: &str, csv: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a.parquet"), folder.path().join("b.csv"));
    std::fs::write(&first, bytes(app, parquet).await.2).unwrap();
    std::fs::write(&second, bytes(app, csv).await.2).unwrap();
    let read = move || {
        let place = pypi::packages("speedwell-duckdb-2.0.1", &["duckdb==2.0.1"]);
        Command::new("python3")
            .env("PYTHONPATH", place)
            .args(["-c", READ])
            .args([first, second])
            .output()
            .unwrap()
    };
    let done = tokio::task::spawn_blocking(read).await.unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    serde_json::from_slice(&done.stdout).unwrap()
}

async fn items(app: &TestApp, path: &str) -> Vec<Value> {
    let (status, text) = app.get(path).await;
    assert_eq!(status, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["items"].as_array().unwrap().clone()
}

/// A point of the API as a row of the file names it.
fn row_of(series: &Value, point: &Value) -> BTreeMap<&'static str, Value> {
    let moment = |key: &str| {
        let at = chrono::DateTime::parse_from_rfc3339(point[key].as_str().unwrap());
        json!(at.unwrap().timestamp_micros())
    };
    let mut row: BTreeMap<&str, Value> = [
        ("committed_at", moment("committed_at")),
        ("measured_at", moment("measured_at")),
        ("commit", point["hash"].clone()),
        ("run", point["run_id"].clone()),
        ("environment", point["environment_id"].clone()),
        ("samples", point["sample_count"].clone()),
        ("benchmark_identity", series["identity"].clone()),
    ]
    .into();
    for name in [
        "position",
        "median",
        "interval_low",
        "interval_high",
        "min",
        "max",
        "verdict",
        "change",
    ] {
        row.insert(name, point[name].clone());
    }
    for name in [
        "runtime",
        "benchmark",
        "origin",
        "metric",
        "counter_source",
        "host",
    ] {
        row.insert(name, series[name].clone());
    }
    row
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn duckdb_reads_what_the_api_says(pool: PgPool) {
    let (app, _) = start(&pool, 20).await;
    let strange = "say \"hi\", 'é' \\ \u{1f40d}";
    for place in 0..12 {
        let mut results = file(if place < 8 { 0.1 } else { 0.2 });
        results["benchmarks"][0]["metadata"]["name"] = json!(strange);
        let query = format!("runtime=cpython-main&host=others&commit={}", hash(place));
        let (status, answer) = send(&app, &query, results.to_string().into_bytes()).await;
        assert_eq!(status, 201, "{answer}");
    }
    detect::tick(&app.context).await.unwrap();
    trace::tick(&app.context).await.unwrap();
    let asked = "runtime=cpython-main&metric=wall_time";
    let csv = format!(
        "/timeline.csv?{asked}&benchmark=json_dumps&benchmark={}",
        encode(strange)
    );
    let read = duckdb(&app, &format!("/api/v1/series.parquet?{asked}"), &csv).await;
    for (name, kind) in [
        ("series", "BIGINT"),
        ("position", "BIGINT"),
        ("benchmark", "VARCHAR"),
        ("verdict", "VARCHAR"),
        ("median", "DOUBLE"),
        ("change", "DOUBLE"),
        ("committed_at", "TIMESTAMP WITH TIME ZONE"),
        ("measured_at", "TIMESTAMP WITH TIME ZONE"),
    ] {
        assert_eq!(read["types"][name], kind, "{name}");
    }
    let (rows, csv) = (
        read["rows"].as_array().unwrap(),
        read["csv"].as_array().unwrap(),
    );
    assert_eq!((rows.len(), csv.len()), (24, 24), "{read}");
    let mut missing = 0;
    for series in items(&app, &format!("/api/v1/series?{asked}")).await {
        for point in items(&app, &format!("/api/v1/series/{}/points", series["id"])).await {
            let same = |row: &&Value| {
                row["run"] == point["run_id"] && row["benchmark"] == series["benchmark"]
            };
            let found = rows.iter().find(same).unwrap();
            for (name, expected) in row_of(&series, &point) {
                assert_eq!(found[name], expected, "{name} of {found}");
            }
            let written = csv.iter().find(same).unwrap();
            for name in [
                "commit",
                "median",
                "interval_low",
                "interval_high",
                "samples",
            ] {
                assert_eq!(written[name], found[name], "{name} of {written}");
            }
            // Traces, and so the CSV, know commits to the second, as git does.
            let seconds = |row: &Value| row["committed_at"].as_i64().unwrap() / 1_000_000;
            assert_eq!(seconds(written), seconds(found), "{written}");
            missing += usize::from(found["change"].is_null());
        }
    }
    assert!(missing > 0 && missing < 24, "{missing} without a change");
}

fn encode(text: &str) -> String {
    let byte = |one: u8| format!("%{one:02X}");
    text.bytes().map(byte).collect()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn badges_and_pictures_say_what_the_pages_say(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, _) = two_runtimes(&pool, &app).await;
    tag(&pool, "v1.2rc1", rows.commits[2]).await;
    for _ in 0..2 {
        trace::tick(&app.context).await.unwrap();
        index::tick(&app.context).await.unwrap();
    }
    let badge = async |path: &str| {
        let (status, kind, text) = bytes(&app, path).await;
        assert_eq!((status, kind.as_str()), (200, "image/svg+xml"), "{path}");
        let text = String::from_utf8(text).unwrap();
        let read = roxmltree::Document::parse(&text).unwrap();
        read.root_element()
            .attribute("aria-label")
            .unwrap()
            .to_owned()
    };
    let own = badge("/badges/cpython-main.svg").await;
    assert!(
        own.starts_with("cpython-main: as fast as v1.1, within the noise"),
        "{own}"
    );
    let two = badge(&format!("/badges/compare.svg?{PAIR}")).await;
    assert!(two.contains("faster than") && two.contains('×'), "{two}");
    sqlx::query("UPDATE index_point SET measured_at = now() - interval '60 days'")
        .execute(&pool)
        .await
        .unwrap();
    let old = badge("/badges/cpython-main.svg").await;
    assert!(old.contains("within the noise, of 20"), "{old}");
    assert_eq!(bytes(&app, "/badges/nobody.svg").await.0, 404);
    let (status, kind, picture) = bytes(
        &app,
        "/timeline.png?benchmark=nbody&runtime=cpython-main&width=500",
    )
    .await;
    assert_eq!((status, kind.as_str()), (200, "image/png"));
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"));
    // Width and height stand behind the first chunk's name; twice the pixels of the chart.
    assert_eq!(
        u32::from_be_bytes(picture[16..20].try_into().unwrap()),
        1000
    );
    assert_eq!(
        bytes(
            &app,
            "/timeline.png?benchmark=nbody&runtime=cpython-main&width=500"
        )
        .await
        .2,
        picture,
        "kept"
    );
    assert_eq!(bytes(&app, "/timeline.png?benchmark=none").await.0, 404);
    // Nobody makes it draw a wall.
    let (_, _, widest) = bytes(&app, "/timeline.png?benchmark=nbody&width=9999999").await;
    assert_eq!(u32::from_be_bytes(widest[16..20].try_into().unwrap()), 3200);
}
