//! Whether a process of a benchmark reaches a steady state, when, and how fast it is then.
//!
//! After Barrett, Bolz-Tereick, Killick, Mount and Tratt, "Virtual Machine Warmup Blows Hot and Cold" (OOPSLA 2017): single
//! outliers are set aside, change points over the in-process iterations are found by PELT with a cost for mean and
//! variance, and the segments are compared with the last one. The paper's processes have 2,000 iterations of about a
//! second; ours have fewer and shorter ones, so that its absolute numbers (the last 500 iterations, 1 ms) become
//! relative ones here (the last quarter, 1 %).

use crate::domain::summary::median_of_sorted;

/// Version of these rules, stored with what they gave.
pub const WARMUP_VERSION: &str = "warmup-2";
/// Fewer iterations than this say nothing about a steady state.
pub const FEWEST: usize = 20;
/// Longer series are looked at in groups of neighbours, to bound the time.
const LONGEST: usize = 4_000;
/// The paper's penalty for a change point, times the logarithm of the length.
const PENALTY: f64 = 15.0;
/// Shortest segment: variance needs two values.
const SHORTEST: usize = 2;
/// Segments whose means differ by less than this share are the same.
const SAME: f64 = 0.01;
/// The smallest standard deviation that is believed, as a share of the median.
const LEAST_DEVIATION: f64 = 5e-4;

/// What a process does over its iterations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// As fast from the first iteration on.
    Flat,
    /// Slower at first, then steady.
    Warmup,
    /// Faster at some time before it became steady.
    Slowdown,
    /// Still changing in the last quarter.
    NoSteadyState,
    /// Of several processes: some flat, some warming up.
    GoodInconsistent,
    /// Of several processes: some slow down or never become steady, others do.
    BadInconsistent,
}

impl Class {
    /// All classes.
    pub const ALL: &'static [Self] = &[
        Self::Flat,
        Self::Warmup,
        Self::Slowdown,
        Self::NoSteadyState,
        Self::GoodInconsistent,
        Self::BadInconsistent,
    ];

    /// The stable name used in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Warmup => "warmup",
            Self::Slowdown => "slowdown",
            Self::NoSteadyState => "no_steady_state",
            Self::GoodInconsistent => "good_inconsistent",
            Self::BadInconsistent => "bad_inconsistent",
        }
    }

    /// The class of several processes together.
    pub fn together(classes: &[Self]) -> Option<Self> {
        let (first, rest) = classes.split_first()?;
        if rest.iter().all(|class| class == first) {
            return Some(*first);
        }
        Some(if classes.iter().any(|class| class.is_bad()) {
            Self::BadInconsistent
        } else {
            Self::GoodInconsistent
        })
    }

    /// Whether it slows down, or never becomes steady, at least in some process.
    pub fn is_bad(self) -> bool {
        match self {
            Self::Flat | Self::Warmup | Self::GoodInconsistent => false,
            Self::Slowdown | Self::NoSteadyState | Self::BadInconsistent => true,
        }
    }
}

/// One process's iterations, understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// What it does.
    pub class: Class,
    /// First iteration of each segment but the first one, counted from 0.
    pub change_points: Vec<usize>,
    /// First iteration of the steady state; `None` without one.
    pub steady_from: Option<usize>,
    /// Median of the steady iterations, in the unit of the values.
    pub steady: Option<f64>,
    /// Sum of the values before the steady state, in the unit of the values.
    pub warmup: Option<f64>,
}

/// Understands the iterations of one process in the order taken. `None` when there are fewer than [`FEWEST`], or a
/// value is no positive number.
pub fn classify(values: &[f64]) -> Option<Curve> {
    if values.len() < FEWEST
        || values
            .iter()
            .any(|value| !value.is_finite() || *value <= 0.0)
    {
        return None;
    }
    let group = values.len().div_ceil(LONGEST);
    let grouped: Vec<f64> = values.chunks(group).map(median).collect();
    let kept: Vec<usize> = without_outliers(&grouped);
    let clean: Vec<f64> = kept.iter().map(|index| grouped[*index]).collect();
    let starts = segments(&clean);
    let steady = steady_segment(&clean, &starts);
    // The quarter is one of all iterations, outliers included.
    let original = |start: usize| if start == 0 { 0 } else { kept[start] * group };
    let steady_from = original(starts[steady.first]);
    let change_points = starts[1..].iter().map(|start| original(*start)).collect();
    if (values.len() - steady_from) * 4 < values.len() {
        return Some(Curve {
            class: Class::NoSteadyState,
            change_points,
            steady_from: None,
            steady: None,
            warmup: None,
        });
    }
    let class = match (steady.first, steady.faster_before) {
        (0, _) => Class::Flat,
        (_, true) => Class::Slowdown,
        (_, false) => Class::Warmup,
    };
    Some(Curve {
        class,
        change_points,
        steady_from: Some(steady_from),
        steady: Some(median(&values[steady_from..])),
        // `sum` of nothing is -0.0, and would be shown so.
        warmup: Some(values[..steady_from].iter().fold(0.0, |sum, one| sum + one)),
    })
}

