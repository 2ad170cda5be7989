//! Explanations of made-up sides.

use super::*;

fn pair(metric: Metric, before: f64, after: f64) -> MetricPair {
    let estimate = |median: f64| Estimate {
        median,
        low: median * 0.999,
        high: median * 1.001,
    };
    MetricPair {
        benchmark: "richards".to_owned(),
        host: "lab-1".to_owned(),
        metric,
        source: CounterSource::Pmu,
        before: estimate(before),
        after: estimate(after),
    }
}

fn evidence(metrics: Vec<MetricPair>) -> Evidence {
    Evidence {
        metrics,
        commits: 1,
        ..Evidence::default()
    }
}

fn share(explanation: &Explanation, kind: Kind) -> Option<f64> {
    let found = explanation.findings.iter().find(|one| one.kind == kind);
    found.and_then(|one| one.share)
}

#[test]
fn more_instructions_are_more_work() {
    let found = explain(&evidence(vec![
        pair(Metric::WallTime, 1.0, 1.052),
        pair(Metric::Instructions, 1e9, 1.051e9),
        pair(Metric::Cycles, 5e8, 5.26e8),
    ]));
    assert!(
        share(&found, Kind::Instructions).unwrap() > 0.95,
        "{found:#?}"
    );
    assert!(share(&found, Kind::Clock).unwrap().abs() < 1e-9);
    assert_eq!(found.findings[0].kind, Kind::Instructions);
    assert!(
        found
            .sentence
            .starts_with("5.2 % slower: it executes more instructions"),
        "{}",
        found.sentence
    );
    let sum: f64 = [Kind::Instructions, Kind::CyclesPerInstruction, Kind::Clock]
        .iter()
        .filter_map(|kind| share(&found, *kind))
        .sum();
    assert!((sum - 1.0).abs() < 1e-9, "the parts add up: {sum}");
}

fn moved_code() -> Vec<MetricPair> {
    vec![
        pair(Metric::WallTime, 1.0, 1.05),
        pair(Metric::Instructions, 1e9, 1.0001e9),
        pair(Metric::Cycles, 5e8, 5.25e8),
        pair(Metric::Retiring, 0.4, 0.381),
        pair(Metric::BadSpeculation, 0.1, 0.095),
        pair(Metric::FrontendBound, 0.3, 0.333),
        pair(Metric::BackendBound, 0.2, 0.191),
    ]
}

#[test]
fn the_same_instructions_fetched_slower_are_layout() {
    let mut evidence = evidence(moved_code());
    let found = explain(&evidence);
    assert!(share(&found, Kind::Layout).unwrap() > 0.6, "{found:#?}");
    assert!(found.sentence.contains("layout"), "{}", found.sentence);
    let sizes = |text: u64, main_loop| Sizes {
        file: "bin/python3".to_owned(),
        sections: vec![(".text".to_owned(), text)],
        main_loop: Some(main_loop),
    };
    evidence.sizes = Some((sizes(100, 50), sizes(100, 50)));
    let found = explain(&evidence);
    assert!(
        found.sentence.contains("only alignment moved"),
        "{}",
        found.sentence
    );
    evidence.sizes = Some((sizes(100, 50), sizes(116, 60)));
    let found = explain(&evidence);
    assert!(!found.sentence.contains("alignment"), "{}", found.sentence);
    let sizes = found.findings.iter().find(|one| one.kind == Kind::Sizes);
    let words = &sizes.unwrap().words;
    assert!(
        words.contains(".text +16 bytes, the main loop +10 bytes"),
        "{words}"
    );
}

#[test]
fn stalls_on_data_are_no_layout() {
    let mut metrics = moved_code();
    metrics.truncate(3);
    metrics.push(pair(Metric::FrontendBound, 0.3, 0.286));
    metrics.push(pair(Metric::BackendBound, 0.2, 0.238));
    metrics.push(pair(Metric::LlcMpki, 1.0, 2.0));
    let found = explain(&evidence(metrics));
    assert_eq!(share(&found, Kind::Layout), None);
    assert!(
        found.sentence.contains("slots lost in the back end"),
        "{}",
        found.sentence
    );
    assert!(
        found
            .findings
            .iter()
            .any(|one| one.kind == Kind::Event && one.words.contains("+100.0 %"))
    );
}

