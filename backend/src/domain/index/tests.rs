//! Places and references of runs, and what a comparison is made of.

use chrono::Duration;

use super::*;
use crate::domain::compare::{Estimate, geometric_mean};

fn run(run_id: i64, position: i32) -> Measured {
    Measured {
        run_id,
        environment_id: 1,
        epoch: None,
        commit_id: i64::from(position),
        position: Some(position),
        own_commits: 0,
        // A week between two commits.
        committed_at: DateTime::UNIX_EPOCH + Duration::weeks(i64::from(position)),
        release: None,
    }
}

fn release(run: Measured, line: [i32; 2], is_final: bool) -> Measured {
    let line = line.to_vec();
    Measured {
        release: Some(Release { line, is_final }),
        ..run
    }
}

fn references(runs: &[Measured]) -> Vec<Option<i64>> {
    places(runs).iter().map(|place| place.reference).collect()
}

#[test]
fn the_reference_is_the_newest_release_before_and_without_one_the_oldest_commit() {
    assert!(places(&[]).is_empty());
    assert_eq!(references(&[run(1, 5)]), [None]);
    // No release: the oldest.
    let runs = [run(1, 5), run(2, 3), run(3, 9)];
    assert_eq!(references(&runs), [Some(2), None, Some(2)]);
    // A final release of the line before a later preview of the same; a preview of the next line before both.
    let runs = [
        run(1, 0),
        release(run(2, 1), [3, 9], true),
        release(run(3, 2), [3, 9], false),
        run(4, 3),
        release(run(5, 4), [3, 10], false),
        run(6, 5),
    ];
    assert_eq!(
        references(&runs),
        [None, Some(1), Some(2), Some(2), Some(2), Some(5)]
    );
}

#[test]
fn a_release_beside_the_branch_comes_after_the_commit_that_it_was_made_from() {
    let beside = Measured {
        own_commits: 3,
        commit_id: 90,
        ..release(run(2, 1), [2, 7], true)
    };
    // The commit itself, measured after the release, is none the less before it.
    let runs = [run(1, 0), beside, run(3, 1), run(4, 2)];
    assert_eq!(references(&runs), [None, Some(1), Some(1), Some(2)]);
    assert!(places(&runs)[1].weekly);
}

#[test]
fn nothing_is_compared_across_environments_epochs_or_a_branch_that_was_left() {
    let mut runs = vec![run(1, 0), run(2, 1), run(3, 2), run(4, 3), run(5, 4)];
    runs[1].environment_id = 2;
    runs[2].epoch = Some(DateTime::UNIX_EPOCH);
    runs[3].position = None;
    assert_eq!(references(&runs), [None, None, None, None, Some(1)]);
    assert!(!places(&runs)[3].weekly);
}

#[test]
fn several_runs_of_a_commit_share_a_reference_and_the_newest_is_one() {
    let runs = [run(7, 0), run(3, 0), run(4, 1), run(5, 1)];
    assert_eq!(references(&runs), [None, None, Some(7), Some(7)]);
}

#[test]
fn a_week_keeps_its_last_commit_and_every_release() {
    let mut runs = [run(1, 0), run(2, 1), run(3, 2), run(4, 2)];
    for one in &mut runs {
        one.committed_at = DateTime::UNIX_EPOCH;
    }
    runs[1] = release(runs[1].clone(), [2, 7], true);
    let weekly: Vec<bool> = places(&runs).iter().map(|place| place.weekly).collect();
    assert_eq!(weekly, [false, true, false, true]);
}

fn values(all: &[(i64, f64)]) -> Values {
    let mut values = Values::default();
    for (id, seconds) in all {
        assert!(values.push(
            *id,
            Metric::WallTime,
            (*seconds, seconds * 0.99, seconds * 1.01)
        ));
    }
    values
}

#[test]
fn the_mean_is_over_what_both_have_and_says_what_is_left_out() {
    let new = values(&[(1, 2.0), (2, 50.0), (4, 9.0)]);
    let old = values(&[(1, 1.0), (2, 100.0), (3, 1.0)]);
    let total = against(&new, &old).unwrap();
    assert_eq!(total.common, [1, 2]);
    assert!(total.mean.abs() < 1e-12);
    assert_eq!((total.only_new, total.only_old), (vec![4], vec![3]));
    // The same as the mean that other pages show.
    let estimate = |median: f64| Estimate {
        median,
        low: median * 0.99,
        high: median * 1.01,
    };
    let pairs = [
        (estimate(2.0), estimate(1.0)),
        (estimate(50.0), estimate(100.0)),
    ];
    let other = geometric_mean(&pairs).unwrap();
    let own = ratio_of(total.mean, total.deviation, 2);
    assert!((own.low - other.low).abs() < 1e-12 && (own.high - other.high).abs() < 1e-12);
    assert_eq!(
        against(&values(&[(1, 1.0)]), &values(&[(2, 1.0)])),
        Err((vec![1], vec![2]))
    );
    assert_eq!(against(&values(&[]), &values(&[])), Err((vec![], vec![])));
}

#[test]
fn what_has_no_logarithm_is_not_taken_and_servers_count_by_the_time_of_a_request() {
    let mut values = Values::default();
    for median in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(!values.push(1, Metric::WallTime, (median, median, median)));
    }
    assert!(values.push(1, Metric::RequestsPerSecond, (100.0, 90.0, 110.0)));
    assert!(
        !values.push(1, Metric::WallTime, (1.0, 1.0, 1.0)),
        "a second value of it"
    );
    assert!(values.push(2, Metric::WallTime, (1e300, 0.0, 1e300)));
    let (logarithm, deviation) = values.of(1).unwrap();
    assert!((logarithm - 0.01_f64.ln()).abs() < 1e-12 && deviation > 0.0);
    assert_eq!(
        values.of(2).unwrap().1,
        0.0,
        "an interval down to zero is none"
    );
    assert_eq!(values.of(3), None);
    assert_eq!(values.only(|id| id == 2).benchmark_ids, [2]);
}
