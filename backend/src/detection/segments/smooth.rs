//! Steps told from slopes and waves: a slow movement under a series makes a staircase of steps that no commit made.

use super::density::{median, spread};

/// Regressors at most: a level, three powers of time, and steps.
const MOST: usize = 10;
/// Powers of time in a movement.
const DEGREE: usize = 3;
/// The place of the step that is asked for: after a level and the powers of time.
const STEP: usize = DEGREE + 1;
/// Points on each side of a step that are looked at.
const REACH: usize = 150;

/// What a change is worth beside a smooth movement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Beside {
    /// Squared deviations of the step where the movement is there as well.
    pub(super) step: f64,
    /// Squared deviations of the movement where the step is there as well.
    pub(super) movement: f64,
    /// Squared deviations by which the movement alone tells the points better than the step alone does.
    pub(super) better: f64,
    /// Standard deviation of what neither tells.
    pub(super) noise: f64,
}

/// A step beside other steps, and the points about it by which it is judged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    from: usize,
    to: usize,
    /// The step's place.
    change: usize,
    /// Places of the others, the nearest first.
    others: Vec<usize>,
}

impl Question {
    /// `changes` are the places of all steps, `change` the one that is asked for, in a series of `count` points.
    pub(super) fn new(count: usize, changes: &[usize], change: usize) -> Self {
        let from = change.saturating_sub(REACH);
        let to = (change + REACH).min(count);
        let near = |other: &&usize| **other != change && **other > from + 1 && **other + 1 < to;
        let mut others: Vec<usize> = changes.iter().filter(near).copied().collect();
        others.sort_by_key(|other| other.abs_diff(change));
        others.truncate(MOST - STEP - 1);
        Self {
            from,
            to,
            change,
            others,
        }
    }

    /// Compares by least squares, over points that are cut at four deviations; nothing where there are too few points.
    pub(super) fn answer(&self, logarithms: &[f64]) -> Option<Beside> {
        let count = self.to - self.from;
        if count < 4 * MOST {
            return None;
        }
        let begun: Vec<usize> = std::iter::once(&self.change)
            .chain(&self.others)
            .map(|at| at - self.from)
            .collect();
        let near = cut(&logarithms[self.from..self.to], &begun);
        let equations = Equations::<MOST>::new(&near, DEGREE, &begun);
        let both = equations.left(|_| true);
        let step_alone = equations.left(|regressor| !(1..STEP).contains(&regressor));
        let movement_alone = equations.left(|regressor| regressor != STEP);
        let one_error = both / (count as f64 - (STEP + begun.len()) as f64);
        (one_error > 0.0).then(|| Beside {
            step: (movement_alone - both) / one_error,
            movement: (step_alone - both) / one_error,
            better: (step_alone - movement_alone) / one_error,
            noise: one_error.sqrt(),
        })
    }
}

/// The points, but no farther than four deviations from the median of their segment.
fn cut(points: &[f64], begun: &[usize]) -> Vec<f64> {
    let mut ends = begun.to_vec();
    ends.push(points.len());
    ends.sort_unstable();
    let mut begins = 0;
    let mut levels = Vec::with_capacity(points.len());
    for end in ends {
        let level = median(points[begins..end].to_vec());
        levels.extend(std::iter::repeat_n(level, end - begins));
        begins = end;
    }
    let apart: Vec<f64> = points.iter().zip(&levels).map(|(a, b)| a - b).collect();
    let most = 4.0 * spread(&apart);
    apart
        .iter()
        .zip(&levels)
        .map(|(apart, level)| level + apart.clamp(-most, most))
        .collect()
}

/// The normal equations of least squares.
pub(super) struct Equations<const N: usize> {
    products: [[f64; N]; N],
    targets: [f64; N],
    square: f64,
}

