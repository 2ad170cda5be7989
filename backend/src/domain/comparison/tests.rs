//! Verdicts, reasons and means: what is alike, what is not, and nonsense.

use super::*;

fn value(subject: usize, benchmark: &str, median: f64) -> Entry {
    Entry {
        subject,
        run_id: i64::try_from(subject).unwrap() + 1,
        benchmark: benchmark.to_owned(),
        identity: format!("{benchmark}-1"),
        found: Found::Value(Measured {
            source: CounterSource::Software,
            estimate: Estimate {
                median,
                low: median * 0.999,
                high: median * 1.001,
            },
            samples: 10,
            noise: Repeatability::default(),
        }),
    }
}

fn with(mut entry: Entry, change: impl Fn(&mut Measured)) -> Entry {
    if let Found::Value(one) = &mut entry.found {
        change(one);
    }
    entry
}

fn time(subjects: usize, entries: &[Entry]) -> Comparison {
    compare(Metric::WallTime, None, subjects, entries)
}

fn verdict(comparison: &Comparison, benchmark: &str) -> Verdict {
    let row = comparison
        .rows
        .iter()
        .find(|one| one.benchmark == benchmark);
    row.unwrap().others[0].as_ref().unwrap().verdict
}

fn reason(comparison: &Comparison, benchmark: &str) -> Reason {
    let row = comparison
        .rows
        .iter()
        .find(|one| one.benchmark == benchmark);
    row.unwrap().others[0].as_ref().unwrap_err().reason.clone()
}

#[test]
fn less_time_is_faster_and_more_requests_are() {
    let entries = [
        value(0, "a", 1.0),
        value(1, "a", 0.5),
        value(0, "b", 1.0),
        value(1, "b", 2.0),
    ];
    let comparison = time(2, &entries);
    assert_eq!(verdict(&comparison, "a"), Verdict::Better);
    assert_eq!(verdict(&comparison, "b"), Verdict::Worse);
    let rates = compare(Metric::RequestsPerSecond, None, 2, &entries);
    assert_eq!(verdict(&rates, "a"), Verdict::Worse);
    let mean = comparison.mean(0, &[0]).unwrap();
    assert!((mean.ratio.ratio - 1.0).abs() < 1e-9 && mean.ratio.count == 2);
    assert_eq!((mean.verdict, mean.choice()), (Verdict::Within, None));
    assert_eq!(Verdict::Better.words(Metric::WallTime), "faster");
    assert_eq!(
        Verdict::Better.words(Metric::Instructions),
        "less, which is better"
    );
    assert_eq!(Verdict::Worse.words(Metric::Ipc), "less, which is worse");
}

#[test]
fn a_difference_below_the_noise_between_runs_is_within_the_noise() {
    let noisy = |entry| {
        with(entry, |one| {
            one.noise.runs = Some(0.02);
        })
    };
    let sure = time(2, &[value(0, "a", 1.0), value(1, "a", 1.04)]);
    assert_eq!(verdict(&sure, "a"), Verdict::Worse);
    assert!(!sure.rows[0].others[0].as_ref().unwrap().noise_is_known);
    let close = time(2, &[noisy(value(0, "a", 1.0)), noisy(value(1, "a", 1.04))]);
    assert_eq!(verdict(&close, "a"), Verdict::Within);
    let far = time(2, &[noisy(value(0, "a", 1.0)), noisy(value(1, "a", 1.08))]);
    assert_eq!(verdict(&far, "a"), Verdict::Worse);
    assert!(far.rows[0].others[0].as_ref().unwrap().noise_is_known);
    // The mean knows it as well.
    assert_eq!(close.mean(0, &[0]).unwrap().verdict, Verdict::Within);
}

