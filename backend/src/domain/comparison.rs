//! Subjects side by side, benchmark by benchmark: like is compared with like, and what is not is left out with its reason; pure.

use speedwell_wire::{CounterSource, Direction, Metric};

use super::compare::{Estimate, Ratio, Repeatability, choice_interval, geometric_mean};

mod assemble;

pub use assemble::compare;

/// Fewer values have no interval that means anything.
pub const FEWEST_VALUES: i64 = 3;

/// One benchmark of one run of a subject: a value, or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Which subject, from 0; 0 is the base.
    pub subject: usize,
    /// The run.
    pub run_id: i64,
    /// The benchmark's name.
    pub benchmark: String,
    /// Its identity: script, inputs and arguments.
    pub identity: String,
    /// What was found.
    pub found: Found,
}

/// A value, or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A measurement.
    Value(Measured),
    /// It is unavailable, with the worker's reason.
    Unavailable(String),
}

/// A measurement of one run, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Where the value comes from.
    pub source: CounterSource,
    /// Median with its interval.
    pub estimate: Estimate,
    /// Samples that count.
    pub samples: i64,
    /// How far its series strays by itself.
    pub noise: Repeatability,
}

/// A subject's value of one benchmark, over its runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Side {
    /// Median with the interval that the runs' own samples give.
    pub estimate: Estimate,
    /// Runs that it is from.
    pub runs: usize,
    /// Samples that it is from.
    pub samples: i64,
    /// The newest of its runs.
    pub run_id: i64,
    /// Deviation between runs or builds of its series (0.01: 1 %); absent when nothing was measured twice.
    pub deviation: Option<f64>,
}

/// Why a subject has no value, or none that the base's can be compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Its runs did not hold the benchmark.
    NotRun,
    /// It was run and gave nothing, for the worker's reason.
    Unavailable(String),
    /// It ran another version of the benchmark (first digits of its identity).
    OtherVersion(String),
    /// Its values come from another source.
    OtherSource(CounterSource),
    /// The base has no value.
    NoBase,
    /// One of the two is zero, or its interval reaches zero: there is no ratio.
    Zero,
}

impl Reason {
    /// In words, of a subject.
    pub fn words(&self) -> String {
        match self {
            Self::NotRun => "not run".to_owned(),
            Self::Unavailable(reason) => format!("unavailable: {reason}"),
            Self::OtherVersion(identity) => {
                format!("another version of the benchmark ({identity})")
            }
            Self::OtherSource(source) => format!("counted by another source ({source})"),
            Self::NoBase => "nothing to compare with: the base has no value".to_owned(),
            Self::Zero => "no ratio: a value or its interval is zero".to_owned(),
        }
    }
}

/// What a ratio says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Beyond the noise, in the good direction.
    Better,
    /// Beyond the noise, in the bad direction.
    Worse,
    /// The interval holds "no difference".
    Within,
    /// One side has too few values for an interval.
    TooFew,
}

impl Verdict {
    /// The stable name used in the API and exports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Within => "within_noise",
            Self::TooFew => "too_few_values",
        }
    }

    /// In words that fit the metric.
    pub fn words(self, metric: Metric) -> &'static str {
        let is_speed = matches!(
            metric.unit(),
            speedwell_wire::Unit::Seconds | speedwell_wire::Unit::PerSecond
        );
        match (self, is_speed, metric.direction()) {
            (Self::Better, true, _) => "faster",
            (Self::Worse, true, _) => "slower",
            (Self::Better, false, Direction::LowerIsBetter) => "less, which is better",
            (Self::Better, false, Direction::HigherIsBetter) => "more, which is better",
            (Self::Worse, false, Direction::LowerIsBetter) => "more, which is worse",
            (Self::Worse, false, Direction::HigherIsBetter) => "less, which is worse",
            (Self::Within, _, _) => "within the noise",
            (Self::TooFew, _, _) => "too few values",
        }
    }
}

/// A subject's value against the base's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// The subject's value.
    pub side: Side,
    /// Against the base, with noise between runs where it is known; for too few values only the ratio means anything.
    pub ratio: Ratio,
    /// What it says.
    pub verdict: Verdict,
    /// Whether both sides' noise between runs is known; otherwise the interval knows only that within runs.
    pub noise_is_known: bool,
}

/// One benchmark: the base and every other subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The benchmark.
    pub benchmark: String,
    /// The identity that is compared: the base's, or of those that have one the first's.
    pub identity: String,
    /// The base's value.
    pub base: Result<Side, Reason>,
    /// The other subjects in order.
    pub others: Vec<Result<Compared, Other>>,
}

/// A subject that is not compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Other {
    /// Its value, when it has one of the same identity and source.
    pub side: Option<Side>,
    /// Why it is not compared.
    pub reason: Reason,
}

/// All benchmarks of one metric from one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The metric.
    pub metric: Metric,
    /// Where its values come from; absent when there is no value at all.
    pub source: Option<CounterSource>,
    /// By benchmark.
    pub rows: Vec<Row>,
}

