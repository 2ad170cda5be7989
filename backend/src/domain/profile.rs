//! Rules for profiles: what a valid one is, what follows from it, what its counts mean, and how sure they are.

use speedwell_wire::{
    CounterSource, Metric, ProfileReport, ProfileTool, Sample, Sampled, Unavailable,
    UnavailableKind, Unit,
};

use super::components::{self, mapping};
use super::run_report::{Invalid, NewMeasurement, check_text};
use super::summary::Summary;

/// More call stacks than a worker tells of one benchmark.
const MAX_STACKS: usize = 20_000;

/// Checks a profile at the door.
pub fn check(field: &str, profile: &ProfileReport) -> Result<(), Invalid> {
    if profile.stacks.len() > MAX_STACKS {
        let message = format!(
            "{} of them; at most {MAX_STACKS} are accepted",
            profile.stacks.len()
        );
        return Err(Invalid::new(format!("{field}.stacks"), message));
    }
    let mut told = 0.0;
    for (index, stack) in profile.stacks.iter().enumerate() {
        let field = format!("{field}.stacks[{index}]");
        check_text(&format!("{field}.s"), &stack.frames, 10_000)?;
        check_text(&format!("{field}.o"), &stack.object, 1_000)?;
        if stack.frames.is_empty() || stack.frames.chars().any(char::is_whitespace) {
            let message = "is empty, or holds white space: functions are joined by `;`";
            return Err(Invalid::new(format!("{field}.s"), message));
        }
        if !stack.count.is_finite() || stack.count <= 0.0 {
            let message = format!("{} is no number of instructions or samples", stack.count);
            return Err(Invalid::new(format!("{field}.n"), message));
        }
        told += stack.count;
    }
    // A little more for the rounding of sums.
    if !profile.total.is_finite() || profile.total <= 0.0 || told > profile.total * 1.000_001 {
        let message = format!("{} is not the sum of its stacks", profile.total);
        return Err(Invalid::new(format!("{field}.total"), message));
    }
    for (object, id) in &profile.build_ids {
        check_text(&format!("{field}.build_ids"), object, 1_000)?;
        if id.len() > 128 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let message = format!("{object} has one that is not hexadecimal digits");
            return Err(Invalid::new(format!("{field}.build_ids"), message));
        }
    }
    let sampled = profile.tool.sampled();
    sampled.map_or(Ok(()), |sampled| check_sampled(field, sampled))
}

fn check_sampled(field: &str, sampled: &Sampled) -> Result<(), Invalid> {
    if sampled.source == CounterSource::Valgrind {
        let message = "valgrind takes no samples: software, pmu or pmu-emulated";
        return Err(Invalid::new(format!("{field}.source"), message));
    }
    for (name, value) in [
        ("period", sampled.period),
        ("counted", sampled.counted),
        ("per", sampled.per),
    ] {
        if !value.is_finite() || value <= 0.0 {
            let message = format!("{value} is not positive");
            return Err(Invalid::new(format!("{field}.{name}"), message));
        }
    }
    Ok(())
}

/// The shares that are metrics, by component: of samples, that of code which was compiled at run time too. None of an
/// interpreter that was made another for the profile.
fn share_metrics(profile: &ProfileReport) -> &'static [(Metric, &'static str)] {
    const SHARES: [(Metric, &str); 2] = [
        (Metric::MainLoopShare, components::MAIN_LOOP),
        (Metric::CompiledShare, components::COMPILED),
    ];
    match profile.tool {
        ProfileTool::Callgrind => &SHARES[..1],
        ProfileTool::Sampling(_) => &SHARES,
        ProfileTool::SamplingPython(_) => &[],
    }
}

/// What follows from a benchmark's profile, as measurements.
pub fn measurements(benchmark: usize, profile: &ProfileReport) -> Vec<NewMeasurement> {
    let shares = mapping().shares(profile);
    let measurement = |(metric, component): &(Metric, &str)| {
        let (_, count) = shares.iter().find(|(name, _)| name == component)?;
        let value = count / profile.total;
        Some(NewMeasurement {
            benchmark,
            metric: *metric,
            source: profile.tool.source(),
            summary: Summary::of_processes(&[(0, value)])?,
            samples: vec![Sample {
                process: 0,
                warmup: false,
                value,
            }],
        })
    };
    share_metrics(profile)
        .iter()
        .filter_map(measurement)
        .collect()
}

/// What should follow from a profile and does not, with the reason.
pub fn unavailable(profile: &ProfileReport) -> Vec<Unavailable> {
    let shares = mapping().shares(profile);
    let missing = share_metrics(profile)
        .iter()
        .filter(|(_, component)| !shares.iter().any(|(name, _)| name == component));
    missing
        .map(|(metric, component)| Unavailable {
            metric: Some(*metric),
            kind: UnavailableKind::Unsupported,
            reason: match *component {
                components::COMPILED => {
                    "no sample lay in machine code that was made at run time".to_owned()
                }
                _ => "no function of the profile is named as an interpreter's main loop".to_owned(),
            },
        })
        .collect()
}

