//! Scores detectors on series whose steps are known: the chosen one and candidates, by family of noise, with delay and false alarms.
//!
//!     cargo bench -p speedwell-backend --bench detection -- [seeds=N] [draw=N] [long] [online] [candidates]
//!
//! Precision, recall and F1 over series with steps, a step found within three points of its place; false alarms per 1000 points on
//! series without. `draw` chooses other series: settings were chosen on draws 70000 to 79000. `long` adds series of 5,000 points, `online`
//! feeds series without steps point by point, and takes the time of one more point; `candidates` runs the other detectors as well.
//! Milliseconds are of this machine.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

mod baseline;
mod candidates;
mod score;
mod series;

use std::time::Instant;

use candidates::{CANDIDATES, Detector, TIME, chosen, of_counts, points, verdicts};
use score::Score;
use series::{Family, Random, Series};
use speedwell_backend::detection::segments::Settings;
use speedwell_backend::detection::{Kept, judge};

const STEPS: [f64; 5] = [0.0, 0.01, 0.02, 0.05, 0.1];

/// What is asked for.
struct Request {
    seeds: u64,
    draw: u64,
    long: bool,
    online: bool,
    candidates: bool,
}

impl Request {
    fn parse() -> Self {
        let mut request = Self {
            seeds: 5,
            draw: 50_000,
            long: false,
            online: false,
            candidates: false,
        };
        for word in std::env::args().skip(1) {
            match word.split_once('=') {
                Some(("seeds", value)) => request.seeds = value.parse().unwrap(),
                Some(("draw", value)) => request.draw = value.parse().unwrap(),
                _ => match word.as_str() {
                    "long" => request.long = true,
                    "online" => request.online = true,
                    "candidates" => request.candidates = true,
                    // What cargo itself adds.
                    "--bench" => {}
                    other => panic!("{other:?} is no argument of this benchmark"),
                },
            }
        }
        request
    }
}

fn main() {
    let request = Request::parse();
    println!("segments (chosen)");
    families(chosen, &request, &Family::CORE, core_lengths(&request));
    families(chosen, &request, &Family::FURTHER, &[1_000]);
    delay(chosen, &request);
    counts(&request);
    println!("\nverdicts, which wait before some are told");
    families(verdicts, &request, &Family::CORE, core_lengths(&request));
    println!();
    if request.online {
        online(chosen, &request);
        println!("\nwith suspects: what is measured again");
        online(verdicts, &request);
        suspect_rate(&request);
        one_more(&request);
    }
    if request.candidates {
        for (name, detector) in CANDIDATES {
            println!("\n{name}");
            families(detector, &request, &Family::CORE, &[100, 1_000]);
            families(detector, &request, &Family::FURTHER, &[1_000]);
            delay(detector, &request);
        }
    }
}

fn core_lengths(request: &Request) -> &'static [usize] {
    if request.long {
        &[100, 1_000, 5_000]
    } else {
        &[100, 1_000]
    }
}

/// Each family, and all together by size of the step and by length.
fn families(detector: Detector, request: &Request, families: &[Family], lengths: &[usize]) {
    let mut all = Score::default();
    let mut without_drift = Score::default();
    let mut by_step = STEPS.map(|_| Score::default());
    let mut by_length: Vec<Score> = lengths.iter().map(|_| Score::default()).collect();
    for family in families {
        let mut of_family = Score::default();
        for (length, by_length) in lengths.iter().zip(&mut by_length) {
            for (step, by_step) in STEPS.iter().zip(&mut by_step) {
                for seed in 0..request.seeds {
                    let series = Series::new(*family, *step, *length, request.draw + seed);
                    let begun = Instant::now();
                    let found = detector(&series.values);
                    let seconds = begun.elapsed().as_secs_f64();
                    for score in [&mut of_family, by_step, by_length] {
                        score.add(&series, &found, seconds);
                    }
                }
            }
        }
        println!("  {:<10} {of_family}", format!("{family:?}").to_lowercase());
        all.merge(&of_family);
        if *family != Family::Drift {
            without_drift.merge(&of_family);
        }
    }
    println!("  {:<10} {all}", "all");
    println!(
        "  without drift: {:.3} false alarms per 1000",
        without_drift.false_alarms()
    );
    let steps = STEPS.iter().zip(&by_step).skip(1);
    let steps = steps.map(|(step, score)| format!("{:.0} %: {:.2}", step * 100.0, score.f1()));
    println!("  F1 by step: {}", steps.collect::<Vec<_>>().join(", "));
    let lengths = lengths.iter().zip(&by_length);
    let lengths = lengths.map(|(length, score)| {
        format!(
            "{length}: {:.3} in {:.2} ms",
            score.f1(),
            score.milliseconds()
        )
    });
    println!(
        "  F1 and time by length: {}",
        lengths.collect::<Vec<_>>().join(", ")
    );
}