/// A geometric mean of ratios to the base.
#[derive(Debug, Clone, PartialEq)]
pub struct Mean {
    /// With the interval by the noise of its benchmarks.
    pub ratio: Ratio,
    /// Of each benchmark.
    ratios: Vec<f64>,
    /// What it says of these benchmarks.
    pub verdict: Verdict,
}

impl Mean {
    /// How far it would move with other benchmarks of the kind; absent for fewer than five. Drawn when it is asked for.
    pub fn choice(&self) -> Option<(f64, f64)> {
        choice_interval(&self.ratios)
    }
}

/// A benchmark that a mean leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The benchmark.
    pub benchmark: String,
    /// Of which subject; 0 is the base.
    pub subject: usize,
    /// Why.
    pub reason: String,
}

impl Row {
    /// Whether any subject is beyond the noise.
    pub fn is_changed(&self) -> bool {
        let verdicts = self.others.iter().flatten().map(|one| one.verdict);
        verdicts
            .into_iter()
            .any(|one| matches!(one, Verdict::Better | Verdict::Worse))
    }

    /// Whether any subject is compared at all.
    pub fn is_compared(&self) -> bool {
        self.others.iter().any(Result::is_ok)
    }

    /// Both sides of the columns' ratios, when each has a ratio with an interval.
    fn complete(&self, columns: &[usize]) -> bool {
        columns.iter().all(|column| {
            matches!(self.others.get(*column), Some(Ok(one)) if one.verdict != Verdict::TooFew)
        })
    }
}

impl Comparison {
    /// The geometric mean of a column (0 is the first subject after the base) over the benchmarks that all of `columns` have.
    pub fn mean(&self, column: usize, columns: &[usize]) -> Option<Mean> {
        let common = self.rows.iter().filter(|row| row.complete(columns));
        let mut pairs = Vec::new();
        let mut ratios = Vec::new();
        for row in common {
            if let (Ok(base), Some(Ok(one))) = (&row.base, row.others.get(column)) {
                pairs.push((one.side.with_noise(), base.with_noise()));
                ratios.push(one.ratio.ratio);
            }
        }
        let ratio = geometric_mean(&pairs)?;
        Some(Mean {
            ratio,
            ratios,
            verdict: verdict_of(&ratio, self.metric.direction()),
        })
    }

    /// What the means over `columns` leave out, by benchmark.
    pub fn left_out(&self, columns: &[usize]) -> Vec<LeftOut> {
        let mut found = Vec::new();
        for row in self.rows.iter().filter(|row| !row.complete(columns)) {
            let left_out = |subject: usize, reason: String| LeftOut {
                benchmark: row.benchmark.clone(),
                subject,
                reason,
            };
            if let Err(reason) = &row.base {
                found.push(left_out(0, reason.words()));
            }
            for column in columns {
                match row.others.get(*column) {
                    Some(Err(other)) if other.reason != Reason::NoBase => {
                        found.push(left_out(column + 1, other.reason.words()));
                    }
                    Some(Ok(one)) if one.verdict == Verdict::TooFew => {
                        let words = "too few values for an interval";
                        found.push(left_out(column + 1, words.to_owned()));
                    }
                    Some(Ok(_) | Err(_)) | None => {}
                }
            }
        }
        found
    }

    /// How many benchmarks of a column have a verdict.
    pub fn count(&self, column: usize, verdict: Verdict) -> usize {
        let of_column = self.rows.iter().filter_map(|row| row.others.get(column));
        of_column
            .flatten()
            .filter(|one| one.verdict == verdict)
            .count()
    }
}

impl Side {
    /// The value with an interval that knows of the noise between runs.
    fn with_noise(&self) -> Estimate {
        self.estimate.widened(self.deviation.unwrap_or(0.0))
    }
}

/// One value against another of the same metric, source and benchmark version.
pub fn against(
    metric: Metric,
    source: CounterSource,
    side: &Side,
    base: &Side,
) -> Result<Compared, Other> {
    let reaches_zero = |one: &Side| one.estimate.low <= 0.0;
    let ratio = side.with_noise().against(&base.with_noise());
    let ratio = ratio.filter(|_| !reaches_zero(side) && !reaches_zero(base));
    let ratio = ratio.ok_or(Other {
        side: Some(*side),
        reason: Reason::Zero,
    })?;
    // Counted once each: the same build on the same host gives the same count.
    let is_exact = source == CounterSource::Valgrind;
    let is_known = |one: &Side| is_exact || one.samples >= FEWEST_VALUES;
    Ok(Compared {
        side: *side,
        ratio,
        verdict: if is_known(side) && is_known(base) {
            verdict_of(&ratio, metric.direction())
        } else {
            Verdict::TooFew
        },
        noise_is_known: is_exact || (side.deviation.is_some() && base.deviation.is_some()),
    })
}

fn verdict_of(ratio: &Ratio, direction: Direction) -> Verdict {
    match (ratio.is_significant(), ratio.ratio > 1.0, direction) {
        (false, _, _) => Verdict::Within,
        (true, true, Direction::HigherIsBetter) | (true, false, Direction::LowerIsBetter) => {
            Verdict::Better
        }
        (true, false, Direction::HigherIsBetter) | (true, true, Direction::LowerIsBetter) => {
            Verdict::Worse
        }
    }
}

#[cfg(test)]
mod tests;