/// What one of a profile's counts stands for in one loop or request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// How much of it.
    pub of_one: f64,
    /// In what.
    pub unit: Unit,
    /// Its name for people.
    pub noun: &'static str,
}

/// What the counts of a profile stand for. Samples stand for equal parts of what was counted meanwhile.
pub fn cost(profile: &ProfileReport) -> Cost {
    match profile.tool.sampled() {
        None => Cost {
            of_one: 1.0,
            unit: Unit::Count,
            noun: "instructions",
        },
        Some(sampled) => {
            let is_clock = sampled.source == CounterSource::Software;
            Cost {
                of_one: sampled.counted / sampled.per / profile.total,
                unit: if is_clock { Unit::Seconds } else { Unit::Count },
                noun: if is_clock { "processor time" } else { "cycles" },
            }
        }
    }
}

/// The standard error of a share: that of `n` samples, √(p(1−p)/n); none of what was counted.
pub fn share_error(profile: &ProfileReport, share: f64) -> f64 {
    match profile.tool.sampled() {
        None => 0.0,
        Some(_) => (share * (1.0 - share)).max(0.0).sqrt() / profile.total.sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use speedwell_wire::ProfileStack;

    fn sampled() -> ProfileReport {
        let stack = |frames: &str, count: f64| ProfileStack {
            frames: frames.to_owned(),
            object: String::new(),
            count,
        };
        ProfileReport {
            tool: ProfileTool::Sampling(Sampled {
                source: CounterSource::Software,
                period: 0.001,
                lost: 3,
                counted: 0.5,
                per: 10.0,
            }),
            total: 400.0,
            stacks: vec![
                stack("main;_PyEval_EvalFrameDefault", 240.0),
                stack("main;compiled_[j]", 100.0),
            ],
            build_ids: [("python3".to_owned(), "ab01".to_owned())].into(),
        }
    }

    #[test]
    fn shares_of_samples_are_metrics_of_their_own_source() {
        let found: Vec<_> = measurements(2, &sampled())
            .into_iter()
            .map(|one| (one.metric, one.source, one.summary.median))
            .collect();
        let software = CounterSource::Software;
        assert_eq!(
            found,
            [
                (Metric::MainLoopShare, software, 0.6),
                (Metric::CompiledShare, software, 0.25)
            ]
        );
        assert!(unavailable(&sampled()).is_empty());
        let mut other = sampled();
        other.stacks.truncate(1);
        other.stacks[0].frames = "main".to_owned();
        let missing = unavailable(&other);
        assert_eq!(missing.len(), 2);
        other.tool = ProfileTool::Callgrind;
        assert_eq!(unavailable(&other).len(), 1);
        assert!(measurements(0, &other).is_empty());
        let mut visible = sampled();
        if let ProfileTool::Sampling(facts) = visible.tool {
            visible.tool = ProfileTool::SamplingPython(facts);
        }
        assert!(measurements(0, &visible).is_empty() && unavailable(&visible).is_empty());
    }

    #[test]
    fn a_sample_stands_for_its_part_of_the_time_and_a_share_has_an_error() {
        let profile = sampled();
        let one = cost(&profile);
        assert!((one.of_one - 0.5 / 10.0 / 400.0).abs() < 1e-15);
        assert_eq!(one.unit, Unit::Seconds);
        assert!((share_error(&profile, 0.5) - 0.025).abs() < 1e-12);
        assert_eq!(share_error(&profile, 1.0), 0.0);
    }

    #[test]
    fn what_is_no_sampling_is_refused_by_its_field() {
        let wrong = |change: &dyn Fn(&mut ProfileReport, &mut Sampled)| {
            let mut profile = sampled();
            if let ProfileTool::Sampling(mut facts) = profile.tool {
                change(&mut profile, &mut facts);
                profile.tool = ProfileTool::Sampling(facts);
            }
            check("p", &profile).map_err(|error| error.field)
        };
        assert_eq!(wrong(&|_, _| ()), Ok(()));
        assert_eq!(
            wrong(&|_, facts| facts.source = CounterSource::Valgrind),
            Err("p.source".to_owned())
        );
        assert_eq!(wrong(&|_, facts| facts.per = 0.0), Err("p.per".to_owned()));
        assert_eq!(
            wrong(&|_, facts| facts.counted = f64::NAN),
            Err("p.counted".to_owned())
        );
        let bad_id = |profile: &mut ProfileReport, _: &mut Sampled| {
            profile
                .build_ids
                .insert("x".to_owned(), "no hex".to_owned());
        };
        assert_eq!(wrong(&bad_id), Err("p.build_ids".to_owned()));
    }
}
