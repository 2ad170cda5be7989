//! How a head compares with its base: after each round of a try run, what is known of each series, and whether more rounds would tell
//! anything that matters.
//!
//! The variance between pairs is weighed with what is known of the series' noise, as its prior (Smyth 2004, "Linear models and
//! empirical Bayes methods"): three pairs alone say little of how far pairs spread. A change is called one only where its 99.9 %
//! interval leaves zero out: some fifty benchmarks are looked at, round after round.

use super::pairs::{Differences, LEAST_NOISE};
use crate::domain::compare::Repeatability;

/// Rounds before anything is decided: A B B A.
pub const FEWEST_ROUNDS: i32 = 2;
/// Pairs that the known noise between runs counts for.
const KNOWN_PAIRS: f64 = 8.0;

/// When a try has seen enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// Half of the 95 % interval at most, as a logarithm.
    pub precision: f64,
    /// Changes below it are none, as a logarithm.
    pub smallest: f64,
}

/// What is said of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opinion {
    /// The head's values are larger, clearly.
    Larger,
    /// They are smaller, clearly.
    Smaller,
    /// Neither, and more than the wanted precision is known.
    Same,
    /// Not known yet.
    Unclear,
}

/// What is known of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// Pairs that have both sides.
    pub pairs: usize,
    /// Head against base, as a ratio minus one.
    pub change: f64,
    /// Its 95 % interval, with what two builds of one source differ by, where that is known.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// In a word.
    pub opinion: Opinion,
}

/// Judges the pairs (base, head; logarithms, one for each round) of one series. `None`: no pair has both sides.
pub fn judge(pairs: &[(f64, f64)], noise: &Repeatability, wanted: &Wanted) -> Option<Finding> {
    let found = Differences::of(pairs);
    if found.is_empty() {
        return None;
    }
    let spread = spread(&found, noise)?;
    let builds = between_builds(noise);
    let likely = interval(spread.error, builds, spread.freedom, &LIKELY);
    let sure = interval(spread.error, builds, spread.freedom, &SURE);
    let clear = found.mean.abs() > sure && found.mean.abs() >= wanted.smallest;
    let narrow = spread.error * quantile(spread.freedom, &LIKELY) <= wanted.precision;
    // What its 95 % interval would call a change, and the wider one not yet, is neither.
    let doubtful = found.mean.abs() > likely && found.mean.abs() >= wanted.smallest;
    let opinion = match (clear, narrow && !doubtful) {
        (true, _) if found.mean > 0.0 => Opinion::Larger,
        (true, _) => Opinion::Smaller,
        (false, true) => Opinion::Same,
        (false, false) => Opinion::Unclear,
    };
    Some(Finding {
        pairs: found.count,
        change: found.mean.exp_m1(),
        low: (found.mean - likely).exp_m1(),
        high: (found.mean + likely).exp_m1(),
        opinion,
    })
}

struct Spread {
    /// Deviation of the mean.
    error: f64,
    /// Degrees of freedom of the variance that it comes from.
    freedom: f64,
}

/// `None`: one pair, and nothing known of the noise.
fn spread(found: &Differences, noise: &Repeatability) -> Option<Spread> {
    let seen = found.count as f64 - 1.0;
    let known = noise.runs.filter(|one| one.is_finite() && *one >= 0.0);
    let (sum, freedom) = match known {
        // A difference has two runs in it.
        Some(runs) => {
            let expected = 2.0 * runs.max(LEAST_NOISE).powi(2);
            let sum = KNOWN_PAIRS * expected + seen * found.variance;
            (sum, KNOWN_PAIRS + seen)
        }
        None if seen >= 1.0 => {
            let least = 2.0 * LEAST_NOISE.powi(2);
            (seen * found.variance.max(least), seen)
        }
        None => return None,
    };
    Some(Spread {
        error: (sum / freedom / found.count as f64).sqrt(),
        freedom,
    })
}

/// Variance of the difference of two builds of one source, beyond that of their runs.
fn between_builds(noise: &Repeatability) -> f64 {
    match (noise.rebuilds, noise.runs) {
        (Some(whole), Some(runs)) => 2.0 * (whole.powi(2) - runs.powi(2)).max(0.0),
        (Some(_), None) | (None, _) => 0.0,
    }
}

/// Half an interval of the mean.
fn interval(error: f64, builds: f64, freedom: f64, quantiles: &Quantiles) -> f64 {
    let of_runs = quantile(freedom, quantiles) * error;
    let of_builds = quantiles.normal * builds.sqrt();
    of_runs.hypot(of_builds)
}

/// Quantiles of Student's t distribution by degrees of freedom, from 1 on.
struct Quantiles {
    student: [f64; 30],
    normal: f64,
}

/// Of 95 % intervals.
const LIKELY: Quantiles = Quantiles {
    student: [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
        2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
        2.052, 2.048, 2.045, 2.042,
    ],
    normal: 1.960,
};
/// Of 99.9 % intervals.
const SURE: Quantiles = Quantiles {
    student: [
        636.619, 31.599, 12.924, 8.610, 6.869, 5.959, 5.408, 5.041, 4.781, 4.587, 4.437, 4.318,
        4.221, 4.140, 4.073, 4.015, 3.965, 3.922, 3.883, 3.850, 3.819, 3.792, 3.768, 3.745, 3.725,
        3.707, 3.690, 3.674, 3.659, 3.646,
    ],
    normal: 3.291,
};

