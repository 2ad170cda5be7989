//! From an address to a comparison: what pages and API read in the same way.

use speedwell_wire::{BuildRecipe, CounterSource, Metric};
use sqlx::PgPool;

use crate::db::comparisons::{self, Kind, Missing, Runs, Value};
use crate::db::subjects::{self, Place, SubjectRun, Wanted};
use crate::domain::compare::{Estimate, Repeatability};
use crate::domain::comparison::{Comparison, Entry, Found, Measured, compare};
use crate::domain::subject::{Subject, choose_hosts};
use crate::web::error::Error;
use crate::web::format;

mod address;
mod marks;
mod words;

pub(super) use address::Address;
pub(super) use marks::{Mark, marks};
pub(super) use words::{interval, ratio_text, source_words, verdict_class, verdict_words};

/// The parameters that name subjects; the first is the base.
pub(super) const LETTERS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// What an address asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    /// Two to six, the base first.
    pub(super) subjects: Vec<Subject>,
    /// The metric; absent for what the benchmarks are there for.
    pub(super) metric: Option<Metric>,
    /// Only this source; absent for the one that most subjects share.
    pub(super) source: Option<CounterSource>,
}

/// A parameter's value; absent or empty is the same.
pub(super) fn parameter<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(key, _)| key == name);
    found
        .map(|(_, value)| value.trim())
        .filter(|value| !value.is_empty())
}

pub(super) fn bad(field: &str, message: impl std::fmt::Display) -> Error {
    Error::BadRequest {
        field: field.to_owned(),
        message: format!("{field}: {message}"),
    }
}

/// The subjects that are named, in the order of their letters.
pub(super) fn parse_subjects(pairs: &[(String, String)]) -> Result<Vec<Subject>, Error> {
    let named = LETTERS
        .iter()
        .filter_map(|letter| Some((letter, parameter(pairs, letter)?)));
    named
        .map(|(letter, text)| text.parse::<Subject>().map_err(|error| bad(letter, error)))
        .collect()
}

/// `metric` and `source`; `metric=NAME:SOURCE` names both, as a form's one select does.
pub(super) fn parse_metric(
    pairs: &[(String, String)],
) -> Result<(Option<Metric>, Option<CounterSource>), Error> {
    let metric = parameter(pairs, "metric");
    let (metric, of_metric) = match metric.and_then(|text| text.split_once(':')) {
        Some((metric, source)) => (Some(metric), Some(source)),
        None => (metric, None),
    };
    let metric = metric.map(|text| {
        text.parse::<Metric>().map_err(|unknown| {
            let known: Vec<&str> = Metric::ALL.iter().map(|one| one.as_str()).collect();
            bad("metric", format!("{unknown}; known: {}", known.join(", ")))
        })
    });
    let source = parameter(pairs, "source").or(of_metric).map(|text| {
        text.parse::<CounterSource>().map_err(|unknown| {
            let known: Vec<&str> = CounterSource::ALL.iter().map(|one| one.as_str()).collect();
            bad("source", format!("{unknown}; known: {}", known.join(", ")))
        })
    });
    Ok((metric.transpose()?, source.transpose()?))
}

/// The whole choice; an error says which parameter to mend.
pub(super) fn parse(pairs: &[(String, String)]) -> Result<Choice, Error> {
    let subjects = parse_subjects(pairs)?;
    if subjects.len() < 2 {
        let missing = if subjects.is_empty() { "a" } else { "b" };
        return Err(bad(
            missing,
            "name two to six subjects: a=RUNTIME@POINT~HOST (the base), b=…, up to f=…",
        ));
    }
    let (metric, source) = parse_metric(pairs)?;
    Ok(Choice {
        subjects,
        metric,
        source,
    })
}

/// A subject with the runs that stand for it: of one commit, on one host, in one environment and epoch, of one recipe and compiler.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    /// As it was asked for.
    pub(super) subject: Subject,
    /// What its runtime executes.
    pub(super) language: String,
    /// How its runtime is built; absent for a recipe that this version cannot read.
    pub(super) recipe: Option<BuildRecipe>,
    /// Newest first; never empty.
    pub(super) runs: Vec<SubjectRun>,
    /// Runs of the same commit on the same host that are not used.
    pub(super) unused: usize,
}

