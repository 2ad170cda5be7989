//! What a series does by itself: bursts, from which it comes back within a few points, and levels between which it goes to and fro.

use super::density::median;

/// A stretch of points about one level, in logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::detection) struct Stay {
    pub(in crate::detection) from: usize,
    /// One past its last point.
    pub(in crate::detection) to: usize,
    pub(in crate::detection) level: f64,
}

impl Stay {
    pub(in crate::detection) fn points(&self) -> usize {
        self.to - self.from
    }
}

/// Up or down, and back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::detection) struct Burst {
    /// Its level less that of what is around it.
    pub(in crate::detection) size: f64,
}

impl Burst {
    /// Whether a step of that size looks like the beginning of another such burst.
    pub(in crate::detection) fn is_like(&self, step: f64) -> bool {
        let share = step / self.size;
        LIKE.0 < share && share < LIKE.1
    }
}

/// Shares of a burst between which a step is like it; others are something else.
const LIKE: (f64, f64) = (0.5, 1.5);
/// Deviations beyond which points lie outside of their level, and how many of them in a row are a burst.
const OUTSIDE: (f64, usize) = (4.0, 2);
/// Two levels are the same when they differ by less than this share of the distance between which the series goes to and fro.
const SAME: f64 = 0.4;
/// Changes to and fro by which it is a habit: there, back, and there again.
const HABIT: usize = 3;
/// A series that stays for so many points, or for so many times as long as is usual, goes by habit no more.
const STAYS: (usize, f64) = (40, 5.0);

/// A series that is back where it was is told to be when it has been for so many points.
const RETURNED: usize = 30;
/// A step that looks like an earlier burst is told when it has stayed for more points.
pub(super) const OUTLIVES: usize = 20;

/// Bursts that lie in the noise of the levels, because no change of level was worth telling them; one that is not over is none.
pub(in crate::detection) fn bursts(residuals: &[f64], noise: f64) -> Vec<Burst> {
    let side = |residual: &f64| {
        if residual.abs() > OUTSIDE.0 * noise {
            residual.signum()
        } else {
            0.0
        }
    };
    let mut from = 0;
    let mut bursts = Vec::new();
    for run in residuals.chunk_by(|a, b| side(a) == side(b)) {
        from += run.len();
        let outside = run.first().is_some_and(|first| side(first) != 0.0);
        if outside && run.len() >= OUTSIDE.1 && from < residuals.len() {
            bursts.push(Burst {
                size: median(run.to_vec()),
            });
        }
    }
    bursts
}

/// Changes that a series makes to and fro between the same two levels, time and again, after short stays. `stays` in order.
pub(in crate::detection) fn to_and_fro(stays: &[Stay]) -> Vec<usize> {
    let mut habitual = Vec::new();
    let mut first = 0;
    while first + HABIT < stays.len() {
        let last = last_of_chain(stays, first);
        if last - first < HABIT {
            first += 1;
            continue;
        }
        let inner = stays[first + 1..last]
            .iter()
            .map(|stay| stay.points() as f64);
        let usual = median(inner.collect());
        let longest = (STAYS.1 * usual).max(STAYS.0 as f64);
        if usual >= STAYS.0 as f64 {
            first += 1;
            continue;
        }
        for stay in &stays[first + 1..=last] {
            let ends = stay.to == stays[last].to;
            if !ends || (stay.points() as f64) < longest {
                habitual.push(stay.from);
            }
        }
        first = last;
    }
    habitual
}

/// The change at the end by which a series comes back, for less than [`RETURNED`] points, to the level that it left a short while ago: of
/// a series of two sticky modes the second of its changes, and of a change that nobody confirmed its end. `stays` in order.
pub(in crate::detection) fn there_and_back(stays: &[Stay]) -> Option<usize> {
    let [.., before, away, back] = stays else {
        return None;
    };
    let is_same = (back.level - before.level).abs() < SAME * (away.level - before.level).abs();
    let is_short = away.points() < STAYS.0 && back.points() < RETURNED;
    (is_same && is_short).then_some(back.from)
}