/// The quantile for the next lower whole number of degrees, which is the wider one.
fn quantile(freedom: f64, quantiles: &Quantiles) -> f64 {
    let index = (freedom.floor() as usize).saturating_sub(1);
    let found = quantiles.student.get(index).copied();
    found.unwrap_or(if freedom > 120.0 {
        quantiles.normal
    } else {
        quantiles.student[quantiles.student.len() - 1]
    })
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    const WANTED: Wanted = Wanted {
        precision: 0.01,
        smallest: 0.005,
    };

    fn known(runs: f64) -> Repeatability {
        Repeatability {
            runs: Some(runs),
            rebuilds: None,
        }
    }

    fn opinion(pairs: &[(f64, f64)], noise: &Repeatability) -> Opinion {
        judge(pairs, noise, &WANTED).unwrap().opinion
    }

    #[test]
    fn nothing_and_rubbish_are_nothing() {
        let unknown = Repeatability::default();
        assert_eq!(judge(&[], &unknown, &WANTED), None);
        assert_eq!(judge(&[(0.0, 0.1)], &unknown, &WANTED), None);
        assert_eq!(judge(&[(f64::NAN, 0.1); 3], &known(0.01), &WANTED), None);
        let one = judge(&[(0.0, 0.1)], &known(0.01), &WANTED).unwrap();
        assert!(one.pairs == 1 && one.low < 0.105 && one.high > 0.105);
        let odd = judge(&[(0.0, 0.1); 3], &known(f64::NAN), &WANTED);
        assert!(odd.is_some_and(|one| one.low.is_finite()));
    }

    #[test]
    fn the_sign_is_that_of_the_head() {
        let noise = known(0.003);
        assert_eq!(
            opinion(&[(0.0, 0.05), (0.001, 0.052)], &noise),
            Opinion::Larger
        );
        assert_eq!(
            opinion(&[(0.0, -0.05), (0.001, -0.049)], &noise),
            Opinion::Smaller
        );
        assert_eq!(
            opinion(&[(0.0, 0.001), (0.002, 0.0)], &noise),
            Opinion::Same
        );
        let finding = judge(&[(0.0, 0.05), (0.001, 0.052)], &noise, &WANTED).unwrap();
        assert!(
            finding.low > 0.0 && finding.change > 0.05 && finding.high < 0.07,
            "{finding:?}"
        );
    }

    #[test]
    fn without_known_noise_few_pairs_decide_only_what_repeats_exactly() {
        let unknown = Repeatability::default();
        assert_eq!(
            opinion(&[(0.0, 0.05), (0.0, 0.06)], &unknown),
            Opinion::Unclear
        );
        assert_eq!(opinion(&[(0.0, 0.03); 3], &unknown), Opinion::Larger);
        assert_eq!(opinion(&[(3.0, 3.0); 2], &unknown), Opinion::Same);
        // Close together by chance, and far from nothing: not the same.
        assert_eq!(
            opinion(&[(0.0, 0.03), (0.0, 0.031)], &unknown),
            Opinion::Unclear
        );
    }

    #[test]
    fn what_two_builds_differ_by_is_no_change_of_the_source() {
        let pairs = [(0.0, 0.02); 6];
        assert_eq!(opinion(&pairs, &known(0.002)), Opinion::Larger);
        let shaky = Repeatability {
            runs: Some(0.002),
            rebuilds: Some(0.01),
        };
        let finding = judge(&pairs, &shaky, &WANTED).unwrap();
        // The pairs have said what they can: another would not help.
        assert_eq!(finding.opinion, Opinion::Same);
        assert!(finding.low < 0.0 && finding.high > 0.04, "{finding:?}");
    }

    #[test]
    fn what_is_clear_but_too_small_to_matter_is_no_change() {
        assert_eq!(opinion(&[(0.0, 0.003); 4], &known(0.0)), Opinion::Same);
    }

    /// Sum of twelve uniform variables: about normal.
    fn normal(random: &mut SmallRng) -> f64 {
        (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
    }

    /// Rounds until something is known, and what.
    fn run(
        random: &mut SmallRng,
        truth: f64,
        spread: f64,
        noise: &Repeatability,
    ) -> (Opinion, usize) {
        let mut pairs = Vec::new();
        loop {
            pairs.push((spread * normal(random), truth + spread * normal(random)));
            if pairs.len() < 2 {
                continue;
            }
            let found = opinion(&pairs, noise);
            if found != Opinion::Unclear || pairs.len() == 10 {
                return (found, pairs.len());
            }
        }
    }

    #[test]
    fn the_error_rates_are_kept() {
        let mut random = SmallRng::seed_from_u64(5);
        for noise in [known(0.005), Repeatability::default()] {
            let (mut wrong, mut missed, mut rounds) = (0, 0, 0);
            for _ in 0..4_000 {
                let (found, _) = run(&mut random, 0.0, 0.005, &noise);
                wrong += usize::from(matches!(found, Opinion::Larger | Opinion::Smaller));
                let (found, taken) = run(&mut random, 0.03, 0.005, &noise);
                missed += usize::from(found != Opinion::Larger);
                rounds += taken;
            }
            // One in a thousand, and a few looks at it.
            assert!(wrong <= 20, "{noise:?}: {wrong} of 4000 called a change");
            assert!(missed <= 200, "{noise:?}: {missed} of 4000 missed");
            assert!(rounds < 4_000 * 6, "{noise:?}: {rounds}");
        }
    }
}
