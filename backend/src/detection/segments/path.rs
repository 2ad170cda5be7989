//! The grid of levels, and the cheapest path through it.

use std::ops::Range;

use super::density::Loss;

/// Levels for one standard deviation of the noise.
const FINENESS: f64 = 5.0;
/// Most levels; a series that ranges wider has a coarser grid.
const MOST_LEVELS: f64 = 1_500.0;
/// Levels that are reckoned at once: so many numbers of four bytes as the widest registers hold.
const LANES: usize = 8;

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
            let lowest = advance(&mut costs, &mut since, row, jump, point);
            let level = first_equal(&costs, lowest);
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

/// Adds one point to the costs of all levels, where a jump from the cheapest level is cheaper from there, and gives the lowest cost.
/// No cost is negative.
fn advance(costs: &mut [f32], since: &mut [u32], row: &[f32], jump: f32, point: u32) -> f32 {
    let (cost_lanes, last_costs) = costs.as_chunks_mut::<LANES>();
    let (since_lanes, last_since) = since.as_chunks_mut::<LANES>();
    let (row_lanes, last_row) = row.as_chunks::<LANES>();
    let mut lowest = [f32::INFINITY; LANES];
    for ((costs, since), row) in cost_lanes.iter_mut().zip(since_lanes).zip(row_lanes) {
        // Read whole and written whole: the compiler then keeps them in registers.
        let (mut here, mut places) = (*costs, *since);
        for (cost, place) in here.iter().zip(&mut places) {
            let jumps = is_more(*cost, jump);
            *place = (*place & !jumps) | (point & jumps);
        }
        for ((cost, own), lowest) in here.iter_mut().zip(row).zip(&mut lowest) {
            *cost = lower(jump, *cost) + own;
            *lowest = lower(*cost, *lowest);
        }
        (*costs, *since) = (here, places);
    }
    let mut lowest = lowest.into_iter().fold(f32::INFINITY, lower);
    for ((cost, since), own) in last_costs.iter_mut().zip(last_since).zip(last_row) {
        let jumps = is_more(*cost, jump);
        *since = (*since & !jumps) | (point & jumps);
        *cost = lower(jump, *cost) + own;
        lowest = lower(*cost, lowest);
    }
    lowest
}

/// All bits where `cost` is more than `other`, both zero or more: numbers that are not negative are ordered as their bits are. With a
/// comparison the compiler makes a branch of it, and does one level at a time.
fn is_more(cost: f32, other: f32) -> u32 {
    let difference = other.to_bits().wrapping_sub(cost.to_bits());
    (difference.cast_signed() >> 31).cast_unsigned()
}

fn lower(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The lowest cost and its level, the first of several.
pub(super) fn cheapest(costs: &[f32]) -> (f32, usize) {
    let (lanes, last) = costs.as_chunks::<LANES>();
    let mut lowest = [f32::INFINITY; LANES];
    for costs in lanes {
        for (cost, lowest) in costs.iter().zip(&mut lowest) {
            *lowest = lower(*cost, *lowest);
        }
    }
    let all = lowest.iter().chain(last).copied();
    let lowest = all.fold(f32::INFINITY, |a, b| lower(b, a));
    (lowest, first_equal(costs, lowest))
}

/// The first place of a cost, 0 where it is nowhere.
fn first_equal(costs: &[f32], wanted: f32) -> usize {
    let has = |lanes: &&[f32; LANES]| {
        let equal = lanes.iter().map(|cost| u32::from(*cost == wanted));
        equal.fold(0, |a, b| a | b) != 0
    };
    let without = costs
        .as_chunks::<LANES>()
        .0
        .iter()
        .take_while(|one| !has(one));
    let from = without.count() * LANES;
    let rest = costs.iter().skip(from).position(|cost| *cost == wanted);
    rest.map_or(0, |place| from + place)
}

/// First point, and the one after the last, of each segment.
pub(super) fn stretches(changes: &[usize], count: usize) -> impl Iterator<Item = (usize, usize)> {
    let from = std::iter::once(0).chain(changes.iter().copied());
    from.zip(changes.iter().copied().chain(std::iter::once(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_is_the_first_of_several_wherever_it_lies() {
        assert_eq!(cheapest(&[]), (f32::INFINITY, 0));
        assert_eq!(cheapest(&[f32::NAN]), (f32::INFINITY, 0));
        for count in 1..20 {
            for place in 0..count {
                let mut costs = vec![f32::MAX; count];
                costs[place..].fill(0.5);
                assert_eq!(cheapest(&costs), (0.5, place), "of {count}");
            }
        }
    }

    #[test]
    fn one_more_point_costs_the_same_in_lanes_and_behind_them() {
        let row: Vec<f32> = (0..19_u8).map(f32::from).collect();
        let (mut costs, mut since) = (vec![9.0; 19], vec![1; 19]);
        costs[5] = 1.0;
        costs[18] = 2.0;
        assert_eq!(advance(&mut costs, &mut since, &row, 4.0, 7), 4.0);
        for (level, (cost, since)) in costs.iter().zip(&since).enumerate() {
            let (own, begins) = match level {
                5 => (1.0, 1),
                18 => (2.0, 1),
                _ => (4.0, 7),
            };
            assert_eq!((*cost, *since), (own + row[level], begins), "{level}");
        }
        assert_eq!(is_more(f32::MAX, f32::INFINITY), 0);
        assert_eq!(is_more(0.0, 0.0), 0);
        assert_eq!(is_more(1.0, 0.5), u32::MAX);
    }
}
