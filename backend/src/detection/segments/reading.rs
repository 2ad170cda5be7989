//! A series as far as it has been read: what one more point needs to be read as well.
//!
//! The noise is learned from the first points, all but at most a sixteenth; those after them are read in the noise that was there
//! before them. So a reading follows from the points alone, whether it was made at once or point by point, and one more point costs
//! one step of the path.

use super::explain::Explanation;
use super::memory::Memory;
use super::path::Grid;
use super::prune;
use super::still::Prepared;
use super::{LEAST_NOISE, Segmentation, Settings, density};

/// Shorter series are learned from whole.
const SHORT: usize = 256;
/// Longer ones as far as the last multiple of a power of two, this one or the next times smaller than the series.
const SHARE: usize = 16;

/// From how many of its first points the noise of a series is learned: from at least fifteen sixteenths of a long one, and always as far as the
/// last point that lay beyond all before it.
pub(super) fn learned(logarithms: &[f64]) -> usize {
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
    /// Whether they are without what moved them by less than a change.
    pub(in crate::detection) is_still: bool,
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
    /// Whether it is without what moved it by less than a change.
    pub(super) is_still: bool,
}

impl Reading {
    /// Arguments as of [`super::find`]; `within` of the points that are learned from.
    pub(in crate::detection) fn new(prepared: Prepared, within: f64, settings: &Settings) -> Self {
        let Prepared {
            values,
            learned,
            is_still,
        } = prepared;
        let (first, newest) = values.split_at(learned);
        let noise = density::of_neighbours(first)
            .max(within)
            .max(2.0 * LEAST_NOISE)
            .max(settings.least_noise());
        let mut reading = Self {
            logarithms: first.to_vec(),
            is_still,
            learned,
            settings: *settings,
            noise,
            told: (learned >= 5).then(|| Told::new(first, noise, is_still, settings)),
            memory: Memory::default(),
        };
        reading.extend(newest);
        reading
    }

    /// Reads further points, as far as another reading would learn from the same ones.
    fn extend(&mut self, newest: &[f64]) {
        self.logarithms.extend(newest);
        if let Some(told) = &mut self.told {
            newest.iter().for_each(|one| told.grid.push(*one));
            told.explanation.extend(&told.grid);
        }
    }

    /// Goes on to the last of the points, where those that are known are as before and the noise is learned from the same ones; says whether it
    /// could.
    pub(in crate::detection) fn goes_on(&mut self, prepared: &Prepared) -> bool {
        let is_same = (prepared.is_still, prepared.learned) == (self.is_still, self.learned);
        let newest = prepared.values.get(self.logarithms.len()..);
        match newest {
            Some(newest) if is_same => self.extend(newest),
            Some(_) | None => return false,
        }
        true
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
    fn new(logarithms: &[f64], noise: f64, is_still: bool, settings: &Settings) -> Self {
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
            is_still,
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
