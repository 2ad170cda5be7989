//! The chosen detector and others by which it was chosen, each from values to the first points of new levels.

use speedwell_backend::detection::segments::{Settings, find};
use speedwell_backend::detection::{Point, Scale, judge};

use crate::baseline;
use crate::series::Random;

pub type Detector = fn(&[f64]) -> Vec<usize>;

pub const CANDIDATES: [(&str, Detector); 5] = [
    (
        "baseline-1: each point against ten before it",
        baseline::changes,
    ),
    (
        "least squares, exact segments, Schwarz's penalty",
        least_squares,
    ),
    ("rank test of fifteen points on each side", ranks),
    ("energy distance with permutations", energy),
    ("Bayesian run lengths (Adams and MacKay 2007)", run_lengths),
];

fn logarithms(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.ln()).collect()
}

pub fn chosen(values: &[f64]) -> Vec<usize> {
    let found = find(&logarithms(values), 0.0, &Settings::default());
    found.steps.iter().map(|step| step.at).collect()
}

/// As a count is judged, which has a lower floor than times.
pub fn of_counts(values: &[f64]) -> Vec<usize> {
    let settings = Settings {
        magnitude: 0.0012,
        ..Settings::default()
    };
    let found = find(&logarithms(values), 0.0, &settings);
    found.steps.iter().map(|step| step.at).collect()
}

/// The scale of times.
pub const TIME: Scale = Scale {
    floor: 0.01,
    added: 0.0,
    higher_is_better: false,
    jumps: false,
};

/// Values that are known exactly, all of one epoch.
pub fn points(values: &[f64]) -> Vec<Point> {
    let point = |value: &f64| Point {
        value: *value,
        low: *value,
        high: *value,
        epoch: 0,
    };
    values.iter().map(point).collect()
}

/// The first points of new levels as verdicts have them: with the suspicion about a last point that lies alone.
pub fn verdicts(values: &[f64]) -> Vec<usize> {
    let judged = judge(&points(values), TIME, &Settings::default());
    judged.changes.iter().map(|change| change.at).collect()
}

/// Noise by differences of neighbours.
fn deviation(series: &[f64]) -> f64 {
    let mut differences: Vec<f64> = series
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).abs())
        .collect();
    differences.sort_by(f64::total_cmp);
    (differences[differences.len() / 2] * 1.4826 / std::f64::consts::SQRT_2).max(1e-6)
}

/// Pruned exact search (Killick et al. 2012) with squared residuals and 2 log n for each change.
fn least_squares(values: &[f64]) -> Vec<usize> {
    let series = logarithms(values);
    let scale = deviation(&series);
    let count = series.len();
    let mut sums = vec![(0.0, 0.0)];
    for one in &series {
        let (sum, squares) = sums[sums.len() - 1];
        sums.push((sum + one / scale, squares + (one / scale).powi(2)));
    }
    let cost = |from: usize, to: usize| {
        let sum = sums[to].0 - sums[from].0;
        sums[to].1 - sums[from].1 - sum * sum / (to - from) as f64
    };
    let penalty = 2.0 * (count as f64).ln();
    let mut best = vec![-penalty];
    let mut last = vec![0];
    let mut open = vec![0];
    for to in 1..=count {
        let total = |from: &usize| best[*from] + cost(*from, to) + penalty;
        let from = open
            .iter()
            .copied()
            .min_by(|a, b| total(a).total_cmp(&total(b)));
        let from = from.unwrap();
        let lowest = total(&from);
        open.retain(|one| best[*one] + cost(*one, to) <= lowest);
        open.push(to);
        best.push(lowest);
        last.push(from);
    }
    let mut places = Vec::new();
    let mut end = last[count];
    while end > 0 {
        places.push(end);
        end = last[end];
    }
    places.reverse();
    places
}

/// Mann and Whitney's test of fifteen points before and from a point on; the likeliest of neighbours beyond five deviations.
fn ranks(values: &[f64]) -> Vec<usize> {
    const SIDE: usize = 15;
    let score = |index: usize| {
        let (Some(from), true) = (index.checked_sub(SIDE), index + SIDE <= values.len()) else {
            return 0.0;
        };
        let (before, after) = (&values[from..index], &values[index..index + SIDE]);
        let wins = after
            .iter()
            .map(|one| before.iter().filter(|other| *other < one).count())
            .sum::<usize>() as f64;
        let side = SIDE as f64;
        let deviation = (side * side * (2.0 * side + 1.0) / 12.0).sqrt();
        ((wins - side * side / 2.0) / deviation).abs()
    };
    let scores: Vec<f64> = (0..values.len()).map(score).collect();
    let highest = |index: &usize| {
        let around = index.saturating_sub(SIDE)..(index + SIDE).min(scores.len());
        let here = scores[*index];
        here > 4.0
            && around
                .clone()
                .all(|other| scores[other] < here || (scores[other] == here && other >= *index))
    };
    (0..values.len()).filter(highest).collect()
}

