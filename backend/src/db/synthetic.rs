//! Loading made-up data (`domain/synthetic.rs`) into the real tables. For load tests alone: a database that holds measured data is refused.

mod lines;
mod rows;

use chrono::{DateTime, Duration, Utc};
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor, PgPool};

use self::lines::Lines;
use crate::domain::synthetic::{METRICS, Plan};

/// Bytes of rows that are sent at once.
const PIECE: usize = 1 << 20;

/// The years that the commits lie in; the newest is new.
const YEARS: i64 = 5;

/// Whether the database's data are made up.
pub async fn is_synthetic(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM repository WHERE synthetic)")
        .fetch_one(db)
        .await
}

/// Whether there is anything that made-up data must not lie beside.
pub async fn is_in_use(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM repository) OR EXISTS (SELECT 1 FROM host)")
        .fetch_one(db)
        .await
}

/// Everything but the measurements. `$RUNTIMES` and its like are numbers of the plan; positions begin at 0 on each branch.
const FRAME: &[&str] = &[
    "INSERT INTO repository (name, url, synthetic, last_fetch_at) VALUES ('synthetic', '/synthetic', true, now())",
    "INSERT INTO commit (repository_id, hash, parents, author_name, author_email, authored_at, committed_at, subject, touched_paths, touched_count)
     SELECT 1, encode(sha256(n::text::bytea), 'hex'), '{}', 'Nobody ' || n % 40, 'nobody@synthetic.example', at, at, 'Made-up change number ' || n, '{}', 0
     FROM (SELECT n, now() - interval '5 years' * (1 - (n + 1)::float8 / $LONGEST) AS at FROM generate_series(0, $LONGEST - 1) n) made",
    "INSERT INTO branch (repository_id, name) SELECT 1, 'line-' || n FROM generate_series(0, $RUNTIMES - 1) n",
    // Shorter branches hold the newest commits.
    "INSERT INTO branch_commit SELECT branch.id, row_number() OVER (PARTITION BY branch.id ORDER BY commit.id) - 1, commit.id FROM branch, commit
     WHERE commit.id > CASE WHEN branch.id = 1 THEN 0 ELSE $LONGEST - $COMMITS END",
    "UPDATE branch SET head_commit_id = (SELECT max(id) FROM commit)",
    "INSERT INTO tag (repository_id, name, commit_hash) SELECT 1, format('v3.%s.0', id / 500), hash FROM commit WHERE id % 500 = 250
     UNION ALL SELECT 1, 'v4.0.0', hash FROM commit WHERE id = $LONGEST - 20",
    "INSERT INTO suite (name, version, sha256, description) VALUES ('synthetic', 1, repeat('5', 64), 'Made up for load tests.')",
    "INSERT INTO benchmark (name, description, script_sha256, inputs_sha256, arguments, identity)
     SELECT 'bench_' || n, 'Made-up program number ' || n, repeat('5', 64), repeat('5', 64), '{}', encode(sha256(('b' || n)::bytea), 'hex')
     FROM generate_series(0, $BENCHMARKS - 1) n",
    "INSERT INTO suite_benchmark (suite_id, benchmark_id, ordinal) SELECT 1, id, id FROM benchmark",
    "INSERT INTO runtime (name, language, branch_id, recipe, recipe_sha256, suite_name, ordinal)
     SELECT 'made-up-' || (id - 1), CASE WHEN id % 3 = 0 THEN 'python2' ELSE 'python3' END, id, '{\"name\": \"cpython\", \"profile\": \"plain\", \"family\": \"cpython\", \"sha256\": \"5\"}', '5', 'synthetic', id
     FROM branch ORDER BY id",
    "INSERT INTO host (name, class, token_sha256, last_seen_at) VALUES ('made-up-host', 'local', repeat('5', 64), now())",
    "INSERT INTO environment (host_id, fingerprint, facts) SELECT id, 'made-up', '{}' FROM host",
    "UPDATE host SET environment_id = 1",
    "INSERT INTO artefact (sha256, bytes, kind) VALUES (repeat('5', 64), 1, 'build'), (repeat('6', 64), 1, 'run')",
    // One job, build and run for each place on each branch, in the order of measuring.
    "INSERT INTO job (kind, runtime_id, commit_id, host_class, priority, reason, requester, state, running_on, started_at, finished_at, created_at)
     SELECT 'measure', runtime.id, place.commit_id, 'local', 1, 'newest', 'synthetic', 'succeeded', 1, committed_at, committed_at, committed_at
     FROM runtime JOIN branch_commit place USING (branch_id) JOIN commit ON commit.id = place.commit_id ORDER BY place.commit_id, runtime.id",
    "INSERT INTO build (runtime_id, commit_id, recipe_sha256, toolchain, job_id, host_id, artefact_sha256, installed_bytes, step_seconds, ccache_hits,
        ccache_misses, version, log_tail, created_at)
     SELECT runtime_id, commit_id, '5', 'made up', id, 1, repeat('5', 64), 1, '{}', 0, 0, '3', '', finished_at FROM job ORDER BY id",
    "INSERT INTO run (upload_id, job_id, build_id, runtime_id, commit_id, suite_id, host_id, environment_id, harness_sha256, interpreter, host_notes,
        raw_artefact, started_at, finished_at, created_at)
     SELECT gen_random_uuid(), job_id, id, runtime_id, commit_id, 1, 1, 1, repeat('5', 64), 'made up', '{}', repeat('6', 64), created_at, created_at, created_at
     FROM build ORDER BY id",
];

