//! The search for the commit that a change came with: which commit to measure next, how often, and when it is known.
//!
//! A change "comes with commit k" when commits before k are at one level and k and all after it at another. Each k is a hypothesis;
//! what was measured says how likely each is ([`fit`]); the next commit is the one that halves what is left. A single commit's word
//! is bounded, so that a wrong one is outweighed by what the others say. See `docs/bisection.md`.

mod fit;
mod needs;

use fit::{Fit, deviation};

/// Version of the rules in this module, stored with every search.
pub const BISECTION_VERSION: &str = "posterior-1";

/// A change is located when it is there with this probability.
const SURE: f64 = 0.95;
/// A commit that splits off less than this says nothing new.
const LEAST: f64 = 0.005;
/// Most runs of one commit.
const MOST_RUNS: usize = 12;
/// Most runs of a commit in one step.
const MOST_RUNS_OF_STEP: usize = 4;
/// Two ends whose levels differ by fewer of their deviations than this do not differ.
const DIFFERENT: f64 = 3.0;
/// The same where a change that way is known from elsewhere, as of a confirmed regression.
const DIFFERENT_AS_EXPECTED: f64 = 2.0;
/// The smallest part of the whole that counts as a change of its own.
const SMALLEST_PART: f64 = 0.12;
/// How often a range is cut at levels between its ends: up to eight changes.
const DEEPEST: usize = 3;
/// The smallest deviation of one run, as logarithm: what counts of instructions have.
const LEAST_NOISE: f64 = 1e-6;

/// A commit of the range. The first is the end before, the last the end after.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// How likely the change comes with it, before anything is measured, against others.
    pub prior: f64,
    /// Whether it may be measured. Both ends may be.
    pub measurable: bool,
}

/// A run's value of one commit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The commit: index into the candidates.
    pub index: usize,
    /// Which readings it can be compared with: those of one series in one epoch.
    pub group: usize,
    /// Logarithm of the value.
    pub value: f64,
}

/// A host that measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// The group that its next readings will belong to.
    pub group: usize,
    /// Whether it is free for a next step.
    pub idle: bool,
}

/// All that is known.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The range.
    pub candidates: &'a [Candidate],
    /// What was measured; values that are not finite are left out.
    pub readings: &'a [Reading],
    /// Who measures.
    pub hosts: &'a [Host],
    /// Indices that a host is about to measure.
    pub busy: &'a [usize],
    /// Deviation of one run, of logarithms.
    pub noise: f64,
    /// Logarithm of after / before, when it is known from elsewhere.
    pub expected: Option<f64>,
}

/// A change that was located: it came with a commit of `(low, high]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Located {
    /// The last index that is known to be as before.
    pub low: usize,
    /// The first that is known to be as after.
    pub high: usize,
    /// The commit, when one is known; otherwise none of the stretch can be told apart.
    pub culprit: Option<usize>,
    /// How likely it is so.
    pub probability: f64,
    /// Logarithm of after / before.
    pub change: f64,
}

/// Runs of a commit that a host should do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Index into the hosts.
    pub host: usize,
    /// The commit.
    pub index: usize,
    /// How many.
    pub runs: usize,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Measure, or wait for what is being measured when it is empty.
    Measure(Vec<Probe>),
    /// Every change of the range is located, in branch order.
    Found(Vec<Located>),
    /// The two ends do not differ by more than the noise.
    Flat,
    /// Nothing that may be measured would tell more.
    Stuck,
}

/// What the readings say.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// What to do.
    pub next: Next,
    /// Of each candidate, that a change came with it. Adds up to one for each change that is looked for; 0 for the end before.
    pub probability: Vec<f64>,
    /// Of each candidate that was measured: 0 as the end before … 1 as the end after.
    pub likeness: Vec<Option<f64>>,
}

/// How many runs tell two levels apart whose distance is `size` deviations of one run: the middle between them is passed by
/// chance in about 2 % of steps.
pub fn runs_for(size: f64) -> usize {
    if size.is_nan() || size <= 0.0 {
        return MOST_RUNS_OF_STEP;
    }
    let runs = (4.1 / size).powi(2).ceil();
    (runs as usize).clamp(1, MOST_RUNS_OF_STEP)
}