/// Counts of instructions, which hardly vary and always move: by size of the step.
fn counts(request: &Request) {
    println!("\ncounts of instructions");
    for step in [0.0, 0.003, 0.005, 0.01, 0.03] {
        let mut score = Score::default();
        for length in [60, 100, 300] {
            for seed in 0..4 * request.seeds {
                let series = Series::new(Family::Counts, step, length, request.draw + seed);
                let begun = Instant::now();
                let found = of_counts(&series.values);
                score.add(&series, &found, begun.elapsed().as_secs_f64());
            }
        }
        println!("  {:<10} {score}", format!("{:.1} %", 100.0 * step));
    }
}

/// Share of steps that are found when only so many points follow them (normal noise of 1 %).
fn delay(detector: Detector, request: &Request) {
    let total = 40 * request.seeds;
    for (step, followed) in [
        (0.02, &[3, 5, 8, 12][..]),
        (0.05, &[1, 2, 3, 5]),
        (0.1, &[1, 2, 3]),
    ] {
        let share = |points: &usize| {
            let found = |seed: &u64| {
                let mut random = Random::new(request.draw * 77 + seed);
                let mut values = Family::Normal1.around_one(100 + points, &mut random);
                values[100..]
                    .iter_mut()
                    .for_each(|value| *value *= 1.0 + step);
                detector(&values)
                    .iter()
                    .any(|place| place.abs_diff(100) <= 3)
            };
            let hits = (0..total).filter(found).count();
            format!("{points} points: {:.2}", hits as f64 / total as f64)
        };
        let shares: Vec<String> = followed.iter().map(share).collect();
        println!(
            "  a step of {:.0} % found with {}",
            step * 100.0,
            shares.join(", ")
        );
    }
}

/// Series without steps fed point by point; an alarm within the last 30 points counts once.
fn online(detector: Detector, request: &Request) {
    for family in Family::CORE.iter().chain(&Family::FURTHER) {
        let (mut alarms, mut points) = (0, 0);
        for seed in 0..request.seeds {
            let mut random = Random::new(request.draw * 991 + seed * 13 + *family as u64);
            let values = family.around_one(560, &mut random);
            let mut known: Vec<usize> = Vec::new();
            for count in 40..=values.len() {
                points += 1;
                for place in detector(&values[..count]) {
                    let fresh = count - place <= 30;
                    if fresh && !known.iter().any(|other| other.abs_diff(place) <= 5) {
                        alarms += 1;
                        known.push(place);
                    }
                }
            }
        }
        let name = format!("{family:?}").to_lowercase();
        let rate = 1_000.0 * f64::from(alarms) / f64::from(points);
        println!("  online {name}: {rate:.2} false alarms per 1000 points");
    }
}

/// How often the first point alone of a step of 5 % in noise of 1 % is a suspect.
fn suspect_rate(request: &Request) {
    let (mut found, mut all) = (0, 0);
    for seed in 0..200 * request.seeds {
        let mut random = Random::new(request.draw * 17 + seed);
        let mut values = Family::Normal1.around_one(41, &mut random);
        if let Some(last) = values.last_mut() {
            *last *= 1.05;
        }
        all += 1;
        found += u32::from(verdicts(&values).contains(&40));
    }
    println!(
        "  a step of 5 % is a suspect with its first point in {:.0} %",
        100.0 * f64::from(found) / f64::from(all)
    );
}

/// Milliseconds of all verdicts of a series when one of 200 more points has come to 1,000, with what is kept of it and without.
fn one_more(request: &Request) {
    println!("\none more point of 1,000 to 1,200, milliseconds of all verdicts");
    for family in Family::CORE.iter().chain(&Family::FURTHER) {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for seed in 0..request.seeds {
            let series = points(&Series::new(*family, 0.02, 1_200, request.draw + seed).values);
            let mut kept = Kept::new(TIME, &Settings::default());
            kept.judge(&series[..1_000]);
            for count in 1_001..=series.len() {
                let begun = Instant::now();
                kept.judge(&series[..count]);
                with.push(1_000.0 * begun.elapsed().as_secs_f64());
                if count % 20 == 0 {
                    let begun = Instant::now();
                    judge(&series[..count], TIME, &Settings::default());
                    without.push(1_000.0 * begun.elapsed().as_secs_f64());
                }
            }
        }
        let told = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            let mean = times.iter().sum::<f64>() / times.len() as f64;
            format!("median {:.3}, mean {mean:.3}", times[times.len() / 2])
        };
        let name = format!("{family:?}").to_lowercase();
        println!("  {name}: {}; anew: {}", told(with), told(without));
    }
}
