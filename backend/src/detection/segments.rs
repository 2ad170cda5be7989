//! Where the level of a series changes, by maximum likelihood under the series' own noise.
//!
//! A series is a row of segments, each with one level, and noise that is alike in all of them. The levels lie on a grid, fine
//! against the noise; the cheapest path through it is found exactly by dynamic programming ([`path`]): each point costs the
//! logarithm of how much rarer its distance from the level is than the commonest one, each change of level a penalty in the
//! manner of Schwarz's criterion. What is rare is learned from the series itself ([`density`]): the first path takes a bounded
//! parabola, the next ones the smoothed density of the residuals, so that outliers, skew and two modes are no changes, and steps
//! are placed by the likelihood that the noise really has. Noise that is correlated makes changes dearer. What the path found is
//! pruned ([`prune`]): steps that are small, told as well by a slow movement ([`smooth`]), or what the series does by itself
//! ([`habits`]): up and back within a few points, to and fro between two levels. What is badly placed ([`place`]) is not told.
//! What repeats better than the smallest change is first freed from what is too small to tell ([`still`]).
//! [`reading`] says which points the noise is learned from, and keeps what the next point needs.
//!
//! All costs are in nats. Time is of the order points x levels. `cargo bench -p speedwell-backend --bench detection` scores it.

mod correlated;
mod density;
mod explain;
mod habits;
mod memory;
mod path;
mod place;
mod prune;
mod reading;
mod smooth;
mod still;

pub(super) use density::median;
pub(super) use habits::{Stay, there_and_back, to_and_fro};
pub(super) use reading::Reading;
pub(super) use still::Prepared;

/// What is a change. The values were chosen on one draw of the generator in `backend/benches/detection` and scored on others.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Nats that a change of level costs, per unit of the logarithm of the number of points.
    pub penalty: f64,
    /// Least number of points that the penalty is reckoned for.
    pub fewest_points: f64,
    /// Smallest step of a time, as a difference of logarithms (0.006 is 0.6 %); of other metrics in proportion to their floor.
    pub magnitude: f64,
    /// A step is told when it is this probable to lie within three points of its place.
    pub placed: f64,
    /// A shorter stretch between two equal levels is an event of the host.
    pub shortest_stay: usize,
    /// Fewer points after a step are a suspicion.
    pub shortest_tail: usize,
    /// Of the series at hand, never configured: one of its steps was shown by measuring both sides again. Then it goes by its commits, and there and
    /// back and there again is a fix that was reverted, and no habit of the host's.
    #[serde(skip)]
    pub is_confirmed: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            penalty: 1.5,
            fewest_points: 100.0,
            magnitude: 0.006,
            placed: 0.53,
            shortest_stay: 7,
            shortest_tail: 2,
            is_confirmed: false,
        }
    }
}

impl Settings {
    /// Version and parameters of the detector, as they are stored with verdicts: the version of the rules, and each parameter that is
    /// not the usual one (`segments-5 penalty=2`).
    pub fn version(&self) -> String {
        let usual = Self::default();
        let own = self.named();
        let differing = own
            .iter()
            .zip(usual.named())
            .filter(|(own, usual)| own.1 != usual.1)
            .map(|((name, value), _)| format!(" {name}={value}"));
        std::iter::once(super::DETECTOR_VERSION.to_owned())
            .chain(differing)
            .collect()
    }

    /// Each parameter with its name.
    pub fn named(&self) -> [(&'static str, f64); 6] {
        [
            ("penalty", self.penalty),
            ("fewest_points", self.fewest_points),
            ("magnitude", self.magnitude),
            ("placed", self.placed),
            ("shortest_stay", self.shortest_stay as f64),
            ("shortest_tail", self.shortest_tail as f64),
        ]
    }

    /// Sets a parameter by its name. Errors name the parameter and what it may be.
    pub fn set(&mut self, name: &str, value: f64) -> Result<(), String> {
        let whole = || {
            let fits = value.fract() == 0.0 && (1.0..=1000.0).contains(&value);
            let message = || format!("{name}: {value} is no whole number from 1 to 1000");
            fits.then_some(value as usize).ok_or_else(message)
        };
        match name {
            "penalty" => self.penalty = value,
            "fewest_points" => self.fewest_points = value,
            "magnitude" => self.magnitude = value,
            "placed" => self.placed = value,
            "shortest_stay" => self.shortest_stay = whole()?,
            "shortest_tail" => self.shortest_tail = whole()?,
            _ => {
                let known: Vec<&str> = self.named().iter().map(|one| one.0).collect();
                return Err(format!("{name}: no parameter; known: {}", known.join(", ")));
            }
        }
        self.check()
    }

    /// The least that noise is taken to be, as a difference of logarithms.
    fn least_noise(&self) -> f64 {
        LEAST_NOISE.max(LEAST_SHARE * self.magnitude)
    }

    /// Whether the parameters are such that the detector works; the error names the first that is not.
    pub fn check(&self) -> Result<(), String> {
        let bounds = [
            (0.1, 100.0),
            (2.0, 1e6),
            (1e-5, 1.0),
            (0.0, 1.0),
            (1.0, 1e3),
            (1.0, 1e3),
        ];
        for ((name, value), (least, most)) in self.named().into_iter().zip(bounds) {
            if !(least..=most).contains(&value) {
                return Err(format!("{name}: {value} is not between {least} and {most}"));
            }
        }
        Ok(())
    }
}

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The likeliest first point of the new level.
    pub at: usize,
    /// First and last place that it may well have: together 95 % of the probability.
    pub between: (usize, usize),
    /// How probable it is that it lies within three points of `at`.
    pub placed: f64,
    /// New level less old one, as a difference of logarithms.
    pub size: f64,
    /// Standard error of `size`.
    pub error: f64,
    /// Nats by which it explains the series better than no step does.
    pub gain: f64,
}

/// A series as the detector sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    /// In order.
    pub steps: Vec<Step>,
    /// Standard deviation of one point about its level: of the middle of the noise, which outliers do not move.
    pub noise: f64,
    /// Correlation of neighbouring points' noise; 0 where chance explains it.
    pub correlation: f64,
}

/// Noise below which nothing is told apart: a ten-thousandth.
const LEAST_NOISE: f64 = 1e-4;
/// And this share of the smallest step: counts of instructions move by less with many commits, and to a noise of next to nothing such a
/// point would be as far from its own level as from any other.
const LEAST_SHARE: f64 = 0.25;

/// Finds the steps of a series of logarithms, all finite. `within`: standard deviation of a point by its own samples, 0 where not
/// known; the noise is never taken to be less. Fewer than five points have no steps.
pub fn find(logarithms: &[f64], within: f64, settings: &Settings) -> Segmentation {
    let prepared = Prepared::new(logarithms, settings);
    Reading::new(prepared, within, settings).segmentation()
}

#[cfg(test)]
mod tests;
