//! The index: a run as one number against the release before it, and which run that is. Pure.
//!
//! The number is the geometric mean of the ratios of times, one per benchmark (Fleming and Wallace, "How not to lie with
//! statistics", 1986), over the benchmarks that both runs have. It is kept as a logarithm: means of logarithms add up.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, Utc};
use speedwell_wire::Metric;

use super::compare::Ratio;

/// Version of these rules; stored with what they made.
pub const INDEX_VERSION: &str = "1";

/// A whole run of a runtime on a host, as far as its place in the index goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The run.
    pub run_id: i64,
    /// Its environment.
    pub environment_id: i64,
    /// When the host's epoch that it was measured in began; absent: before the host's control ever moved.
    pub epoch: Option<DateTime<Utc>>,
    /// Its commit.
    pub commit_id: i64,
    /// Its commit's place on the branch, or that of the newest one there that it contains; absent: it has left the branch.
    pub position: Option<i32>,
    /// Commits that it has beside the branch: 0 for the branch's own, more for a release that is tagged beside it.
    pub own_commits: i32,
    /// When its commit was committed.
    pub committed_at: DateTime<Utc>,
    /// The release that its commit is.
    pub release: Option<Release>,
}

/// A release as it is ranked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// Major and minor version.
    pub line: Vec<i32>,
    /// False: a preview.
    pub is_final: bool,
}

/// What separates runs: an environment, and the beginning of a host's epoch.
type State = (i64, Option<DateTime<Utc>>);
/// Position, commits beside the branch, commit.
type Spot = (i32, i32, i64);
/// Spot, run, index: the order of runs on a branch.
type InOrder = (Spot, i64, usize);
/// Why a run is what others are compared with: a release and where it is; `None`: no release.
type Rank<'a> = Option<(&'a Release, Spot)>;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The run that it is compared with.
    pub reference: Option<i64>,
    /// A release, or the last measured commit of its week.
    pub weekly: bool,
}

/// The place of every run, in their order.
///
/// A run is compared with the newest measured release before it on the branch, in the same environment and epoch: of the
/// newest line, final before preview, nearest. Without a release: with the oldest measured commit. Of several runs of the
/// reference's commit the newest counts.
pub fn places(runs: &[Measured]) -> Vec<Place> {
    let mut places = vec![Place::default(); runs.len()];
    let mut groups: BTreeMap<State, Vec<InOrder>> = BTreeMap::new();
    let mut weeks: BTreeMap<(i32, u32), InOrder> = BTreeMap::new();
    for (index, run) in runs.iter().enumerate() {
        let Some(position) = run.position else {
            continue;
        };
        let key = (
            (position, run.own_commits, run.commit_id),
            run.run_id,
            index,
        );
        let group = groups.entry((run.environment_id, run.epoch)).or_default();
        group.push(key);
        let week = run.committed_at.iso_week();
        let last = weeks.entry((week.year(), week.week())).or_insert(key);
        *last = key.max(*last);
        if let Some(place) = places.get_mut(index) {
            place.weekly = run.release.is_some();
        }
    }
    for (_, _, index) in weeks.into_values() {
        if let Some(place) = places.get_mut(index) {
            place.weekly = true;
        }
    }
    for mut group in groups.into_values() {
        group.sort_unstable();
        refer(runs, &group, &mut places);
    }
    places
}

/// Gives the runs of one environment and epoch, in branch order, their references.
fn refer(runs: &[Measured], group: &[InOrder], places: &mut [Place]) {
    let mut best: Option<(Rank<'_>, i64)> = None;
    for commit in group.chunk_by(|a, b| a.0 == b.0) {
        for (_, _, index) in commit {
            if let Some(place) = places.get_mut(*index) {
                place.reference = best.map(|(_, run_id)| run_id);
            }
        }
        // The last of a commit's runs is its newest.
        let Some((position, run_id, index)) = commit.last() else {
            continue;
        };
        let release = runs.get(*index).and_then(|run| run.release.as_ref());
        let rank = release.map(|release| (release, *position));
        // Of commits that are no releases, the oldest stays.
        if best.is_none_or(|(of_best, _)| rank > of_best) {
            best = Some((rank, *run_id));
        }
    }
}

/// The main values of a run: a time for each benchmark, as logarithm.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Values {
    /// Benchmarks by key, ascending.
    pub benchmark_ids: Vec<i64>,
    /// ln(seconds); of a server: ln(seconds per request).
    pub logarithms: Vec<f64>,
    /// Standard error of each logarithm.
    pub deviations: Vec<f64>,
}