#[test]
fn time_without_counters_is_not_explained_by_them() {
    let found = explain(&evidence(vec![pair(Metric::WallTime, 1.0, 0.9)]));
    assert!(
        found
            .sentence
            .starts_with("10.0 % faster: it is not explained by counters"),
        "{}",
        found.sentence
    );
    assert_eq!(found.findings[0].kind, Kind::Unknown);
    // A slower clock is the host's.
    let found = explain(&evidence(vec![
        pair(Metric::WallTime, 1.0, 1.1),
        pair(Metric::Instructions, 1e9, 1e9),
        pair(Metric::Cycles, 5e8, 5e8),
    ]));
    assert!(
        found.sentence.contains("may be the host"),
        "{}",
        found.sentence
    );
}

#[test]
fn throughput_is_time_turned_around() {
    let found = explain(&evidence(vec![
        pair(Metric::RequestsPerSecond, 100.0, 90.0),
        pair(Metric::Instructions, 90.0, 100.0),
    ]));
    assert!(
        (share(&found, Kind::Instructions).unwrap() - 1.0).abs() < 1e-9,
        "{found:#?}"
    );
    assert!(found.sentence.contains("slower"));
}

#[test]
fn nothing_zero_rubbish_and_no_change_are_told_as_such() {
    let found = explain(&Evidence::default());
    assert!(found.sentence.starts_with("Nothing is known") && found.findings.is_empty());
    let same = explain(&evidence(vec![
        pair(Metric::WallTime, 1.0, 1.0),
        pair(Metric::Instructions, 1e9, 1e9),
    ]));
    assert!(
        same.sentence.contains("do not show the change"),
        "{}",
        same.sentence
    );
    for (before, after) in [
        (0.0, 1.0),
        (1.0, 0.0),
        (f64::NAN, 1.0),
        (1.0, f64::INFINITY),
        (-1.0, 1.0),
        (1e-300, 1e300),
    ] {
        let found = explain(&evidence(vec![
            pair(Metric::WallTime, before, after),
            pair(Metric::Instructions, before, after),
            pair(Metric::Cycles, 1.0, 2.0),
            pair(Metric::FrontendBound, before, after),
        ]));
        assert!(
            !found.sentence.contains("NaN"),
            "{before} {after}: {}",
            found.sentence
        );
        let text = serde_json::to_string(&found).unwrap();
        assert!(serde_json::from_str::<Explanation>(&text).is_ok(), "{text}");
    }
}

#[test]
fn profiles_tell_what_is_beyond_their_error_and_paths_what_was_touched() {
    let part = |name: &str, change, error| Part {
        name: name.to_owned(),
        change,
        error,
    };
    let mut evidence = evidence(vec![pair(Metric::WallTime, 1.0, 1.05)]);
    evidence.profiles = vec![ProfileDifference {
        benchmark: "richards".to_owned(),
        noun: "instructions".to_owned(),
        runs: (1, 2),
        components: vec![part("Main loop", 0.04, 0.0), part("Memory", 0.03, 0.02)],
        functions: vec![
            part("free", 0.001, 0.0),
            part("_PyEval_EvalFrameDefault", 0.04, 0.0),
        ],
    }];
    evidence.paths = Some((vec!["Python/ceval.c".to_owned()], 1));
    let found = explain(&evidence);
    assert_eq!(
        (
            found.profiles[0].components.len(),
            found.profiles[0].functions.len()
        ),
        (1, 1)
    );
    assert!(
        found
            .sentence
            .contains("_PyEval_EvalFrameDefault changed most (+4.0 % of all)"),
        "{}",
        found.sentence
    );
    assert!(
        found
            .findings
            .iter()
            .any(|one| one.words == "The commit touches Python/ceval.c.")
    );
    // JSON keeps it, but for the last digit of a number.
    let text = serde_json::to_string(&found).unwrap();
    let read: Explanation = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (read.findings, read.profiles),
        (found.findings, found.profiles)
    );
}

