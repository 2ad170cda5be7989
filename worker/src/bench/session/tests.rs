//! Real processes that behave well and badly: they speak the protocol from a shell or from the real harness.

use super::*;
use std::fs;
use std::path::Path;

fn run_python(script: &str, mode: Mode, timeout: Duration) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.py");
    fs::write(&path, script).unwrap();
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness");
    let name = if mode == Mode::Counters {
        "counters"
    } else {
        "timing"
    };
    let settings = format!(
        "{{\"protocol\":1,\"events_fd\":3,\"control_fd\":4,\"mode\":\"{name}\",\"loops\":2,\"warmups\":1,\
         \"warmup_seconds\":0,\"values\":3,\"max_seconds\":10}}"
    );
    let spec = Spec {
        command: vec!["python3".into(), path.into()],
        environment: BTreeMap::from([
            ("PATH".to_owned(), std::env::var_os("PATH").unwrap()),
            ("PYTHONPATH".to_owned(), harness.into()),
            ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".into()),
            ("SPEEDWELL_HARNESS".to_owned(), settings.into()),
        ]),
        folder: "/".into(),
        timeout,
    };
    run(&Sandbox::trusted(), &spec, mode, &Stop::default()).unwrap()
}

const MINUTE: Duration = Duration::from_secs(60);

fn lost(script: &str, timeout: Duration) -> (UnavailableKind, String) {
    match run_python(script, Mode::Timing, timeout) {
        Outcome::Lost(kind, reason) => (kind, reason),
        Outcome::Measured(record) => panic!("measured {record:?}"),
    }
}

#[test]
fn every_iteration_of_a_good_benchmark_arrives() {
    let script =
        "import pyperf, time\nr = pyperf.Runner()\nr.bench_func('nap', time.sleep, 0.01)\n";
    let Outcome::Measured(record) = run_python(script, Mode::Timing, MINUTE) else {
        panic!("lost")
    };
    assert_eq!(record.name, "nap");
    let warmups: Vec<bool> = record.values.iter().map(|value| value.warmup).collect();
    assert_eq!(warmups, [true, false, false, false]);
    assert!(
        record
            .values
            .iter()
            .all(|value| (0.01..0.05).contains(&value.seconds)),
        "{:?}",
        record.values
    );
    assert!(record.max_rss.unwrap() > 1 << 20);
    assert!(record.counts.is_empty());
}

#[test]
fn counters_are_there_for_every_iteration_or_have_a_reason() {
    let script = "import pyperf\nr = pyperf.Runner()\nr.bench_func('work', sum, range(300000))\n";
    let Outcome::Measured(record) = run_python(script, Mode::Counters, MINUTE) else {
        panic!("lost")
    };
    for metric in [Metric::TaskClock, Metric::Instructions] {
        let count = record
            .counts
            .iter()
            .filter(|count| count.metric == metric)
            .count();
        let missing = record
            .unavailable
            .iter()
            .any(|unavailable| unavailable.metric == Some(metric));
        assert!(
            (count == 4) != missing,
            "{metric}: {count} values, missing: {missing}"
        );
    }
}

#[test]
fn a_clock_that_is_read_before_the_start_switches_no_counter() {
    let script = "import pyperf\npyperf.perf_counter()\nr = pyperf.Runner()\npyperf.perf_counter()\n\
                  r.bench_func('work', sum, range(1000))\n";
    assert!(matches!(
        run_python(script, Mode::Counters, MINUTE),
        Outcome::Measured(_)
    ));
}

#[test]
fn a_hanging_benchmark_is_killed_and_says_its_last_words() {
    let (kind, reason) = lost(
        "import time\nprint('about to hang', flush=True)\ntime.sleep(100)\n",
        Duration::from_secs(2),
    );
    assert_eq!(kind, UnavailableKind::TimedOut);
    assert!(reason.contains("about to hang"), "{reason}");
}

#[test]
fn rubbish_is_refused() {
    let (kind, reason) = lost("import os\nos.write(3, b'\\x1b[31m<script>\\n')\n", MINUTE);
    assert_eq!(kind, UnavailableKind::Invalid);
    assert!(
        reason.contains("no event") && !reason.contains('\u{1b}'),
        "{reason}"
    );
    let value = "{\\\"event\\\":\\\"value\\\",\\\"warmup\\\":false,\\\"loops\\\":1,\\\"inner_loops\\\":1,\\\"seconds\\\":-1}";
    let (_, reason) = lost(
        &format!("import os\nos.write(3, b\"{value}\\n\")\n"),
        MINUTE,
    );
    assert!(reason.contains("before its start"), "{reason}");
    let negative =
        "import pyperf\nr = pyperf.Runner()\nr.bench_time_func('back', lambda loops: -0.5)\n";
    assert!(lost(negative, MINUTE).1.contains("is no measurement"));
}

#[test]
fn a_crash_and_a_missing_module_are_told_apart() {
    let (kind, reason) = lost("import os\nos.abort()\n", MINUTE);
    assert_eq!(
        (kind, reason.as_str()),
        (UnavailableKind::Crashed, "signal 6")
    );
    let (kind, reason) = lost("import no_such_module\n", MINUTE);
    assert_eq!(kind, UnavailableKind::NotApplicable);
    assert!(reason.contains("no_such_module"), "{reason}");
    assert_eq!(lost("pass\n", MINUTE).0, UnavailableKind::Invalid);
}

#[test]
fn a_boxed_program_may_open_its_pipes_by_path() {
    let root = nix::unistd::Uid::effective().is_root();
    let sandbox = Sandbox {
        identity: root.then_some((65534, 65534)),
        ..Sandbox::trusted()
    };
    let script = ": > /proc/self/fd/3 && : < /proc/self/fd/4 && echo opened; exit 3";
    let spec = Spec {
        command: ["sh", "-c", script].map(Into::into).into(),
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".into())]),
        folder: "/".into(),
        timeout: MINUTE,
    };
    match run(&sandbox, &spec, Mode::Timing, &Stop::default()).unwrap() {
        Outcome::Lost(_, reason) => assert!(reason.contains("opened"), "{reason}"),
        Outcome::Measured(record) => panic!("measured {record:?}"),
    }
}
