//! The cells: which runs they are, which benchmarks they share, and each against the base.

use std::collections::{BTreeMap, BTreeSet};

use super::{HOSTS, ROWS};
use crate::db::index::Packed;
use crate::db::long_view::Stop;
use crate::domain::compare::Ratio;
use crate::domain::index::{Total, Values, against, ratio_of};
use crate::web::format;

/// The stops of each host's newest state, and of each runtime on it the newest versions; how many are of other states.
pub(super) fn newest_states(stops: Vec<Stop>, versions: usize) -> (Vec<Stop>, usize) {
    let mut newest: BTreeMap<i64, &Stop> = BTreeMap::new();
    for stop in &stops {
        let one = newest.entry(stop.host_id).or_insert(stop);
        if stop.measured_at > one.measured_at {
            *one = stop;
        }
    }
    let state = |stop: &Stop| (stop.environment_id, stop.epoch_begins_at);
    let states: BTreeMap<i64, _> = newest
        .iter()
        .map(|(host, stop)| (*host, state(stop)))
        .collect();
    let all = stops.len();
    let kept: Vec<Stop> = stops
        .into_iter()
        .filter(|stop| states.get(&stop.host_id) == Some(&state(stop)))
        .collect();
    let earlier = all - kept.len();
    // Of each runtime on each host the last ones in branch order.
    let mut counts: BTreeMap<(i64, i64), usize> = BTreeMap::new();
    let mut chosen: Vec<Stop> = Vec::new();
    for stop in kept.into_iter().rev() {
        let count = counts.entry((stop.runtime_id, stop.host_id)).or_default();
        *count += 1;
        if *count <= versions {
            chosen.push(stop);
        }
    }
    chosen.reverse();
    (chosen, earlier)
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) host_id: i64,
    pub(super) name: String,
    pub(super) environment_id: i64,
}

/// A row: one commit of a runtime by one recipe.
pub(super) struct Software {
    pub(super) name: String,
    pub(super) runtime: String,
    pub(super) version: String,
    /// One for each column.
    pub(super) cells: Vec<Cell>,
}

pub(super) enum Cell {
    Value(Measured),
    /// Why there is none.
    Missing(String),
}

/// A cell's run against the base, over the benchmarks that every cell has.
pub(super) struct Measured {
    pub(super) run_id: i64,
    /// Whether something on the host disturbed it.
    pub(super) marked: bool,
    values: Values,
    against_base: Total,
    /// Geometric mean.
    pub(super) ipc: Option<f64>,
    /// Mean.
    pub(super) frontend_bound: Option<f64>,
}

impl Measured {
    /// Against the base.
    pub(super) fn ratio(&self) -> Ratio {
        self.against_base.ratio()
    }
}

pub(super) struct Grid {
    pub(super) hosts: Vec<Column>,
    pub(super) rows: Vec<Software>,
    /// Run of the base; 0 without any.
    pub(super) base: i64,
    /// Benchmarks that every cell has.
    pub(super) common: usize,
    /// Those that some cells lack.
    pub(super) left_out: Vec<i64>,
}

/// A step from one cell to another.
pub(super) struct Gained {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) of: String,
    pub(super) ratio: Ratio,
}

/// What a row stands for: runtime, commit, recipe.
type Key<'a> = (i64, i64, &'a str);

fn key(stop: &Stop) -> Key<'_> {
    (stop.runtime_id, stop.commit_id, &stop.recipe_sha256)
}

/// What every cell is made with.
struct Layout<'a, F> {
    stops: &'a [Stop],
    packed: &'a BTreeMap<i64, Packed>,
    /// Which benchmarks count.
    keep: F,
    base_run: i64,
    base: Values,
    common: BTreeSet<i64>,
}

impl<'a, F: Fn(i64) -> bool> Layout<'a, F> {
    fn values(&self, stop: &Stop) -> Values {
        let packed = self.packed.get(&stop.run_id);
        packed.map_or_else(Values::default, |one| one.values.only(&self.keep))
    }