#[test]
fn sources_are_never_mixed() {
    let mut metrics = vec![
        pair(Metric::WallTime, 1.0, 1.1),
        pair(Metric::Instructions, 1.0, 1.1),
        pair(Metric::Instructions, 1.0, 1.1),
        pair(Metric::Instructions, 1.0, 9.0),
    ];
    metrics[3].source = CounterSource::Valgrind;
    let found = explain(&evidence(metrics));
    let row = found
        .metrics
        .iter()
        .find(|one| one.metric == "instructions")
        .unwrap();
    assert!((row.change - 0.1).abs() < 1e-9 && row.source == "pmu" && row.pairs == 2);
}

/// As seen on CPython 2.7: instructions were confirmed, and single runs on a busy machine happened to differ by 40 % in time.
#[test]
fn what_single_runs_differ_by_is_not_taken_for_a_change_of_time() {
    let metrics = vec![
        pair(Metric::WallTime, 1.0, 0.6),
        pair(Metric::Instructions, 1e9, 0.883e9),
    ];
    let mut evidence = evidence(metrics);
    evidence.confirmed = vec![Metric::Instructions];
    let found = explain(&evidence);
    assert!(
        found
            .sentence
            .starts_with("It executes 11.7 % fewer instructions. No change of time was confirmed"),
        "{}",
        found.sentence
    );
    assert_eq!(share(&found, Kind::Instructions), None);
    assert!(!found.findings.is_empty());
    evidence.confirmed = vec![Metric::MaxRss];
    assert!(explain(&evidence).sentence.starts_with("Nothing is known"));
    evidence.confirmed = vec![Metric::Instructions, Metric::WallTime];
    assert!(explain(&evidence).sentence.contains("40.0 % faster"));
}

#[test]
fn a_longer_warm_up_is_told_with_the_steady_speed() {
    let mut sides = evidence(vec![
        pair(Metric::WallTime, 1.0, 1.001),
        pair(Metric::SteadyTime, 1.0, 1.001),
        pair(Metric::WarmupTime, 0.6, 0.84),
        pair(Metric::BadWarmup, 0.0, 0.0),
    ]);
    assert!(
        !explain(&sides).sentence.contains("steady"),
        "nobody has confirmed a change of the warm-up"
    );
    sides.confirmed = vec![Metric::WarmupTime];
    let found = explain(&sides);
    assert!(
        found.sentence.starts_with(
            "richards takes 40 % longer until it is steady (0.84 s, before 0.60 s); the steady speed is the same"
        ),
        "{}",
        found.sentence
    );
    assert!(found.findings.iter().any(|one| one.kind == Kind::Warmup));
    // With memory, both are told; with time, that comes first.
    sides.confirmed.push(Metric::MaxRss);
    sides.metrics.push(pair(Metric::MaxRss, 1e6, 2e6));
    let sentence = explain(&sides).sentence;
    assert!(
        sentence.contains("40 % longer") && sentence.contains("Peak memory +100.0 %"),
        "{sentence}"
    );
    sides.confirmed = vec![Metric::WallTime, Metric::WarmupTime];
    sides.metrics[0] = pair(Metric::WallTime, 1.0, 1.1);
    let sentence = explain(&sides).sentence;
    assert!(
        sentence.starts_with("10.0 % slower") && sentence.contains("40 % longer"),
        "{sentence}"
    );
}

#[test]
fn a_warm_up_that_was_none_and_a_class_that_is_lost_are_told() {
    let mut sides = evidence(vec![
        pair(Metric::WarmupTime, 0.0, 0.9),
        pair(Metric::BadWarmup, 0.0, 0.0),
    ]);
    sides.confirmed = vec![Metric::WarmupTime];
    assert!(
        explain(&sides).sentence.contains("it was steady at once"),
        "{}",
        explain(&sides).sentence
    );
    sides.metrics = vec![pair(Metric::BadWarmup, 0.0, 1.0)];
    sides.confirmed = vec![Metric::BadWarmup];
    assert_eq!(
        explain(&sides).sentence,
        "richards slows down or never becomes steady in most processes, which it did not."
    );
}
