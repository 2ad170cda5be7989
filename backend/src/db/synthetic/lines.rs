//! One runtime of the made-up data while it is loaded, commit by commit: its measurements, and its series' points until a chunk of them is whole.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::rows::Row;
use crate::db::traces;
use crate::domain::summary::Summary;
use crate::domain::synthetic::{Plan, Values};
use crate::domain::trace::{TracePoint, chunk_of};

/// A runtime and its series.
pub(super) struct Lines {
    values: Values,
    /// Commits before its first.
    before: i64,
    /// Key of its first series.
    first_series: i64,
    /// Where the next run belongs.
    position: i32,
    /// Points of each series that are not written yet: of one chunk.
    waiting: Vec<Vec<TracePoint>>,
}

impl Lines {
    /// Nothing measured.
    pub(super) fn new(plan: &Plan, runtime: i32) -> Self {
        let of_a_run = plan.of_a_run();
        Self {
            values: Values::new(plan, runtime),
            before: i64::from(plan.longest - plan.commits_of(runtime)),
            first_series: i64::from(runtime) * i64::try_from(of_a_run).unwrap_or(0) + 1,
            position: 0,
            waiting: vec![Vec::new(); usize::try_from(of_a_run).unwrap_or(0)],
        }
    }

    /// Whether this commit is on its branch.
    pub(super) fn holds(&self, commit: i64) -> bool {
        commit > self.before
    }

    /// Appends the rows of the next run.
    pub(super) fn measure(&mut self, run: i64, commit: i64, at: DateTime<Utc>, sent: &mut Vec<u8>) {
        let (position, first_series, waiting) =
            (self.position, self.first_series, &mut self.waiting);
        self.values.next_run(|index, samples, summary| {
            let row = Row {
                at,
                series: first_series + i64::try_from(index).unwrap_or(0),
                run,
                commit,
                position,
            };
            row.write(samples, summary, sent);
            if let Some(points) = waiting.get_mut(index) {
                points.push(point(position, at, run, summary));
            }
        });
        self.position += 1;
    }

    /// Writes the points once their chunk is whole.
    pub(super) async fn pack(&mut self, db: &mut PgConnection) -> sqlx::Result<()> {
        if chunk_of(self.position) == chunk_of(self.position - 1) {
            return Ok(());
        }
        self.pack_rest(db).await
    }

    /// Writes the points that are left.
    pub(super) async fn pack_rest(&mut self, db: &mut PgConnection) -> sqlx::Result<()> {
        let chunks = (self.first_series..).zip(self.waiting.iter().map(Vec::as_slice));
        traces::write(db, chunks).await?;
        self.waiting.iter_mut().for_each(Vec::clear);
        Ok(())
    }
}

/// As the trace tick makes it of the only run of a commit, in the first environment of a host without epochs.
fn point(position: i32, at: DateTime<Utc>, run_id: i64, summary: &Summary) -> TracePoint {
    TracePoint {
        position,
        committed_at: at.timestamp(),
        median: summary.median,
        low: summary.interval_low,
        high: summary.interval_high,
        environment_id: 1,
        host_epoch: 0,
        run_id,
        samples: u32::try_from(summary.count).unwrap_or(u32::MAX),
    }
}
