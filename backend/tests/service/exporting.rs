//! What is taken away: Parquet, badges, pictures.

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use speedwell_backend::scheduler::{index, trace};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::comparing::{PAIR, tag, two_runtimes};
use crate::support::importing::{file, hash, send, start};

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
