//! Searches for the commit behind each confirmed regression. One transaction for each search and step: a killed pass leaves a search
//! whose jobs are over, which the next pass takes up; what was measured is read anew each time.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::Outcome;
use crate::context::Context;
use crate::db::bisections::{
    self, NewBisection, Place, RangeCommit, ReadingRow, Searching, Unsearched,
};
use crate::db::regressions;
use crate::detection::bisection::{
    Candidate, Host, Located, Next, Probe, Reading, Search, decide, runs_for,
};
use crate::domain::bisection::{BisectionState, Skipped, budget, cannot_matter};
use crate::domain::regression::{RegressionState, SPEEDWELL, Transition};

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let mut notes = Vec::new();
    for wanted in bisections::list_unsearched(&context.pool).await? {
        let mut transaction = context.pool.begin().await?;
        notes.extend(open(&mut transaction, &wanted).await?);
        transaction.commit().await?;
    }
    for search in bisections::list_searching(&context.pool).await? {
        let mut transaction = context.pool.begin().await?;
        notes.extend(step(&mut transaction, &search).await?);
        transaction.commit().await?;
    }
    Ok((!notes.is_empty()).then(|| notes.join("; ")))
}

/// Opens the search for a regression; where its range is one commit there is nothing to search.
async fn open(db: &mut PgConnection, wanted: &Unsearched) -> sqlx::Result<Option<String>> {
    let id = wanted.regression_id;
    if wanted.after_position - wanted.before_position == 1 {
        let find = Transition::Find {
            culprit_commit_id: wanted.after_commit_id,
        };
        let words = "its range is this commit alone: the one before it was measured, too";
        let found = regressions::transition(db, id, &find, SPEEDWELL, words).await?;
        return Ok(found.then(|| format!("regression {id}: its range is one commit")));
    }
    let range = bisections::list_range(
        &mut *db,
        wanted.branch_id,
        wanted.before_position,
        wanted.after_position,
    )
    .await?;
    let trained = bisections::is_trained(&mut *db, wanted.runtime_id).await?;
    let commits = judge_range(&range, trained);
    let hosts = bisections::list_hosts_of_regression(&mut *db, wanted).await?;
    let left = commits.iter().filter(|one| one.1.is_none()).count();
    let expected = wanted.change.ln_1p();
    let runs = runs_for(expected.abs() / wanted.noise.max(1e-4));
    let new = NewBisection {
        regression_id: Some(id),
        runtime_id: wanted.runtime_id,
        benchmark: &wanted.benchmark,
        metric: &wanted.metric,
        counter_source: &wanted.counter_source,
        expected: Some(expected),
        noise: wanted.noise,
        requester: SPEEDWELL,
        budget: budget(left, runs, hosts.len()),
    };
    let bisection = bisections::insert(&mut *db, &new, &commits, &hosts).await?;
    let words = format!(
        "search {bisection} by {} {}: {} commits, {} of them cannot matter, about {runs} run(s) a step",
        wanted.benchmark,
        wanted.metric,
        commits.len() - 1,
        commits.len() - left,
    );
    regressions::transition(db, id, &Transition::Bisect, SPEEDWELL, &words).await?;
    Ok(Some(format!("regression {id}: search {bisection} begins")))
}

/// Each commit of a range with the reason why it need not be measured; the ends always may be.
pub fn judge_range(range: &[RangeCommit], trained: bool) -> Vec<(i64, Option<Skipped>)> {
    let last = range.len().saturating_sub(1);
    let judge = |(index, commit): (usize, &RangeCommit)| {
        let count = usize::try_from(commit.touched_count.unwrap_or(0)).unwrap_or(usize::MAX);
        let paths = commit.touched_paths.as_deref().unwrap_or_default();
        let harmless = index > 0 && index < last && cannot_matter(paths, count, trained);
        (commit.commit_id, harmless.then_some(Skipped::CannotMatter))
    };
    range.iter().enumerate().map(judge).collect()
}