impl Values {
    /// Adds a benchmark's median with its 95 % interval, in the unit of a main metric. Benchmarks come in ascending order; a
    /// second value of one, and what has no logarithm, is left out; whether it was taken.
    pub fn push(
        &mut self,
        benchmark_id: i64,
        metric: Metric,
        (median, low, high): (f64, f64, f64),
    ) -> bool {
        let later = self
            .benchmark_ids
            .last()
            .is_none_or(|last| *last < benchmark_id);
        let logarithm = if metric == Metric::RequestsPerSecond {
            -median.ln()
        } else {
            median.ln()
        };
        if !later || !logarithm.is_finite() {
            return false;
        }
        // An interval that reaches zero, or is none, says nothing of how sure the median is.
        let deviation = (high.ln() - low.ln()) / 3.92;
        self.benchmark_ids.push(benchmark_id);
        self.logarithms.push(logarithm);
        self.deviations.push(if deviation.is_finite() {
            deviation.abs()
        } else {
            0.0
        });
        true
    }

    /// Benchmarks with logarithm and deviation.
    pub fn iter(&self) -> impl Iterator<Item = (i64, f64, f64)> {
        let numbers = self.logarithms.iter().zip(&self.deviations);
        let all = self.benchmark_ids.iter().zip(numbers);
        all.map(|(id, (logarithm, deviation))| (*id, *logarithm, *deviation))
    }

    /// One benchmark's logarithm and deviation.
    pub fn of(&self, benchmark_id: i64) -> Option<(f64, f64)> {
        let place = self.benchmark_ids.binary_search(&benchmark_id).ok()?;
        Some((*self.logarithms.get(place)?, *self.deviations.get(place)?))
    }

    /// Only some of the benchmarks.
    pub fn only(&self, keep: impl Fn(i64) -> bool) -> Self {
        let mut kept = Self::default();
        for (id, logarithm, deviation) in self.iter().filter(|(id, _, _)| keep(*id)) {
            kept.benchmark_ids.push(id);
            kept.logarithms.push(logarithm);
            kept.deviations.push(deviation);
        }
        kept
    }
}

/// A run against another.
#[derive(Debug, Clone, PartialEq)]
pub struct Total {
    /// Mean of ln(new / old).
    pub mean: f64,
    /// Its standard error: what the samples of both runs say, as independent errors. It knows nothing of a host that was
    /// slower on another day.
    pub deviation: f64,
    /// Benchmarks that both have, ascending.
    pub common: Vec<i64>,
    /// Left out: only the new run has a value.
    pub only_new: Vec<i64>,
    /// Left out: only the old one has.
    pub only_old: Vec<i64>,
}

impl Total {
    /// As a ratio with its 95 % interval.
    pub fn ratio(&self) -> Ratio {
        ratio_of(self.mean, self.deviation, self.common.len())
    }
}

/// A comparison: the mean, or what each alone has a value of, new and old.
pub type Compared = Result<Total, (Vec<i64>, Vec<i64>)>;

/// A mean of logarithms and its standard error as a ratio with its 95 % interval.
pub fn ratio_of(mean: f64, deviation: f64, count: usize) -> Ratio {
    Ratio {
        ratio: mean.exp(),
        low: (mean - 1.96 * deviation).exp(),
        high: (mean + 1.96 * deviation).exp(),
        count,
    }
}

/// The geometric mean of new against old over the benchmarks that both have; with what is left out. The mean is absent when
/// they have none in common.
pub fn against(new: &Values, old: &Values) -> Compared {
    let (mut sum, mut variance) = (0.0, 0.0);
    let (mut common, mut only_new) = (Vec::new(), Vec::new());
    for (id, logarithm, deviation) in new.iter() {
        match old.of(id) {
            Some((before, before_deviation)) => {
                sum += logarithm - before;
                variance += deviation.powi(2) + before_deviation.powi(2);
                common.push(id);
            }
            None => only_new.push(id),
        }
    }
    let left = old.benchmark_ids.iter().copied();
    let only_old: Vec<i64> = left.filter(|id| new.of(*id).is_none()).collect();
    if common.is_empty() {
        return Err((only_new, only_old));
    }
    let count = common.len() as f64;
    Ok(Total {
        mean: sum / count,
        deviation: variance.sqrt() / count,
        common,
        only_new,
        only_old,
    })
}

#[cfg(test)]
mod tests;
