//! What a try's results come to, over its benchmarks.

use std::str::FromStr;

use speedwell_wire::Metric;
use speedwell_wire::metric::UnknownName;

use crate::domain::compare::{Estimate, Ratio, geometric_mean};

/// What is said of one series of the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Worse than the base: slower, larger.
    Worse,
    /// Better.
    Better,
    /// Neither by more than the noise, and that is known well enough.
    Unchanged,
    /// Not known well enough.
    Unclear,
}

impl Answer {
    /// All answers.
    pub const ALL: &'static [Self] = &[Self::Worse, Self::Better, Self::Unchanged, Self::Unclear];

    /// The stable name used in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Unchanged => "unchanged",
            Self::Unclear => "unclear",
        }
    }

    /// Of a time, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Worse => "slower",
            Self::Better => "faster",
            Self::Unchanged => "within the noise",
            Self::Unclear => "not clear",
        }
    }
}

impl FromStr for Answer {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|one| one.as_str() == text);
        known.ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// What is said of the head as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TryVerdict {
    /// Some benchmarks are slower or fail, none is faster.
    Worse,
    /// Some are faster, none slower.
    Better,
    /// Some are slower, others faster.
    Mixed,
    /// None is either, and each is known well enough.
    Unchanged,
    /// None is either, and of some not enough is known.
    Unclear,
}

impl TryVerdict {
    /// All verdicts.
    pub const ALL: &'static [Self] = &[
        Self::Worse,
        Self::Better,
        Self::Mixed,
        Self::Unchanged,
        Self::Unclear,
    ];

    /// The stable name used in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Mixed => "mixed",
            Self::Unchanged => "unchanged",
            Self::Unclear => "unclear",
        }
    }

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Worse => "slower",
            Self::Better => "faster",
            Self::Mixed => "slower here, faster there",
            Self::Unchanged => "within the noise",
            Self::Unclear => "no clear change, but not known well enough",
        }
    }

    /// Whether somebody should look before this is merged.
    pub fn is_bad(self) -> bool {
        match self {
            Self::Worse | Self::Mixed => true,
            Self::Better | Self::Unchanged | Self::Unclear => false,
        }
    }
}

impl FromStr for TryVerdict {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|one| one.as_str() == text);
        known.ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// The change of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The metric.
    pub metric: Metric,
    /// What is said of it.
    pub answer: Answer,
    /// Ratio minus one.
    pub change: f64,
    /// Its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Change {
    /// From its stored form; `None`: written by a newer version.
    pub fn read(metric: &str, answer: &str, (change, low, high): (f64, f64, f64)) -> Option<Self> {
        Some(Self {
            metric: metric.parse().ok()?,
            answer: answer.parse().ok()?,
            change,
            low,
            high,
        })
    }

    /// Whether the verdict rests on it: what benchmarks are there for.
    pub fn decides(&self) -> bool {
        Metric::MAIN.contains(&self.metric)
    }
}

/// The sum of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// In a word.
    pub verdict: TryVerdict,
    /// Benchmarks that are worse.
    pub worse: usize,
    /// That are better.
    pub better: usize,
    /// That are neither.
    pub unchanged: usize,
    /// Of which not enough is known.
    pub unclear: usize,
    /// That fail with the head, and run with the base.
    pub failing: usize,
    /// Geometric mean of the wall times' ratios.
    pub mean: Option<Ratio>,
}

/// Sums up the changes of a try's series, of which only those that decide count, and the number of benchmarks that fail only with the
/// head.
pub fn sum_up(changes: &[Change], failing: usize) -> Outcome {
    let deciding = || changes.iter().filter(|one| one.decides());
    let count = |answer: Answer| deciding().filter(|one| one.answer == answer).count();
    let (worse, better) = (count(Answer::Worse), count(Answer::Better));
    let (unchanged, unclear) = (count(Answer::Unchanged), count(Answer::Unclear));
    let verdict = match (worse + failing, better, unclear) {
        (0, 0, 0) if unchanged > 0 => TryVerdict::Unchanged,
        (0, 0, _) => TryVerdict::Unclear,
        (0, _, _) => TryVerdict::Better,
        (_, 0, _) => TryVerdict::Worse,
        (_, _, _) => TryVerdict::Mixed,
    };
    let times: Vec<(Estimate, Estimate)> = changes
        .iter()
        .filter(|one| one.metric == Metric::WallTime)
        .map(|one| (estimate(one), ONE))
        .collect();
    Outcome {
        verdict,
        worse,
        better,
        unchanged,
        unclear,
        failing,
        mean: geometric_mean(&times),
    }
}