/// Looks at what was measured, and asks for more or ends the search.
async fn step(db: &mut PgConnection, search: &Searching) -> anyhow::Result<Option<String>> {
    if let Some(state) = &search.regression_state
        && let Ok(state) = state.parse::<RegressionState>()
        && !state.is_open()
    {
        let why = format!("the regression is {} now", state.as_str());
        bisections::finish(db, search.id, BisectionState::Cancelled, None, &why).await?;
        return Ok(Some(format!("search {} cancelled: {why}", search.id)));
    }
    bisections::update_skipped(&mut *db, search.id).await?;
    let places = bisections::list_places(&mut *db, search.id).await?;
    let rows = bisections::list_readings(&mut *db, search).await?;
    let hosts = bisections::list_hosts(&mut *db, search.id).await?;
    let open = bisections::list_open_jobs(&mut *db, search.id).await?;
    let (readings, host_states) = group(&rows, &hosts, &open);
    let candidates: Vec<Candidate> = places.iter().map(candidate).collect();
    let busy: Vec<usize> = open
        .iter()
        .filter_map(|(_, ordinal)| usize::try_from(*ordinal).ok())
        .collect();
    let opinion = decide(&Search {
        candidates: &candidates,
        readings: &readings,
        hosts: &host_states,
        busy: &busy,
        noise: search.noise,
        expected: search.expected,
    });
    bisections::set_opinion(&mut *db, search.id, &opinion.probability, &opinion.likeness).await?;
    match opinion.next {
        Next::Measure(probes) => ask(db, search, &places, &hosts, &probes, open.len()).await,
        Next::Found(located) => conclude(db, search, &places, &located).await,
        Next::Flat => {
            let why = "the two ends do not differ when they are measured again";
            give_up(db, search, why).await
        }
        Next::Stuck => {
            let why = "nothing that can still be measured would tell more";
            give_up(db, search, why).await
        }
    }
}

fn candidate(place: &Place) -> Candidate {
    let skipped = place
        .skipped
        .as_deref()
        .and_then(|text| text.parse::<Skipped>().ok());
    Candidate {
        prior: skipped.map_or(1.0, Skipped::prior),
        measurable: skipped.is_none(),
    }
}

/// Readings by what they may be compared with (series, environment, epoch of the host), and which of these each host is in now.
fn group(rows: &[ReadingRow], hosts: &[i64], open: &[(i64, i32)]) -> (Vec<Reading>, Vec<Host>) {
    let mut groups: BTreeMap<(i64, i64, i64), usize> = BTreeMap::new();
    let mut newest: BTreeMap<i64, usize> = BTreeMap::new();
    let mut readings = Vec::with_capacity(rows.len());
    for row in rows {
        let next = groups.len();
        let key = (row.series_id, row.environment_id, row.host_epoch);
        let group = *groups.entry(key).or_insert(next);
        newest.insert(row.host_id, group);
        readings.push(Reading {
            index: usize::try_from(row.ordinal).unwrap_or(usize::MAX),
            group,
            value: row.median.ln(),
        });
    }
    let mut unknown = groups.len();
    let state = |host: &i64| Host {
        group: newest.get(host).copied().unwrap_or_else(|| {
            unknown += 1;
            unknown
        }),
        idle: !open.iter().any(|(busy, _)| busy == host),
    };
    let states = hosts.iter().map(state).collect();
    (readings, states)
}

