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
fn values_of_two_sources_are_never_in_one_table() {
    let counted = |runtime: &str, source: &str, median: f64| SuiteResult {
        metric: Some("instructions".to_owned()),
        counter_source: Some(source.to_owned()),
        ..result(runtime, Some(median), 0.0)
    };
    let runtimes = ["a", "b"].map(|name| Runtime {
        name: name.to_owned(),
        run_id: 1,
    });
    let kind = |source| Kind {
        metric: Metric::Instructions,
        source,
    };
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
    assert_eq!(within.label, "Instructions, source valgrind");
    let counted_here = by_baseline(&kind(CounterSource::Pmu), &runtimes, &benchmarks, &all);
    assert!(counted_here.is_none(), "nothing here is of that source");
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
    let metric = |name: &str, found: SuiteResult| SuiteResult {
        benchmark: name.to_owned(),
        metric: Some("gc_pause_max".to_owned()),
        ..found
    };
    let runtimes = ["a", "b"].map(|name| Runtime {
        name: name.to_owned(),
        run_id: 1,
    });
    let benchmarks = [
        suite_benchmark("plain", None),
        suite_benchmark("b", Some("plain")),
    ];
    let results = [
        metric("plain", result("a", Some(2.0), 0.1)),
        metric("b", result("a", Some(2.0), 0.1)),
        metric("b", result("b", None, 0.0)),
    ];
    let kind = of(Metric::GcPauseMax);
    let table = by_baseline(&kind, &runtimes, &benchmarks, &results).unwrap();
    assert!(matches!(
        &table.rows[0].1[..],
        [Cell::Value { .. }, Cell::Unavailable(reason)] if reason == "404"
    ));
    assert!(by_baseline(&kind, &runtimes, &benchmarks, &results[2..]).is_none());
}

#[test]
fn a_ratio_is_coloured_only_where_the_intervals_are_apart() {
    let base = result("a", Some(100.0), 5.0);
    let class =
        |found: &SuiteResult| match cell(of(Metric::RequestsPerSecond), Some(found), Some(&base)) {
            Cell::Value {
                ratio: Some((text, class)),
                ..
            } => (text, class),
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
        Cell::Missing
    ));
    let zero = result("a", Some(0.0), 0.0);
    assert!(matches!(
        cell(of(Metric::RequestsPerSecond), Some(&base), Some(&zero)),
        Cell::Value { ratio: None, .. }
    ));
}