struct Steady {
    /// Index of the first segment that, with all after it, is as fast as the last one.
    first: usize,
    /// Whether some segment before that was faster than the last one.
    faster_before: bool,
}

fn steady_segment(values: &[f64], starts: &[usize]) -> Steady {
    let moments = |index: usize| {
        let end = starts.get(index + 1).copied().unwrap_or(values.len());
        mean_and_deviation(&values[starts[index]..end])
    };
    let (last, deviation) = moments(starts.len() - 1);
    let tolerance = (last * SAME).max(deviation);
    let differs = |index: &usize| (moments(*index).0 - last).abs() > tolerance;
    let before = (0..starts.len()).rev().find(differs);
    Steady {
        first: before.map_or(0, |index| index + 1),
        faster_before: (0..starts.len()).any(|index| moments(index).0 < last - tolerance),
    }
}

/// Half the width of the window in which an outlier stands out: the paper's share of all iterations, within bounds.
fn half_window(count: usize) -> usize {
    (count / 20).clamp(5, 100)
}

/// Indices of the values that do not stand out among their neighbours: farther from their median than three times the
/// distance of the 10th from the 90th percentile. The first iterations stay, however slow: they are what a warm-up is.
fn without_outliers(values: &[f64]) -> Vec<usize> {
    let half = half_window(values.len());
    let is_outlier = |index: usize| {
        let from = index.saturating_sub(half);
        let to = (index + half).min(values.len());
        let mut near = values[from..to].to_vec();
        near.sort_by(f64::total_cmp);
        let rank = |share: f64| near[((near.len() - 1) as f64 * share).round() as usize];
        let spread = (rank(0.9) - rank(0.1)).max(rank(0.5) * LEAST_DEVIATION);
        (values[index] - rank(0.5)).abs() > 3.0 * spread
    };
    let first = (0..values.len())
        .find(|index| !is_outlier(*index))
        .unwrap_or(0);
    (0..values.len())
        .filter(|index| *index < first || !is_outlier(*index))
        .collect()
}

