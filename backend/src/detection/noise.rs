//! How far the values of one host spread when nothing has changed, and the smallest change that it can see therefore; pure.
//!
//! Values are compared as logarithms, so that a deviation of 0.01 is 1 % and a change is a ratio. There are three kinds
//! of repetition, each holding the noise of those before it (Kalibera and Jones, *Rigorous Benchmarking in Reasonable
//! Time*, ISMM 2013): the processes of a run, runs of one build, and builds of one commit. A deviation is the median
//! absolute difference of all pairs within a group, divided by that of a standard normal distribution: a pair has two
//! values' noise whatever the group's size, so that groups of two and of twenty can be put together and no group's own
//! centre is compared with another's (Rousseeuw and Croux, *Alternatives to the Median Absolute Deviation*, JASA 1993).
//!
//! Where no build was repeated, neighbours on the branch stand in: what differs between two commits measured after each other is all of
//! the noise, and what the second changed. Most commits change nothing, and the median of the differences does not see those that do.

use std::collections::BTreeMap;

use crate::domain::summary::median_of_sorted;

/// Version of the rules in this module, stored with every floor.
pub const NOISE_VERSION: &str = "pairs-2";

/// Median absolute difference of two values of a standard normal distribution: the third quartile times the root of two.
const PAIR_OF_NORMAL: f64 = 0.674_489_750_196_081_7 * std::f64::consts::SQRT_2;
/// Partners of each value in a large group; all pairs would be its square.
const PARTNERS: usize = 64;
/// Commits of an epoch from which on the differences of neighbours say something.
const FEWEST_NEIGHBOURS: usize = 6;
/// Two-sided 95 % that a change which is called so is one, and 80 % that one of this size is called so.
const CONFIDENCE_AND_POWER: f64 = 1.959_963_985 + 0.841_621_234;

/// One measurement of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// What builds are repeats of: commit, recipe and toolchain, as the caller tells them apart.
    pub source: i64,
    /// The build that was run.
    pub build: i64,
    /// The commit's place on its branch; `None`: it is not there.
    pub position: Option<i32>,
    /// The samples that are no warm-ups, each with its process.
    pub samples: Vec<(i16, f64)>,
}

/// A robust relative deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Standard deviation of the logarithms; 0.01 is 1 %.
    pub deviation: f64,
    /// Values that have at least one other of their group beside them.
    pub count: usize,
}

/// What a smallest visible change rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Builds of one commit: everything that differs between two commits but the commit.
    Rebuilds,
    /// Neighbours on the branch: the same, and what commits change.
    Neighbours,
    /// Runs of one build; what a build does by its layout alone comes on top.
    Runs,
    /// Processes of one run; what a run and a build do comes on top.
    Processes,
}

impl Basis {
    /// The stable name used in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rebuilds => "rebuilds",
            Self::Neighbours => "neighbours",
            Self::Runs => "runs",
            Self::Processes => "processes",
        }
    }
}

/// The noise of a series within one epoch. `None`: nothing of the kind was measured twice.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct NoiseFloor {
    /// Between the processes of one run.
    pub processes: Option<Spread>,
    /// Between runs of one build.
    pub runs: Option<Spread>,
    /// Between builds of one commit.
    pub rebuilds: Option<Spread>,
    /// Between commits that are neighbours on the branch.
    pub neighbours: Option<Spread>,
    /// Processes of a run, in the mean.
    processes_of_run: f64,
    /// Runs of a build, in the mean over the builds that were repeated.
    runs_of_build: f64,
}

/// The noise floor from measurements of one series in one epoch. `added`: what is added to values before their
/// logarithm ([`super::Scale::added`]).
pub fn measure(observations: &[Observation], added: f64) -> NoiseFloor {
    let mut processes = Vec::new();
    let mut builds: BTreeMap<(i64, i64), Vec<f64>> = BTreeMap::new();
    let mut places: BTreeMap<i64, i32> = BTreeMap::new();
    for one in observations {
        places.extend(one.position.map(|position| (one.source, position)));
        let medians = process_medians(&one.samples, added);
        let mut all: Vec<f64> = logarithms(one.samples.iter().map(|(_, v)| *v), added);
        if let Some(median) = median(&mut all) {
            let of_build = builds.entry((one.source, one.build)).or_default();
            of_build.push(median);
        }
        processes.push(medians);
    }
    let runs: Vec<Vec<f64>> = builds.values().cloned().collect();
    let mut sources: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    let mut repeated = (0, 0);
    let several = |source: i64| builds.keys().filter(|key| key.0 == source).count() > 1;
    for ((source, _), values) in &builds {
        if several(*source) {
            repeated = (repeated.0 + values.len(), repeated.1 + 1);
        }
        let of_source = sources.entry(*source).or_default();
        of_source.extend(median(&mut values.clone()));
    }
    let neighbours = neighbours(&sources, &places);
    let rebuilds: Vec<Vec<f64>> = sources.into_values().collect();
    let share = |(parts, whole): (usize, usize)| parts as f64 / whole.max(1) as f64;
    NoiseFloor {
        processes: spread(&processes),
        runs: spread(&runs),
        rebuilds: spread(&rebuilds),
        neighbours,
        processes_of_run: share((processes.iter().map(Vec::len).sum(), processes.len())),
        runs_of_build: share(repeated),
    }
}

