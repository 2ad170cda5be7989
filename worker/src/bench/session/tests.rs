//! Real processes that behave well and badly: they speak the protocol from a shell or from the real harness.

use super::super::plan::Mode;
use super::super::valgrind;
use super::*;
use std::fs;
use std::path::Path;

pub(super) fn turn(mode: Mode) -> Turn {
    Turn {
        benchmark: 0,
        process: 0,
        mode,
    }
}

/// What runs a script by the harness, from a folder that must outlive it.
pub(super) fn spec(folder: &Path, script: &str, mode: Mode, timeout: Duration) -> Spec {
    let path = folder.join("bench.py");
    fs::write(&path, script).unwrap();
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness");
    let name = match mode {
        Mode::Counters | Mode::Sampling => "counters",
        Mode::Timing | Mode::Instructions | Mode::Profile => "timing",
    };
    let settings = format!(
        "{{\"protocol\":1,\"events_fd\":3,\"control_fd\":4,\"mode\":\"{name}\",\"loops\":2,\"warmups\":1,\
         \"warmup_seconds\":0,\"values\":3,\"max_seconds\":10}}"
    );
    Spec {
        command: vec!["python3".into(), path.into()],
        environment: BTreeMap::from([
            ("PATH".to_owned(), std::env::var_os("PATH").unwrap()),
            ("PYTHONPATH".to_owned(), harness.into()),
            ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".into()),
            ("SPEEDWELL_HARNESS".to_owned(), settings.into()),
        ]),
        folder: "/".into(),
        timeout,
    }
}

fn run_python(script: &str, mode: Mode, timeout: Duration) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(folder.path(), script, mode, timeout);
    run(&Sandbox::trusted(), &spec, &turn(mode), &Stop::default()).unwrap()
}

pub(super) const MINUTE: Duration = Duration::from_secs(60);

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
    let memory = |metric| *record.once[&metric].as_ref().unwrap();
    let (peak, steady) = (memory(Metric::MaxRss), memory(Metric::SteadyRss));
    // The kernel's peak may lag behind by the pages that each processor counts for itself.
    assert!(steady > 1e6 && steady < peak + 4e6, "{steady} of {peak}");
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
        Duration::from_secs(10),
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
fn what_a_script_reports_arrives_with_its_memory() {
    let script = "import pyperf\nr = pyperf.Runner()\nkept = []\n\
                  def after(loops):\n    r.report('step_p50', 0.25e-6)\n    r.report('gc_collections', 0)\n    \
                  r.report('gc_pause_max', reason='it cannot \\x1b[1mtell')\n\
                  r.around_values(after=after)\n\
                  def work():\n    data = bytearray(64 << 20)\n    kept[:] = [bytearray(8 << 20)]\n\
                  r.bench_func('work', work)\n";
    let Outcome::Measured(record) = run_python(script, Mode::Timing, MINUTE) else {
        panic!("lost")
    };
    assert_eq!(record.once[&Metric::StepP50], Ok(0.25e-6));
    assert_eq!(record.once[&Metric::GcCollections], Ok(0.0));
    let (kind, reason) = record.once[&Metric::GcPauseMax].clone().unwrap_err();
    assert_eq!(kind, UnavailableKind::Unsupported);
    assert!(
        reason.starts_with("it cannot") && !reason.contains('\u{1b}'),
        "{reason}"
    );
    // 64 MiB came and went in each iteration.
    let memory = |metric| *record.once[&metric].as_ref().unwrap();
    assert!(
        memory(Metric::MaxRss) > memory(Metric::SteadyRss) + f64::from(50 << 20),
        "{:?}",
        record.once
    );
}

#[test]
fn a_script_reports_only_what_is_its_own_and_can_be() {
    for (report, complaint) in [
        ("'wall_time', 1.0", "no metric that a script may report"),
        ("'steady_rss', 1.0", "no metric that a script may report"),
        ("'x' * 400, 1.0", "no metric that a script may report"),
        ("'step_p50', 0.0", "it reported 0 as step_p50"),
        ("'step_p50', -1.0", "it reported -1 as step_p50"),
        ("'step_max', 1e9", "it reported 1000000000 as step_max"),
        ("'gc_time_share', 1.5", "it reported 1.5 as gc_time_share"),
        ("'step_p50', float('nan')", "no event"),
        (
            "'gc_pause_max', reason='no'); r.report('gc_pause_max', 1e-9",
            "twice",
        ),
    ] {
        let script = format!(
            "import pyperf\nr = pyperf.Runner()\ndef work():\n    r.report({report})\nr.bench_func('work', work)\n"
        );
        let (kind, reason) = lost(&script, MINUTE);
        assert_eq!(kind, UnavailableKind::Invalid, "{report}: {reason}");
        assert!(
            reason.contains(complaint) && reason.len() < 1000,
            "{report}: {reason}"
        );
    }
}

