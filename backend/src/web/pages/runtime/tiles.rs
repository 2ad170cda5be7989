//! Every benchmark of a runtime's newest run, as a tile.

use crate::db::overview::{BenchmarkOverview, RuntimeOverview};
use crate::web::format;
use crate::web::pages::widgets::{Badge, spark};
use crate::web::timeline::asked::Asked;
use crate::web::verdict;

pub(super) struct Tile {
    pub(super) name: String,
    pub(super) link: String,
    pub(super) description: String,
    pub(super) spark: String,
    pub(super) value: String,
    pub(super) badge: Option<Badge>,
}

/// How many of the tiles are better, worse, held back.
pub(super) struct Tally {
    pub(super) improved: usize,
    pub(super) regressed: usize,
    pub(super) held: usize,
}

pub(super) fn tally(benchmarks: &[BenchmarkOverview]) -> Tally {
    let count = |state: &str| {
        let told = benchmarks.iter().filter(|one| one.held.is_none());
        told.filter(|one| one.state.as_deref() == Some(state))
            .count()
    };
    Tally {
        improved: count("improved"),
        regressed: count("regressed"),
        held: benchmarks.iter().filter(|one| one.held.is_some()).count(),
    }
}

pub(super) fn tile(row: &RuntimeOverview, one: &BenchmarkOverview) -> Tile {
    let held = if one.held.is_some() { " held" } else { "" };
    let badge = one.state.as_ref().map(|state| Badge {
        text: one.change.map_or_else(
            || "new".to_owned(),
            |change| format!("{}{held}", format::percent(change)),
        ),
        class: verdict::class(state, one.held.as_deref()).to_owned(),
        words: format!(
            "against the commits before it: {}",
            verdict::words(state, one.held.as_deref())
        ),
    });
    Tile {
        link: Asked::of(
            &one.name,
            &row.name,
            row.host.as_deref().unwrap_or_default(),
            &one.metric,
        )
        .address(),
        name: one.name.clone(),
        description: one.description.clone(),
        spark: spark(
            format!("{}: the newest {} values", one.name, one.history.len()),
            &one.history,
        ),
        value: format::metric_value(one.median, &one.metric),
        badge,
    }
}
