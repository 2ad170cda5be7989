//! Whether a second measurement of both sides shows a suspected change: a sequential test on pairs of runs.
//!
//! Each round measures both sides one after the other on the same host ([`super::pairs`]). After each round the likelihoods are compared that the sides differ by two thirds of what was suspected, and
//! that they do not (Wald 1945, "Sequential Tests of Statistical Hypotheses"); it ends as soon as one is clear.

use super::pairs::{Differences, LEAST_NOISE};

/// Chance that a change is confirmed which is none.
const FALSE_CONFIRMATION: f64 = 0.001;
/// Chance that a change of the suspected size is refuted.
const FALSE_REFUTATION: f64 = 0.02;
/// What is tested for, as a part of what was suspected: a change that was noticed because it looked large is smaller in truth, and one
/// whose range holds two changes is only one of them.
const PART: f64 = 2.0 / 3.0;
/// Rounds before anything is decided: A B B A.
pub const FEWEST_ROUNDS: usize = 2;
/// Rounds after which it is given up.
pub const MOST_ROUNDS: usize = 10;

/// Builds of each side where builds of one commit are known to differ by as much as matters: a mode of one build ("sticky": layout,
/// hashing of addresses) would look like the commit's doing.
const BUILDS_OF_A_STICKY_SERIES: i32 = 5;
/// Builds of each side where only time moved and nobody knows what builds do.
const BUILDS_OF_A_DOUBT: i32 = 2;
/// Two builds' difference matters from this part of what was suspected on.
const PART_THAT_MATTERS: f64 = 0.25;

/// How many builds of each side a confirmation's rounds take in turn. `rebuild_deviation` is that between builds of one commit (of
/// logarithms), where it was measured; `time_only`: instructions were counted and have not moved.
pub fn builds_of(size: f64, rebuild_deviation: Option<f64>, time_only: bool) -> i32 {
    match rebuild_deviation {
        Some(deviation)
            if std::f64::consts::SQRT_2 * deviation >= PART_THAT_MATTERS * size.abs() =>
        {
            BUILDS_OF_A_STICKY_SERIES
        }
        Some(_) => 1,
        None if time_only => BUILDS_OF_A_DOUBT,
        None => 1,
    }
}

/// What is suspected, as logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suspicion {
    /// New level less old one.
    pub size: f64,
    /// Deviation of one run about its level.
    pub noise: f64,
}

/// What the pairs say so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Pairs that have both sides.
    pub pairs: usize,
    /// Mean difference, after less before, as a ratio minus one.
    pub change: f64,
    /// Its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Logarithm of how much likelier the suspected change is than none.
    pub ratio: f64,
}

/// The test's answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision {
    /// Another round is needed.
    Open(Evidence),
    /// The sides differ.
    Confirmed(Evidence),
    /// They do not.
    Refuted(Evidence),
    /// The rounds are used up, and it is not clear.
    Undecided(Evidence),
}

impl Decision {
    /// What it rests on.
    pub fn evidence(&self) -> &Evidence {
        match self {
            Self::Open(evidence)
            | Self::Confirmed(evidence)
            | Self::Refuted(evidence)
            | Self::Undecided(evidence) => evidence,
        }
    }
}

/// Decides on pairs of logarithms, before and after, one for each round. Pairs that are no numbers are left out. The noise is taken
/// from the pairs where they vary more than the series did.
pub fn decide(pairs: &[(f64, f64)], suspicion: Suspicion) -> Decision {
    let Differences {
        count,
        mean,
        variance: seen,
    } = Differences::of(pairs);
    let number = count.max(1) as f64;
    let known = 2.0 * suspicion.noise.max(LEAST_NOISE).powi(2);
    let variance = seen.max(known);
    let size = PART * suspicion.size;
    let ratio = number.min(count as f64) * (size * mean - size * size / 2.0) / variance;
    let error = (variance / number).sqrt();
    let evidence = Evidence {
        pairs: count,
        change: mean.exp_m1(),
        low: (mean - 1.96 * error).exp_m1(),
        high: (mean + 1.96 * error).exp_m1(),
        ratio,
    };
    let confirms = ((1.0 - FALSE_REFUTATION) / FALSE_CONFIRMATION).ln();
    let refutes = (FALSE_REFUTATION / (1.0 - FALSE_CONFIRMATION)).ln();
    if count < FEWEST_ROUNDS || !ratio.is_finite() {
        return end_or_open(pairs.len(), evidence);
    }
    if ratio >= confirms {
        Decision::Confirmed(evidence)
    } else if ratio <= refutes {
        Decision::Refuted(evidence)
    } else {
        end_or_open(pairs.len(), evidence)
    }
}