impl Resolved {
    /// The newest run that is used.
    pub(super) fn newest(&self) -> Option<&SubjectRun> {
        self.runs.first()
    }

    /// The commit by tag, if the address names it so or it has one, and by hash.
    pub(super) fn point(&self) -> String {
        let Some(run) = self.newest() else {
            return String::new();
        };
        let asked = self.subject.point.name();
        let by_name = asked.filter(|name| run.tags.iter().any(|tag| tag == name));
        let tag = by_name.or(run.tags.first().map(String::as_str));
        match tag {
            Some(tag) => tag.to_owned(),
            None => format::short(&run.hash),
        }
    }

    /// `cpython-2.7 v2.7.10`, for columns.
    pub(super) fn label(&self) -> String {
        format!("{} {}", self.subject.runtime, self.point())
    }
}

/// Resolves subjects to runs; for each that has none, why, in words.
pub(super) async fn resolve(
    pool: &PgPool,
    asked: &[Subject],
) -> Result<Vec<Result<Resolved, String>>, Error> {
    let places = subjects::list_places(pool, asked).await?;
    let wanted: Vec<Wanted> = places
        .iter()
        .zip(asked)
        .filter_map(|(place, subject)| wanted(place, subject))
        .collect();
    let runs = subjects::list_runs(pool, &wanted).await?;
    let of = |place: &Place| {
        let own = runs.iter().filter(|run| run.ordinal == place.ordinal);
        own.collect::<Vec<&SubjectRun>>()
    };
    let mut offers: Vec<Vec<&str>> = Vec::new();
    for place in &places {
        let mut hosts: Vec<&str> = Vec::new();
        for run in of(place) {
            if !hosts.contains(&run.host.as_str()) {
                hosts.push(&run.host);
            }
        }
        offers.push(hosts);
    }
    let chosen = choose_hosts(&offers);
    let mut resolved = Vec::new();
    let mut base: Option<SubjectRun> = None;
    for ((place, subject), (hosts, chosen)) in
        places.iter().zip(asked).zip(offers.iter().zip(chosen))
    {
        let host = chosen.and_then(|index| hosts.get(index)).copied();
        let Some(host) = host else {
            resolved.push(Err(missing(place, subject)));
            continue;
        };
        let on_host: Vec<&SubjectRun> = of(place)
            .into_iter()
            .filter(|run| run.host == host)
            .collect();
        let runs = alike(&on_host, base.as_ref());
        base = base.or_else(|| runs.first().cloned());
        resolved.push(Ok(Resolved {
            subject: subject.clone(),
            language: place.language.clone().unwrap_or_default(),
            recipe: place
                .recipe
                .clone()
                .and_then(|recipe| serde_json::from_value(recipe.0).ok()),
            unused: on_host.len() - runs.len(),
            runs,
        }));
    }
    Ok(resolved)
}

/// What to look for; nothing where runtime or commit are not known.
fn wanted(place: &Place, subject: &Subject) -> Option<Wanted> {
    let commit_id = match (subject.point.name(), place.commit_ids.as_slice()) {
        (None, _) => None,
        (Some(_), [one]) => Some(*one),
        (Some(_), _) => return None,
    };
    Some(Wanted {
        ordinal: place.ordinal,
        runtime_id: place.runtime_id?,
        commit_id,
        host: subject.host.clone(),
    })
}

