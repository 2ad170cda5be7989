//! Looks for the commit behind each confirmed regression: opens a search, queues the runs that would tell most, and ends it.
//!
//! Every pass decides anew from what was measured; a search's step is one transaction under the lock of its row, so that a pass that
//! is killed is simply repeated. What a search may do is in `detection/bisection.rs`.

mod words;

use std::collections::BTreeMap;
use std::str::FromStr;

use sqlx::PgConnection;

use super::Outcome;
use crate::context::Context;
use crate::db::bisections::{
    self, Evidence, NewBisection, NewChange, Open, Other, RangeCommit, Waiting,
};
use crate::db::regressions;
use crate::detection::Scale;
use crate::detection::bisection::{
    Candidate, Host, Located, Next, Opinion, Reading, Search, decide, runs_for, usable_noise,
};
use crate::domain::bisection::{BisectionState, Skipped, budget, cannot_matter};
use crate::domain::regression::{RegressionState, SPEEDWELL, Transition};
use words::{describe, left, short, told};

/// Regressions that one pass opens searches for.
const BATCH: i64 = 50;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let mut said = Vec::new();
    for waiting in bisections::list_waiting(&context.pool, BATCH).await? {
        let mut transaction = context.pool.begin().await?;
        if let Some(words) = open(&mut transaction, &waiting).await? {
            said.push(words);
        }
        transaction.commit().await?;
    }
    for id in bisections::list_open(&context.pool).await? {
        let mut transaction = context.pool.begin().await?;
        if let Some(words) = step(&mut transaction, id).await? {
            said.push(words);
        }
        transaction.commit().await?;
    }
    Ok((!said.is_empty()).then(|| said.join("; ")))
}

/// Opens the search of a regression; one commit needs none.
async fn open(db: &mut PgConnection, waiting: &Waiting) -> anyhow::Result<Option<String>> {
    let regression = waiting.regression_id;
    if waiting.commits == 1 {
        let found = Transition::Find {
            culprit_commit_id: waiting.after_commit_id,
        };
        let words =
            "Both sides are neighbours on the branch: it came with the one commit between them.";
        let moved = regressions::transition(db, regression, &found, SPEEDWELL, words).await?;
        return Ok(moved
            .then(|| format!("regression {regression} came with the only commit of its range")));
    }
    let words = format!(
        "The commit is looked for among {}, by {} of {}.",
        waiting.commits, waiting.metric, waiting.benchmark
    );
    if !regressions::transition(&mut *db, regression, &Transition::Bisect, SPEEDWELL, &words)
        .await?
    {
        return Ok(None);
    }
    let (size, noise) = reckoned(
        &waiting.metric,
        waiting.baseline,
        waiting.change,
        waiting.noise,
    );
    let runs = runs_for(size.abs() / noise);
    let mut new = NewBisection {
        regression_id: Some(regression),
        runtime_id: waiting.runtime_id,
        benchmark: waiting.benchmark.clone(),
        metric: waiting.metric.clone(),
        counter_source: waiting.counter_source.clone(),
        before_commit_id: waiting.before_commit_id,
        after_commit_id: waiting.after_commit_id,
        expected: Some(size),
        noise,
        requester: SPEEDWELL.to_owned(),
        budget: 0,
    };
    let (own, commits) = (waiting.host_id, waiting.commits);
    let hosts = bisections::list_fitting_hosts(&mut *db, own, &new, commits).await?;
    new.budget = budget(usize::try_from(commits)?, runs, hosts.len());
    let id = bisections::insert(db, &new, &hosts).await?;
    Ok(Some(format!(
        "bisection {id} of regression {regression} begins"
    )))
}

/// A change as logarithm, and the deviation of one run that it is held against.
fn reckoned(metric: &str, baseline: f64, change: f64, noise: f64) -> (f64, f64) {
    let (size, noise) = match Scale::named(metric) {
        Some(scale) => {
            let size = scale.difference(baseline, change);
            (size, scale.deviation(noise, size))
        }
        None => (change.ln_1p(), noise),
    };
    (size, usable_noise(noise, Some(size)))
}

