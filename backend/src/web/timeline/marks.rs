//! What stands on a timeline besides its lines: releases, change points, annotations, and breaks with what changed there.

use std::collections::HashMap;

use serde_json::Value;

use super::read::{Line, Timeline};
use crate::context::Context;
use crate::db::timeline::{self, ChangeMark, HostEpoch, NoteMark, Release};
use crate::domain::trace::TracePoint;
use crate::web::error::Error;
use crate::web::facts::change_words;
use crate::web::format;

/// Change points and annotations that are read at most.
const MOST: i64 = 300;

/// All of it.
#[derive(Debug, Default)]
pub(in crate::web) struct Marks {
    /// Releases, by position.
    pub(in crate::web) releases: Vec<(f64, Release)>,
    /// Change points of the lines: the line's index, the place, the value there as it is drawn.
    pub(in crate::web) changes: Vec<(usize, f64, f64, ChangeMark)>,
    /// Annotations; those on hosts have no place unless the axis is time.
    pub(in crate::web) notes: Vec<(Option<f64>, NoteMark)>,
    /// Breaks.
    pub(in crate::web) breaks: Vec<Break>,
}

/// Where lines are broken.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::web) struct Break {
    /// Indices of the lines.
    pub(in crate::web) lines: Vec<usize>,
    /// Half-way between the points.
    pub(in crate::web) place: f64,
    /// The host.
    pub(in crate::web) host: String,
    /// Position and day of the first point behind it.
    pub(in crate::web) position: i32,
    /// The commit's time, in seconds since 1970.
    pub(in crate::web) committed_at: i64,
    /// What changed.
    pub(in crate::web) words: String,
}

/// Reads what stands on a timeline: five queries at most.
pub(in crate::web) async fn read(context: &Context, read: &Timeline) -> Result<Marks, Error> {
    if read.lines.is_empty() {
        return Ok(Marks::default());
    }
    let pool = &context.planned;
    let (branches, positions) = (read.branches(), read.positions());
    let place = |position: i32, at: i64| {
        if read.axis.by_date {
            at as f64
        } else {
            f64::from(position)
        }
    };
    let releases = timeline::list_releases(pool, &branches, positions).await?;
    let mut releases: Vec<(f64, Release)> = releases
        .into_iter()
        .map(|one| (place(one.position, one.committed_at.timestamp()), one))
        .collect();
    // A release before two branches parted is on both.
    releases.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.name.cmp(&b.1.name)));
    releases.dedup_by(|a, b| a.1.name == b.1.name);
    let keys: Vec<i64> = read.lines.iter().map(|line| line.series.id).collect();
    let changes = timeline::list_changes(pool, &keys, MOST).await?;
    let changes = changes.into_iter().filter_map(|one| {
        let found = read
            .lines
            .iter()
            .position(|line| line.series.id == one.series_id)?;
        let value = value_at(read.lines.get(found)?, one.position)?;
        let at = place(one.position, one.committed_at.timestamp());
        Some((found, at, value, one))
    });
    let notes = timeline::list_notes(pool, &branches, positions, &read.hosts(), MOST).await?;
    let notes = notes.into_iter().filter_map(|one| {
        let at = match (one.position, one.committed_at) {
            (Some(position), Some(at)) => Some(place(position, at.timestamp())),
            (_, _) => read.axis.by_date.then(|| one.at.timestamp() as f64),
        };
        let within = at.is_none_or(|at| (read.axis.range.0..=read.axis.range.1).contains(&at));
        within.then_some((at, one))
    });
    Ok(Marks {
        releases,
        changes: changes.collect(),
        notes: notes.collect(),
        breaks: breaks(context, read).await?,
    })
}

/// The value as it is drawn at a position that is in the range.
fn value_at(line: &Line, position: i32) -> Option<f64> {
    let found = line
        .points
        .binary_search_by_key(&position, |point| point.position);
    let point = line.points.get(found.ok()?)?;
    line.values(point).first().copied()
}

async fn breaks(context: &Context, read: &Timeline) -> Result<Vec<Break>, Error> {
    let mut environments: Vec<i64> = read
        .lines
        .iter()
        .flat_map(Line::breaks)
        .flat_map(|(before, after)| [before.environment_id, after.environment_id])
        .collect();
    if environments.is_empty() {
        return Ok(Vec::new());
    }
    environments.sort_unstable();
    environments.dedup();
    let facts = timeline::list_facts(&context.planned, &environments).await?;
    let facts: HashMap<i64, Value> = facts.into_iter().collect();
    let epochs = timeline::list_epochs(&context.planned, &read.hosts()).await?;
    let mut found: Vec<Break> = Vec::new();
    for (index, line) in read.lines.iter().enumerate() {
        for (before, after) in line.breaks() {
            let place = (read.axis.place(before) + read.axis.place(after)) / 2.0;
            let same = |one: &&mut Break| {
                one.host == line.series.host && one.position == after.position && one.place == place
            };
            match found.iter_mut().find(same) {
                Some(known) => known.lines.push(index),
                None => found.push(Break {
                    lines: vec![index],
                    place,
                    host: line.series.host.clone(),
                    position: after.position,
                    committed_at: after.committed_at,
                    words: words(before, after, &facts, &epochs, line.series.host_id),
                }),
            }
        }
    }
    found.sort_by(|a, b| a.place.total_cmp(&b.place));
    Ok(found)
}

/// What differs between two neighbours of different epochs.
fn words(
    before: &TracePoint,
    after: &TracePoint,
    facts: &HashMap<i64, Value>,
    epochs: &[HostEpoch],
    host_id: i64,
) -> String {
    let mut parts = Vec::new();
    if before.environment_id != after.environment_id {
        let known = facts
            .get(&before.environment_id)
            .zip(facts.get(&after.environment_id));
        parts.push(known.map_or_else(
            || "another environment".to_owned(),
            |(before, after)| change_words(before, after),
        ));
    }
    if before.host_epoch != after.host_epoch {
        let number = before.host_epoch.max(after.host_epoch);
        let epoch = epochs
            .iter()
            .find(|one| one.host_id == host_id && one.number == number);
        parts.push(epoch.map_or_else(
            || "the host's control moved".to_owned(),
            |one| {
                format!(
                    "the control {} moved by {} on {}",
                    one.runtime,
                    format::percent(one.change),
                    format::day(one.begins_at)
                )
            },
        ));
    }
    parts.join("; ")
}
