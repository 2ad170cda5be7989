//! The grid of levels, and the cheapest path through it.

use std::ops::Range;

use super::density::Loss;

/// Levels for one standard deviation of the noise.
const FINENESS: f64 = 5.0;
/// Most levels; a series that ranges wider has a coarser grid.
const MOST_LEVELS: f64 = 1_500.0;

/// Levels that a series can have, and where on it each point lies.
pub(super) struct Grid {
    /// The lowest level.
    pub(super) low: f64,
    /// Distance of two levels.
    pub(super) step: f64,
    /// How many there are.
    pub(super) levels: usize,
    /// Of each point: the nearest level.
    pub(super) cells: Vec<usize>,
}

impl Grid {
    /// `logarithms`: finite, at least one. `noise`: greater than zero.
    pub(super) fn new(logarithms: &[f64], noise: f64) -> Self {
        let low = logarithms.iter().copied().fold(f64::INFINITY, f64::min);
        let high = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let step = (noise / FINENESS).max((high - low) / MOST_LEVELS);
        let cells = logarithms
            .iter()
            .map(|x| ((x - low) / step).round() as usize);
        Self {
            cells: cells.collect(),
            low,
            step,
            levels: ((high - low) / step).round() as usize + 1,
        }
    }

    /// What each level would cost for some points.
    pub(super) fn costs(&self, loss: &Loss, points: Range<usize>) -> Vec<f32> {
        let mut costs = vec![0.0; self.levels];
        for cell in &self.cells[points] {
            for (cost, one) in costs.iter_mut().zip(loss.row(*cell, self.levels)) {
                *cost += one;
            }
        }
        costs
    }

    /// First points of all segments but the first, for which points and penalties together cost least. Exact on the grid.
    pub(super) fn cheapest_path(&self, loss: &Loss, penalty: f64) -> Vec<usize> {
        let penalty = penalty as f32;
        let mut costs = vec![0.0_f32; self.levels];
        // Of each level: the first point of the segment in which the cheapest way there ends.
        let mut since = vec![0_u32; self.levels];
        // Of each point: the same of the cheapest level.
        let mut begins = Vec::with_capacity(self.cells.len());
        // The first point comes from nowhere.
        let mut jump = f32::INFINITY;
        for (point, cell) in (0_u32..).zip(&self.cells) {
            let row = loss.row(*cell, self.levels);
            for ((cost, since), one) in costs.iter_mut().zip(&mut since).zip(row) {
                let jumps = *cost > jump;
                *since = if jumps { point } else { *since };
                *cost = if jumps { jump } else { *cost } + one;
            }
            let (lowest, level) = cheapest(&costs);
            begins.push(since[level]);
            jump = lowest + penalty;
            if point % 1024 == 1023 {
                // Large sums would lose the small differences.
                costs.iter_mut().for_each(|cost| *cost -= lowest);
                jump = penalty;
            }
        }
        let mut changes = Vec::new();
        let mut end = begins.len();
        while let Some(from) = end.checked_sub(1).and_then(|last| begins.get(last)) {
            end = *from as usize;
            if end > 0 {
                changes.push(end);
            }
        }
        changes.reverse();
        changes
    }
}

/// The lowest cost and its level, the first of several.
pub(super) fn cheapest(costs: &[f32]) -> (f32, usize) {
    // Two passes: the first is done several numbers at a time.
    let lowest = costs
        .iter()
        .fold(f32::INFINITY, |a, b| if *b < a { *b } else { a });
    let level = costs.iter().position(|cost| *cost == lowest);
    (lowest, level.unwrap_or(0))
}

/// First point, and the one after the last, of each segment.
pub(super) fn stretches(changes: &[usize], count: usize) -> impl Iterator<Item = (usize, usize)> {
    let from = std::iter::once(0).chain(changes.iter().copied());
    from.zip(changes.iter().copied().chain(std::iter::once(count)))
}
