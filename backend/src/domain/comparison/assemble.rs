//! From what runs gave to rows: which source and version are compared, and several runs as one value.

use std::collections::BTreeMap;

use speedwell_wire::{CounterSource, Metric};

use super::{Comparison, Entry, Found, Measured, Other, Reason, Row, Side, against};
use crate::domain::compare::Estimate;

/// Digits of an identity that pages show.
const SHOWN_DIGITS: usize = 12;

/// Compares the subjects of `entries` (0 is the base) by one metric, from `source` or else from the one that most values of the most
/// subjects have. Benchmarks come in order of their names.
pub fn compare(
    metric: Metric,
    source: Option<CounterSource>,
    subjects: usize,
    entries: &[Entry],
) -> Comparison {
    let source = source.or_else(|| shared_source(subjects, entries));
    let mut by_name: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        by_name.entry(&entry.benchmark).or_default().push(entry);
    }
    let rows = by_name.into_iter().map(|(name, entries)| {
        let of = |subject: usize| {
            let own = entries.iter().filter(|one| one.subject == subject);
            own.copied().collect::<Vec<&Entry>>()
        };
        let sides: Vec<Vec<&Entry>> = (0..subjects).map(of).collect();
        row(metric, source, name, &sides)
    });
    Comparison {
        metric,
        source,
        rows: rows.collect(),
    }
}

/// The source that most subjects have; of several such the one of most values, then the first in their order.
fn shared_source(subjects: usize, entries: &[Entry]) -> Option<CounterSource> {
    let mut best: Option<(CounterSource, (usize, usize))> = None;
    for source in CounterSource::ALL {
        let mut counts = vec![0_usize; subjects];
        for entry in entries {
            let has_it = matches!(&entry.found, Found::Value(one) if one.source == *source);
            if let Some(count) = counts.get_mut(entry.subject).filter(|_| has_it) {
                *count += 1;
            }
        }
        let having = counts.iter().filter(|count| **count > 0).count();
        let score = (having, counts.iter().sum::<usize>());
        if having > 0 && best.is_none_or(|(_, most)| score > most) {
            best = Some((*source, score));
        }
    }
    best.map(|(source, _)| source)
}

fn row(metric: Metric, source: Option<CounterSource>, name: &str, sides: &[Vec<&Entry>]) -> Row {
    // The newest version that the base has a value of, else that it ran at all, else the first other subject's.
    let valued = |of: &[&Entry]| {
        let newest = of.iter().filter(|one| has_source(one, source));
        newest
            .max_by_key(|one| one.run_id)
            .map(|one| one.identity.clone())
    };
    let ran = |of: &[&Entry]| {
        of.iter()
            .max_by_key(|one| one.run_id)
            .map(|one| one.identity.clone())
    };
    let identity = sides
        .first()
        .and_then(|of| valued(of).or_else(|| ran(of)))
        .or_else(|| sides.iter().find_map(|of| valued(of)))
        .or_else(|| sides.iter().find_map(|of| ran(of)))
        .unwrap_or_default();
    let values = sides.iter().map(|of| side(source, &identity, of));
    let mut values: Vec<Result<Side, Reason>> = values.collect();
    let others = values.split_off(values.len().min(1));
    let base = values.pop().unwrap_or(Err(Reason::NotRun));
    let others = others
        .into_iter()
        .map(|other| match (other, &base, source) {
            (Ok(side), Ok(base), Some(source)) => against(metric, source, &side, base),
            (Ok(side), _, _) => Err(Other {
                side: Some(side),
                reason: Reason::NoBase,
            }),
            (Err(reason), _, _) => Err(Other { side: None, reason }),
        });
    Row {
        benchmark: name.to_owned(),
        others: others.collect(),
        identity,
        base,
    }
}

fn has_source(entry: &Entry, source: Option<CounterSource>) -> bool {
    matches!(&entry.found, Found::Value(one) if Some(one.source) == source)
}

/// A subject's runs of one version as one value, or why there is none.
fn side(source: Option<CounterSource>, identity: &str, entries: &[&Entry]) -> Result<Side, Reason> {
    let mut own: Vec<(i64, &Measured)> = Vec::new();
    let mut reason = Reason::NotRun;
    for entry in entries {
        match &entry.found {
            // The most telling reason stays: what ran under another version says more than what did not run.
            _ if entry.identity != identity => {
                let digits = entry.identity.chars().take(SHOWN_DIGITS).collect();
                reason = Reason::OtherVersion(digits);
            }
            Found::Value(one) if Some(one.source) == source => own.push((entry.run_id, one)),
            Found::Value(one) => reason = Reason::OtherSource(one.source),
            Found::Unavailable(words) if reason == Reason::NotRun => {
                reason = Reason::Unavailable(words.clone());
            }
            Found::Unavailable(_) => {}
        }
    }
    let estimates: Vec<Estimate> = own.iter().map(|(_, one)| one.estimate).collect();
    let newest = own.iter().max_by_key(|(run_id, _)| *run_id);
    match (Estimate::pooled(&estimates), newest) {
        (Some(estimate), Some((run_id, one))) => Ok(Side {
            estimate,
            runs: own.len(),
            samples: own.iter().map(|(_, one)| one.samples).sum(),
            run_id: *run_id,
            deviation: one.noise.deviation(own.len()),
        }),
        (_, _) => Err(reason),
    }
}