/// The last of the stays from `first` on that take turns between two levels.
fn last_of_chain(stays: &[Stay], first: usize) -> usize {
    let mut last = first + 1;
    while let [.., before, between, next] = &stays[first..(last + 2).min(stays.len())]
        && last + 1 < stays.len()
        && (next.level - before.level).abs() < SAME * (between.level - before.level).abs()
        && ((between.points() as f64) < STAYS.1 * STAYS.0 as f64)
    {
        last += 1;
    }
    last.min(stays.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stays(lengths_and_levels: &[(usize, f64)]) -> Vec<Stay> {
        let mut from = 0;
        let stay = |(points, level): &(usize, f64)| {
            let stay = Stay {
                from,
                to: from + points,
                level: *level,
            };
            from = stay.to;
            stay
        };
        lengths_and_levels.iter().map(stay).collect()
    }

    #[test]
    fn nothing_one_level_and_there_and_back_are_no_habit() {
        assert!(to_and_fro(&[]).is_empty());
        assert!(to_and_fro(&stays(&[(5, 1.0)])).is_empty());
        assert!(to_and_fro(&stays(&[(50, 0.0), (10, 0.03), (50, 0.0)])).is_empty());
        assert!(to_and_fro(&stays(&[(9, f64::NAN), (9, f64::NAN), (9, 1.0), (9, 0.0)])).is_empty());
    }

    #[test]
    fn there_back_and_there_again_is_one_until_it_stays() {
        let short = [(50, 0.0), (10, 0.03), (12, 0.001), (8, 0.031)];
        assert_eq!(to_and_fro(&stays(&short)), [50, 60, 72]);
        let mut stayed = short;
        stayed[3].0 = 70;
        assert_eq!(to_and_fro(&stays(&stayed)), [50, 60]);
        // Long stays are what commits do.
        assert!(to_and_fro(&stays(&[(50, 0.0), (60, 0.03), (70, 0.0), (8, 0.03)])).is_empty());
        // So are other levels.
        assert!(to_and_fro(&stays(&[(50, 0.0), (10, 0.03), (12, 0.06), (8, 0.03)])).is_empty());
    }

    #[test]
    fn back_where_it_was_is_news_when_it_stays_and_after_a_long_time() {
        let back = |lengths_and_levels: &[(usize, f64)]| there_and_back(&stays(lengths_and_levels));
        assert_eq!(back(&[]), None);
        assert_eq!(back(&[(9, 1.0), (9, 2.0)]), None);
        assert_eq!(back(&[(9, f64::NAN), (9, 1.0), (9, f64::NAN)]), None);
        assert_eq!(back(&[(9, 1.0); 3]), None, "nothing moved");
        assert_eq!(back(&[(9, 1.0), (9, 2.0), (9, 1.1)]), Some(18));
        assert_eq!(back(&[(9, 1.0), (9, 2.0), (29, 1.1)]), Some(18));
        assert_eq!(back(&[(9, 1.0), (9, 2.0), (30, 1.1)]), None, "it stays");
        assert_eq!(back(&[(9, 1.0), (40, 2.0), (9, 1.1)]), None, "a long time");
        assert_eq!(back(&[(9, 1.0), (9, 2.0), (9, 1.5)]), None, "elsewhere");
        assert_eq!(back(&[(9, -1e300), (9, 1e300), (9, -1e300)]), Some(18));
    }

    #[test]
    fn a_burst_is_over_and_another_like_it_is_known() {
        let mut residuals = vec![0.001; 30];
        residuals[10..13].fill(0.08);
        residuals[28..].fill(0.08);
        let found = bursts(&residuals, 0.01);
        assert_eq!(found, [Burst { size: 0.08 }]);
        assert!(found[0].is_like(0.05) && !found[0].is_like(-0.05));
        assert!(!found[0].is_like(0.2) && !found[0].is_like(0.03));
        assert!(bursts(&[], 0.01).is_empty() && bursts(&[f64::NAN; 3], 0.01).is_empty());
    }
}
