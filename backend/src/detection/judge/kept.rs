//! What is kept of a series between two points, so that the next one costs little.

use std::collections::HashMap;

use super::epoch::Epoch;
use super::{Judged, Judgement, Point, Scale, Settings, State};

/// A series as it was judged last. What follows from its points alone is kept, so that one more costs little; the verdicts are those of
/// [`judge`], bit for bit.
pub struct Kept {
    scale: Scale,
    settings: Settings,
    points: Vec<Point>,
    /// The newest.
    epoch: Option<Epoch>,
    /// Change points of the epochs before it.
    settled: usize,
    judged: Judged,
}

impl Kept {
    /// Nothing of a series yet.
    pub fn new(scale: Scale, settings: &Settings) -> Self {
        Self {
            scale,
            settings: *settings,
            points: Vec::new(),
            epoch: None,
            settled: 0,
            judged: Judged::default(),
        }
    }

    /// Judges the series. Where the points are others than those that are known, or fewer, everything is made anew.
    pub fn judge(&mut self, points: &[Point]) -> &Judged {
        let newest = points.strip_prefix(&self.points[..]);
        let newest = newest.unwrap_or_else(|| {
            *self = Self::new(self.scale, &self.settings);
            points
        });
        for points in newest.chunk_by(|a, b| a.epoch == b.epoch) {
            self.read(points);
        }
        &self.judged
    }

    /// Judges a series of which nothing is kept.
    pub(super) fn into_judged(mut self, points: &[Point]) -> Judged {
        self.judge(points);
        self.judged
    }

    /// Points of one epoch, which may be the newest or one after it.
    fn read(&mut self, points: &[Point]) {
        let before = self.points.last().map(|last| last.epoch);
        let goes_on = before == points.first().map(|first| first.epoch);
        let newest = self.epoch.take().filter(|_| goes_on);
        if newest.is_none() {
            self.settled = self.judged.changes.len();
        }
        let mut epoch = newest.unwrap_or_else(|| Epoch::new(self.scale, &self.settings));
        epoch.read(points, self.points.len());
        self.points.extend(points);
        let none = Judgement {
            state: State::TooFew,
            change: None,
            predecessors: 0,
        };
        self.judged.judgements.resize(self.points.len(), none);
        self.judged.changes.truncate(self.settled);
        epoch.judge(&mut self.judged);
        self.epoch = Some(epoch);
    }
}

/// Most points that a [`Shelf`] keeps, about 200 bytes each; a series counts for so many more.
const MOST: usize = 200_000;
const OF_SERIES: usize = 200;

/// Series as they were judged last. When there are too many points, the series that was longest not asked for goes.
pub struct Shelf {
    /// By their keys, with the number of the question that they were last asked by.
    series: HashMap<i64, (u64, Kept)>,
    questions: u64,
    /// Points of all of them.
    points: usize,
    most: usize,
}

impl Default for Shelf {
    fn default() -> Self {
        Self::new(MOST)
    }
}

impl Shelf {
    fn new(most: usize) -> Self {
        Self {
            series: HashMap::new(),
            questions: 0,
            points: 0,
            most,
        }
    }

    /// As [`super::judge`], of the series with this key.
    pub fn judge(
        &mut self,
        key: i64,
        points: &[Point],
        scale: Scale,
        settings: &Settings,
    ) -> Judged {
        let kept = self.take(key);
        let kept = kept.filter(|kept| kept.scale == scale && kept.settings == *settings);
        let mut kept = kept.unwrap_or_else(|| Kept::new(scale, settings));
        let judged = kept.judge(points).clone();
        self.points += kept.points.len() + OF_SERIES;
        self.questions += 1;
        self.series.insert(key, (self.questions, kept));
        while self.points > self.most {
            let oldest = self.series.iter().min_by_key(|(_, (asked, _))| *asked);
            let Some(oldest) = oldest.map(|(key, _)| *key) else {
                break;
            };
            self.take(oldest);
        }
        judged
    }

