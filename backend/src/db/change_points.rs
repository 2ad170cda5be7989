//! Change points: rows that stay while the verdicts of their series are made anew, for people and regressions refer to them.

use sqlx::{PgConnection, PgExecutor};

use super::verdicts::{DetectPoint, SeriesToDetect};
use crate::detection::ChangePoint;

/// A stored change point, as the detector's new ones are held against it.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Stored {
    id: i64,
    better: bool,
    state: String,
    commit_id: i64,
    before: Option<i32>,
    at: Option<i32>,
    after: Option<i32>,
    change: f64,
    /// Confirmed, off its branch since a force push, and of a regression whose commit is not known or is off it, too.
    may_move: bool,
}

impl Stored {
    /// Whether it may be the same step: it has the same direction, and both may lie at the same place.
    fn is(&self, change: &ChangePoint, points: &[DetectPoint]) -> bool {
        let (Some(before), Some(after)) = (self.before, self.after) else {
            return false;
        };
        let begins = points[change.between.0].position;
        let ends = points[change.between.1].position;
        self.better == change.better && before < ends && begins < after
    }

    /// Whether it may be the same step of a branch that was rewritten: as large, within half of it.
    fn is_moved(&self, change: &ChangePoint) -> bool {
        let size = self.change.ln_1p();
        let apart = (change.change.change.ln_1p() - size).abs();
        self.may_move && self.better == change.better && apart < size.abs() / 2.0
    }

    /// How far apart the likeliest places are.
    fn distance(&self, change: &ChangePoint, points: &[DetectPoint]) -> u32 {
        self.at
            .map_or(u32::MAX, |at| at.abs_diff(points[change.at].position))
    }
}

/// Writes what the detector sees in a series now. A step that is known keeps its row, its state and its regression, with new numbers; a
/// suspicion that is seen no longer is withdrawn; what was confirmed or refuted stays as it is. What was confirmed on commits that a force
/// push took away goes on at its new place, as a suspicion of its regression. Run it in the transaction that replaces the verdicts.
pub async fn reconcile(
    db: &mut PgConnection,
    series: &SeriesToDetect,
    detector: &str,
    points: &[DetectPoint],
    changes: &[ChangePoint],
) -> sqlx::Result<()> {
    let mut known: Vec<Stored> = sqlx::query_as(
        "SELECT point.id, point.better, point.state, point.commit_id, before.position AS before, at.position AS at,
                after.position AS after, point.change,
                point.state = 'confirmed' AND (before.position IS NULL OR at.position IS NULL OR after.position IS NULL)
                AND EXISTS (SELECT 1 FROM regression WHERE regression.id = point.regression_id
                            AND regression.state IN ('confirmed', 'bisecting', 'found', 'acknowledged')
                            AND NOT EXISTS (SELECT 1 FROM branch_commit place WHERE place.branch_id = regression.branch_id
                                            AND place.commit_id = culprit_commit_id)) AS may_move
         FROM change_point point JOIN series ON series.id = series_id JOIN runtime ON runtime.id = series.runtime_id
         LEFT JOIN branch_commit before ON before.branch_id = runtime.branch_id AND before.commit_id = point.before_commit_id
         LEFT JOIN branch_commit at ON at.branch_id = runtime.branch_id AND at.commit_id = point.commit_id
         LEFT JOIN branch_commit after ON after.branch_id = runtime.branch_id AND after.commit_id = point.after_commit_id
         WHERE series_id = $1 ORDER BY point.id",
    )
    .bind(series.id)
    .fetch_all(&mut *db)
    .await?;
    for change in changes {
        let candidates = known.iter().enumerate().filter(|(_, one)| {
            one.is(change, points) || one.commit_id == points[change.at].commit_id
        });
        let nearest = candidates.min_by_key(|(_, one)| one.distance(change, points));
        let nearest = nearest.map(|(index, _)| index);
        let moved = || known.iter().position(|one| one.is_moved(change));
        match nearest.or_else(moved) {
            Some(index) => {
                let stored = known.swap_remove(index);
                let moves = nearest.is_none();
                update(&mut *db, &stored, moves, detector, points, change).await?;
            }
            None => insert(&mut *db, series.id, detector, points, change).await?,
        }
    }
    let gone: Vec<i64> = known
        .iter()
        .filter(|one| one.state == "suspected")
        .map(|one| one.id)
        .collect();
    sqlx::query(
        "UPDATE change_point SET state = 'withdrawn', changed_at = now() WHERE id = ANY($1)",
    )
    .bind(gone)
    .execute(db)
    .await
    .map(drop)
}

async fn insert(
    db: &mut PgConnection,
    series_id: i64,
    detector: &str,
    points: &[DetectPoint],
    change: &ChangePoint,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO change_point (series_id, before_commit_id, commit_id, after_commit_id, better, baseline, value, change,
                                   change_low, change_high, noise, chance, placed, points_after, state, detector)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'suspected', $15) ON CONFLICT DO NOTHING",
    )
    .bind(series_id)
    .bind(points[change.between.0].commit_id)
    .bind(points[change.at].commit_id)
    .bind(points[change.between.1].commit_id)
    .bind(change.better)
    .bind(change.change.baseline)
    .bind(change.value)
    .bind(change.change.change)
    .bind(change.change.low)
    .bind(change.change.high)
    .bind(change.noise)
    .bind(change.chance)
    .bind(change.placed)
    .bind(i32::try_from(change.points_after).unwrap_or(i32::MAX))
    .bind(detector)
    .execute(db)
    .await
    .map(drop)
}