/// The deviation of one run that a search uses.
pub fn usable_noise(noise: f64, expected: Option<f64>) -> f64 {
    let least = expected
        .filter(|size| size.is_finite())
        .map_or(LEAST_NOISE, |size| (size.abs() / 50.0).max(LEAST_NOISE));
    if noise.is_finite() {
        noise.max(least)
    } else {
        0.01_f64.max(least)
    }
}

/// Looks at what was measured and says what to do.
pub fn decide(search: &Search<'_>) -> Opinion {
    let readings: Vec<Reading> = search
        .readings
        .iter()
        .copied()
        .filter(|one| one.value.is_finite() && one.index < search.candidates.len())
        .collect();
    let state = State::new(search, &readings);
    let nothing = |next| Opinion {
        next,
        probability: vec![0.0; search.candidates.len()],
        likeness: vec![None; search.candidates.len()],
    };
    let Some(last) = search
        .candidates
        .len()
        .checked_sub(1)
        .filter(|last| *last > 0)
    else {
        return nothing(Next::Stuck);
    };
    let wanted = state.ends_wanted(last);
    if !wanted.is_empty() && !state.has_measured_ends(last) {
        let free = wanted.into_iter().filter(|one| search.hosts[one.host].idle);
        return nothing(Next::Measure(free.collect()));
    }
    // Once something between the ends was measured, it has been decided that they differ.
    let begun = readings
        .iter()
        .any(|one| one.index != 0 && one.index != last);
    if !begun && !state.ends_differ(last) {
        return nothing(state.more_ends(last));
    }
    let mut parts = Vec::new();
    state.examine(0, last, 0, &mut parts);
    let mut probability = vec![0.0; search.candidates.len()];
    for part in &parts {
        for (index, one) in part.posterior.iter().enumerate() {
            probability[part.low + 1 + index] += one;
        }
    }
    Opinion {
        next: state.next(&parts, wanted),
        likeness: state.likeness(last),
        probability,
    }
}

/// A stretch of the range with one change in it.
struct Part {
    low: usize,
    high: usize,
    /// Of the candidates `low + 1 ..= high`.
    posterior: Vec<f64>,
    change: f64,
}

/// What a part needs.
enum Need {
    /// It is known.
    Nothing(Located),
    /// Runs of these commits, the most useful first.
    Runs(Vec<(usize, usize)>),
    /// What is being measured elsewhere.
    Patience,
    /// Nothing helps.
    Nobody,
}

struct State<'a> {
    search: &'a Search<'a>,
    readings: &'a [Reading],
    sigma: f64,
    /// Runs of a step.
    runs: usize,
    /// Runs of each side of a culprit before it is named.
    checks: usize,
    /// Runs of each end: an odd number, so that one wrong run has no word in their median.
    anchors: usize,
}

impl<'a> State<'a> {
    fn new(search: &'a Search<'a>, readings: &'a [Reading]) -> Self {
        let last = search.candidates.len().saturating_sub(1);
        let expected = search.expected.or_else(|| {
            let noise = usable_noise(search.noise, None);
            let fit = Fit::new(readings, 0, last, noise);
            ends_step(&fit, last).map(|(step, _)| step)
        });
        let noise = usable_noise(search.noise, expected);
        let sigma = deviation(readings, noise);
        let size = expected.map_or(f64::NAN, |step| step.abs() / sigma);
        let runs = runs_for(size);
        // Where noise is next to nothing, one run of each side says it all.
        let checks = if size >= 20.0 { 1 } else { runs.max(3) };
        let anchors = if size >= 20.0 { 1 } else { runs.max(3) | 1 };
        Self {
            search,
            readings,
            sigma,
            runs,
            checks,
            anchors,
        }
    }

    fn fit(&self, low: usize, high: usize) -> Fit {
        Fit::new(self.readings, low, high, self.sigma)
    }

    fn count(&self, index: usize, group: Option<usize>) -> usize {
        let same =
            |one: &&Reading| one.index == index && group.is_none_or(|group| one.group == group);
        self.readings.iter().filter(same).count()
    }

    /// Runs of the ends that hosts still need before their own readings can be compared with something.
    fn ends_wanted(&self, last: usize) -> Vec<Probe> {
        let mut wanted = Vec::new();
        for (host, one) in self.search.hosts.iter().enumerate() {
            for index in [0, last] {
                let known = self.count(index, Some(one.group));
                if known < self.anchors {
                    wanted.push(Probe {
                        host,
                        index,
                        runs: self.anchors - known,
                    });
                }
            }
        }
        wanted
    }

