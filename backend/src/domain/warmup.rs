//! What people are told of a benchmark's warm-up on both sides of a change: how long it takes until it is steady, how fast it is then, and
//! whether it becomes steady at all. One without the other would mislead: who trades a longer warm-up for speed has made no mistake.

use super::compare::Ratio;

/// Seconds that are next to nothing: two of the shortest iterations of a plan. They are added to warm-up times before these are compared.
pub const INSTANT: f64 = 0.1;
/// A warm-up time is another one from this ratio on: when a compiler begins varies by whole iterations.
pub const NOTABLE: f64 = 1.2;
/// A steady speed is the same within this share.
const SAME: f64 = 0.01;
/// An interval this wide still says so.
const NARROW: f64 = 0.02;
/// Less than this is no warm-up, in seconds.
const NOTHING: f64 = 1e-3;

/// A benchmark's warm-up before and after. What one side does not have is absent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WarmupSides {
    /// Seconds until it is steady, before and after.
    pub warmup: Option<(f64, f64)>,
    /// Time of an iteration once it is steady, after against before.
    pub steady: Option<Ratio>,
    /// What part of its processes slows down or never becomes steady, before and after.
    pub bad: Option<(f64, f64)>,
}

impl WarmupSides {
    /// How much longer or shorter the warm-up is, as the ratio that is compared: 1 where it is not known.
    pub fn warmup_ratio(&self) -> f64 {
        let ratio = self
            .warmup
            .map(|(before, after)| (after + INSTANT) / (before + INSTANT));
        ratio.filter(|ratio| ratio.is_finite()).unwrap_or(1.0)
    }

    /// All of it in words, without a subject and without a full stop; `None` where nothing is known.
    pub fn words(&self) -> Option<String> {
        let parts = [self.bad_words(), self.warmup_words(), self.steady_words()];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn bad_words(&self) -> Option<String> {
        let (before, after) = self.bad?;
        if after - before >= 0.5 {
            Some(
                "slows down or never becomes steady in most processes, which it did not".to_owned(),
            )
        } else if before - after >= 0.5 {
            Some(
                "becomes steady in most processes, where it slowed down or never did before"
                    .to_owned(),
            )
        } else {
            None
        }
    }

    fn warmup_words(&self) -> Option<String> {
        let (before, after) = self.warmup?;
        if !before.is_finite() || !after.is_finite() {
            return None;
        }
        let both = format!("{}, before {}", seconds(after), seconds(before));
        let ratio = self.warmup_ratio();
        Some(if ratio < NOTABLE && ratio > 1.0 / NOTABLE {
            format!("takes as long until it is steady ({both})")
        } else if before < NOTHING {
            format!(
                "takes {} until it is steady, where it was steady at once",
                seconds(after)
            )
        } else if after < NOTHING {
            format!(
                "is steady at once, where it took {} to become so",
                seconds(before)
            )
        } else if after > before {
            let size = (after / before - 1.0) * 100.0;
            format!("takes {size:.0} % longer until it is steady ({both})")
        } else {
            let size = (1.0 - after / before) * 100.0;
            format!("takes {size:.0} % less time until it is steady ({both})")
        })
    }

    fn steady_words(&self) -> Option<String> {
        let steady = self.steady?;
        let change = steady.ratio - 1.0;
        let numbers = format!(
            "{:+.1} %, {:+.1} to {:+.1} %",
            change * 100.0,
            (steady.low - 1.0) * 100.0,
            (steady.high - 1.0) * 100.0
        );
        if !change.is_finite() {
            return None;
        }
        let is_narrow = steady.low > 1.0 - NARROW && steady.high < 1.0 + NARROW;
        Some(if change.abs() < SAME && is_narrow {
            format!("the steady speed is the same ({numbers})")
        } else if !steady.is_significant() {
            format!("no change of the steady speed is seen ({numbers})")
        } else {
            let word = if change > 0.0 { "slower" } else { "faster" };
            format!("once steady it is {word} ({numbers})")
        })
    }
}

fn seconds(value: f64) -> String {
    if value >= INSTANT {
        format!("{value:.2} s")
    } else {
        format!("{:.0} ms", value * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(ratio: f64, width: f64) -> Option<Ratio> {
        Some(Ratio {
            ratio,
            low: ratio - width,
            high: ratio + width,
            count: 3,
        })
    }

    #[test]
    fn nothing_is_known_of_nothing_and_of_rubbish() {
        assert_eq!(WarmupSides::default().words(), None);
        let rubbish = WarmupSides {
            warmup: Some((f64::NAN, f64::INFINITY)),
            steady: ratio(f64::NAN, 1.0),
            bad: Some((f64::NAN, 1.0)),
        };
        assert_eq!(rubbish.words(), None);
        assert_eq!(rubbish.warmup_ratio(), 1.0);
    }

    #[test]
    fn a_longer_warm_up_is_told_beside_the_steady_speed() {
        let longer = WarmupSides {
            warmup: Some((0.6, 0.84)),
            steady: ratio(1.001, 0.004),
            bad: Some((0.0, 0.0)),
        };
        assert_eq!(
            longer.words().unwrap(),
            "takes 40 % longer until it is steady (0.84 s, before 0.60 s); the steady speed is the same (+0.1 %, -0.3 to +0.5 %)"
        );
        let traded = WarmupSides {
            steady: ratio(0.9, 0.01),
            ..longer
        };
        assert!(
            traded
                .words()
                .unwrap()
                .ends_with("once steady it is faster (-10.0 %, -11.0 to -9.0 %)")
        );
        let unsure = WarmupSides {
            steady: ratio(1.001, 0.1),
            ..longer
        };
        assert!(unsure.words().unwrap().contains("no change of the steady"));
    }

    #[test]
    fn none_at_all_and_as_long_as_before_have_words_of_their_own() {
        let words = |before, after| {
            let sides = WarmupSides {
                warmup: Some((before, after)),
                ..WarmupSides::default()
            };
            sides.words().unwrap()
        };
        assert_eq!(
            words(0.0, 0.9),
            "takes 0.90 s until it is steady, where it was steady at once"
        );
        assert_eq!(
            words(0.9, 0.0),
            "is steady at once, where it took 0.90 s to become so"
        );
        assert_eq!(
            words(0.0, 0.01),
            "takes as long until it is steady (10 ms, before 0 ms)"
        );
        assert!(words(2.0, 1.0).starts_with("takes 50 % less time"));
        assert!(words(2.0, 2.2).starts_with("takes as long"));
        assert!(words(1e300, 1e301).contains("900 % longer"));
    }

    #[test]
    fn a_change_of_class_is_told_first() {
        let gone = WarmupSides {
            bad: Some((0.0, 1.0)),
            ..WarmupSides::default()
        };
        assert!(gone.words().unwrap().contains("never becomes steady"));
        let back = WarmupSides {
            bad: Some((1.0, 0.0)),
            warmup: Some((1.0, 1.0)),
            ..WarmupSides::default()
        };
        assert!(
            back.words()
                .unwrap()
                .starts_with("becomes steady in most processes")
        );
    }
}