impl NoiseFloor {
    /// The smallest change between two commits that `runs` runs of one build on each side show, as a ratio minus one, with
    /// what it rests on: exp((1.96 + 0.84) x the root of twice a side's variance) - 1.
    ///
    /// More runs do not make a build another one: between rebuilds, only the part of the variance that runs of one build
    /// have is divided. Where runs were never repeated that part is unknown, and nothing is.
    pub fn smallest_change(&self, runs: usize) -> Option<(f64, Basis)> {
        let number = runs.max(1) as f64;
        let of_runs = self.runs.map(|runs| runs.deviation.powi(2));
        let rebuilds = self.rebuilds.map(|one| (one, Basis::Rebuilds));
        let neighbours = self.neighbours.map(|one| (one, Basis::Neighbours));
        let (variance, basis) = if let Some((whole, basis)) = rebuilds.or(neighbours) {
            let whole = whole.deviation.powi(2);
            let variance = match of_runs {
                Some(of_runs) => {
                    (whole - of_runs / self.runs_of_build.max(1.0)).max(0.0) + of_runs / number
                }
                None => whole,
            };
            (variance, basis)
        } else if let Some(of_runs) = of_runs {
            (of_runs / number, Basis::Runs)
        } else {
            let of_process = self.processes?.deviation.powi(2);
            let variance = of_process / self.processes_of_run.max(1.0) / number;
            (variance, Basis::Processes)
        };
        let change = (CONFIDENCE_AND_POWER * (2.0 * variance).sqrt()).exp_m1();
        change.is_finite().then_some((change, basis))
    }
}

/// Between the commits (sources by their builds' medians) of neighbouring places.
fn neighbours(sources: &BTreeMap<i64, Vec<f64>>, places: &BTreeMap<i64, i32>) -> Option<Spread> {
    let placed = |(source, builds): (&i64, &Vec<f64>)| {
        let value = median(&mut builds.clone())?;
        Some((*places.get(source)?, value))
    };
    let mut values: Vec<(i32, f64)> = sources.iter().filter_map(placed).collect();
    if values.len() < FEWEST_NEIGHBOURS {
        return None;
    }
    values.sort_by_key(|(place, _)| *place);
    let pairs: Vec<Vec<f64>> = values
        .windows(2)
        .map(|pair| pair.iter().map(|one| one.1).collect())
        .collect();
    spread(&pairs).map(|found| Spread {
        count: values.len(),
        ..found
    })
}

/// The median of each process's logarithms.
fn process_medians(samples: &[(i16, f64)], added: f64) -> Vec<f64> {
    let mut processes: BTreeMap<i16, Vec<f64>> = BTreeMap::new();
    for (process, value) in samples {
        processes.entry(*process).or_default().push(*value);
    }
    let values = processes.into_values();
    let of_process = |values: Vec<f64>| median(&mut logarithms(values.into_iter(), added));
    values.filter_map(of_process).collect()
}

/// What has no logarithm is left out.
fn logarithms(values: impl Iterator<Item = f64>, added: f64) -> Vec<f64> {
    let logarithm = |value: f64| (value + added).ln();
    values
        .map(logarithm)
        .filter(|one| one.is_finite())
        .collect()
}

/// The median, which sorts what it is given.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| median_of_sorted(values))
}

