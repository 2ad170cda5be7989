//! The grid of levels, and the cheapest path through it.

use std::ops::Range;

use super::density::Loss;

/// Levels for one standard deviation of the noise.
const FINENESS: f64 = 5.0;
/// Most levels; a series that ranges wider has a coarser grid.
const MOST_LEVELS: f64 = 1_500.0;
/// Levels that are reckoned at once: so many numbers of four bytes as the widest registers hold.
const LANES: usize = 8;
/// Points after which open levels are looked through, where more are open than are worth the trouble.
const REVIEWED: usize = 8;
const NARROW: usize = 64;
/// Fewer points are summed up one by one.
const FEW: usize = 16;

/// Levels that a series can have, and where on it each point lies.
pub(super) struct Grid {
    /// The lowest level.
    pub(super) low: f64,
    /// Distance of two levels.
    pub(super) step: f64,
    /// How many there are: whole lanes, so that the highest may lie above all points.
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
        let cells = logarithms.iter().map(|x| cell(*x, low, step));
        Self {
            cells: cells.collect(),
            low,
            step,
            levels: (cell(high, low, step) + 1).next_multiple_of(LANES),
        }
    }

    /// One more point, which lies between the lowest and the highest level.
    pub(super) fn push(&mut self, logarithm: f64) {
        self.cells.push(cell(logarithm, self.low, self.step));
    }

    /// What each level would cost for some points: points of one cell at once.
    pub(super) fn costs(&self, loss: &Loss, points: Range<usize>) -> Vec<f32> {
        let mut costs = vec![0.0; self.levels];
        let cells = &self.cells[points];
        if cells.len() < FEW {
            for cell in cells {
                add(&mut costs, loss.row(*cell, self.levels), 1.0);
            }
            return costs;
        }
        let lowest = cells.iter().copied().min().unwrap_or(0);
        let highest = cells.iter().copied().max().unwrap_or(0);
        let mut counts = vec![0_u32; highest - lowest + 1];
        for cell in cells {
            counts[cell - lowest] += 1;
        }
        for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let row = loss.row(lowest + index, self.levels);
            add(&mut costs, row, *count as f32);
        }
        costs
    }
}

/// The nearest level of a grid, by its number.
fn cell(logarithm: f64, low: f64, step: f64) -> usize {
    ((logarithm - low) / step + 0.5) as usize
}

fn add(costs: &mut [f32], row: &[f32], times: f32) {
    for (cost, one) in costs.iter_mut().zip(row) {
        *cost += times * one;
    }
}

/// The cheapest way to each level, as far as the points have been looked at: one more point costs one step. Exact on the grid.
///
/// Most levels are dearer to stay at than to jump to. They cost what the jump does, and are not reckoned: such a level becomes worth
/// staying at by a point that it tells better than the cheapest level does, and only there is it looked for.
pub(super) struct Path {
    penalty: f32,
    /// Nats of each level that is open, all others infinite.
    costs: Vec<f32>,
    /// Of each open level: the first point of the segment in which the cheapest way there ends.
    since: Vec<u32>,
    /// Levels that may be cheaper to stay at than to jump to; whole lanes.
    open: Range<usize>,
    /// What it costs to jump to any level.
    jump: f32,
    /// The cheapest level.
    level: usize,
    /// Of each point: the first point of the segment in which the cheapest way to it ends.
    begins: Vec<u32>,
}

impl Path {
    /// `penalty`: nats of each change of level.
    pub(super) fn new(grid: &Grid, loss: &Loss, penalty: f64) -> Self {
        let mut path = Self {
            penalty: penalty as f32,
            costs: vec![0.0; grid.levels],
            since: vec![0; grid.levels],
            open: 0..grid.levels,
            // The first point comes from nowhere.
            jump: f32::INFINITY,
            level: 0,
            begins: Vec::with_capacity(grid.cells.len()),
        };
        path.extend(grid, loss);
        path
    }

    /// Goes on to the last point of the grid.
    pub(super) fn extend(&mut self, grid: &Grid, loss: &Loss) {
        for point in self.begins.len()..grid.cells.len() {
            let cell = grid.cells[point];
            let row = loss.row(cell, grid.levels);
            if self.open.len() < grid.levels {
                self.open_by(loss.cheaper_than(row[self.level], cell), grid.levels);
            }
            let open = self.open.clone();
            let lowest = advance(
                &mut self.costs[open.clone()],
                &mut self.since[open.clone()],
                &row[open.clone()],
                self.jump,
                point as u32,
            );
            if self.costs[self.level] != lowest {
                self.level = open.start + first_equal(&self.costs[open.clone()], lowest);
            }
            self.begins.push(self.since[self.level]);
            self.jump = lowest + self.penalty;
            if point % 1024 == 1023 {
                // Large sums would lose the small differences.
                self.costs[open.clone()]
                    .iter_mut()
                    .for_each(|cost| *cost -= lowest);
                self.jump = self.penalty;
            }
            if point % REVIEWED == 0 && open.len() > NARROW {
                self.close();
            }
        }
    }

    /// Opens the levels that a point may make worth staying at.
    fn open_by(&mut self, cheaper: Range<usize>, levels: usize) {
        let from = cheaper.start.min(self.open.start) / LANES * LANES;
        let to = cheaper.end.min(levels).max(self.open.end);
        self.open = from..to.next_multiple_of(LANES);
    }

    /// Closes the lanes at both ends in which it is no dearer to jump than to stay.
    fn close(&mut self) {
        let jump = self.jump;
        let is_dear = |costs: &[f32]| costs.iter().all(|cost| *cost >= jump);
        let lanes = self.costs[self.open.clone()].chunks(LANES);
        let first = lanes.clone().take_while(|lane| is_dear(lane)).count();
        let last = lanes.rev().take_while(|lane| is_dear(lane)).count();
        let (from, to) = (self.open.start, self.open.end);
        let start = from + first * LANES;
        let end = to - last * LANES;
        self.costs[from..start].fill(f32::INFINITY);
        self.costs[end..to].fill(f32::INFINITY);
        self.open = start..end;
    }

    /// First points of all segments but the first, for which points and penalties together cost least.
    pub(super) fn changes(&self) -> Vec<usize> {
        let mut changes = Vec::new();
        let mut end = self.begins.len();
        while let Some(from) = end.checked_sub(1).and_then(|last| self.begins.get(last)) {
            end = *from as usize;
            if end > 0 {
                changes.push(end);
            }
        }
        changes.reverse();
        changes
    }
}

/// Adds one point to the costs of levels, whole lanes, where a jump from the cheapest level is cheaper from there, and gives the lowest
/// cost. No cost is negative.
fn advance(costs: &mut [f32], since: &mut [u32], row: &[f32], jump: f32, point: u32) -> f32 {
    let lanes = costs.as_chunks_mut::<LANES>().0.iter_mut();
    let since = since.as_chunks_mut::<LANES>().0;
    let rows = row.as_chunks::<LANES>().0;
    let mut lowest = [f32::INFINITY; LANES];
    for ((costs, since), row) in lanes.zip(since).zip(rows) {
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
    lowest.into_iter().fold(f32::INFINITY, lower)
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
    fn one_more_point_costs_its_own_at_each_level_from_there_or_by_a_jump() {
        let row: Vec<f32> = (0..24_u8).map(f32::from).collect();
        let (mut costs, mut since) = (vec![9.0; 24], vec![1; 24]);
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
