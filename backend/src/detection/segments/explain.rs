//! Ways to tell a series: the cheapest path in noise that is learned from the paths before it, and the shortest story of several.

use std::cell::OnceCell;

use super::density::{self, Loss};
use super::path::{self, Grid, Path};
use super::{Settings, Stay, correlated, to_and_fro};

/// Changes for which more explanations than one are tried: so many, and one for so many points.
const MANY: (usize, usize) = (4, 60);
/// In a series of at most [`FEW`] points, whose own density says little, so many changes may be noise that remembers itself instead.
const MANY_OF_FEW: usize = 3;
const FEW: usize = 150;
/// Penalties of the first path, relative to the last one's. A dear first path leaves sticky modes in one segment, where their
/// density can be learned.
const STARTS: [f64; 3] = [1.2, 5.0, 20.0];
/// What one change costs when explanations are compared, per unit of the logarithm of the number of points.
const TOLD: f64 = 4.0;
/// Noise is flat by a kurtosis below this.
const FLAT: f64 = 2.5;
/// Most paths by a learned density.
const ROUNDS: usize = 3;

/// One way to tell a series: its changes, and the noise about the levels that they were found with.
pub(super) struct Explanation {
    /// The changes about whose levels the noise was learned.
    learned_from: Vec<usize>,
    /// The cheapest path in that noise, and its changes.
    path: Path,
    pub(super) changes: Vec<usize>,
    pub(super) loss: Loss,
    pub(super) noise: f64,
    pub(super) correlation: f64,
    /// Standard deviation of what a point does not share with the one before it.
    pub(super) fresh: f64,
    /// Whether it is noise of two modes, flatter than normal.
    pub(super) flat: bool,
    /// How much dearer changes are, because neighbours are correlated.
    pub(super) dearer: f64,
    /// Nats to tell the whole series, once somebody asked.
    told: OnceCell<f64>,
}

impl Explanation {
    /// The explanation of a series, with the changes that other explanations take for a habit of it. `noise` by differences of neighbours.
    pub(super) fn shortest(
        logarithms: &[f64],
        grid: &Grid,
        noise: f64,
        penalty: f64,
        settings: &Settings,
    ) -> (Self, Vec<usize>) {
        let count = logarithms.len();
        let mut known = Known {
            logarithms,
            grid,
            noise,
            least: settings.least_noise(),
            penalty,
            all: Vec::new(),
        };
        let (first_changes, first) = known.refine(STARTS[0]);
        let habitual = known.all[first].habitual(logarithms);
        let mut best = first;
        let many = first_changes.max(known.all[first].changes.len());
        let few = many >= MANY_OF_FEW && count <= FEW && !settings.is_confirmed;
        if few || many >= MANY.0 && many * MANY.1 > count {
            for start in &STARTS[1..] {
                let (_, other) = known.refine(*start);
                if other != best && known.told(other) < known.told(best) {
                    best = other;
                }
            }
        }
        let mut best = known.all.swap_remove(best);
        let residuals = density::residuals(logarithms, &best.changes);
        best.flat = density::kurtosis(&residuals, best.noise) < FLAT;
        best.fresh = correlated::fresh_noise(&residuals, best.noise, best.correlation);
        (best, habitual)
    }

    /// Goes on to the last point of the grid, in the noise that is known.
    pub(super) fn extend(&mut self, grid: &Grid) {
        self.path.extend(grid, &self.loss);
        self.changes = self.path.changes();
    }

    /// Changes that the series makes to and fro by itself.
    fn habitual(&self, logarithms: &[f64]) -> Vec<usize> {
        let stay = |(from, to): (usize, usize)| Stay {
            from,
            to,
            level: density::median(logarithms[from..to].to_vec()),
        };
        let stays: Vec<Stay> = path::stretches(&self.changes, logarithms.len())
            .map(stay)
            .collect();
        to_and_fro(&stays)
    }
}

/// The explanations of one series that were reckoned, by their place: different beginnings often come to the same.
struct Known<'a> {
    logarithms: &'a [f64],
    grid: &'a Grid,
    noise: f64,
    /// The least that the noise is.
    least: f64,
    penalty: f64,
    all: Vec<Explanation>,
}

impl Known<'_> {
    /// From a first path whose changes cost `start` times as much, by [`ROUNDS`] learned densities at most; with the first path's number
    /// of changes.
    fn refine(&mut self, start: f64) -> (usize, usize) {
        let bounded = Loss::bounded(self.grid, self.noise);
        let changes = Path::new(self.grid, &bounded, self.penalty * start).changes();
        let first_changes = changes.len();
        let mut best = self.learn(changes);
        for _ in 1..ROUNDS {
            if self.all[best].changes == self.all[best].learned_from {
                break;
            }
            best = self.learn(self.all[best].changes.clone());
        }
        (first_changes, best)
    }

    /// The cheapest path in the noise that is about the levels between these changes.
    fn learn(&mut self, from: Vec<usize>) -> usize {
        let known = self.all.iter().position(|one| one.learned_from == from);
        if let Some(known) = known {
            return known;
        }
        let residuals = density::residuals(self.logarithms, &from);
        let noise = density::spread(&residuals)
            .max(self.noise / 4.0)
            .max(self.least);
        let correlation = density::correlation(&residuals, noise);
        let dearer = density::dearer(correlation);
        let loss = Loss::learned(self.grid, &residuals, noise);
        let path = Path::new(self.grid, &loss, self.penalty * dearer);
        self.all.push(Explanation {
            learned_from: from,
            changes: path.changes(),
            path,
            loss,
            noise,
            correlation,
            fresh: noise,
            flat: false,
            dearer,
            told: OnceCell::new(),
        });
        self.all.len() - 1
    }

    /// Nats to tell the whole series so.
    fn told(&self, one: usize) -> f64 {
        let one = &self.all[one];
        *one.told.get_or_init(|| {
            let count = self.logarithms.len();
            let points: f64 = path::stretches(&one.changes, count)
                .map(|(from, to)| {
                    f64::from(path::cheapest(&self.grid.costs(&one.loss, from..to)).0)
                })
                .sum();
            let saved = if count <= FEW {
                let residuals = density::residuals(self.logarithms, &one.changes);
                correlated::saved(&residuals, one.noise, one.correlation)
            } else {
                0.0
            };
            let count = count as f64;
            points
                + saved
                + count * one.loss.commonest
                + TOLD * count.ln() * one.changes.len() as f64
        })
    }
}
