//! A series as far as it has been read: what one more point needs to be read as well.
//!
//! The noise is learned from the first points, all but at most a sixteenth; those after them are read in the noise that was there
//! before them. So a reading follows from the points alone, whether it was made at once or point by point, and one more point costs
//! one step of the path.

use super::explain::Explanation;
use super::memory::Memory;
use super::path::Grid;
use super::prune;
use super::{LEAST_NOISE, Segmentation, Settings, density};

/// Shorter series are learned from whole.
const SHORT: usize = 256;
/// Longer ones as far as the last multiple of a power of two, this one or the next times smaller than the series.
const SHARE: usize = 16;

/// From how many of its first points the noise of a series is learned: from at least fifteen sixteenths of a long one, and always as far as the
/// last point that lay beyond all before it.
pub(in crate::detection) fn learned(logarithms: &[f64]) -> usize {
    let count = logarithms.len();
    if count < SHORT {
        return count;
    }
    let every = (count / SHARE + 1).next_power_of_two() / 2;
    let (settled, newest) = logarithms.split_at(count - count % every);
    let mut low = settled.iter().copied().fold(f64::INFINITY, f64::min);
    let mut high = settled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut learned = settled.len();
    for (index, value) in newest.iter().enumerate() {
        if *value < low || *value > high {
            learned = settled.len() + index + 1;
            (low, high) = (low.min(*value), high.max(*value));
        }
    }
    learned
}

/// A series of logarithms, and what has been found in it.
pub(in crate::detection) struct Reading {
    pub(in crate::detection) logarithms: Vec<f64>,
    /// Points that the noise was learned from.
    pub(in crate::detection) learned: usize,
    settings: Settings,
    /// Noise by differences of neighbours.
    noise: f64,
    /// None of fewer than five points.
    told: Option<Told>,
    memory: Memory,
}

/// A series and the noise in it.
pub(super) struct Told {
    pub(super) grid: Grid,
    /// Nats of each change of level, before it is made dearer.
    pub(super) penalty: f64,
    pub(super) explanation: Explanation,
    /// Changes that another explanation takes for a habit of the series.
    pub(super) habitual: Vec<usize>,
}

impl Reading {
    /// Arguments as of [`super::find`]; `within` of the points that are learned from.
    pub(in crate::detection) fn new(logarithms: &[f64], within: f64, settings: &Settings) -> Self {
        let learned = learned(logarithms);
        let (first, newest) = logarithms.split_at(learned);
        let noise = density::of_neighbours(first)
            .max(within)
            .max(2.0 * LEAST_NOISE);
        let mut reading = Self {
            logarithms: first.to_vec(),
            learned,
            settings: *settings,
            noise,
            told: (learned >= 5).then(|| Told::new(first, noise, settings)),
            memory: Memory::default(),
        };
        reading.extend(newest);
        reading
    }

    /// Reads further points. The noise stays what it is: [`learned`] says whether it may.
    pub(in crate::detection) fn extend(&mut self, newest: &[f64]) {
        self.logarithms.extend(newest);
        if let Some(told) = &mut self.told {
            newest.iter().for_each(|one| told.grid.push(*one));
            told.explanation.extend(&told.grid);
        }
    }

    /// What is found in all points so far.
    pub(in crate::detection) fn segmentation(&mut self) -> Segmentation {
        let Some(told) = &self.told else {
            return Segmentation {
                steps: Vec::new(),
                noise: self.noise,
                correlation: 0.0,
            };
        };
        let steps = prune::prune(&self.logarithms, told, &self.settings, &mut self.memory);
        Segmentation {
            steps,
            noise: told.explanation.noise,
            correlation: told.explanation.correlation,
        }
    }
}

impl Told {
    fn new(logarithms: &[f64], noise: f64, settings: &Settings) -> Self {
        let count = logarithms.len() as f64;
        // A few points know their noise badly.
        let noise = noise * (1.0 + 4.0 / count);
        let grid = Grid::new(logarithms, noise);
        let penalty = settings.penalty * count.max(settings.fewest_points).ln();
        let (explanation, habitual) =
            Explanation::shortest(logarithms, &grid, noise, penalty, settings);
        Self {
            grid,
            penalty,
            explanation,
            habitual,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_series_are_learned_from_whole_and_long_ones_but_for_a_sixteenth() {
        for count in [0, 1, 5, 255, 256] {
            assert_eq!(learned(&vec![1.0; count]), count);
        }
        assert_eq!(learned(&[1.0; 1_000]), 992);
        assert_eq!(learned(&[1.0; 1_023]), 992);
        assert_eq!(learned(&[1.0; 1_024]), 1_024);
        for count in 256..3_000 {
            let learned = learned(&vec![f64::NAN; count]);
            assert!(learned <= count && count - learned < count / SHARE + 1);
        }
        let mut values = vec![1.0; 1_000];
        values[995] = 1.1;
        values[996] = 1.05;
        assert_eq!(learned(&values), 996, "a point beyond all before it");
    }
}
