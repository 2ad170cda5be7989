//! Searches through made ranges: without noise, with it, with wrong values, with gaps, with several changes.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

/// A range whose commits' true levels are known.
struct World {
    levels: Vec<f64>,
    candidates: Vec<Candidate>,
    noise: f64,
    random: SmallRng,
    /// Readings (by their number) that are wrong by this much.
    wrong: Vec<(usize, f64)>,
    hosts: usize,
}

impl World {
    /// `count` commits with steps `(first changed index, size)`.
    fn new(count: usize, steps: &[(usize, f64)], noise: f64, seed: u64) -> Self {
        let level = |index| {
            steps
                .iter()
                .filter(|(at, _)| index >= *at)
                .map(|(_, size)| size)
                .sum()
        };
        Self {
            levels: (0..count).map(level).collect(),
            candidates: vec![
                Candidate {
                    prior: 1.0,
                    measurable: true
                };
                count
            ],
            noise,
            random: SmallRng::seed_from_u64(seed),
            wrong: Vec::new(),
            hosts: 1,
        }
    }

    fn normal(&mut self) -> f64 {
        let (a, b): (f64, f64) = (self.random.random(), self.random.random());
        (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }

    /// Measures whatever is asked for until the search ends; what it ends with, and the runs that it took.
    fn run(&mut self, expected: Option<f64>) -> (Next, Vec<Reading>) {
        let mut readings: Vec<Reading> = Vec::new();
        let hosts: Vec<Host> = (0..self.hosts)
            .map(|group| Host { group, idle: true })
            .collect();
        loop {
            let search = Search {
                candidates: &self.candidates,
                readings: &readings,
                hosts: &hosts,
                busy: &[],
                noise: self.noise,
                expected,
            };
            let opinion = decide(&search);
            assert_eq!(opinion.probability.len(), self.candidates.len());
            let Next::Measure(probes) = opinion.next else {
                return (opinion.next, readings);
            };
            assert!(
                !probes.is_empty(),
                "nothing is asked for and nothing is under way"
            );
            for probe in probes {
                assert!(probe.runs > 0);
                let asked = self.candidates[probe.index].measurable;
                assert!(asked, "{} is not to be measured", probe.index);
                for _ in 0..probe.runs {
                    let noise = self.normal() * self.noise;
                    let wrong = self
                        .wrong
                        .iter()
                        .find(|(number, _)| *number == readings.len());
                    let value = self.levels[probe.index] + noise + wrong.map_or(0.0, |(_, by)| *by);
                    readings.push(Reading {
                        index: probe.index,
                        group: probe.host,
                        value: value + probe.host as f64,
                    });
                }
            }
            // The budget of a search.
            if readings.len() > 200 {
                return (Next::Stuck, readings);
            }
        }
    }

    fn culprits(&mut self, expected: Option<f64>) -> (Vec<Option<usize>>, usize) {
        match self.run(expected) {
            (Next::Found(found), readings) => (
                found.iter().map(|one| one.culprit).collect(),
                readings.len(),
            ),
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[test]
fn without_noise_it_is_a_bisection() {
    for at in [1, 2, 50, 98, 99] {
        let (found, runs) = World::new(100, &[(at, 0.05)], 0.0, 1).culprits(Some(0.05));
        assert_eq!(found, [Some(at)]);
        assert!(runs <= 2 + 8, "{runs} runs for {at}");
    }
    let (found, runs) = World::new(10_000, &[(7_777, -0.01)], 0.0, 1).culprits(None);
    assert_eq!(found, [Some(7_777)]);
    assert!(runs <= 24, "{runs}");
}

#[test]
fn one_commit_is_known_once_its_ends_are() {
    let (found, _) = World::new(2, &[(1, 0.05)], 0.01, 3).culprits(Some(0.05));
    assert_eq!(found, [Some(1)]);
    for count in [0, 1] {
        let (next, readings) = World::new(count, &[], 0.01, 3).run(None);
        assert_eq!((next, readings.len()), (Next::Stuck, 0));
    }
}

#[test]
fn ends_that_do_not_differ_are_measured_more_and_then_given_up() {
    let (next, readings) = World::new(50, &[], 0.01, 5).run(Some(0.03));
    assert_eq!(next, Next::Flat);
    assert_eq!(readings.len(), 2 * MOST_RUNS);
    assert!(readings.iter().all(|one| one.index == 0 || one.index == 49));
}

#[test]
fn a_wrong_value_is_survived_wherever_it_comes() {
    // The first six runs are of the ends.
    for (number, at) in [(4, 20), (5, 70), (6, 20), (8, 70), (10, 33), (12, 33)] {
        for by in [-0.05, 0.05, 0.3] {
            let mut world = World::new(100, &[(at, 0.05)], 0.01, 7);
            world.wrong = vec![(number, by)];
            let (found, runs) = world.culprits(Some(0.05));
            assert_eq!(found, [Some(at)], "run {number} wrong by {by}");
            assert!(runs < 45, "{runs}");
        }
    }
}

#[test]
fn a_stretch_that_cannot_be_measured_is_named_as_one() {
    let mut world = World::new(40, &[(21, 0.05)], 0.005, 11);
    for index in 18..=23 {
        world.candidates[index].measurable = false;
    }
    let (next, _) = world.run(Some(0.05));
    let Next::Found(found) = next else {
        panic!("{next:?}")
    };
    assert_eq!(
        (found.len(), found[0].low, found[0].high, found[0].culprit),
        (1, 17, 24, None)
    );
    // Documentation in between takes nothing of the certainty.
    for index in 18..=23 {
        world.candidates[index].prior = if index == 21 { 1.0 } else { 0.001 };
    }
    world.candidates[24].prior = 0.001;
    let (next, _) = world.run(Some(0.05));
    let Next::Found(found) = next else {
        panic!("{next:?}")
    };
    assert_eq!(
        (found[0].low, found[0].high, found[0].culprit),
        (17, 24, Some(21))
    );
}

#[test]
fn several_changes_are_located_each() {
    for steps in [
        [(20, 0.05), (60, 0.04)],
        [(20, 0.08), (60, -0.03)],
        [(5, 0.03), (95, 0.06)],
    ] {
        let (found, runs) = World::new(100, &steps, 0.004, 13).culprits(None);
        assert_eq!(found, [Some(steps[0].0), Some(steps[1].0)], "{steps:?}");
        assert!(runs < 80, "{runs}");
    }
    let three = [(20, 0.05), (50, 0.05), (80, 0.05)];
    let (found, _) = World::new(100, &three, 0.0, 13).culprits(Some(0.15));
    assert_eq!(found, [Some(20), Some(50), Some(80)]);
}

#[test]
fn hosts_share_the_work_and_each_has_its_own_level() {
    let mut world = World::new(200, &[(123, 0.05)], 0.01, 17);
    world.hosts = 2;
    let (found, _) = world.culprits(Some(0.05));
    assert_eq!(found, [Some(123)]);
    // A host that is at work is left alone, and so is what it measures.
    let end = |index, value| {
        [0, 1, 2].map(|_| Reading {
            index,
            group: 0,
            value,
        })
    };
    let readings: Vec<Reading> = [end(0, 0.0), end(199, 0.05)].concat();
    let candidates = vec![
        Candidate {
            prior: 1.0,
            measurable: true
        };
        200
    ];
    let hosts = [Host {
        group: 0,
        idle: false,
    }];
    let search = Search {
        candidates: &candidates,
        readings: &readings,
        hosts: &hosts,
        busy: &[99],
        noise: 0.01,
        expected: None,
    };
    assert_eq!(decide(&search).next, Next::Measure(vec![]));
}

#[test]
fn what_is_no_number_is_left_out_and_huge_values_do_no_harm() {
    let reading = |index, value| Reading {
        index,
        group: 0,
        value,
    };
    let candidates = vec![
        Candidate {
            prior: 1.0,
            measurable: true
        };
        10
    ];
    let hosts = [Host {
        group: 0,
        idle: true,
    }];
    for odd in [f64::NAN, f64::INFINITY, 1e300, -700.0] {
        for noise in [f64::NAN, 0.0, 0.01, 1e9] {
            let readings = [
                reading(0, 0.0),
                reading(0, 0.0),
                reading(9, odd),
                reading(9, odd),
                reading(5, odd),
                reading(77, 1.0),
            ];
            let search = Search {
                candidates: &candidates,
                readings: &readings,
                hosts: &hosts,
                busy: &[],
                noise,
                expected: Some(odd),
            };
            let opinion = decide(&search);
            assert!(
                opinion.probability.iter().all(|one| one.is_finite()),
                "{odd} {noise}: {opinion:?}"
            );
            assert!(
                opinion.likeness.iter().flatten().all(|one| one.is_finite()),
                "{odd} {noise}"
            );
        }
    }
}

#[test]
fn runs_of_a_step_follow_from_its_size() {
    let sizes = [50.0, 4.1, 3.0, 2.0, 0.1, 0.0, f64::NAN];
    assert_eq!(sizes.map(runs_for), [1, 1, 2, 4, 4, 4, 4]);
}

/// The share of right culprits and the mean number of runs of searches through 100 commits whose noise is normal, with one value
/// in fifty wrong by as much as the change.
fn simulate(size: f64, count: usize, trials: u64) -> (f64, f64) {
    let (mut right, mut runs) = (0.0, 0.0);
    for seed in 0..trials {
        let mut random = SmallRng::seed_from_u64(seed);
        let at = random.random_range(1..count);
        let mut world = World::new(count, &[(at, 0.01 * size)], 0.01, seed + 1_000);
        for number in 0..400 {
            if random.random::<f64>() < 0.02 {
                let sign = if random.random() { 1.0 } else { -1.0 };
                world.wrong.push((number, sign * 0.01 * size));
            }
        }
        let (next, readings) = world.run(Some(0.01 * size));
        runs += readings.len() as f64 / trials as f64;
        if let Next::Found(found) = &next
            && found.len() == 1
            && found[0].culprit == Some(at)
        {
            right += 1.0 / trials as f64;
        } else if std::env::var_os("SHOW").is_some() {
            println!("{seed}: {at} {next:?} {}", readings.len());
        }
    }
    println!(
        "size {size}, {count} commits: {:.1} % right, {runs:.1} runs",
        right * 100.0
    );
    (right, runs)
}

#[test]
fn simulated_searches_find_the_commit() {
    let (right, runs) = simulate(3.0, 100, 400);
    assert!(right >= 0.95, "{right}");
    assert!(runs < 45.0, "{runs}");
    let (right, runs) = simulate(6.0, 100, 200);
    assert!(right >= 0.97, "{right}");
    assert!(runs < 25.0, "{runs}");
}

/// Instructions of `richards` in CPython 2.7, May and June 2015, as they were measured: two large steps, and two small ones of which
/// the smaller must not hide the large ones.
#[test]
fn a_small_step_does_not_hide_a_large_one() {
    // Place, instructions of a loop, how many runs.
    let measured = [
        (0, 1_124_079_818.0, 6),
        (3, 1_124_079_998.0, 1),
        (6, 1_124_079_952.0, 3),
        (8, 1_073_142_616.0, 12),
        (9, 1_073_142_631.0, 7),
        (11, 1_031_961_307.0, 1),
        (12, 1_031_961_188.0, 4),
        (14, 1_031_959_849.0, 1),
        (15, 1_031_960_941.0, 5),
        (16, 1_031_961_002.0, 1),
        (18, 1_031_961_175.0, 11),
        (20, 1_037_001_191.0, 15),
        (21, 1_049_276_042.0, 12),
        (24, 1_049_276_031.0, 5),
    ];
    let readings: Vec<Reading> = measured
        .iter()
        .flat_map(|(index, value, runs): &(usize, f64, usize)| {
            let reading = Reading {
                index: *index,
                group: 0,
                value: value.ln(),
            };
            std::iter::repeat_n(reading, *runs)
        })
        .collect();
    let candidates: Vec<Candidate> = (0..25)
        .map(|index| {
            let harmless = [3, 4, 5, 7, 9, 10, 19, 22, 23].contains(&index);
            Candidate {
                prior: if harmless { 0.001 } else { 1.0 },
                measurable: !harmless,
            }
        })
        .collect();
    let opinion = decide(&Search {
        candidates: &candidates,
        readings: &readings,
        hosts: &[Host {
            group: 0,
            idle: true,
        }],
        busy: &[],
        noise: 1e-6,
        expected: None,
    });
    let Next::Found(located) = &opinion.next else {
        panic!("{opinion:#?}")
    };
    let culprits: Vec<Option<usize>> = located.iter().map(|one| one.culprit).collect();
    for large in [8, 11, 21] {
        assert!(culprits.contains(&Some(large)), "{located:#?}");
    }
}