#[test]
fn children_are_the_benchmark_and_their_memory_is_theirs() {
    let script = "import pyperf, sys\nheap = bytearray(100 << 20)\nr = pyperf.Runner()\n\
                  plain = [sys.executable, '-S', '-c', 'pass']\n\
                  rest = 'import sys; print(\\'resting\\'); sys.stdout.flush(); sys.stdin.read()'\n\
                  r.bench_command('start', plain, resting=[sys.executable, '-S', '-c', rest] if RESTING else None)\n";
    let of = |resting| match run_python(&script.replace("RESTING", resting), Mode::Timing, MINUTE) {
        Outcome::Measured(record) => record.once,
        Outcome::Lost(kind, reason) => panic!("{kind:?}: {reason}"),
    };
    let resting = of("True");
    for metric in [Metric::MaxRss, Metric::SteadyRss] {
        let bytes = *resting[&metric].as_ref().unwrap();
        assert!((1e6..50e6).contains(&bytes), "{metric}: {bytes}");
    }
    let ended = of("False");
    let reason = |metric| ended[&metric].clone().unwrap_err().1;
    assert!(
        reason(Metric::MaxRss).contains("no larger than"),
        "{ended:?}"
    );
    assert!(reason(Metric::SteadyRss).contains("ended"), "{ended:?}");
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
    match run(&sandbox, &spec, &turn(Mode::Timing), &Stop::default()).unwrap() {
        Outcome::Lost(_, reason) => assert!(reason.contains("opened"), "{reason}"),
        Outcome::Measured(record) => panic!("measured {record:?}"),
    }
}

/// Instructions of one loop of `adds` additions in a row, counted by valgrind.
fn count_additions(adds: usize) -> f64 {
    let script = format!(
        "import pyperf\ndef work(loops):\n    z, x = 0, 1\n    begun = pyperf.perf_counter()\n    for _ in range(loops):\n        {}\n    return pyperf.perf_counter() - begun\n\
         r = pyperf.Runner()\nr.bench_time_func('add', work)\n",
        "z = z + x; ".repeat(adds)
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.py");
    fs::write(&path, script).unwrap();
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness");
    let mut counts = [1_000_u64, 2_000].map(|loops| {
        let settings = format!(
            "{{\"protocol\":1,\"events_fd\":3,\"control_fd\":4,\"mode\":\"timing\",\"loops\":{loops},\"warmups\":0,\
             \"warmup_seconds\":0,\"values\":1,\"max_seconds\":200}}"
        );
        let mut command = valgrind::prefix(folder.path());
        command.extend(["/usr/bin/python3".into(), path.clone().into()]);
        let spec = Spec {
            command,
            environment: BTreeMap::from([
                ("PATH".to_owned(), "/usr/bin:/bin".into()),
                ("PYTHONPATH".to_owned(), harness.clone().into()),
                ("PYTHONHASHSEED".to_owned(), "0".into()),
                ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".into()),
                ("SPEEDWELL_HARNESS".to_owned(), settings.into()),
            ]),
            folder: folder.path().into(),
            timeout: 5 * MINUTE,
        };
        let outcome = run(&Sandbox::trusted(), &spec, &turn(Mode::Instructions), &Stop::default());
        let Outcome::Measured(_) = outcome.unwrap() else {
            panic!("lost")
        };
        let log = fs::read_to_string(valgrind::log_file(folder.path())).unwrap();
        valgrind::instructions(&log).unwrap()
    });
    counts.sort_unstable();
    valgrind::per_loop(counts[0], counts[1], 1_000).unwrap()
}

/// Counts of one build repeat to the instruction; what differs between two loops is what differs between their programs.
#[test]
fn instructions_under_valgrind_repeat_exactly() {
    let (ten, again, twenty) = (
        count_additions(10),
        count_additions(10),
        count_additions(20),
    );
    // The clock's value, printed as JSON, has a digit more or less from time to time.
    assert!((ten - again).abs() < 20.0, "{ten} and {again}");
    let one = (twenty - ten) / 10.0;
    assert!(
        (30.0..400.0).contains(&one),
        "{one} instructions for an addition"
    );
}

/// What a script does before it is timed is not in its profile, and what it times is.
#[test]
fn only_the_timed_region_is_sampled() {
    let script = "import pyperf, time, zlib\nend = time.time() + 0.5\nwhile time.time() < end: pass\n\
        data = b'x' * (1 << 24)\ndef work():\n  for _ in range(20): zlib.crc32(data)\n\
        pyperf.Runner().bench_func('crc', work)\n";
    let Outcome::Measured(record) = run_python(script, Mode::Sampling, MINUTE) else {
        panic!("lost")
    };
    let profile = match record.profile.unwrap() {
        Ok(profile) => profile,
        Err(reason) => {
            assert!(reason.contains("perf_event_open"), "{reason}");
            eprintln!("skipped: {reason}");
            return;
        }
    };
    let sampled = profile.tool.sampled().unwrap();
    assert_eq!(sampled.per, 6.0, "two loops of three values");
    let of_library = profile
        .stacks
        .iter()
        .filter(|stack| stack.object.starts_with("libz"));
    let share = of_library.map(|stack| stack.count).sum::<f64>() / profile.total;
    assert!(share > 0.8, "{share}: {:?}", profile.stacks);
    let timed: f64 = record
        .values
        .iter()
        .skip(1)
        .map(|one| 2.0 * one.seconds)
        .sum();
    let (counted, least) = match sampled.source {
        // Time that others had the processor is measured, and not counted.
        CounterSource::Software => (sampled.counted, 0.0),
        // QEMU's precise mode: a cycle is an instruction, and takes a nanosecond. Nothing else runs in the guest.
        CounterSource::PmuEmulated => (sampled.counted * 1e-9, 0.5 * timed),
        // How long a cycle takes is this machine's own affair.
        CounterSource::Pmu | CounterSource::Valgrind => return,
    };
    assert!(
        counted > least && counted < 1.2 * timed,
        "{counted} of {timed} s"
    );
}