impl<const N: usize> Equations<N> {
    /// Of a level, the powers of time (from -1 to 1) up to `degree`, and then each of `steps`: whether it has begun by a point. In one
    /// go from the last point to the first, for a step is told by the sums over the points that follow it.
    pub(super) fn new(values: &[f64], degree: usize, steps: &[usize]) -> Self {
        let mut all = Self {
            products: [[0.0; N]; N],
            targets: [0.0; N],
            square: 0.0,
        };
        let count = values.len();
        let middle = values.iter().sum::<f64>() / count.max(1) as f64;
        let mut powers = [0.0; 2 * DEGREE + 1];
        let mut targets = [0.0; DEGREE + 1];
        for (index, value) in values.iter().enumerate().rev() {
            let (time, value) = (index as f64 / count as f64 * 2.0 - 1.0, value - middle);
            all.square += value * value;
            let mut power = 1.0;
            for (order, sum) in powers.iter_mut().enumerate() {
                *sum += power;
                if let Some(target) = targets.get_mut(order) {
                    *target += power * value;
                }
                power *= time;
            }
            for (number, _) in steps.iter().enumerate().filter(|(_, at)| **at == index) {
                let own = degree + 1 + number;
                all.targets[own] = targets[0];
                for (order, power) in powers.iter().enumerate().take(degree + 1) {
                    all.products[own][order] = *power;
                    all.products[order][own] = *power;
                }
            }
        }
        all.targets[..=degree].copy_from_slice(&targets[..=degree]);
        for (row, products) in all.products.iter_mut().enumerate().take(degree + 1) {
            products[..=degree].copy_from_slice(&powers[row..=row + degree]);
        }
        for (row, at) in steps.iter().enumerate() {
            for (column, other) in steps.iter().enumerate() {
                let both = count.saturating_sub(*at.max(other));
                all.products[degree + 1 + row][degree + 1 + column] = both as f64;
            }
        }
        all
    }

    /// Sum of squares that is left after the best sum of the regressors that `has` is true for; by elimination.
    pub(super) fn left(&self, has: impl Fn(usize) -> bool) -> f64 {
        let (mut products, mut targets) = (self.products, self.targets);
        let mut told = 0.0;
        for pivot in (0..N).filter(|pivot| has(*pivot)) {
            let scale = products[pivot][pivot];
            if scale < 1e-9 {
                // Nothing that the others do not tell.
                continue;
            }
            told += targets[pivot] * targets[pivot] / scale;
            let (reduced, target) = (products[pivot], targets[pivot]);
            for index in pivot + 1..N {
                let factor = products[index][pivot] / scale;
                for (one, other) in products[index].iter_mut().zip(&reduced) {
                    *one -= factor * other;
                }
                targets[index] -= factor * target;
            }
        }
        (self.square - told).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made-up noise of about one deviation, the same for ever.
    fn noise(index: usize) -> f64 {
        0.01 * (0..6)
            .map(|one| ((index * 6 + one) as f64 * 12.9898).sin())
            .sum::<f64>()
    }

    #[test]
    fn nothing_few_and_constant_points_say_nothing() {
        assert_eq!(Equations::<2>::new(&[], 1, &[]).left(|_| true), 0.0);
        let line = Equations::<2>::new(&[3.0, 5.0, 7.0], 1, &[]);
        assert!(line.left(|_| true) < 1e-12 && (line.left(|one| one == 0) - 8.0).abs() < 1e-12);
        let steps = Equations::<3>::new(&[1.0, 1.0, 4.0, 2.0], 0, &[2, 3]);
        assert!(steps.left(|_| true) < 1e-12 && (steps.left(|one| one < 2) - 2.0).abs() < 1e-12);
        assert_eq!(Question::new(30, &[10], 10).answer(&[1.0; 30]), None);
        assert_eq!(Question::new(100, &[50], 50).answer(&[1.0; 100]), None);
    }

    #[test]
    fn a_slope_tells_a_slope_better_and_a_step_a_step() {
        let slope: Vec<f64> = (0..200)
            .map(|index| noise(index) + 0.0003 * index as f64)
            .collect();
        let of_slope = Question::new(200, &[100], 100).answer(&slope).unwrap();
        assert!(
            of_slope.better > 0.0 && of_slope.step < of_slope.movement,
            "{of_slope:?}"
        );
        let step: Vec<f64> = (0..200)
            .map(|index| noise(index) + if index < 100 { 0.0 } else { 0.05 })
            .collect();
        let of_step = Question::new(200, &[100], 100).answer(&step).unwrap();
        assert!(
            of_step.better < 0.0 && of_step.step > of_step.movement,
            "{of_step:?}"
        );
    }
}