/// New numbers for a known step. Of one that was confirmed the range stays: a search may rest on it. One that moves to the commits of a
/// rewritten branch is to be measured again there.
async fn update(
    db: &mut PgConnection,
    stored: &Stored,
    moves: bool,
    detector: &str,
    points: &[DetectPoint],
    change: &ChangePoint,
) -> sqlx::Result<()> {
    let settled = !moves && matches!(stored.state.as_str(), "confirmed" | "refuted");
    sqlx::query(
        "UPDATE change_point SET baseline = $2, value = $3, change = $4, change_low = $5, change_high = $6, noise = $7, chance = $8,
                placed = $9, points_after = $10, detector = $11, better = $12,
                before_commit_id = CASE WHEN $13 THEN before_commit_id ELSE $14 END,
                after_commit_id = CASE WHEN $13 THEN after_commit_id ELSE $15 END,
                commit_id = CASE WHEN EXISTS (SELECT 1 FROM change_point other WHERE other.series_id = change_point.series_id
                                              AND other.commit_id = $16 AND other.id <> $1) THEN commit_id ELSE $16 END,
                state = CASE WHEN state = 'withdrawn' OR $17 THEN 'suspected' ELSE state END,
                changed_at = CASE WHEN state = 'withdrawn' OR $17 THEN now() ELSE changed_at END
         WHERE id = $1",
    )
    .bind(stored.id)
    .bind(change.change.baseline)
    .bind(change.value)
    .bind(change.change.change)
    .bind(change.change.low)
    .bind(change.change.high)
    .bind(change.noise)
    .bind(change.chance)
    .bind(change.placed)
    .bind(i32::try_from(change.points_after).unwrap_or(i32::MAX))
    .bind(detector)
    .bind(change.better)
    .bind(settled)
    .bind(points[change.between.0].commit_id)
    .bind(points[change.between.1].commit_id)
    .bind(points[change.at].commit_id)
    .bind(moves)
    .execute(db)
    .await
    .map(drop)
}

/// A suspected change point that no regression has yet.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Ungrouped {
    /// Key.
    pub id: i64,
    /// Its series.
    pub series_id: i64,
    /// Branch of the series' runtime.
    pub branch_id: i64,
    /// The runtime.
    pub runtime_id: i64,
    /// The host.
    pub host_id: i64,
    /// The benchmark's name.
    pub benchmark: String,
    /// The metric.
    pub metric: String,
    /// Direction.
    pub better: bool,
    /// Likeliest commit.
    pub commit_id: i64,
    /// Commits of the range, and their positions.
    pub before_commit_id: i64,
    /// The last that may be the first.
    pub after_commit_id: i64,
    /// Position of the first.
    pub before_position: i32,
    /// Position of the second.
    pub after_position: i32,
    /// Size as a ratio minus one.
    pub change: f64,
    /// Probability of chance.
    pub chance: f64,
}

/// Suspected change points without a regression, whose change is not held back for the host's sake; newest commits first, by runtime and host.
pub async fn list_ungrouped(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<Ungrouped>> {
    sqlx::query_as(
        "SELECT point.id, point.series_id, runtime.branch_id, series.runtime_id, series.host_id, benchmark.name AS benchmark, metric,
                better, point.commit_id, before_commit_id, after_commit_id, before.position AS before_position,
                after.position AS after_position, point.change, chance
         FROM change_point point JOIN series ON series.id = point.series_id JOIN runtime ON runtime.id = series.runtime_id
         JOIN benchmark ON benchmark.id = series.benchmark_id
         JOIN branch_commit before ON before.branch_id = runtime.branch_id AND before.commit_id = before_commit_id
         JOIN branch_commit after ON after.branch_id = runtime.branch_id AND after.commit_id = after_commit_id
         JOIN verdict ON verdict.series_id = point.series_id AND verdict.commit_id = point.commit_id
         WHERE point.state = 'suspected' AND regression_id IS NULL AND NOT runtime.control
           AND (held IS NULL OR held = 'unconfirmed')
         ORDER BY point.commit_id DESC, series.runtime_id, series.host_id, point.id LIMIT $1",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// How many series a runtime's host has judged at a commit: among so many a suspicion may be chance.
pub async fn count_judged(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    host_id: i64,
    commit_id: i64,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM verdict JOIN series ON series.id = series_id
         WHERE commit_id = $3 AND runtime_id = $1 AND host_id = $2 AND state <> 'too_few'",
    )
    .bind(runtime_id)
    .bind(host_id)
    .bind(commit_id)
    .fetch_one(db)
    .await
}

/// Sets the outcome of change points that were measured again; the holds of their verdicts follow with
/// [`super::holds::update_series`].
pub async fn set_state(
    db: impl PgExecutor<'_>,
    ids: &[i64],
    state: ChangePointState,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE change_point SET state = $2, changed_at = now() WHERE id = ANY($1)")
        .bind(ids)
        .bind(state.as_str())
        .execute(db)
        .await
        .map(drop)
}

/// Where a change point is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangePointState {
    /// Seen by the detector.
    Suspected,
    /// Measured again, and there.
    Confirmed,
    /// Measured again, and not there.
    Refuted,
    /// Seen no longer.
    Withdrawn,
}

impl ChangePointState {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Withdrawn => "withdrawn",
        }
    }
}