/// Of a commit's runs on one host those that are alike: as the base's, if some are, else as the newest. Whole runs go before those
/// of some benchmarks, and those before runs under bad conditions.
fn alike(runs: &[&SubjectRun], base: Option<&SubjectRun>) -> Vec<SubjectRun> {
    let like_base = |run: &SubjectRun| {
        base.is_some_and(|base| {
            run.environment_id == base.environment_id && run.host_epoch == base.host_epoch
        })
    };
    let rank = |run: &SubjectRun| (!run.marked, like_base(run), run.is_whole, run.run_id);
    let Some(first) = runs.iter().max_by_key(|run| rank(run)) else {
        return Vec::new();
    };
    let same = |run: &SubjectRun| {
        run.environment_id == first.environment_id
            && run.host_epoch == first.host_epoch
            && run.toolchain == first.toolchain
            && run.recipe_sha256 == first.recipe_sha256
            && run.marked == first.marked
    };
    let own = runs.iter().filter(|run| same(run));
    own.map(|run| (*run).clone()).collect()
}

/// Why a subject has no runs.
fn missing(place: &Place, subject: &Subject) -> String {
    let runtime = &subject.runtime;
    if place.runtime_id.is_none() {
        return format!("there is no runtime {runtime:?}");
    }
    let on_host = subject
        .host
        .as_deref()
        .map_or_else(String::new, |host| format!(" on host {host:?}"));
    match (subject.point.name(), place.commit_ids.len()) {
        (None, _) => format!("no commit of {runtime}'s branch was measured{on_host}"),
        (Some(name), 0) => {
            format!("{runtime}'s repository has no tag {name:?} and no commit that begins so")
        }
        (Some(name), 1) => format!("{name} of {runtime} was not measured{on_host}"),
        (Some(name), _) => format!("several commits begin with {name:?}: give more digits"),
    }
}

/// Resolves all or fails with the first that has no runs, saying what there is instead.
pub(super) async fn resolve_all(pool: &PgPool, asked: &[Subject]) -> Result<Vec<Resolved>, Error> {
    let mut resolved = Vec::new();
    for ((found, subject), letter) in resolve(pool, asked)
        .await?
        .into_iter()
        .zip(asked)
        .zip(LETTERS)
    {
        match found {
            Ok(one) => resolved.push(one),
            Err(why) => {
                let instead = instead(pool, subject).await?;
                return Err(Error::NotFound(format!("{letter}: {why}. {instead}")));
            }
        }
    }
    Ok(resolved)
}

/// What can be named in a subject's place.
async fn instead(pool: &PgPool, subject: &Subject) -> Result<String, Error> {
    const MOST: usize = 20;
    let measurable = subjects::list_measurable(pool).await?;
    let Some(own) = measurable.iter().find(|one| one.name == subject.runtime) else {
        let names: Vec<&str> = measurable
            .iter()
            .map(|one| one.name.as_str())
            .take(MOST)
            .collect();
        return Ok(match names.as_slice() {
            [] => "Nothing was measured yet.".to_owned(),
            names => format!("Measured runtimes: {}.", names.join(", ")),
        });
    };
    let tags = subjects::list_measured_tags(pool).await?;
    let tags: Vec<&str> = tags
        .iter()
        .filter(|(runtime, _)| *runtime == own.name)
        .map(|(_, tag)| tag.as_str())
        .take(MOST)
        .collect();
    let mut points = vec!["head"];
    points.extend(tags);
    Ok(format!(
        "{} was measured at {}, on {}.",
        own.name,
        points.join(", "),
        own.hosts.join(", ")
    ))
}

/// A comparison with all that pages and exports say of it.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    /// The base first.
    pub(super) subjects: Vec<Resolved>,
    /// What else differs between them.
    pub(super) marks: Vec<Mark>,
    /// Metrics that all have, each from a source that all have.
    pub(super) kinds: Vec<(Metric, CounterSource)>,
    /// The rows.
    pub(super) comparison: Comparison,
}

impl Loaded {
    /// The columns after the base.
    pub(super) fn columns(&self) -> Vec<usize> {
        (0..self.subjects.len().saturating_sub(1)).collect()
    }
}