/// What follows the measurements: noise floors, and regressions of the last weeks.
const AFTER: &[&str] = &[
    "INSERT INTO noise_floor (series_id, environment_id, version, answers_for, process_deviation, process_count, run_deviation, run_count, smallest_change,
        smallest_change_of_five, basis) SELECT id, 1, 'synthetic', changed_at, 0.005, 3, 0.006, 5, 0.012, 0.006, 'runs' FROM series",
    "UPDATE series SET detected_at = changed_at, detector = 'synthetic', traced_at = changed_at",
    "INSERT INTO regression (branch_id, better, state, before_commit_id, after_commit_id, culprit_commit_id, created_at, changed_at)
     SELECT 1 + n % $RUNTIMES, n % 3 = 0, CASE WHEN n % 2 = 0 THEN 'found' ELSE 'confirmed' END, last - n - 1, last - n,
            CASE WHEN n % 2 = 0 THEN last - n END, now() - interval '3 hours' * n, now() - interval '3 hours' * n
     FROM (SELECT n, (SELECT max(id) FROM commit) AS last FROM generate_series(1, 400) n) made WHERE last - n - 1 > 0",
    "INSERT INTO change_point (series_id, regression_id, before_commit_id, commit_id, after_commit_id, better, baseline, value, change, change_low,
        change_high, noise, chance, placed, points_after, state, detector)
     SELECT series.id, regression.id, before_commit_id, after_commit_id, after_commit_id, better, 1, CASE WHEN better THEN 0.96 ELSE 1.04 END,
            CASE WHEN better THEN -0.04 ELSE 0.04 END, CASE WHEN better THEN -0.045 ELSE 0.035 END, CASE WHEN better THEN -0.035 ELSE 0.045 END,
            0.01, 1e-9, 0.9, 5, 'confirmed', 'synthetic'
     FROM regression JOIN runtime USING (branch_id) JOIN series ON series.runtime_id = runtime.id AND metric = 'wall_time'
        AND series.benchmark_id BETWEEN 1 + regression.id % 90 AND 5 + regression.id % 90",
    "SELECT setval(pg_get_serial_sequence('repository', 'id'), 1)",
];

/// Fills an empty, migrated database. `progress`: measurements that are loaded so far. Not one transaction: what is interrupted is dropped and begun anew
/// with an empty database.
pub async fn fill(pool: &PgPool, plan: &Plan, mut progress: impl FnMut(u64)) -> sqlx::Result<()> {
    let mut connection = pool.acquire().await?;
    for statement in FRAME {
        run(&mut connection, plan, statement).await?;
    }
    insert_series(&mut connection, plan).await?;
    let now = Utc::now();
    for year in 0..=YEARS {
        sqlx::query("SELECT ensure_measurement_partition($1)")
            .bind(now - Duration::days(365 * year))
            .execute(&mut *connection)
            .await?;
    }
    let indexes = drop_indexes(&mut connection).await?;
    drop(connection);
    copy_measurements(pool, plan, &mut progress).await?;
    let mut connection = pool.acquire().await?;
    for statement in indexes {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut *connection)
            .await?;
    }
    for statement in AFTER {
        run(&mut connection, plan, statement).await?;
    }
    sqlx::query("VACUUM ANALYZE")
        .execute(&mut *connection)
        .await
        .map(drop)
}

