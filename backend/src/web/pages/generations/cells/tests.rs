//! Cells against their base, and what the silicon and the software gave.

use chrono::{DateTime, Duration};
use speedwell_wire::Metric;

use super::*;

fn stop(run_id: i64, host_id: i64, commit_id: i64) -> Stop {
    Stop {
        run_id,
        runtime_id: 1,
        runtime: "cpython".to_owned(),
        host_id,
        host: format!("host-{host_id}"),
        environment_id: host_id,
        epoch_begins_at: None,
        commit_id,
        hash: format!("{commit_id:0>40}"),
        position: i32::try_from(commit_id).unwrap(),
        tag: Some(format!("v{commit_id}")),
        measured_at: DateTime::UNIX_EPOCH + Duration::days(run_id),
        marked: false,
        recipe_sha256: "r".to_owned(),
        toolchain: "gcc".to_owned(),
    }
}

fn packed(seconds: &[(i64, f64)]) -> Packed {
    let mut packed = Packed::default();
    for (id, value) in seconds {
        packed
            .values
            .push(*id, Metric::WallTime, (*value, value * 0.99, value * 1.01));
        packed.ipc.push(Some(2.0));
        packed.frontend_bound.push((*id == 1).then_some(0.4));
    }
    packed
}

#[test]
fn cells_are_compared_over_what_all_have_and_steps_go_along_rows_and_columns() {
    let stops = [stop(1, 2, 1), stop(2, 2, 2), stop(3, 1, 1), stop(4, 1, 3)];
    let all: BTreeMap<i64, Packed> = [
        (1, packed(&[(1, 2.0), (2, 4.0), (3, 1.0)])),
        (2, packed(&[(1, 1.0), (2, 2.0), (3, 1.0)])),
        (3, packed(&[(1, 1.0), (2, 1.0)])),
        (4, packed(&[(9, 1.0)])),
    ]
    .into();
    // Host 2 has the older processor.
    let grid = Grid::new(&stops, &all, |stop| -stop.host_id, |_| true, None);
    let names: Vec<&str> = grid.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!((names, grid.base), (vec!["host-2", "host-1"], 1));
    assert_eq!(
        (grid.common, grid.left_out.as_slice()),
        (2, &[3][..]),
        "another set leaves nobody's out"
    );
    let ratio = |row: usize, column: usize| match &grid.rows[row].cells[column] {
        Cell::Value(value) => Some((value.ratio().ratio * 1e6).round() / 1e6),
        Cell::Missing(_) => None,
    };
    assert_eq!(
        [ratio(0, 0), ratio(1, 0), ratio(1, 1), ratio(2, 1)],
        [Some(1.0), Some(0.5), None, None]
    );
    let expected = (1.0_f64 / 8.0).sqrt();
    assert!((ratio(0, 1).unwrap() - expected).abs() < 1e-5);
    let silicon = grid.silicon();
    assert_eq!(silicon.len(), 1);
    assert_eq!(
        (
            silicon[0].from.as_str(),
            silicon[0].to.as_str(),
            silicon[0].of.as_str()
        ),
        ("host-2", "host-1", "cpython v1")
    );
    let software = grid.software();
    assert_eq!(software.len(), 1);
    assert!((software[0].ratio.ratio - 0.5).abs() < 1e-9);
    let Cell::Value(first) = &grid.rows[0].cells[0] else {
        panic!()
    };
    assert!((first.ipc.unwrap() - 2.0).abs() < 1e-9);
    assert_eq!(first.frontend_bound, None, "one of the two was not counted");

    // Another base turns the ratios around; one benchmark alone.
    let grid = Grid::new(&stops, &all, |stop| -stop.host_id, |id| id == 1, Some(2));
    assert_eq!((grid.base, grid.common), (2, 1));
    let Cell::Value(first) = &grid.rows[0].cells[0] else {
        panic!()
    };
    assert!((first.ratio().ratio - 2.0).abs() < 1e-9);
    let empty = Grid::new(
        &[],
        &BTreeMap::new(),
        |stop| stop.host_id,
        |_| true,
        Some(7),
    );
    assert!(empty.rows.is_empty() && empty.base == 0 && empty.base_words() == "nothing");
}

#[test]
fn only_a_hosts_newest_state_counts_and_only_the_last_versions() {
    let mut all = vec![stop(1, 1, 1), stop(2, 1, 2), stop(3, 1, 3), stop(4, 2, 1)];
    all[0].environment_id = 9;
    let (kept, earlier) = newest_states(all, 1);
    let runs: Vec<i64> = kept.iter().map(|one| one.run_id).collect();
    assert_eq!((runs, earlier), (vec![3, 4], 1));
}
