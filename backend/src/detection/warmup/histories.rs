//! Histories of warm-ups as PyPy's processes make them: the same interpreter again and again alarms nobody in the end, and a longer
//! warm-up is found and confirmed.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use speedwell_wire::Metric;

use super::super::confirmation::{Decision, Suspicion, decide};
use super::super::judge::Point;
use super::super::replay::{Alarm, replay};
use super::super::scale::Scale;
use super::super::segments::Settings;
use super::classify;
use crate::domain::summary::Summary;

/// Processes of a run, as the plan for PyPy has them.
const PROCESSES: u32 = 3;
/// Points of a history.
const POINTS: usize = 60;

/// What a benchmark's processes are like.
#[derive(Debug, Clone, Copy)]
struct Benchmark {
    /// Seconds of a steady iteration.
    iteration: f64,
    /// Iterations before it is steady.
    warmup: f64,
    /// How many times as long these take.
    slow: f64,
    /// Deviation of an iteration.
    noise: f64,
    /// How often a process slows down late, by a few per cent.
    slows_down: f64,
    /// How often a process is still changing at its end.
    never_steady: f64,
}

impl Benchmark {
    fn any(random: &mut SmallRng) -> Self {
        // A third does not warm up but for a first iteration.
        let flat = random.random::<f64>() < 0.33;
        let rare = |random: &mut SmallRng, most: f64| {
            if random.random::<f64>() < 0.5 {
                0.0
            } else {
                most * random.random::<f64>()
            }
        };
        Self {
            iteration: 0.05 * 4.0_f64.powf(random.random()),
            warmup: if flat {
                random.random::<f64>()
            } else {
                1.0 + 30.0 * random.random::<f64>()
            },
            slow: 1.2 + 3.0 * random.random::<f64>(),
            noise: 0.003 * 6.0_f64.powf(random.random()),
            slows_down: rare(random, 0.3),
            never_steady: rare(random, 0.3),
        }
    }

    /// The iterations of one process.
    fn process(&self, random: &mut SmallRng) -> Vec<f64> {
        let count = 80;
        // When the compiler kicks in varies by whole iterations.
        let warm = (self.warmup * (1.0 + 0.12 * normal(random)) + random.random::<f64>()) as usize;
        let late = 30 + random.random_range(0..30_usize);
        let slows_down = random.random::<f64>() < self.slows_down;
        let never_steady = random.random::<f64>() < self.never_steady;
        let value = |index: usize, random: &mut SmallRng| {
            let mut value = self.iteration * (1.0 + self.noise * normal(random));
            if index < warm {
                value *= self.slow;
            }
            if slows_down && index >= late {
                value *= 1.04;
            }
            if never_steady && index >= count - 10 {
                value *= 1.2;
            }
            // Collectors and neighbours.
            if random.random::<f64>() < 0.02 {
                value *= 1.5;
            }
            value
        };
        (0..count).map(|index| value(index, random)).collect()
    }

    /// A metric of one run; `None`: one of its processes never becomes steady.
    fn run(&self, metric: Metric, random: &mut SmallRng) -> Option<Summary> {
        let mut values = Vec::new();
        for process in 0..PROCESSES {
            let curve = classify(&self.process(random)).unwrap();
            let value = match metric {
                Metric::BadWarmup => Some(f64::from(u8::from(curve.class.is_bad()))),
                _ => curve.warmup,
            };
            values.push((process, value));
        }
        let values: Option<Vec<(u32, f64)>> = values
            .into_iter()
            .map(|(process, value)| Some((process, value?)))
            .collect();
        Summary::of_processes(&values?)
    }
}

fn normal(random: &mut SmallRng) -> f64 {
    (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
}

/// A history: `before` up to a point, `after` from there on.
fn history(
    (before, after, at): (&Benchmark, &Benchmark, usize),
    metric: Metric,
    random: &mut SmallRng,
) -> Vec<Point> {
    let point = |index: usize| {
        let summary = if index < at { before } else { after }.run(metric, random)?;
        Some(Point {
            value: summary.median,
            low: summary.interval_low,
            high: summary.interval_high,
            epoch: 1,
        })
    };
    (0..POINTS).filter_map(point).collect()
}

/// What measuring both sides again says.
fn confirm(
    alarm: &Alarm,
    metric: Metric,
    (before, after): (&Benchmark, &Benchmark),
    random: &mut SmallRng,
) -> Decision {
    let scale = Scale::of(metric);
    let size = scale.difference(alarm.change.change.baseline, alarm.change.change.change);
    let suspicion = Suspicion {
        size,
        noise: scale.deviation(alarm.change.noise, size),
    };
    let value = |benchmark: &Benchmark, random: &mut SmallRng| {
        let run = benchmark.run(metric, random);
        run.map_or(f64::NAN, |run| scale.logarithm(run.median))
    };
    let mut pairs = Vec::new();
    loop {
        pairs.push((value(before, random), value(after, random)));
        let decision = decide(&pairs, suspicion);
        if !matches!(decision, Decision::Open(_)) {
            return decision;
        }
    }
}

/// Alarms and confirmed ones of histories in which nothing happens.
fn of_nothing(metric: Metric, histories: usize, seed: u64) -> (usize, usize, usize) {
    let mut random = SmallRng::seed_from_u64(seed);
    let (mut points, mut alarms, mut confirmed) = (0, 0, 0);
    for _ in 0..histories {
        let own = Benchmark::any(&mut random);
        let read = history((&own, &own, 0), metric, &mut random);
        points += read.len();
        for alarm in replay(&read, Scale::of(metric), &Settings::default()) {
            alarms += 1;
            let decision = confirm(&alarm, metric, (&own, &own), &mut random);
            if matches!(decision, Decision::Confirmed(_)) {
                confirmed += 1;
            }
        }
    }
    (points, alarms, confirmed)
}

#[test]
fn the_same_again_and_again_is_confirmed_to_be_nothing() {
    for metric in [Metric::WarmupTime, Metric::BadWarmup] {
        let (points, alarms, confirmed) = of_nothing(metric, 40, 11);
        assert_eq!(confirmed, 0, "{metric}: {alarms} in {points}");
        println!("{metric}: {alarms} alarms, {confirmed} confirmed in {points}");
    }
}

#[test]
fn a_longer_warm_up_is_found_and_confirmed() {
    let mut random = SmallRng::seed_from_u64(12);
    let (mut found, mut confirmed, mut all) = (0, 0, 0);
    while all < 40 {
        let own = Benchmark::any(&mut random);
        // What hardly warms up, or hardly ever becomes steady, has no warm-up time to speak of.
        if own.warmup < 5.0 || own.never_steady > 0.1 {
            continue;
        }
        all += 1;
        let longer = Benchmark {
            warmup: own.warmup * 1.6,
            ..own
        };
        let metric = Metric::WarmupTime;
        let read = history((&own, &longer, 30), metric, &mut random);
        let alarms = replay(&read, Scale::of(metric), &Settings::default());
        let mut stays = alarms.iter().filter(|one| one.stays && !one.change.better);
        if let Some(alarm) = stays.next() {
            found += 1;
            let decision = confirm(alarm, metric, (&own, &longer), &mut random);
            confirmed += usize::from(matches!(decision, Decision::Confirmed(_)));
        }
    }
    println!("{found} found, {confirmed} confirmed of {all}");
    assert!(found >= 32 && confirmed >= 28, "{found}, {confirmed}");
}