/// The deviation within groups, all together. Each group weighs by its values less one.
pub(super) fn spread(groups: &[Vec<f64>]) -> Option<Spread> {
    let mut differences: Vec<(f64, f64)> = Vec::new();
    let mut count = 0;
    for group in groups.iter().filter(|group| group.len() > 1) {
        count += group.len();
        let pairs = pairs(group);
        let weight = (group.len() - 1) as f64 / pairs.len() as f64;
        differences.extend(pairs.into_iter().map(|difference| (difference, weight)));
    }
    differences.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = differences.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut passed = 0.0;
    let mut lower: Option<f64> = None;
    for (difference, weight) in differences {
        // Half of the weight exactly: the median lies between this difference and the next.
        if let Some(lower) = lower {
            let deviation = (lower + difference) / 2.0 / PAIR_OF_NORMAL;
            return Some(Spread { deviation, count });
        }
        passed += weight;
        if (passed - half).abs() < 1e-9 {
            lower = Some(difference);
        } else if passed > half {
            let deviation = difference / PAIR_OF_NORMAL;
            return Some(Spread { deviation, count });
        }
    }
    None
}

/// The absolute differences of all pairs; of a large group, of each value and so many others at even distances.
fn pairs(group: &[f64]) -> Vec<f64> {
    let number = group.len();
    let difference = |a: usize, b: usize| (group[a] - group[b % number]).abs();
    if number <= 2 * PARTNERS {
        let of = |a: usize| (a + 1..number).map(move |b| difference(a, b));
        return (0..number).flat_map(of).collect();
    }
    let step = |partner: usize| 1 + partner * (number / 2) / PARTNERS;
    let of = |a: usize| (0..PARTNERS).map(move |partner| difference(a, a + step(partner)));
    (0..number).flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(build: i64, values: &[f64]) -> Observation {
        let samples = values.iter().enumerate();
        Observation {
            source: 1,
            build,
            position: None,
            samples: samples
                .map(|(process, value)| (i16::try_from(process % 30_000).unwrap(), *value))
                .collect(),
        }
    }

    /// Quantiles of a normal distribution would do; this repeatable noise has a known deviation of 1/√12.
    fn uniform(count: usize) -> Vec<f64> {
        (0..count)
            .map(|index| (index as f64 * 0.618_033_988_749_894_9).fract() - 0.5)
            .collect()
    }

    #[test]
    fn nothing_one_and_rubbish_have_no_spread() {
        for observations in [
            vec![],
            vec![run(1, &[])],
            vec![run(1, &[1.0])],
            vec![run(1, &[f64::NAN, f64::INFINITY, -1.0, 0.0])],
            vec![
                run(1, &[2.0]),
                Observation {
                    source: 2,
                    ..run(2, &[3.0])
                },
            ],
        ] {
            let floor = measure(&observations, 0.0);
            assert_eq!(
                (floor.processes, floor.runs, floor.rebuilds),
                (None, None, None)
            );
            assert_eq!(floor.smallest_change(1), None);
        }
    }

    #[test]
    fn what_is_always_the_same_has_a_spread_of_nothing() {
        let floor = measure(&[run(1, &[5.0, 5.0]), run(1, &[5.0, 5.0])], 0.0);
        let nothing = |count| {
            Some(Spread {
                deviation: 0.0,
                count,
            })
        };
        assert_eq!(
            (floor.processes, floor.runs, floor.rebuilds),
            (nothing(4), nothing(2), None)
        );
        assert_eq!(floor.smallest_change(1), Some((0.0, Basis::Runs)));
        let counts = measure(&[run(1, &[0.0, 0.0])], 1.0);
        assert_eq!(counts.processes, nothing(2));
        assert_eq!(measure(&[run(1, &[0.0, 0.0])], 0.0).processes, None);
    }

    #[test]
    fn a_pair_of_values_gives_its_difference() {
        // ln 1.01 apart: a deviation of 0.00995 / 0.9539.
        let floor = measure(&[run(1, &[100.0, 101.0])], 0.0);
        let expected = 1.01_f64.ln() / 0.953_872_552_417_339_9;
        assert!((floor.processes.unwrap().deviation - expected).abs() < 1e-9);
        // Rebuilds of 1 %: 2.8016 x √2 x 1 % of a logarithm of one run a side.
        let of_builds = NoiseFloor {
            rebuilds: Some(Spread {
                deviation: 0.01,
                count: 5,
            }),
            ..NoiseFloor::default()
        };
        let (change, basis) = of_builds.smallest_change(1).unwrap();
        assert!((change - 0.040_41).abs() < 1e-4, "{change}");
        assert_eq!(basis, Basis::Rebuilds);
        assert_eq!(
            of_builds.smallest_change(5),
            Some((change, basis)),
            "its part is unknown"
        );
    }

    #[test]
    fn groups_are_never_compared_with_each_other() {
        // Two builds far apart; their runs are close.
        let floor = measure(
            &[
                run(1, &[100.0]),
                run(1, &[101.0]),
                run(2, &[200.0]),
                run(2, &[202.0]),
            ],
            0.0,
        );
        assert!(floor.runs.unwrap().deviation < 0.011);
        assert_eq!(floor.runs.unwrap().count, 4);
        assert!(floor.rebuilds.unwrap().deviation > 0.6);
        assert_eq!(floor.rebuilds.unwrap().count, 2);
        assert_eq!(floor.processes, None);
        // More runs help against the runs' part alone.
        let one = floor.smallest_change(1).unwrap().0;
        let many = floor.smallest_change(1000).unwrap().0;
        assert!(many < one && many > one * 0.99, "{one} {many}");
    }

    #[test]
    fn a_minority_of_wild_values_hardly_moves_it() {
        let mut values: Vec<f64> = uniform(100)
            .iter()
            .map(|noise| (noise * 0.01).exp())
            .collect();
        let calm = measure(&[run(1, &values)], 0.0)
            .processes
            .unwrap()
            .deviation;
        assert!((calm / 0.01 - 0.307).abs() < 0.02, "{calm}");
        for value in values.iter_mut().take(10) {
            *value = 1e6;
        }
        let wild = measure(&[run(1, &values)], 0.0)
            .processes
            .unwrap()
            .deviation;
        assert!(wild < calm * 1.5, "{wild}");
    }

    /// Commits of one run each, in the order of their places.
    fn commits(values: &[f64]) -> Vec<Observation> {
        let commit = |(place, value): (i32, &f64)| Observation {
            source: i64::from(place) * 7 % 1000,
            position: Some(place),
            ..run(i64::from(place), &[*value])
        };
        (0..).zip(values).map(commit).collect()
    }

    #[test]
    fn neighbours_stand_in_for_builds_that_nobody_repeated() {
        let values: Vec<f64> = uniform(60).iter().map(|one| (one * 0.1).exp()).collect();
        let floor = measure(&commits(&values), 0.0);
        let found = floor.neighbours.unwrap();
        // The low-discrepancy sequence's neighbours differ by more than chance would have them: within a factor of two.
        assert!((0.02..0.06).contains(&found.deviation), "{found:?}");
        assert_eq!((found.count, floor.runs, floor.rebuilds), (60, None, None));
        let (one, basis) = floor.smallest_change(1).unwrap();
        assert_eq!(
            (basis, Some(one)),
            (
                Basis::Neighbours,
                floor.smallest_change(5).map(|five| five.0)
            )
        );
        // A step of 30 % is one difference among many.
        let mut stepped = values.clone();
        stepped.iter_mut().skip(30).for_each(|value| *value *= 1.3);
        let stepped = measure(&commits(&stepped), 0.0).neighbours.unwrap();
        assert!(
            (stepped.deviation / found.deviation - 1.0).abs() < 0.1,
            "{stepped:?}"
        );
        // Few, constant, off the branch, rubbish and huge ones.
        assert_eq!(measure(&commits(&values[..5]), 0.0).neighbours, None);
        let constant = measure(&commits(&[3.0; 9]), 0.0).neighbours.unwrap();
        assert_eq!((constant.deviation, constant.count), (0.0, 9));
        let mut off = commits(&values);
        off.iter_mut().for_each(|one| one.position = None);
        assert_eq!(measure(&off, 0.0).neighbours, None);
        assert_eq!(measure(&commits(&[f64::NAN; 9]), 0.0).neighbours, None);
        let huge = measure(
            &commits(&[1e300, 1e-300, 1e300, 1e-300, 1e300, 1e-300]),
            0.0,
        );
        assert!(huge.neighbours.unwrap().deviation.is_finite());
    }

    #[test]
    fn huge_input_and_huge_values_are_finite() {
        let many: Vec<f64> = uniform(30_000).iter().map(|noise| noise.exp()).collect();
        let spread = measure(&[run(1, &many)], 0.0).processes.unwrap();
        assert_eq!(spread.count, 30_000);
        assert!((spread.deviation - 0.307).abs() < 0.01, "{spread:?}");
        let floor = measure(&[run(1, &[f64::MAX]), run(2, &[f64::MIN_POSITIVE])], 0.0);
        assert!(floor.rebuilds.unwrap().deviation.is_finite());
        assert_eq!(floor.smallest_change(1), None, "no number is that large");
    }
}
