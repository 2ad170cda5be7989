//! Series that repeat better than the smallest change, as counts of instructions do: what they show beside changes is what commits do that is too
//! small to be told. It adds up. Over a hundred commits the level wanders by more than a change, and to the little noise of such a series every
//! stretch of it would be a level of its own, so that steps of several per cent were lost among them.
//!
//! So the wandering is taken out: each point is looked at against the few before it, and only what two points in a row show stays.

use super::Settings;
use super::density::{median, quantile};
use super::reading::learned;

/// A series is still where its neighbours differ by noise of less than this share of the smallest step.
const STILL: f64 = 0.2;
/// The quartile of differences from which that is seen: as many as three commits in four may move it.
const QUARTILE: f64 = 0.25;
/// The quartile of the absolute values of a normal variable, in standard deviations.
const OF_NORMAL: f64 = 0.318_639_363_964_375;
/// Points that say where the level is.
const RECENT: usize = 3;
/// Points in a row on one side that are a new level.
const NEW: usize = 2;

/// Logarithms as they are read: as they are, or without what moved them by less than a change.
pub(in crate::detection) struct Prepared {
    pub(super) values: Vec<f64>,
    pub(in crate::detection) learned: usize,
    pub(in crate::detection) is_still: bool,
}

impl Prepared {
    /// `logarithms`: all finite.
    pub(in crate::detection) fn new(logarithms: &[f64], settings: &Settings) -> Self {
        let known = learned(logarithms);
        let is_still = is_still(&logarithms[..known], settings.magnitude);
        if !is_still {
            return Self {
                values: logarithms.to_vec(),
                learned: known,
                is_still,
            };
        }
        let values = followed(logarithms, settings.magnitude);
        Self {
            learned: learned(&values),
            values,
            is_still,
        }
    }
}

fn is_still(logarithms: &[f64], magnitude: f64) -> bool {
    let differences = logarithms.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    let quartile = quantile(differences.collect(), QUARTILE);
    let noise = quartile / OF_NORMAL / std::f64::consts::SQRT_2;
    logarithms.len() >= 5 && noise < STILL * magnitude
}

/// The series with a level that stays where it is until [`NEW`] points in a row lie `away` from it on one side. Each value follows from the points
/// up to it alone.
fn followed(logarithms: &[f64], away: f64) -> Vec<f64> {
    let Some(first) = logarithms.first() else {
        return Vec::new();
    };
    // Where the level is in the series, and where it is in what is made of it.
    let (mut level, mut told) = (*first, *first);
    let mut recent: Vec<f64> = Vec::with_capacity(RECENT + 1);
    let mut outside: Vec<f64> = Vec::with_capacity(NEW);
    let mut values = Vec::with_capacity(logarithms.len());
    for value in logarithms {
        let apart = value - level;
        values.push(told + apart);
        if apart.abs() < away {
            outside.clear();
            if recent.len() == RECENT {
                recent.remove(0);
            }
            recent.push(*value);
            level = median(recent.clone());
            continue;
        }
        outside.retain(|other| (other - level > 0.0) == (apart > 0.0));
        outside.push(*value);
        if outside.len() == NEW {
            let new = median(outside.clone());
            told += new - level;
            level = new;
            recent = std::mem::take(&mut outside);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_or_noisy_is_not_still() {
        for count in [0, 1, 4] {
            assert!(!is_still(&vec![1.0; count], 0.0012));
        }
        assert!(is_still(&[1.0; 5], 0.0012));
        let to_and_fro: Vec<f64> = (0..20).map(|index| f64::from(index % 2) * 0.01).collect();
        assert!(!is_still(&to_and_fro, 0.0012) && is_still(&to_and_fro, 0.2));
        assert!(followed(&[], 0.001).is_empty());
    }

    #[test]
    fn a_slow_walk_is_taken_out_and_a_step_and_an_outlier_stay() {
        let mut values: Vec<f64> = (0..60).map(|index| f64::from(index / 3) * 0.0003).collect();
        values[20] += 0.05;
        values[40..].iter_mut().for_each(|value| *value += 0.03);
        let seen = followed(&values, 0.0008);
        let near = |index: usize, level: f64| (seen[index] - level).abs() < 0.0008;
        assert!(
            near(19, 0.0) && near(20, 0.05) && near(21, 0.0) && near(39, 0.0),
            "{seen:?}"
        );
        assert!(
            near(40, 0.03) && near(41, 0.03) && near(59, 0.03),
            "{seen:?}"
        );
        for count in 0..60 {
            assert_eq!(followed(&values[..count], 0.0008), seen[..count]);
        }
    }
}
