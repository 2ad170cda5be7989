//! What a detector would have said of a series, point by point, as they came in branch order: the alarms of a history.

use super::judge::{ChangePoint, Kept, Point};
use super::scale::Scale;
use super::segments::Settings;

/// Newest points that are replayed one by one; what lies before is read at once.
const MOST_REPLAYED: usize = 300;

/// One alarm: a change point that the detector has seen at some time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alarm {
    /// As it was seen last.
    pub change: ChangePoint,
    /// The point with which it was seen first.
    pub first_seen: usize,
    /// Whether it is still seen with all points.
    pub stays: bool,
}

impl Alarm {
    /// Whether both are about the same step.
    pub fn is(&self, other: &Self) -> bool {
        same(&self.change, &other.change)
    }
}

fn same(a: &ChangePoint, b: &ChangePoint) -> bool {
    a.better == b.better && a.between.0 < b.between.1 && b.between.0 < a.between.1
}

/// Feeds a series to the detector point by point and collects its alarms, in the order in which they were seen first.
pub fn replay(points: &[Point], scale: Scale, settings: &Settings) -> Vec<Alarm> {
    let mut alarms: Vec<Alarm> = Vec::new();
    let begins = points.len().saturating_sub(MOST_REPLAYED).max(1);
    let mut kept = Kept::new(scale, settings);
    for count in begins..=points.len() {
        let last = count == points.len();
        for change in &kept.judge(&points[..count]).changes {
            match alarms.iter_mut().find(|one| same(&one.change, change)) {
                Some(known) => {
                    known.change = *change;
                    known.stays = last;
                }
                None => alarms.push(Alarm {
                    change: *change,
                    first_seen: count - 1,
                    stays: last,
                }),
            }
        }
    }
    alarms
}

/// The alarms that only the first has, and those that only the second has.
pub fn difference(first: &[Alarm], second: &[Alarm]) -> (Vec<Alarm>, Vec<Alarm>) {
    let only = |own: &[Alarm], others: &[Alarm]| {
        let alone = |one: &&Alarm| !others.iter().any(|other| one.is(other));
        own.iter().filter(alone).copied().collect()
    };
    (only(first, second), only(second, first))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Scale = Scale {
        floor: 0.01,
        added: 0.0,
        higher_is_better: false,
        jumps: false,
    };

    fn points(values: &[f64]) -> Vec<Point> {
        let point = |value: &f64| Point {
            value: *value,
            low: value * 0.998,
            high: value * 1.002,
            epoch: 1,
        };
        values.iter().map(point).collect()
    }

    #[test]
    fn nothing_one_constant_and_rubbish_alarm_nobody() {
        let usual = Settings::default();
        assert!(replay(&[], TIME, &usual).is_empty());
        assert!(replay(&points(&[1.0]), TIME, &usual).is_empty());
        assert!(replay(&points(&[1.0; 40]), TIME, &usual).is_empty());
        assert!(replay(&points(&[f64::NAN; 40]), TIME, &usual).is_empty());
        assert!(replay(&points(&[1e300; 400]), TIME, &usual).is_empty());
    }

    #[test]
    fn an_outlier_is_taken_back_and_what_comes_after_it_needs_two_points() {
        let mut values = vec![1.0, 1.001, 0.999, 1.0, 1.001, 0.999, 1.0, 1.001];
        values.push(1.3);
        values.extend([1.0, 0.999, 1.001, 1.0, 0.999, 1.001]);
        values.extend([1.1, 1.101, 1.099, 1.1, 1.1, 1.101]);
        let alarms = replay(&points(&values), TIME, &Settings::default());
        let told: Vec<(usize, usize, bool)> = alarms
            .iter()
            .map(|one| (one.change.at, one.first_seen, one.stays))
            .collect();
        assert_eq!(told, [(8, 8, false), (15, 16, true)], "{alarms:?}");
    }

    #[test]
    fn other_parameters_differ_in_what_they_alarm_about() {
        let mut values: Vec<f64> = (0..30)
            .map(|index| 1.0 + f64::from(index % 3) * 0.001)
            .collect();
        values.extend((0..10).map(|index| 1.012 + f64::from(index % 3) * 0.001));
        let usual = replay(&points(&values), TIME, &Settings::default());
        let coarse = Settings {
            magnitude: 0.05,
            ..Settings::default()
        };
        let few = replay(&points(&values), TIME, &coarse);
        let (lost, gained) = difference(&usual, &few);
        assert!(
            lost.iter().any(|one| one.stays) && gained.is_empty(),
            "{usual:?} {few:?}"
        );
        assert!(difference(&usual, &usual).0.is_empty());
    }
}