/// The base, of which the changes are multiples.
const ONE: Estimate = Estimate {
    median: 1.0,
    low: 1.0,
    high: 1.0,
};

fn estimate(change: &Change) -> Estimate {
    Estimate {
        median: 1.0 + change.change,
        low: 1.0 + change.low,
        high: 1.0 + change.high,
    }
}

impl Outcome {
    /// In a sentence or two.
    pub fn words(&self) -> String {
        let all = self.worse + self.better + self.unchanged + self.unclear;
        if all == 0 && self.failing == 0 {
            return "Nothing was measured on both sides.".to_owned();
        }
        let parts = [
            (self.worse, Answer::Worse),
            (self.better, Answer::Better),
            (self.unchanged, Answer::Unchanged),
            (self.unclear, Answer::Unclear),
        ];
        let said: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, answer)| format!("{count} {}", answer.words()))
            .collect();
        let mut words = format!("Of {all} benchmark{}: {}", plural(all), said.join(", "));
        if let Some(mean) = self.mean.filter(|mean| mean.count > 1) {
            let percent = |ratio: f64| (ratio - 1.0) * 100.0;
            words.push_str(&format!(
                "; geometric mean of their times {:+.2} % ({:+.2} to {:+.2} %)",
                percent(mean.ratio),
                percent(mean.low),
                percent(mean.high)
            ));
        }
        words.push('.');
        if self.failing > 0 {
            let verb = if self.failing == 1 { "fails" } else { "fail" };
            words.push_str(&format!(
                " {} benchmark{} {verb} with the head and not with the base.",
                self.failing,
                plural(self.failing)
            ));
        }
        words
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(metric: Metric, answer: Answer, change: f64) -> Change {
        Change {
            metric,
            answer,
            change,
            low: change - 0.005,
            high: change + 0.005,
        }
    }

    fn verdict(answers: &[Answer], failing: usize) -> TryVerdict {
        let changes: Vec<Change> = answers
            .iter()
            .map(|answer| change(Metric::WallTime, *answer, 0.0))
            .collect();
        sum_up(&changes, failing).verdict
    }

    #[test]
    fn names_read_back() {
        for one in Answer::ALL {
            assert_eq!(one.as_str().parse::<Answer>().as_ref(), Ok(one));
        }
        for one in TryVerdict::ALL {
            assert_eq!(one.as_str().parse::<TryVerdict>().as_ref(), Ok(one));
        }
    }

    #[test]
    fn one_clear_change_is_the_verdict() {
        use Answer::*;
        assert_eq!(verdict(&[], 0), TryVerdict::Unclear);
        assert_eq!(verdict(&[], 1), TryVerdict::Worse);
        assert_eq!(verdict(&[Unchanged, Unchanged], 0), TryVerdict::Unchanged);
        assert_eq!(verdict(&[Unchanged, Unclear], 0), TryVerdict::Unclear);
        assert_eq!(verdict(&[Unchanged, Worse, Unclear], 0), TryVerdict::Worse);
        assert_eq!(verdict(&[Better, Unclear], 0), TryVerdict::Better);
        assert_eq!(verdict(&[Better, Worse], 0), TryVerdict::Mixed);
        assert_eq!(verdict(&[Better], 2), TryVerdict::Mixed);
    }

    #[test]
    fn only_what_benchmarks_are_there_for_decides() {
        let changes = [
            change(Metric::WallTime, Answer::Unchanged, 0.001),
            change(Metric::Instructions, Answer::Worse, 0.2),
        ];
        let outcome = sum_up(&changes, 0);
        assert_eq!(outcome.verdict, TryVerdict::Unchanged);
        assert_eq!(outcome.words(), "Of 1 benchmark: 1 within the noise.");
    }

    #[test]
    fn the_mean_and_its_interval_are_of_times() {
        let changes = [
            change(Metric::WallTime, Answer::Worse, 0.10),
            change(Metric::WallTime, Answer::Unchanged, 0.0),
        ];
        let outcome = sum_up(&changes, 1);
        let words = outcome.words();
        assert!(words.starts_with(
            "Of 2 benchmarks: 1 slower, 1 within the noise; geometric mean of their times +4.88 % ("
        ));
        assert!(
            words.ends_with("1 benchmark fails with the head and not with the base."),
            "{words}"
        );
        let mean = outcome.mean.unwrap();
        assert!(mean.low > 1.04 && mean.high < 1.06, "{mean:?}");
        assert!(sum_up(&[], 0).words().contains("Nothing"));
    }
}