    fn take(&mut self, key: i64) -> Option<Kept> {
        let (_, kept) = self.series.remove(&key)?;
        self.points -= kept.points.len() + OF_SERIES;
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge;
    use super::*;

    const TIME: Scale = Scale {
        floor: 0.01,
        added: 0.0,
        higher_is_better: false,
        jumps: false,
    };

    /// Steps, outliers, rubbish and a second epoch; the same for ever.
    fn series(count: usize) -> Vec<Point> {
        let point = |index: usize| {
            let x = index as f64;
            let noise = ((x * 12.9898).sin() * 43_758.545_3).fract();
            let step = f64::from(u8::from(index % 400 > 250)) * 0.03;
            let value = match index % 97 {
                13 => 1.2,
                14 => f64::INFINITY,
                _ => 1.0 + step + 0.01 * noise,
            };
            Point {
                value,
                low: value * 0.999,
                high: value * (1.001 + 0.001 * (x * 0.7).sin().abs()),
                epoch: i64::from(index >= 320),
            }
        };
        (0..count).map(point).collect()
    }

    /// Counts that commits move by a little, with two steps; from the six hundredth on they are noisy.
    fn counts(count: usize) -> Vec<Point> {
        let mut level = 1e9;
        let point = |index: usize| {
            let wave = ((index as f64 * 78.233).sin() * 12_543.123).fract();
            let step = match index {
                120 | 300 => 1.02,
                _ if index.is_multiple_of(3) => 1.0 + 5e-4 * wave,
                _ => 1.0,
            };
            level *= step;
            let noise = if index < 600 { 1e-6 } else { 0.01 };
            let value = level * (1.0 + noise * wave);
            Point {
                value,
                low: value,
                high: value,
                epoch: 0,
            }
        };
        (0..count).map(point).collect()
    }

    #[test]
    fn counts_are_the_same_point_by_point_and_both_steps_are_found() {
        let points = counts(1_000);
        let usual = Settings::default();
        let instructions = Scale {
            floor: 0.002,
            ..TIME
        };
        let mut kept = Kept::new(instructions, &usual);
        for count in (0..60).chain((60..1_000).step_by(7)) {
            let whole = judge(&points[..count], instructions, &usual);
            assert_eq!(*kept.judge(&points[..count]), whole, "{count} points");
        }
        let judged = judge(&points[..600], instructions, &usual);
        let places: Vec<usize> = judged.changes.iter().map(|one| one.at).collect();
        assert_eq!(places, [120, 300]);
        for one in &judged.changes {
            assert!((one.change.change - 0.02).abs() < 0.001, "{one:?}");
        }
    }

    #[test]
    fn point_by_point_and_at_once_are_the_same_bit_for_bit() {
        let points = series(1_000);
        let usual = Settings::default();
        let mut kept = Kept::new(TIME, &usual);
        assert_eq!(*kept.judge(&[]), Judged::default());
        for count in (0..60).chain((60..1_000).step_by(7)) {
            let whole = judge(&points[..count], TIME, &usual);
            assert_eq!(*kept.judge(&points[..count]), whole, "{count} points");
        }
        // One that came in between, and fewer.
        let mut other = points.clone();
        other.remove(500);
        assert_eq!(*kept.judge(&other), judge(&other, TIME, &usual));
        let few = &points[..3];
        assert_eq!(*kept.judge(few), judge(few, TIME, &usual));
    }

    #[test]
    fn a_shelf_answers_by_what_is_asked_and_holds_no_more_than_it_may() {
        let points = series(300);
        let confirmed = Settings {
            is_confirmed: true,
            ..Settings::default()
        };
        let mut shelf = Shelf::new(1_100);
        for settings in [Settings::default(), confirmed] {
            for key in [1, 2, 1, 3] {
                let judged = shelf.judge(key, &points, TIME, &settings);
                assert_eq!(judged, judge(&points, TIME, &settings));
            }
        }
        let mut keys: Vec<i64> = shelf.series.keys().copied().collect();
        keys.sort_unstable();
        assert_eq!((keys, shelf.points), (vec![1, 3], 1_000));
        // More than fits is kept not at all.
        shelf.judge(4, &series(1_000), TIME, &confirmed);
        assert!(shelf.series.is_empty() && shelf.points == 0);
    }
}