/// Starts of the segments between which mean or variance change: PELT (Killick, Fearnhead and Eckley 2012) with the
/// cost of a normal distribution.
fn segments(values: &[f64]) -> Vec<usize> {
    let count = values.len();
    if count < 2 * SHORTEST {
        return vec![0];
    }
    // About the median, so that sums of squares keep their digits.
    let centre = median(values);
    let least = (centre * LEAST_DEVIATION).powi(2);
    let mut sums = vec![(0.0, 0.0)];
    for value in values {
        let (sum, squares) = sums[sums.len() - 1];
        let away = value - centre;
        sums.push((sum + away, squares + away * away));
    }
    let cost = |from: usize, to: usize| {
        let length = (to - from) as f64;
        let (sum, squares) = (sums[to].0 - sums[from].0, sums[to].1 - sums[from].1);
        let variance = (squares / length - (sum / length).powi(2)).max(least);
        length * variance.ln()
    };
    let penalty = PENALTY * (count as f64).ln();
    let mut best = vec![f64::INFINITY; count + 1];
    best[0] = -penalty;
    let mut previous = vec![0; count + 1];
    let mut candidates = vec![0];
    for end in SHORTEST..=count {
        let total = |from: &usize| best[*from] + cost(*from, end) + penalty;
        let chosen = candidates
            .iter()
            .copied()
            .min_by(|a, b| total(a).total_cmp(&total(b)))
            .unwrap_or(0);
        let value = total(&chosen);
        candidates.retain(|from| total(from) - penalty <= value);
        best[end] = value;
        previous[end] = chosen;
        if end + 1 >= 2 * SHORTEST {
            candidates.push(end + 1 - SHORTEST);
        }
    }
    let mut starts = Vec::new();
    let mut end = count;
    while end > 0 {
        end = previous[end];
        starts.push(end);
    }
    starts.reverse();
    starts
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / count;
    (mean, variance.sqrt())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    median_of_sorted(&sorted)
}

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests {
    use super::*;

    /// Values around `level` with about 1 % of noise, always the same.
    fn noisy(level: f64, count: usize) -> Vec<f64> {
        let mut state = 12_345_u64;
        let mut values = Vec::new();
        for _ in 0..count {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            values.push(level * (1.0 + ((state >> 33) as f64 / 2f64.powi(31) - 0.5) * 0.03));
        }
        values
    }

    fn joined(parts: &[(f64, usize)]) -> Vec<f64> {
        parts
            .iter()
            .flat_map(|(level, count)| noisy(*level, *count))
            .collect()
    }

    #[test]
    fn the_four_classes_are_told_apart() {
        let class = |parts: &[(f64, usize)]| classify(&joined(parts)).unwrap().class;
        assert_eq!(class(&[(1.0, 60)]), Class::Flat);
        assert_eq!(class(&[(3.0, 10), (1.0, 50)]), Class::Warmup);
        assert_eq!(class(&[(3.0, 5), (1.0, 20), (1.2, 40)]), Class::Slowdown);
        assert_eq!(class(&[(1.0, 40), (3.0, 8)]), Class::NoSteadyState);
        assert_eq!(class(&[(3.0, 55), (1.0, 5)]), Class::NoSteadyState);
        // A difference within one per cent is none.
        assert_eq!(class(&[(1.0, 40), (1.005, 40)]), Class::Flat);
    }

    #[test]
    fn a_warm_up_has_its_time_and_its_steady_value() {
        let curve = classify(&joined(&[(50.0, 2), (2.0, 18), (1.0, 60)])).unwrap();
        let from = curve.steady_from.unwrap();
        assert!((19..=21).contains(&from), "{curve:?}");
        assert!((curve.steady.unwrap() - 1.0).abs() < 0.01, "{curve:?}");
        assert!((curve.warmup.unwrap() - 136.0).abs() < 3.0, "{curve:?}");
        assert!(curve.change_points.len() >= 2);
    }

    #[test]
    fn one_cold_iteration_is_a_warm_up_and_one_slow_one_later_is_none() {
        let mut values = joined(&[(1.0, 60)]);
        values[0] = 70.0;
        let curve = classify(&values).unwrap();
        assert_eq!(curve.class, Class::Warmup, "{curve:?}");
        assert!(curve.steady_from.unwrap() <= 2);
        let mut values = joined(&[(1.0, 60)]);
        values[30] = 5.0;
        values[57] = 4.0;
        assert_eq!(classify(&values).unwrap().class, Class::Flat);
    }

    #[test]
    fn odd_input_gives_no_answer_or_a_plain_one() {
        assert_eq!(classify(&[]), None);
        assert_eq!(classify(&[1.0]), None);
        assert_eq!(classify(&[1.0; FEWEST - 1]), None);
        let mut broken = vec![1.0; 50];
        broken[7] = f64::NAN;
        assert_eq!(classify(&broken), None);
        broken[7] = 0.0;
        assert_eq!(classify(&broken), None);
        let constant = classify(&[0.25; 50]).unwrap();
        assert_eq!((constant.class, constant.warmup), (Class::Flat, Some(0.0)));
        assert!(constant.warmup.unwrap().is_sign_positive());
        let huge = classify(&joined(&[(2e15, 4_000), (1e15, 96_000)])).unwrap();
        assert_eq!(huge.class, Class::Warmup);
        assert!(
            huge.steady_from.unwrap().abs_diff(4_000) <= 50,
            "{:?}",
            huge.steady_from
        );
    }

    #[test]
    fn several_processes_agree_or_are_inconsistent() {
        use Class::*;
        assert_eq!(Class::together(&[]), None);
        assert_eq!(Class::together(&[Warmup, Warmup]), Some(Warmup));
        assert_eq!(Class::together(&[Flat, Warmup]), Some(GoodInconsistent));
        assert_eq!(
            Class::together(&[Flat, NoSteadyState]),
            Some(BadInconsistent)
        );
    }
}