/// One step of a search.
async fn step(db: &mut PgConnection, id: i64) -> anyhow::Result<Option<String>> {
    let Some(search) = bisections::lock(&mut *db, id).await? else {
        return Ok(None);
    };
    if let Some(why) = unwanted(&search) {
        end(db, &search, BisectionState::Cancelled, &[], why).await?;
        return Ok(Some(format!("bisection {id} ends: {why}")));
    }
    if let Some((clearer, size, noise)) = clearer(
        (search.expected, search.noise),
        bisections::list_others(&mut *db, id).await?,
    ) {
        let (metric, benchmark) = (&clearer.metric, &clearer.benchmark);
        bisections::retarget(&mut *db, id, &clearer, size, noise).await?;
        return Ok(Some(format!(
            "bisection {id} goes on by {metric} of {benchmark}"
        )));
    }
    bisections::skip_failed(&mut *db, id).await?;
    let mut commits = bisections::list_commits(&mut *db, id).await?;
    let harmless = mark_harmless(&mut commits, search.trained);
    bisections::skip(&mut *db, id, &harmless, Skipped::CannotMatter).await?;
    let evidence = bisections::list_evidence(&mut *db, id).await?;
    let hosts = bisections::list_hosts(&mut *db, id).await?;
    let opinion = judge(&search, &commits, &evidence, &hosts);
    bisections::update_posterior(&mut *db, id, &opinion.probability, &opinion.likeness).await?;
    let range = Range {
        commits: &commits,
        evidence: &evidence,
    };
    act(db, &search, range, &hosts, opinion).await
}

/// The series that stands out most, when it does so three times as far from its noise as the one that the search goes by; with its size
/// and noise. `known`: these of that one. Both are reckoned in the same way: by different ones, two series would take turns for ever.
fn clearer(known: (Option<f64>, f64), others: Vec<Other>) -> Option<(Other, f64, f64)> {
    let (expected, noise) = known;
    let known = expected?.abs() / noise;
    let reckon = |other: Other| {
        let (size, noise) = reckoned(&other.metric, other.baseline, other.change, other.noise);
        (other, size, noise)
    };
    let standing_out = |found: &(Other, f64, f64)| found.1.abs() / found.2;
    let best = others
        .into_iter()
        .map(reckon)
        .max_by(|a, b| standing_out(a).total_cmp(&standing_out(b)))?;
    (standing_out(&best) >= 3.0 * known).then_some(best)
}

/// The commits of a search, and what was measured on them.
#[derive(Clone, Copy)]
struct Range<'a> {
    commits: &'a [RangeCommit],
    evidence: &'a [Evidence],
}

/// Why nobody needs the search any more.
fn unwanted(search: &Open) -> Option<&'static str> {
    if !search.placed {
        return Some("the branch was rewritten, and an end of the range is no longer on it");
    }
    let state = search.regression_state.as_deref()?;
    match RegressionState::from_str(state) {
        Ok(RegressionState::Bisecting | RegressionState::Acknowledged) => None,
        Ok(
            RegressionState::Suspected
            | RegressionState::Confirmed
            | RegressionState::Found
            | RegressionState::Fixed
            | RegressionState::Accepted
            | RegressionState::Invalid,
        )
        | Err(_) => Some("the regression is no longer searched"),
    }
}

/// Marks the commits between the ends that cannot matter; their keys.
fn mark_harmless(commits: &mut [RangeCommit], trained: bool) -> Vec<i64> {
    let last = commits.len().saturating_sub(1);
    let mut harmless = Vec::new();
    for (index, one) in commits.iter_mut().enumerate() {
        let (Some(paths), Some(count)) = (&one.touched_paths, one.touched_count) else {
            continue;
        };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if one.skipped.is_none()
            && index != 0
            && index != last
            && cannot_matter(paths, count, trained)
        {
            one.skipped = Some(Skipped::CannotMatter.as_str().to_owned());
            harmless.push(one.commit_id);
        }
    }
    harmless
}

