//! Steps told from slopes and waves: a slow movement under a series makes a staircase of steps that no commit made.

use super::density::{median, spread};

/// Regressors at most: a level, three powers of time, and steps.
const MOST: usize = 10;
/// The place of the step that is asked for: after a level and three powers of time.
const STEP: usize = 4;
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

/// Compares by least squares, over points that are cut at four deviations. `changes` are the places of all steps, `change` the one
/// that is asked for; nothing where there are too few points.
pub(super) fn beside(logarithms: &[f64], changes: &[usize], change: usize) -> Option<Beside> {
    let from = change.saturating_sub(REACH);
    let to = (change + REACH).min(logarithms.len());
    let mut others: Vec<usize> = changes
        .iter()
        .copied()
        .filter(|other| *other != change && *other > from + 1 && *other + 1 < to)
        .collect();
    others.sort_by_key(|other| other.abs_diff(change));
    others.truncate(MOST - STEP - 1);
    let count = to - from;
    if count < 4 * MOST {
        return None;
    }
    let near = cut(&logarithms[from..to], from, &others, change);
    let equations = Equations::new(&near, |index| {
        let time = index as f64 / count as f64 * 2.0 - 1.0;
        let begun = |place: usize| f64::from(u8::from(from + index >= place));
        let mut row = [0.0; MOST];
        row[..=STEP].copy_from_slice(&[1.0, time, time * time, time.powi(3), begun(change)]);
        for (one, other) in row[STEP + 1..].iter_mut().zip(&others) {
            *one = begun(*other);
        }
        row
    });
    let both = equations.left(|_| true);
    let step_alone = equations.left(|regressor| !(1..STEP).contains(&regressor));
    let movement_alone = equations.left(|regressor| regressor != STEP);
    let one_error = both / (count as f64 - (STEP + 1 + others.len()) as f64);
    (one_error > 0.0).then(|| Beside {
        step: (movement_alone - both) / one_error,
        movement: (step_alone - both) / one_error,
        better: (step_alone - movement_alone) / one_error,
        noise: one_error.sqrt(),
    })
}

/// The points, but no farther than four deviations from the median of their segment.
fn cut(points: &[f64], from: usize, others: &[usize], change: usize) -> Vec<f64> {
    let mut ends: Vec<usize> = others.iter().map(|other| other - from).collect();
    ends.push(change - from);
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
    /// `row` has the values of the regressors at each place.
    pub(super) fn new(values: &[f64], row: impl Fn(usize) -> [f64; N]) -> Self {
        let mut all = Self {
            products: [[0.0; N]; N],
            targets: [0.0; N],
            square: 0.0,
        };
        let middle = values.iter().sum::<f64>() / values.len().max(1) as f64;
        for (index, value) in values.iter().enumerate() {
            let (row, value) = (row(index), value - middle);
            all.square += value * value;
            for (place, one) in row.iter().enumerate().filter(|(_, one)| **one != 0.0) {
                all.targets[place] += one * value;
                for (sum, other) in all.products[place].iter_mut().zip(&row) {
                    *sum += one * other;
                }
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
        assert_eq!(Equations::new(&[], |_| [1.0, 0.0]).left(|_| true), 0.0);
        let line = Equations::new(&[3.0, 5.0, 7.0], |index| [1.0, index as f64]);
        assert!(line.left(|_| true) < 1e-12 && (line.left(|one| one == 0) - 8.0).abs() < 1e-12);
        assert_eq!(beside(&[1.0; 30], &[10], 10), None);
        assert_eq!(beside(&[1.0; 100], &[50], 50), None);
    }

    #[test]
    fn a_slope_tells_a_slope_better_and_a_step_a_step() {
        let slope: Vec<f64> = (0..200)
            .map(|index| noise(index) + 0.0003 * index as f64)
            .collect();
        let of_slope = beside(&slope, &[100], 100).unwrap();
        assert!(
            of_slope.better > 0.0 && of_slope.step < of_slope.movement,
            "{of_slope:?}"
        );
        let step: Vec<f64> = (0..200)
            .map(|index| noise(index) + if index < 100 { 0.0 } else { 0.05 })
            .collect();
        let of_step = beside(&step, &[100], 100).unwrap();
        assert!(
            of_step.better < 0.0 && of_step.step > of_step.movement,
            "{of_step:?}"
        );
    }
}