async fn run(db: &mut PgConnection, plan: &Plan, statement: &str) -> sqlx::Result<()> {
    let text = statement
        .replace("$RUNTIMES", &plan.runtimes.to_string())
        .replace("$BENCHMARKS", &plan.benchmarks.to_string())
        .replace("$LONGEST", &plan.longest.to_string())
        .replace("$COMMITS", &plan.commits.to_string());
    sqlx::query(AssertSqlSafe(text)).execute(db).await.map(drop)
}

/// A series' key is 1 + ((runtime * benchmarks) + benchmark) * metrics + metric, all counted from 0.
async fn insert_series(db: &mut PgConnection, plan: &Plan) -> sqlx::Result<()> {
    let used = METRICS.iter().take(plan.metrics);
    let (metrics, sources): (Vec<&str>, Vec<&str>) = used
        .map(|(metric, source)| (metric.as_str(), source.as_str()))
        .unzip();
    sqlx::query(
        "INSERT INTO series (runtime_id, benchmark_id, metric, counter_source, host_id)
         SELECT runtime.id, benchmark.id, kind.metric, kind.source, 1
         FROM runtime, benchmark, unnest($1::text[], $2::text[]) WITH ORDINALITY AS kind (metric, source, place)
         ORDER BY runtime.id, benchmark.id, place",
    )
    .bind(metrics)
    .bind(sources)
    .execute(db)
    .await
    .map(drop)
}

/// Takes away the indexes that would be written in random order, and returns what makes them again.
async fn drop_indexes(db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    let indexes: Vec<(String, String)> = sqlx::query_as(
        "SELECT format('%I', indexname), indexdef FROM pg_indexes WHERE tablename = 'measurement' AND indexname LIKE 'measurement\\_%'
            AND indexname <> 'measurement_pkey'",
    )
    .fetch_all(&mut *db)
    .await?;
    for (name, _) in &indexes {
        sqlx::query(AssertSqlSafe(format!("DROP INDEX {name}")))
            .execute(&mut *db)
            .await?;
    }
    Ok(indexes
        .into_iter()
        .map(|(_, made)| made.replace(" ON ONLY ", " ON "))
        .collect())
}

/// Loads all runs in the order of measuring, and the traces of their series: the trace tick would read each series from as many pages as it has
/// points, which takes hours once they do not fit into memory.
async fn copy_measurements(
    pool: &PgPool,
    plan: &Plan,
    progress: &mut impl FnMut(u64),
) -> sqlx::Result<()> {
    let times: Vec<DateTime<Utc>> =
        sqlx::query_scalar("SELECT committed_at FROM commit ORDER BY id")
            .fetch_all(pool)
            .await?;
    let mut lines: Vec<Lines> = (0..plan.runtimes)
        .map(|runtime| Lines::new(plan, runtime))
        .collect();
    let mut for_traces = pool.acquire().await?;
    let mut connection = pool.acquire().await?;
    without_checks(&mut connection).await?;
    let mut copy = connection.copy_in_raw(rows::COPY).await?;
    let mut sent = rows::begin(PIECE);
    let (mut run, mut done) = (0_i64, 0_u64);
    for (commit, at) in (1_i64..).zip(times) {
        for line in lines.iter_mut().filter(|line| line.holds(commit)) {
            run += 1;
            line.measure(run, commit, at, &mut sent);
            line.pack(&mut for_traces).await?;
            done += plan.of_a_run();
            if sent.len() >= PIECE {
                copy.send(std::mem::replace(
                    &mut sent,
                    Vec::with_capacity(PIECE + 4096),
                ))
                .await?;
                progress(done);
            }
        }
    }
    rows::end(&mut sent);
    copy.send(sent).await?;
    copy.finish().await?;
    for line in &mut lines {
        line.pack_rest(&mut for_traces).await?;
    }
    progress(done);
    // It checks nothing any more: not for others.
    connection.close().await
}

/// Four rows are looked up for each that comes in, and each look-up is kept in memory until the end: hours and gigabytes for a hundred million. What
/// this module makes up refers to what it has made up; who may leave the checks out (a superuser) does.
async fn without_checks(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("SELECT set_config('session_replication_role', 'replica', false) WHERE current_setting('is_superuser')::boolean")
        .execute(connection)
        .await
        .map(drop)
}