    /// Whether some group knows both ends well enough.
    fn has_measured_ends(&self, last: usize) -> bool {
        let groups = self.readings.iter().map(|one| one.group);
        groups
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .any(|group| {
                [0, last]
                    .iter()
                    .all(|end| self.count(*end, Some(group)) >= self.anchors)
            })
    }

    fn ends_differ(&self, last: usize) -> bool {
        let Some((step, deviation)) = ends_step(&self.fit(0, last), last) else {
            return false;
        };
        let expected = self
            .search
            .expected
            .is_some_and(|expected| expected * step > 0.0);
        let least = if expected {
            DIFFERENT_AS_EXPECTED
        } else {
            DIFFERENT
        };
        step.abs() >= least * deviation
    }

    /// Two ends that do not differ are measured some more before that is believed.
    fn more_ends(&self, last: usize) -> Next {
        if self.search.hosts.iter().any(|host| !host.idle) {
            return Next::Measure(Vec::new());
        }
        let most = |end: usize| {
            let of = self.search.hosts.iter();
            of.map(|host| self.count(end, Some(host.group)))
                .max()
                .unwrap_or(0)
        };
        if self.anchors == 1 || most(0).min(most(last)) >= MOST_RUNS || self.search.hosts.is_empty()
        {
            return Next::Flat;
        }
        let more = |(host, one): (usize, &Host)| {
            [0, last].map(|index| {
                let known = self.count(index, Some(one.group));
                Probe {
                    host,
                    index,
                    runs: (known.max(1)).min(MOST_RUNS.saturating_sub(known)),
                }
            })
        };
        let probes = self.search.hosts.iter().enumerate().flat_map(more);
        Next::Measure(probes.filter(|one| one.runs > 0).collect())
    }

    /// Cuts `low..=high` at levels between its ends and says how likely a change came with each commit of each part.
    fn examine(&self, low: usize, high: usize, depth: usize, parts: &mut Vec<Part>) {
        let fit = self.fit(low, high);
        let measurable = (low + 1..high).filter(|index| self.search.candidates[*index].measurable);
        let gain = 5.0 + (measurable.count() as f64 + 1.0).ln();
        if depth < DEEPEST
            && let Some((first, last)) = fit.plateau(low, high, gain, SMALLEST_PART)
        {
            let middle = (first..=last).max_by_key(|index| self.count(*index, None));
            if let Some(middle) = middle.filter(|middle| (low + 1..high).contains(middle)) {
                self.examine(low, middle, depth + 1, parts);
                self.examine(middle, high, depth + 1, parts);
                return;
            }
        }
        let posterior = self.posterior(&fit, low, high);
        let best = (low + 1..=high)
            .max_by(|a, b| posterior[a - low - 1].total_cmp(&posterior[b - low - 1]));
        let step = best.and_then(|cut| fit.step(low, cut, high));
        let change = step.map_or(0.0, |(step, _)| step);
        parts.push(Part {
            low,
            high,
            posterior,
            change,
        });
    }

    fn posterior(&self, fit: &Fit, low: usize, high: usize) -> Vec<f64> {
        // Only where something was measured does a cut change what is explained.
        let scores: Vec<f64> = (0..=fit.places.len())
            .map(|at| {
                let cut = fit.places.get(at).copied().unwrap_or(high + 1);
                fit.score(low, cut) + fit.score(cut, high + 1)
            })
            .collect();
        let mut weights: Vec<f64> = (low + 1..=high)
            .map(|index| {
                let at = fit.places.partition_point(|place| *place < index);
                scores[at] + self.search.candidates[index].prior.max(1e-12).ln()
            })
            .collect();
        let most = weights.iter().copied().fold(f64::MIN, f64::max);
        weights
            .iter_mut()
            .for_each(|one| *one = (*one - most).exp());
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|one| *one /= total);
        weights
    }

    fn likeness(&self, last: usize) -> Vec<Option<f64>> {
        let fit = self.fit(0, last);
        (0..=last).map(|index| fit.likeness(index, last)).collect()
    }
}

/// The step between the two ends alone, whatever lies between.
fn ends_step(fit: &Fit, last: usize) -> Option<(f64, f64)> {
    if fit.places.first() != Some(&0) || fit.places.last() != Some(&last) {
        return None;
    }
    fit.step_between(last)
}

#[cfg(test)]
mod tests;