#[test]
fn what_is_not_alike_is_not_compared() {
    let mut other = value(1, "version", 1.0);
    other.identity = "0123456789abcdef".to_owned();
    let counted = with(value(1, "source", 1.0), |one| {
        one.source = CounterSource::Valgrind
    });
    let mut failed = value(1, "failed", 1.0);
    failed.found = Found::Unavailable("it crashed".to_owned());
    let zero = with(value(1, "zero", 1.0), |one| {
        one.estimate = Estimate {
            median: 0.0,
            low: 0.0,
            high: 0.0,
        };
    });
    let reaches = with(value(1, "reaches", 1.0), |one| one.estimate.low = 0.0);
    let few = with(value(1, "few", 2.0), |one| one.samples = 2);
    let names = [
        "version", "source", "failed", "zero", "reaches", "few", "gone", "fine",
    ];
    let mut entries: Vec<Entry> = names.iter().map(|name| value(0, name, 1.0)).collect();
    entries.extend([other, counted, failed, zero, reaches, few]);
    entries.extend([value(1, "new", 1.0), value(1, "fine", 1.0)]);
    let comparison = time(2, &entries);
    assert_eq!(comparison.source, Some(CounterSource::Software));
    assert_eq!(
        reason(&comparison, "version"),
        Reason::OtherVersion("0123456789ab".to_owned())
    );
    assert_eq!(
        reason(&comparison, "source"),
        Reason::OtherSource(CounterSource::Valgrind)
    );
    assert_eq!(
        reason(&comparison, "failed"),
        Reason::Unavailable("it crashed".to_owned())
    );
    assert_eq!(reason(&comparison, "zero"), Reason::Zero);
    assert_eq!(reason(&comparison, "reaches"), Reason::Zero);
    assert_eq!(reason(&comparison, "gone"), Reason::NotRun);
    assert_eq!(reason(&comparison, "new"), Reason::NoBase);
    assert_eq!(verdict(&comparison, "few"), Verdict::TooFew);
    assert_eq!(verdict(&comparison, "fine"), Verdict::Within);
    assert_eq!(comparison.mean(0, &[0]).unwrap().ratio.count, 1);
    let left_out = comparison.left_out(&[0]);
    assert_eq!(left_out.len(), 8, "each once: {left_out:?}");
    let new = left_out.iter().find(|one| one.benchmark == "new").unwrap();
    assert_eq!((new.subject, new.reason.as_str()), (0, "not run"));
}

#[test]
fn means_are_over_what_all_subjects_have() {
    let mut entries: Vec<Entry> = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        entries.push(value(0, name, 1.0));
        entries.push(value(1, name, if name == "e" { 9.0 } else { 0.5 }));
        if name != "e" {
            entries.push(value(2, name, 2.0));
        }
    }
    let comparison = time(3, &entries);
    let both = comparison.mean(0, &[0, 1]).unwrap();
    assert!((both.ratio.ratio - 0.5).abs() < 1e-9 && both.ratio.count == 4);
    let alone = comparison.mean(0, &[0]).unwrap();
    assert!(alone.ratio.ratio > 0.5 && alone.ratio.count == 5 && alone.choice().is_some());
    let left_out = comparison.left_out(&[0, 1]);
    assert_eq!(left_out.len(), 1);
    assert_eq!(
        (left_out[0].subject, left_out[0].benchmark.as_str()),
        (2, "e")
    );
    assert_eq!(comparison.count(0, Verdict::Better), 4);
    assert_eq!(comparison.count(1, Verdict::Worse), 4);
}

#[test]
fn several_runs_are_one_value_and_the_newest_version_is_compared() {
    let again = |mut entry: Entry, run_id: i64| {
        entry.run_id = run_id;
        entry
    };
    let mut old = again(value(0, "a", 7.0), 1);
    old.identity = "old".to_owned();
    let entries = [
        old,
        again(value(0, "a", 1.0), 5),
        again(value(0, "a", 1.2), 6),
        value(1, "a", 1.1),
    ];
    let comparison = time(2, &entries);
    let row = &comparison.rows[0];
    let base = row.base.as_ref().unwrap();
    assert_eq!((base.runs, base.samples, base.run_id), (2, 20, 6));
    assert!((base.estimate.median - 1.1).abs() < 1e-9);
    assert_eq!(row.identity, "a-1");
    assert_eq!(verdict(&comparison, "a"), Verdict::Within);
}

#[test]
fn nothing_one_and_rubbish_do_no_harm() {
    let nothing = time(2, &[]);
    assert!(nothing.rows.is_empty() && nothing.mean(0, &[0]).is_none() && nothing.source.is_none());
    let one = time(1, &[value(0, "a", 1.0)]);
    assert!(
        one.rows[0].others.is_empty() && !one.rows[0].is_compared() && !one.rows[0].is_changed()
    );
    for median in [f64::NAN, f64::INFINITY, -1.0, f64::MAX, f64::MIN_POSITIVE] {
        let comparison = time(2, &[value(0, "a", median), value(1, "a", 1.0)]);
        let cell = &comparison.rows[0].others[0];
        assert!(
            cell.as_ref()
                .map_or(true, |one| one.ratio.ratio.is_finite()),
            "{median}: {cell:?}"
        );
    }
    let lost = compare(
        Metric::WallTime,
        Some(CounterSource::Pmu),
        2,
        &[value(0, "a", 1.0)],
    );
    assert_eq!(
        lost.rows[0].base,
        Err(Reason::OtherSource(CounterSource::Software))
    );
    let stray = time(1, &[value(7, "a", 1.0)]);
    assert_eq!(stray.rows[0].base, Err(Reason::NotRun));
}