/// Asks for runs, as far as the budget goes.
async fn ask(
    db: &mut PgConnection,
    search: &Searching,
    places: &[Place],
    hosts: &[i64],
    probes: &[Probe],
    open: usize,
) -> anyhow::Result<Option<String>> {
    if probes.is_empty() {
        if open == 0 {
            let why = "no host is free to measure, and none is measuring";
            return give_up(db, search, why).await;
        }
        return Ok(None);
    }
    let wanted: usize = probes.iter().map(|probe| probe.runs).sum();
    let asked = usize::try_from(search.asked).unwrap_or(usize::MAX);
    if asked.saturating_add(wanted) > usize::try_from(search.budget).unwrap_or(0) {
        if open > 0 {
            return Ok(None);
        }
        let why = format!("the budget of {} runs is used up", search.budget);
        return give_up(db, search, &why).await;
    }
    let mut words = Vec::new();
    for probe in probes {
        let place = &places[probe.index];
        let runs = i32::try_from(probe.runs).unwrap_or(1);
        bisections::insert_jobs(&mut *db, search, place.commit_id, hosts[probe.host], runs).await?;
        words.push(format!("{} ({runs})", short(&place.hash)));
    }
    let words = format!("measures {}", words.join(", "));
    bisections::set_message(&mut *db, search.id, &words).await?;
    Ok(Some(format!("search {} {words}", search.id)))
}

fn short(hash: &str) -> &str {
    hash.get(..10).unwrap_or(hash)
}

/// Ends a search without a commit; its regression stays confirmed.
async fn give_up(
    db: &mut PgConnection,
    search: &Searching,
    why: &str,
) -> anyhow::Result<Option<String>> {
    bisections::finish(&mut *db, search.id, BisectionState::Exhausted, None, why).await?;
    if let Some(regression) = search.regression_id {
        let words = format!("search {} ended without a commit: {why}", search.id);
        regressions::transition(db, regression, &Transition::GiveUp, SPEEDWELL, &words).await?;
    }
    Ok(Some(format!("search {} gives up: {why}", search.id)))
}

/// One located change in words.
fn words(one: &Located, places: &[Place]) -> String {
    let sure = one.probability * 100.0;
    let size = one.change.exp_m1() * 100.0;
    match one.culprit {
        Some(culprit) => format!(
            "{} ({size:+.2} %, {sure:.1} % sure): {}",
            short(&places[culprit].hash),
            places[culprit].subject
        ),
        None => format!(
            "one of the {} commits after {} up to {} ({size:+.2} %, {sure:.1} % sure), which cannot be told apart",
            one.high - one.low,
            short(&places[one.low].hash),
            short(&places[one.high].hash)
        ),
    }
}

/// Ends a search that has located every change of its range. The largest change is the regression's.
async fn conclude(
    db: &mut PgConnection,
    search: &Searching,
    places: &[Place],
    located: &[Located],
) -> anyhow::Result<Option<String>> {
    let largest = located
        .iter()
        .max_by(|a, b| a.change.abs().total_cmp(&b.change.abs()));
    let Some(largest) = largest else {
        return give_up(db, search, "it has located nothing").await;
    };
    let state = if located.len() > 1 {
        BisectionState::Several
    } else {
        BisectionState::Found
    };
    let all: Vec<String> = located.iter().map(|one| words(one, places)).collect();
    let message = match state {
        BisectionState::Several => format!("{} changes: {}", located.len(), all.join("; ")),
        BisectionState::Found
        | BisectionState::Searching
        | BisectionState::Exhausted
        | BisectionState::Cancelled => all.join("; "),
    };
    let culprit = largest.culprit.map(|index| places[index].commit_id);
    bisections::insert_changes(&mut *db, search.id, located, places).await?;
    bisections::finish(&mut *db, search.id, state, culprit, &message).await?;
    if let Some(regression) = search.regression_id {
        let (before, after) = (&places[largest.low], &places[largest.high]);
        bisections::narrow(&mut *db, regression, before.commit_id, after.commit_id).await?;
        let transition = match culprit {
            Some(culprit_commit_id) => Transition::Find { culprit_commit_id },
            None => Transition::GiveUp,
        };
        regressions::transition(db, regression, &transition, SPEEDWELL, &message).await?;
    }
    Ok(Some(format!("search {}: {message}", search.id)))
}