/// What the evidence says.
fn judge(
    search: &Open,
    commits: &[RangeCommit],
    evidence: &[Evidence],
    hosts: &[(i64, Vec<i32>)],
) -> Opinion {
    let last = commits.len().saturating_sub(1);
    let candidates: Vec<Candidate> = commits
        .iter()
        .enumerate()
        .map(|(index, one)| {
            let reason = one
                .skipped
                .as_deref()
                .and_then(|text| text.parse::<Skipped>().ok());
            Candidate {
                prior: reason.map_or(1.0, Skipped::prior),
                measurable: reason.is_none() || index == 0 || index == last,
            }
        })
        .collect();
    let mut groups: BTreeMap<(i64, i64, i64), usize> = BTreeMap::new();
    let mut current: BTreeMap<i64, usize> = BTreeMap::new();
    let scale = Scale::named(&search.metric);
    let mut readings = Vec::with_capacity(evidence.len());
    for one in evidence {
        let next = groups.len();
        let group = *groups
            .entry((one.series_id, one.environment_id, one.host_epoch))
            .or_insert(next);
        if one.current {
            current.insert(one.host_id, group);
        }
        readings.push(Reading {
            index: usize::try_from(one.ordinal).unwrap_or(usize::MAX),
            group,
            value: scale.map_or(one.median.ln(), |scale| scale.logarithm(one.median)),
        });
    }
    // A host without comparable readings gets a group of its own.
    let told: Vec<Host> = hosts
        .iter()
        .enumerate()
        .map(|(number, (host, open))| Host {
            group: current.get(host).copied().unwrap_or(groups.len() + number),
            idle: open.is_empty(),
        })
        .collect();
    let busy: Vec<usize> = hosts
        .iter()
        .flat_map(|(_, open)| open.iter().filter_map(|index| usize::try_from(*index).ok()))
        .collect();
    decide(&Search {
        candidates: &candidates,
        readings: &readings,
        hosts: &told,
        busy: &busy,
        noise: search.noise,
        expected: search.expected,
    })
}

/// Does what the evidence asks for.
async fn act(
    db: &mut PgConnection,
    search: &Open,
    range: Range<'_>,
    hosts: &[(i64, Vec<i32>)],
    opinion: Opinion,
) -> anyhow::Result<Option<String>> {
    let (id, commits) = (search.id, range.commits);
    let last = commits.len().saturating_sub(1);
    let lost = |index: usize| {
        commits[index]
            .skipped
            .as_deref()
            .and_then(|text| text.parse::<Skipped>().ok())
    };
    let given_up = match &opinion.next {
        Next::Found(located) => {
            let words = found(db, search, range, located).await?;
            return Ok(Some(format!("bisection {id}: {words}")));
        }
        Next::Flat => Some("The two ends do not differ by more than the noise.".to_owned()),
        Next::Stuck => Some(format!(
            "Nothing that could be measured would tell more. {}",
            left(commits, &opinion)
        )),
        Next::Measure(_) if commits.is_empty() => Some("The range is empty.".to_owned()),
        Next::Measure(probes) if probes.is_empty() => return Ok(None),
        Next::Measure(probes) => {
            let end = probes
                .iter()
                .find(|one| one.index == 0 || one.index == last);
            match end.and_then(|one| lost(one.index).map(|reason| (one.index, reason))) {
                Some((index, reason)) => Some(format!(
                    "{} is an end of the range and cannot be measured: {}.",
                    short(&commits[index].hash),
                    reason.words()
                )),
                None if search.asked >= i64::from(search.budget) => Some(format!(
                    "The budget of {} runs is used up. {}",
                    search.budget,
                    left(commits, &opinion)
                )),
                None => None,
            }
        }
    };
    if let Some(words) = given_up {
        end(db, search, BisectionState::Exhausted, &[], &words).await?;
        return Ok(Some(format!("bisection {id} gives up: {words}")));
    }
    let Next::Measure(probes) = opinion.next else {
        return Ok(None);
    };
    let mut queued = 0;
    for probe in probes {
        let (host, commit) = (hosts[probe.host].0, commits[probe.index].commit_id);
        let runs = i32::try_from(probe.runs)?;
        queued += bisections::insert_jobs(&mut *db, id, host, commit, runs).await?;
    }
    Ok((queued > 0).then(|| format!("bisection {id} asks for {queued} run(s)")))
}