fn end_or_open(rounds: usize, evidence: Evidence) -> Decision {
    if rounds >= MOST_ROUNDS {
        Decision::Undecided(evidence)
    } else {
        Decision::Open(evidence)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    const FIVE: Suspicion = Suspicion {
        size: 0.05,
        noise: 0.01,
    };

    #[test]
    fn nothing_one_and_rubbish_decide_nothing() {
        assert!(matches!(decide(&[], FIVE), Decision::Open(one) if one.pairs == 0));
        assert!(matches!(decide(&[(0.0, 0.05)], FIVE), Decision::Open(_)));
        let rubbish = [(f64::NAN, 0.0); MOST_ROUNDS];
        assert!(matches!(decide(&rubbish, FIVE), Decision::Undecided(one) if one.pairs == 0));
        let huge = [(f64::INFINITY, 1.0), (0.0, f64::MAX), (0.0, f64::MAX)];
        assert!(!matches!(decide(&huge, FIVE), Decision::Refuted(_)));
    }

    #[test]
    fn builds_that_differ_are_answered_by_more_builds() {
        assert_eq!(builds_of(0.05, Some(0.001), true), 1);
        assert_eq!(builds_of(-0.05, Some(0.02), false), 5);
        assert_eq!(builds_of(0.05, None, true), 2);
        assert_eq!(builds_of(0.05, None, false), 1);
        assert_eq!(builds_of(f64::NAN, Some(0.02), false), 1);
    }

    #[test]
    fn what_is_there_is_confirmed_and_what_is_not_refuted() {
        let there = [(0.0, 0.051), (0.001, 0.049)];
        let Decision::Confirmed(evidence) = decide(&there, FIVE) else {
            panic!("{:?}", decide(&there, FIVE))
        };
        assert!(evidence.low < 0.0507 && evidence.high > 0.0507 && evidence.low > 0.0);
        assert!(matches!(
            decide(&[(0.0, 0.001), (0.001, 0.0)], FIVE),
            Decision::Refuted(_)
        ));
        // Half of what was suspected is still a change.
        assert!(matches!(
            decide(&[(0.0, 0.026); 5], FIVE),
            Decision::Confirmed(_)
        ));
        // Faster is as good as slower.
        let faster = Suspicion {
            size: -0.05,
            ..FIVE
        };
        assert!(matches!(
            decide(&[(0.0, -0.05), (0.0, -0.05)], faster),
            Decision::Confirmed(_)
        ));
        assert!(matches!(decide(&there, faster), Decision::Refuted(_)));
        // Counted instructions, which repeat to the last digit.
        let exact = Suspicion {
            size: 0.003,
            noise: 0.0,
        };
        assert!(matches!(
            decide(&[(20.0, 20.003); 2], exact),
            Decision::Confirmed(_)
        ));
        assert!(matches!(
            decide(&[(20.0, 20.0); 2], exact),
            Decision::Refuted(_)
        ));
    }

    #[test]
    fn pairs_that_contradict_each_other_go_on_to_the_end() {
        let unclear: Vec<(f64, f64)> = (0..MOST_ROUNDS)
            .map(|round| (0.0, if round % 2 == 0 { 0.25 } else { -0.2 }))
            .collect();
        assert!(matches!(decide(&unclear[..4], FIVE), Decision::Open(_)));
        assert!(matches!(decide(&unclear, FIVE), Decision::Undecided(_)));
    }

    /// Sum of twelve uniform variables: about normal.
    fn normal(random: &mut SmallRng) -> f64 {
        (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
    }

    fn run(random: &mut SmallRng, truth: f64, suspicion: Suspicion) -> (Decision, usize) {
        let mut pairs = Vec::new();
        loop {
            let before = suspicion.noise * normal(random);
            pairs.push((before, truth + suspicion.noise * normal(random)));
            let decision = decide(&pairs, suspicion);
            if !matches!(decision, Decision::Open(_)) {
                return (decision, pairs.len());
            }
        }
    }

    #[test]
    fn the_error_rates_are_kept() {
        let mut random = SmallRng::seed_from_u64(3);
        for size in [0.02, 0.03, 0.05] {
            let suspicion = Suspicion { size, noise: 0.01 };
            let mut counts = (0, 0, 0);
            for _ in 0..2_000 {
                let none = run(&mut random, 0.0, suspicion).0;
                let there = run(&mut random, size, suspicion).0;
                counts.0 += usize::from(matches!(none, Decision::Confirmed(_)));
                counts.1 += usize::from(matches!(there, Decision::Refuted(_)));
                counts.2 += usize::from(matches!(there, Decision::Confirmed(_)));
            }
            assert!(counts.0 <= 10 && counts.1 <= 80, "{size}: {counts:?}");
            assert!(
                counts.2 >= if size < 0.03 { 1_200 } else { 1_950 },
                "{size}: {counts:?}"
            );
        }
    }
}
