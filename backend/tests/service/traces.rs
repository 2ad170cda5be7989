//! Traces over a real database: they follow what is measured, and are cut by position, time and number.

use speedwell_backend::db::traces::{self, Range};
use speedwell_backend::db::{commits, repetitions};
use speedwell_backend::scheduler::trace;
use speedwell_backend::traces::Trace;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::worker::{
    TestWorker, insert_job, insert_rows, measure, measure_places, series_id,
};

/// Positions and medians of a series' trace, after a pass of the tick.
async fn traced(pool: &PgPool, app: &TestApp) -> Vec<(i32, f64)> {
    trace::tick(&app.context).await.unwrap();
    let id = series_id(pool).await;
    let kept = &app.context.traces;
    let traces = kept.list(pool, &[id], &Range::default()).await.unwrap();
    let points = traces.iter().flat_map(|one| &one.points);
    points
        .map(|point| (point.position, (point.median * 1e3).round() / 1e3))
        .collect()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_trace_follows_what_is_measured(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 6).await;
    measure(&pool, &app, &rows, &[0.1, 0.2, 0.3]).await;
    assert_eq!(traced(&pool, &app).await, [(0, 0.1), (1, 0.2), (2, 0.3)]);
    assert_eq!(
        trace::tick(&app.context).await.unwrap(),
        None,
        "it is done once"
    );
    // A second and a third run of a commit: one point, the median of their medians.
    measure_places(&pool, &app, &rows, &[(1, 0.4), (1, 0.9)]).await;
    assert_eq!(traced(&pool, &app).await[1], (1, 0.4));
    let id = series_id(&pool).await;
    let kept = &app.context.traces;
    let second = kept.list_at(&pool, &[id, id], &[1, 9]).await.unwrap();
    let [(_, point)] = second[..] else {
        panic!("nothing is at position 9: {second:?}")
    };
    assert_eq!((point.samples, point.run_id), (24, 5));
    // A marked run is in, until its repetition stands in for it.
    let worker = TestWorker::register(&app, "secret").await;
    insert_job(&pool, &rows, 3, 100).await;
    let (_, marked) = worker.deliver(0.7, &["throttled"]).await;
    assert_eq!(traced(&pool, &app).await[3], (3, 0.7));
    repetitions::insert_job(&pool, marked).await.unwrap();
    worker.deliver(0.5, &[]).await;
    assert_eq!(traced(&pool, &app).await[3], (3, 0.5));
    // A force push takes the tail away; what comes back has its new place.
    let mut connection = pool.acquire().await.unwrap();
    commits::cut_tail(&mut connection, 1, 2).await.unwrap();
    let hashes = [format!("{:0>40}", "4")];
    commits::append(&mut connection, 1, 1, 2, &hashes)
        .await
        .unwrap();
    drop(connection);
    assert_eq!(traced(&pool, &app).await, [(0, 0.1), (1, 0.4), (2, 0.5)]);
}

/// A trace over ten chunks, with commits a day apart.
async fn long_trace(pool: &PgPool) -> i64 {
    let id = series_id(pool).await;
    let series = traces::list_to_trace(pool, 10).await.unwrap();
    let series = series.into_iter().find(|one| one.id == id).unwrap();
    let all = Range::default();
    let begin = traces::list_chunks(pool, &[id], &all).await.unwrap();
    assert!(begin.is_empty(), "nothing is read from measurements");
    let points: Vec<_> = (0..2500)
        .map(|position| speedwell_backend::domain::trace::TracePoint {
            position,
            committed_at: i64::from(position) * 86_400,
            median: f64::from(position),
            low: 0.0,
            high: 1e9,
            environment_id: 1,
            host_epoch: 0,
            run_id: 1,
            samples: 9,
        })
        .collect();
    let mut connection = pool.acquire().await.unwrap();
    let written = traces::replace(&mut connection, &series, &points)
        .await
        .unwrap();
    assert_eq!(written, 10);
    let mut other = points.clone();
    other[1500].median = 0.5;
    let written = traces::replace(&mut connection, &series, &other)
        .await
        .unwrap();
    assert_eq!(written, 1, "only the chunk that changed is written");
    id
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn ranges_cut_traces_by_position_time_and_number(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 2).await;
    measure(&pool, &app, &rows, &[0.1]).await;
    let id = long_trace(&pool).await;
    let read = async |range: Range| -> Vec<Trace> {
        let kept = &app.context.traces;
        kept.list(&pool, &[id, 999], &range).await.unwrap()
    };
    let ends = |found: &[Trace]| {
        let points = &found[0].points;
        let first = points.first().unwrap().position;
        (first, points.last().unwrap().position, points.len())
    };
    let all = Range::default();
    assert_eq!(ends(&read(all).await), (0, 2499, 2500));
    let newest = |newest| Range { newest, ..all };
    assert_eq!(ends(&read(newest(10)).await), (2490, 2499, 10));
    assert_eq!(ends(&read(newest(1500)).await), (1000, 2499, 1500));
    let places = Range {
        from_position: 1000,
        to_position: 1100,
        newest: 60,
        ..all
    };
    assert_eq!(ends(&read(places).await), (1041, 1100, 60));
    let days = Range {
        from_time: 1020 * 86_400,
        to_time: 1030 * 86_400 + 5,
        ..all
    };
    assert_eq!(ends(&read(days).await), (1020, 1030, 11));
    let days = Range { newest: 3, ..days };
    assert_eq!(ends(&read(days).await), (1028, 1030, 3));
    assert_eq!(
        read(Range {
            from_position: 9000,
            ..all
        })
        .await,
        []
    );
    sqlx::query("UPDATE trace SET points = substr(points, 1, 99) WHERE chunk = 1")
        .execute(&pool)
        .await
        .unwrap();
    let kept = &app.context.traces;
    let error = kept.list(&pool, &[id], &all).await.unwrap_err();
    assert!(error.to_string().contains("cut or damaged"), "{error}");
}