/// Everything that a choice asks for.
pub(super) async fn load_all(pool: &PgPool, choice: &Choice) -> Result<Loaded, Error> {
    let subjects = resolve_all(pool, &choice.subjects).await?;
    let kinds = shared_kinds(pool, &subjects).await?;
    let metric = choice.metric.unwrap_or_else(|| default_metric(&kinds));
    let comparison = load(pool, &subjects, metric, choice.source).await?;
    Ok(Loaded {
        marks: marks(&subjects, &LETTERS),
        subjects,
        kinds,
        comparison,
    })
}

/// What the benchmarks are there for, as far as all subjects have it.
pub(super) fn default_metric(kinds: &[(Metric, CounterSource)]) -> Metric {
    let has = |metric: &Metric| kinds.iter().any(|(one, _)| one == metric);
    let main = Metric::MAIN.into_iter().find(has);
    let first = kinds.first().map(|(metric, _)| *metric);
    main.or(first).unwrap_or(Metric::WallTime)
}

/// The runs of the subjects, for queries.
pub(super) fn runs_of(subjects: &[Resolved]) -> Runs {
    let mut runs = Runs::default();
    for (index, subject) in subjects.iter().enumerate() {
        for run in &subject.runs {
            runs.push(index, run);
        }
    }
    runs
}

/// Reads one metric of all benchmarks and compares.
pub(super) async fn load(
    pool: &PgPool,
    subjects: &[Resolved],
    metric: Metric,
    source: Option<CounterSource>,
) -> Result<Comparison, Error> {
    let runs = runs_of(subjects);
    let values = comparisons::list_values(pool, &runs, metric.as_str()).await?;
    let missing = comparisons::list_missing(pool, &runs, Some(metric.as_str()), None).await?;
    let entries = values.iter().filter_map(entry);
    let missing = missing.iter().flat_map(|one| unavailable(subjects, one));
    let entries: Vec<Entry> = entries.chain(missing).collect();
    Ok(compare(metric, source, subjects.len(), &entries))
}

/// A value as an entry; `None` for a source that this version does not know.
pub(super) fn entry(value: &Value) -> Option<Entry> {
    Some(Entry {
        subject: usize::try_from(value.subject).ok()?,
        run_id: value.run_id,
        benchmark: value.benchmark.clone(),
        identity: value.identity.clone(),
        found: Found::Value(Measured {
            source: value.counter_source.parse().ok()?,
            estimate: Estimate {
                median: value.median,
                low: value.low,
                high: value.high,
            },
            samples: value.samples,
            noise: Repeatability {
                runs: value.run_deviation,
                rebuilds: value.build_deviation,
            },
        }),
    })
}

/// What is unavailable in a run as an entry for each subject that uses the run.
pub(super) fn unavailable<'a>(
    subjects: &'a [Resolved],
    missing: &'a Missing,
) -> impl Iterator<Item = Entry> + 'a {
    let uses = |subject: &Resolved| subject.runs.iter().any(|run| run.run_id == missing.run_id);
    let each = subjects.iter().enumerate();
    each.filter(move |(_, subject)| uses(subject))
        .map(|(subject, _)| Entry {
            subject,
            run_id: missing.run_id,
            benchmark: missing.benchmark.clone(),
            identity: missing.identity.clone(),
            found: Found::Unavailable(missing.reason.clone()),
        })
}

/// The metrics that every subject has, each with the sources that every subject has it from, in the order pages list them.
pub(super) async fn shared_kinds(
    pool: &PgPool,
    subjects: &[Resolved],
) -> Result<Vec<(Metric, CounterSource)>, Error> {
    let kinds = comparisons::list_kinds(pool, &runs_of(subjects)).await?;
    let has = |kind: &&Kind, metric: Metric, source: CounterSource| {
        kind.metric == metric.as_str() && kind.counter_source == source.as_str()
    };
    let pairs = Metric::ALL
        .iter()
        .flat_map(|metric| CounterSource::ALL.iter().map(|source| (*metric, *source)));
    Ok(pairs
        .filter(|(metric, source)| {
            let having = kinds.iter().filter(|kind| has(kind, *metric, *source));
            having.count() == subjects.len()
        })
        .collect())
}
