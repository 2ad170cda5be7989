//! What is known of single points besides their numbers.

use std::collections::HashMap;

use super::read::{Line, Timeline};
use crate::context::Context;
use crate::db::timeline::{self, PointDetail};
use crate::domain::trace::TracePoint;
use crate::web::error::Error;

/// Details of points, by series and position.
pub(in crate::web) type Details = HashMap<(i64, i32), PointDetail>;

/// The details of points: one query.
pub(in crate::web) async fn details(
    context: &Context,
    wanted: &[(&Line, &TracePoint)],
) -> Result<Details, Error> {
    if wanted.is_empty() {
        return Ok(Details::new());
    }
    let series: Vec<i64> = wanted.iter().map(|(line, _)| line.series.id).collect();
    let positions: Vec<i32> = wanted.iter().map(|(_, point)| point.position).collect();
    let runs: Vec<i64> = wanted.iter().map(|(_, point)| point.run_id).collect();
    let found = timeline::list_details(&context.planned, &series, &positions, &runs).await?;
    Ok(found
        .into_iter()
        .map(|one| ((one.series_id, one.position), one))
        .collect())
}

/// Every point of every line.
pub(in crate::web) fn every(read: &Timeline) -> Vec<(&Line, &TracePoint)> {
    let points = read
        .lines
        .iter()
        .flat_map(|line| line.points.iter().map(move |point| (line, point)));
    points.collect()
}

/// What names a point in a comparison.
pub(in crate::web) fn compare_key(line: &Line, hash: &str) -> String {
    format!("{}@{hash}~{}", line.series.runtime, line.series.host)
}
