//! Tables of results: sources apart, ratios only where intervals are.

use super::*;

fn suite_benchmark(name: &str, baseline: Option<&str>) -> SuiteBenchmark {
    SuiteBenchmark {
        version: 1,
        suite_sha256: String::new(),
        created_at: chrono::DateTime::UNIX_EPOCH,
        name: name.to_owned(),
        description: String::new(),
        identity: String::new(),
        script_sha256: String::new(),
        baseline: baseline.map(str::to_owned),
    }
}

fn of(metric: Metric) -> Kind {
    Kind {
        metric,
        source: CounterSource::Software,
    }
}

#[test]
fn values_of_two_sources_are_two_tables() {
    let counted = |runtime: &str, source: &str, median: f64| SuiteResult {
        metric: Some("instructions".to_owned()),
        counter_source: Some(source.to_owned()),
        ..result(runtime, Some(median), 0.0)
    };
    let results = [
        counted("a", "pmu", 90.0),
        counted("a", "valgrind", 100.0),
        counted("b", "valgrind", 200.0),
    ];
    let runtimes = ["a", "b"].map(|name| Runtime {
        name: name.to_owned(),
        run_id: 1,
        baseline: name == "a",
    });
    let kind = |source| Kind {
        metric: Metric::Instructions,
        source,
    };
    let table = by_runtime(&kind(CounterSource::Valgrind), &runtimes, 0, &results).unwrap();
    assert_eq!(table.label, "Instructions, source valgrind");
    assert!(
        matches!(&table.rows[0].1[1], Cell::Value { ratio: Some((text, "regressed")), .. } if text == "2.00×")
    );
    let benchmarks = [
        suite_benchmark("plain", None),
        suite_benchmark("b", Some("plain")),
    ];
    let plain = SuiteResult {
        benchmark: "plain".to_owned(),
        ..counted("a", "valgrind", 40.0)
    };
    let all = [plain, counted("a", "valgrind", 100.0)];
    let within = by_baseline(&kind(CounterSource::Valgrind), &runtimes, &benchmarks, &all);
    let within = within.unwrap();
    assert!(
        matches!(&within.rows[0].1[0], Cell::Value { interval, .. } if interval.starts_with("60") && interval.ends_with(" more")),
        "{}",
        within.label
    );
    let table = by_runtime(&kind(CounterSource::Pmu), &runtimes, 0, &results).unwrap();
    assert!(matches!(table.rows[0].1[1], Cell::Missing));
}

fn result(runtime: &str, median: Option<f64>, spread: f64) -> SuiteResult {
    SuiteResult {
        runtime: runtime.to_owned(),
        host: "h".to_owned(),
        run_id: 1,
        benchmark: "b".to_owned(),
        metric: median.map(|_| "requests_per_second".to_owned()),
        counter_source: median.map(|_| "software".to_owned()),
        median,
        low: median.map(|value| value - spread),
        high: median.map(|value| value + spread),
        count: median.map(|_| 5),
        reason: median.is_none().then(|| "404".to_owned()),
    }
}

#[test]
fn a_benchmark_is_compared_with_its_baseline_on_the_same_runtime() {
    let one = |runtime: &str, name: &str, median: f64| SuiteResult {
        benchmark: name.to_owned(),
        ..result(runtime, Some(median), 1.0)
    };
    let results = [
        one("a", "plain", 100.0),
        one("a", "compiled", 250.0),
        one("b", "plain", 400.0),
    ];
    let runtimes = ["a", "b"].map(|name| Runtime {
        name: name.to_owned(),
        run_id: 1,
        baseline: false,
    });
    let benchmarks = [
        suite_benchmark("plain", None),
        suite_benchmark("compiled", Some("plain")),
    ];
    let metric = &of(Metric::RequestsPerSecond);
    let table = by_baseline(metric, &runtimes, &benchmarks, &results).unwrap();
    assert_eq!(table.rows.len(), 1);
    let (name, cells) = &table.rows[0];
    assert_eq!(name, "compiled against plain");
    assert!(
        matches!(&cells[0], Cell::Value { ratio: Some((text, "improved")), .. } if text == "2.50×")
    );
    assert!(matches!(cells[1], Cell::Missing));
    assert!(by_baseline(metric, &runtimes, &benchmarks[..1], &results).is_none());
    assert!(by_baseline(&of(Metric::WallTime), &runtimes, &benchmarks, &results).is_none());
}

#[test]
fn a_metric_that_one_runtime_cannot_tell_shows_why_beside_the_others() {
    let metric = |found: SuiteResult| SuiteResult {
        metric: Some("gc_pause_max".to_owned()),
        ..found
    };
    let runtimes = ["a", "b", "c"].map(|name| Runtime {
        name: name.to_owned(),
        run_id: 1,
        baseline: name == "a",
    });
    let mute = metric(result("b", None, 0.0));
    let results = [metric(result("a", Some(2.0), 0.1)), mute.clone()];
    let table = by_runtime(&of(Metric::GcPauseMax), &runtimes, 0, &results).unwrap();
    assert!(matches!(
        &table.rows[0].1[..],
        [Cell::Value { .. }, Cell::Unavailable(reason), Cell::Missing] if reason == "404"
    ));
    assert!(by_runtime(&of(Metric::GcPauseMax), &runtimes, 0, &[mute]).is_none());
}

#[test]
fn a_ratio_is_coloured_only_where_the_intervals_are_apart() {
    let base = result("a", Some(100.0), 5.0);
    let class =
        |found: &SuiteResult| match cell(of(Metric::RequestsPerSecond), Some(found), Some(&base)) {
            (
                Cell::Value {
                    ratio: Some((text, class)),
                    ..
                },
                _,
            ) => (text, class),
            _ => ("none".to_owned(), ""),
        };
    assert_eq!(
        class(&result("b", Some(200.0), 5.0)),
        ("2.00×".to_owned(), "improved")
    );
    assert_eq!(
        class(&result("b", Some(50.0), 5.0)),
        ("0.50×".to_owned(), "regressed")
    );
    assert_eq!(
        class(&result("b", Some(106.0), 5.0)),
        ("1.06×".to_owned(), "")
    );
    let single = SuiteResult {
        count: Some(1),
        ..result("b", Some(200.0), 0.0)
    };
    assert_eq!(class(&single), ("2.00×".to_owned(), ""));
    assert_eq!(class(&result("b", None, 0.0)), ("none".to_owned(), ""));
    assert!(matches!(
        cell(of(Metric::WallTime), None, Some(&base)),
        (Cell::Missing, None)
    ));
    let zero = result("a", Some(0.0), 0.0);
    assert_eq!(
        cell(of(Metric::RequestsPerSecond), Some(&base), Some(&zero)).1,
        None
    );
}
