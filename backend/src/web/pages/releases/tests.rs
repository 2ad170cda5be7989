//! Waterfalls add up, whatever their parts.

use chrono::DateTime;

use super::*;

fn stop(run_id: i64, position: i32, tag: Option<&str>, environment_id: i64) -> Stop {
    Stop {
        run_id,
        runtime_id: 1,
        runtime: "cpython".to_owned(),
        host_id: 1,
        host: "lab-1".to_owned(),
        environment_id,
        epoch_begins_at: None,
        commit_id: run_id,
        hash: format!("{position:0>40}"),
        position,
        tag: tag.map(str::to_owned),
        measured_at: DateTime::UNIX_EPOCH,
        marked: false,
        recipe_sha256: "r".to_owned(),
        toolchain: "gcc".to_owned(),
    }
}

#[test]
fn a_pair_is_the_newest_and_the_release_before_it_or_says_what_is_missing() {
    let all = [
        stop(1, 0, Some("v1"), 1),
        stop(2, 5, Some("v2"), 1),
        stop(3, 9, None, 1),
        stop(4, 0, Some("v1"), 2),
    ];
    let stops: Vec<&Stop> = all.iter().collect();
    let runs = |from, to| pair(&stops, from, to).map(|(a, b)| (a.run_id, b.run_id));
    assert_eq!(runs("", ""), Ok((2, 3)));
    assert_eq!(runs("v1", ""), Ok((1, 3)));
    assert_eq!(runs("v1", "v2"), Ok((1, 2)));
    assert!(
        runs("v7", "")
            .unwrap_err()
            .contains("from: v7 was not measured")
    );
    assert!(runs("v2", "v1").unwrap_err().contains("follow one another"));
    assert!(pair(&[], "", "").unwrap_err().contains("No release"));
    let apart = [stop(1, 0, Some("v1"), 1), stop(2, 5, Some("v2"), 2)];
    let apart: Vec<&Stop> = apart.iter().collect();
    assert!(
        pair(&apart, "", "")
            .unwrap_err()
            .contains("different states of the host")
    );
}