/// E-divisive (Matteson and James 2014) of the last 400 points: the split with the largest energy distance, kept when at most one
/// in a hundred permutations has as large a one.
fn energy(values: &[f64]) -> Vec<usize> {
    let series = logarithms(values);
    let mut random = Random::new(1);
    let mut places = Vec::new();
    let mut open: Vec<(usize, usize)> = (0..series.len())
        .step_by(400)
        .map(|from| (from, (from + 400).min(series.len())))
        .collect();
    while let Some((from, to)) = open.pop() {
        let Some((place, distance)) = split(&series[from..to]) else {
            continue;
        };
        let mut shuffled = series[from..to].to_vec();
        let mut as_large = 0;
        for _ in 0..99 {
            for index in (1..shuffled.len()).rev() {
                shuffled.swap(index, random.below(index + 1));
            }
            as_large += u32::from(split(&shuffled).is_some_and(|(_, other)| other >= distance));
            if as_large > 0 {
                break;
            }
        }
        if as_large == 0 {
            places.push(from + place);
            open.extend([(from, from + place), (from + place, to)]);
        }
    }
    places.sort_unstable();
    places
}

/// The split of a stretch with the largest energy distance, with at least five points on each side.
fn split(series: &[f64]) -> Option<(usize, f64)> {
    const FEWEST: usize = 5;
    let count = series.len();
    if count < 2 * FEWEST {
        return None;
    }
    let distance = |a: usize, b: usize| (series[a] - series[b]).abs();
    let left_of =
        |point: usize, end: usize| (0..end).map(|other| distance(point, other)).sum::<f64>();
    let right_of = |point: usize, from: usize| {
        (from..count)
            .map(|other| distance(point, other))
            .sum::<f64>()
    };
    let (mut left, mut right, mut across) = (0.0, 0.0, 0.0);
    for point in 0..count {
        right += right_of(point, point + 1);
    }
    let mut best: Option<(usize, f64)> = None;
    for point in 0..count - FEWEST {
        // The point moves from the right to the left.
        let (to_left, to_right) = (left_of(point, point), right_of(point, point + 1));
        left += to_left;
        right -= to_right;
        across += to_right - to_left;
        let (n, m) = ((point + 1) as f64, (count - point - 1) as f64);
        let between = 2.0 * across / (n * m);
        let within = 2.0 * left / (n * n) + 2.0 * right / (m * m);
        let value = n * m / (n + m) * (between - within);
        if point + 1 >= FEWEST && best.is_none_or(|(_, other)| value > other) {
            best = Some((point + 1, value));
        }
    }
    best
}

/// The likeliest length of the present run after each point, with normal noise of known deviation; a change is told when the run
/// begins anew.
fn run_lengths(values: &[f64]) -> Vec<usize> {
    const HAZARD: f64 = 1.0 / 200.0;
    const MOST: usize = 400;
    let series = logarithms(values);
    let scale = deviation(&series);
    // Of each length: its probability, and the sum of its points.
    let mut runs: Vec<(f64, f64)> = vec![(1.0, 0.0)];
    let mut begun = 0;
    let mut places = Vec::new();
    for (index, one) in series.iter().enumerate() {
        let mut fresh = 0.0;
        let mut next = vec![(0.0, 0.0)];
        for (length, (probability, sum)) in runs.iter().enumerate() {
            // Before the first point any level is likely: ten deviations wide.
            let points = length as f64;
            let (mean, variance) = if length == 0 {
                (*one, 100.0)
            } else {
                (sum / points, 1.0 + 1.0 / points)
            };
            let away = (one - mean) / scale;
            let likely = probability * (-away * away / (2.0 * variance)).exp() / variance.sqrt();
            fresh += likely * HAZARD;
            next.push((likely * (1.0 - HAZARD), sum + one));
        }
        next[0] = (fresh, 0.0);
        next.truncate(MOST);
        let total: f64 = next.iter().map(|(probability, _)| probability).sum();
        next.iter_mut()
            .for_each(|(probability, _)| *probability /= total.max(f64::MIN_POSITIVE));
        runs = next;
        let likeliest = (0..runs.len())
            .max_by(|a, b| runs[*a].0.total_cmp(&runs[*b].0))
            .unwrap();
        let begins = index + 1 - likeliest;
        if likeliest > 0 && likeliest + 1 < MOST && begins > begun + 3 {
            places.push(begins);
            begun = begins;
        }
    }
    places
}
