//! Made-up data for load tests: what is loaded is what was made up.

use speedwell_backend::db::synthetic;
use speedwell_backend::domain::synthetic::{PROCESSES, Plan, Values};
use speedwell_backend::scheduler;
use sqlx::PgPool;

use crate::support::TestApp;

const PLAN: Plan = Plan {
    runtimes: 2,
    benchmarks: 3,
    metrics: 2,
    longest: 300,
    commits: 20,
};

type Row = (i32, i32, f64, f64, Vec<f64>, Vec<i16>, Vec<bool>);

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_is_loaded_is_what_was_made_up(pool: PgPool) {
    let mut loaded = 0;
    synthetic::fill(&pool, &PLAN, |count| loaded = count)
        .await
        .unwrap();
    assert_eq!(loaded, PLAN.measurements());
    let misplaced: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM measurement JOIN series ON series.id = series_id JOIN run ON run.id = run_id
            JOIN runtime ON runtime.id = run.runtime_id JOIN commit ON commit.id = measurement.commit_id
            JOIN branch_commit place ON place.branch_id = runtime.branch_id AND place.commit_id = commit.id
         WHERE series.runtime_id <> run.runtime_id OR run.commit_id <> commit.id OR place.position <> measurement.position
            OR measured_at <> committed_at",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(misplaced, 0);
    // The fifth series of the second runtime, which has the newest twenty commits.
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT position, sample_count, median, interval_high, sample_values, sample_process, sample_warmup
         FROM measurement WHERE series_id = 6 + 5 ORDER BY position",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(rows.len(), 20);
    let mut values = Values::new(&PLAN, 1);
    for (place, row) in (0..).zip(rows) {
        values.next_run(|index, samples, summary| {
            if index == 4 {
                let made = (
                    place,
                    5,
                    summary.median,
                    summary.interval_high,
                    samples.to_vec(),
                    PROCESSES.to_vec(),
                    vec![false; 5],
                );
                assert_eq!(row, made);
            }
        });
    }

    // The tick would make the same traces.
    let chunks: i64 = sqlx::query_scalar("SELECT count(*) FROM trace")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(
        chunks,
        6 * 2 + 6,
        "the longer branch has points of two chunks"
    );
    sqlx::query("UPDATE series SET traced_at = NULL")
        .execute(&pool)
        .await
        .unwrap();
    let app = TestApp::start(&pool).await;
    let told = scheduler::trace::tick(&app.context).await.unwrap();
    assert_eq!(
        told.unwrap(),
        "packed the points of 12 series, 0 chunk(s) anew"
    );

    let others: String = sqlx::query_scalar("SHOW session_replication_role")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(others, "origin", "references are checked again");
}