/// Stores what was located. A regression has one culprit: that of the largest change the way it went; the others are in its words.
async fn found(
    db: &mut PgConnection,
    search: &Open,
    range: Range<'_>,
    located: &[Located],
) -> anyhow::Result<String> {
    let commits = range.commits;
    let changes: Vec<NewChange> = located
        .iter()
        .map(|one| NewChange {
            before_commit_id: commits[one.low].commit_id,
            after_commit_id: commits[one.high].commit_id,
            culprit_commit_id: one.culprit.map(|index| commits[index].commit_id),
            change: told(one, search, range.evidence),
            probability: one.probability,
        })
        .collect();
    let each = located.iter().zip(&changes);
    let told: Vec<String> = each
        .map(|(one, new)| describe(one, new.change, commits))
        .collect();
    let words = match told.as_slice() {
        [one] => format!("The change came with {one}."),
        _ => format!(
            "There are {} changes in the range: {}.",
            told.len(),
            told.join("; ")
        ),
    };
    let state = if told.len() == 1 {
        BisectionState::Found
    } else {
        BisectionState::Several
    };
    end(db, search, state, &changes, &words).await?;
    Ok(words)
}

/// Ends a search and moves its regression on.
async fn end(
    db: &mut PgConnection,
    search: &Open,
    state: BisectionState,
    changes: &[NewChange],
    words: &str,
) -> anyhow::Result<()> {
    let main = changes.iter().max_by(|a, b| {
        let size =
            |one: &NewChange| one.change.ln_1p() * search.expected.unwrap_or(one.change).signum();
        size(a).total_cmp(&size(b))
    });
    let culprit = main.and_then(|one| one.culprit_commit_id);
    bisections::finish(&mut *db, search.id, state, culprit, changes, words).await?;
    let Some(regression) = search.regression_id else {
        return Ok(());
    };
    if let (BisectionState::Found, Some(one)) = (state, main) {
        bisections::narrow(
            &mut *db,
            regression,
            one.before_commit_id,
            one.after_commit_id,
        )
        .await?;
    }
    let next = match culprit {
        Some(culprit_commit_id) => Transition::Find { culprit_commit_id },
        None if state == BisectionState::Cancelled => Transition::CancelSearch,
        None => Transition::GiveUp,
    };
    // Where the regression has moved on by itself, nothing happens.
    regressions::transition(db, regression, &next, SPEEDWELL, words).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(benchmark: &str, change: f64, noise: f64) -> Other {
        Other {
            benchmark: benchmark.to_owned(),
            metric: "instructions".to_owned(),
            counter_source: "valgrind".to_owned(),
            baseline: 1e9,
            change,
            noise,
        }
    }

    /// Exact counts have a noise that is next to nothing: whichever a search goes by, it stays with.
    #[test]
    fn two_exact_series_do_not_take_turns() {
        let all = [other("nbody", -0.08, 1e-7), other("richards", -0.067, 2e-6)];
        for (mine, theirs) in [(0, 1), (1, 0)] {
            let (size, noise) = reckoned("instructions", 1e9, all[mine].change, all[mine].noise);
            assert_eq!(
                clearer((Some(size), noise), vec![all[theirs].clone()]),
                None
            );
        }
        // From a time in noise to a count, once.
        let (size, noise) = reckoned("wall_time", 1.0, -0.08, 0.02);
        let (found, size, noise) = clearer((Some(size), noise), all.to_vec()).unwrap();
        let rest = all.iter().filter(|one| one.benchmark != found.benchmark);
        assert_eq!(clearer((Some(size), noise), rest.cloned().collect()), None);
    }

    #[test]
    fn nothing_and_rubbish_are_not_clearer() {
        assert_eq!(clearer((Some(0.05), 0.01), vec![]), None);
        assert_eq!(clearer((None, 0.01), vec![other("nbody", 0.5, 1e-6)]), None);
        let rubbish = vec![
            other("nbody", f64::NAN, 0.01),
            other("nbody", 0.5, f64::NAN),
        ];
        assert_eq!(clearer((Some(0.5), 0.01), rubbish), None);
    }
}