    fn find(&self, wanted: &Key<'_>, host: &Column) -> Option<&'a Stop> {
        let mut all = self.stops.iter();
        all.rfind(|stop| key(stop) == *wanted && stop.host_id == host.host_id)
    }

    /// Whether a cell has enough of the base's benchmarks to be compared with it.
    fn is_alike(&self, own: &Values) -> bool {
        let all = own.benchmark_ids.iter();
        let shared = all.filter(|id| self.base.of(**id).is_some()).count();
        shared > 0 && shared * 2 >= self.base.benchmark_ids.len()
    }

    /// Finds the base, the one asked for or else the first version on the oldest host, and what all cells have in common; the
    /// benchmarks that some cells lack.
    fn settle(&mut self, hosts: &[Column], keys: &[Key<'_>], asked: Option<i64>) -> Vec<i64> {
        let layout: &Self = self;
        let all: Vec<&'a Stop> = hosts
            .iter()
            .flat_map(|host| keys.iter().filter_map(move |key| layout.find(key, host)))
            .collect();
        let chosen = all.iter().find(|stop| Some(stop.run_id) == asked);
        let first = || {
            let mut all = all.iter();
            all.find(|stop| !layout.values(stop).benchmark_ids.is_empty())
        };
        let Some(base) = chosen.or_else(first) else {
            return Vec::new();
        };
        self.base_run = base.run_id;
        self.base = self.values(base);
        self.common = self.base.benchmark_ids.iter().copied().collect();
        let mut seen = self.common.clone();
        for stop in &all {
            let own = self.values(stop);
            if self.is_alike(&own) {
                let here: BTreeSet<i64> = own.benchmark_ids.into_iter().collect();
                self.common.retain(|id| here.contains(id));
                seen.extend(here);
            }
        }
        seen.difference(&self.common).copied().collect()
    }

    fn cell(&self, wanted: &Key<'_>, host: &Column) -> Cell {
        let Some(stop) = self.find(wanted, host) else {
            return Cell::Missing("not measured on this host as it is now".to_owned());
        };
        let own = self.values(stop);
        if !self.is_alike(&own) {
            return Cell::Missing(
                "other benchmarks, or other versions of them: it has less than half of the base's"
                    .to_owned(),
            );
        }
        let common = |id| self.common.contains(&id);
        let own = own.only(common);
        let Ok(total) = against(&own, &self.base.only(common)) else {
            return Cell::Missing("no benchmark in common with the others".to_owned());
        };
        let packed = self.packed.get(&stop.run_id);
        Cell::Value(Measured {
            run_id: stop.run_id,
            marked: stop.marked,
            ipc: counter(packed, &self.common, |one| &one.ipc, true),
            frontend_bound: counter(packed, &self.common, |one| &one.frontend_bound, false),
            // Nothing is unsure about a run against itself.
            against_base: Total {
                deviation: if stop.run_id == self.base_run {
                    0.0
                } else {
                    total.deviation
                },
                ..total
            },
            values: own,
        })
    }

    fn row(&self, wanted: &Key<'_>, hosts: &[Column]) -> Option<Software> {
        let stop = self.stops.iter().find(|stop| key(stop) == *wanted)?;
        let version = stop
            .tag
            .clone()
            .unwrap_or_else(|| format::short(&stop.hash));
        Some(Software {
            name: format!("{} {version}", stop.runtime),
            runtime: stop.runtime.clone(),
            version,
            cells: hosts.iter().map(|host| self.cell(wanted, host)).collect(),
        })
    }
}

impl Grid {
    /// Lays the stops out. `order`: of a column; `keep`: which benchmarks count; `base`: the run that is asked for.
    pub(super) fn new<K: Ord>(
        stops: &[Stop],
        packed: &BTreeMap<i64, Packed>,
        order: impl Fn(&Stop) -> K,
        keep: impl Fn(i64) -> bool,
        base: Option<i64>,
    ) -> Self {
        let hosts = columns(stops, order);
        let mut keys: Vec<Key<'_>> = Vec::new();
        for one in stops.iter().map(key) {
            if !keys.contains(&one) && keys.len() < ROWS {
                keys.push(one);
            }
        }
        let mut layout = Layout {
            stops,
            packed,
            keep,
            base_run: 0,
            base: Values::default(),
            common: BTreeSet::new(),
        };
        let left_out = layout.settle(&hosts, &keys, base);
        Self {
            rows: keys
                .iter()
                .filter_map(|key| layout.row(key, &hosts))
                .collect(),
            base: layout.base_run,
            common: layout.common.len(),
            left_out,
            hosts,
        }
    }

    /// The base in words.
    pub(super) fn base_words(&self) -> String {
        for row in &self.rows {
            for (cell, host) in row.cells.iter().zip(&self.hosts) {
                if matches!(cell, Cell::Value(value) if value.run_id == self.base) {
                    return format!("{} on {}", row.name, host.name);
                }
            }
        }
        "nothing".to_owned()
    }

    /// Along each row, from one host to the next that has it.
    pub(super) fn silicon(&self) -> Vec<Gained> {
        let mut steps = Vec::new();
        for row in &self.rows {
            let measured: Vec<(&Measured, &Column)> = row
                .cells
                .iter()
                .zip(&self.hosts)
                .filter_map(|(cell, host)| match cell {
                    Cell::Value(value) => Some((value, host)),
                    Cell::Missing(_) => None,
                })
                .collect();
            steps.extend(measured.windows(2).filter_map(|pair| {
                let [(from, from_host), (to, to_host)] = pair else {
                    return None;
                };
                step(
                    from,
                    to,
                    from_host.name.clone(),
                    to_host.name.clone(),
                    row.name.clone(),
                )
            }));
        }
        steps
    }

    /// Down each column, from one version of a runtime to the next.
    pub(super) fn software(&self) -> Vec<Gained> {
        let mut steps = Vec::new();
        for (index, host) in self.hosts.iter().enumerate() {
            let measured: Vec<(&Measured, &Software)> = self
                .rows
                .iter()
                .filter_map(|row| match row.cells.get(index)? {
                    Cell::Value(value) => Some((value, row)),
                    Cell::Missing(_) => None,
                })
                .collect();
            steps.extend(measured.windows(2).filter_map(|pair| {
                let [(from, from_row), (to, to_row)] = pair else {
                    return None;
                };
                if from_row.runtime != to_row.runtime {
                    return None;
                }
                step(
                    from,
                    to,
                    from_row.name.clone(),
                    to_row.name.clone(),
                    host.name.clone(),
                )
            }));
        }
        steps
    }
}

fn columns<K: Ord>(stops: &[Stop], order: impl Fn(&Stop) -> K) -> Vec<Column> {
    let mut hosts: Vec<(K, Column)> = Vec::new();
    for stop in stops {
        if !hosts.iter().any(|(_, one)| one.host_id == stop.host_id) {
            let column = Column {
                host_id: stop.host_id,
                name: stop.host.clone(),
                environment_id: stop.environment_id,
            };
            hosts.push((order(stop), column));
        }
    }
    hosts.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.name.cmp(&b.1.name)));
    hosts.truncate(HOSTS);
    hosts.into_iter().map(|(_, column)| column).collect()
}

fn step(
    from: &Measured,
    to: &Measured,
    from_name: String,
    to_name: String,
    of: String,
) -> Option<Gained> {
    let total = against(&to.values, &from.values).ok()?;
    Some(Gained {
        from: from_name,
        to: to_name,
        of,
        ratio: ratio_of(total.mean, total.deviation, total.common.len()),
    })
}

/// The mean of a counter over the common benchmarks; absent unless each of them has it.
fn counter(
    packed: Option<&Packed>,
    common: &BTreeSet<i64>,
    values: impl Fn(&Packed) -> &Vec<Option<f64>>,
    geometric: bool,
) -> Option<f64> {
    let packed = packed?;
    let mut sum = 0.0;
    let mut count = 0_usize;
    for (id, value) in packed.values.benchmark_ids.iter().zip(values(packed)) {
        if common.contains(id) {
            let value = (*value)?;
            sum += if geometric { value.ln() } else { value };
            count += 1;
        }
    }
    let mean = sum / count as f64;
    let mean = if geometric { mean.exp() } else { mean };
    mean.is_finite().then_some(mean)
}

#[cfg(test)]
mod tests;
