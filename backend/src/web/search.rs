//! What the search page and `/api/v1/search` answer.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::context::Context;
use crate::db::finds::{self, FoundCommit, FoundName, FoundRegression, Part};
use crate::domain::query::{Kind, Query};
use crate::web::error::Error;
use crate::web::format;

/// Hits of each kind, side by side with others.
const FEW: i64 = 20;
/// Hits of one kind alone.
const MANY: i64 = 100;
/// The last place that can be asked for: whoever is there needs better words.
const FARTHEST: i64 = 10_000;

/// What was asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
pub(super) struct Asked {
    /// Words: of a commit's subject or author, the beginning of its hash, a regression's number, a name.
    #[serde(default)]
    pub(super) q: String,
    /// Only this kind: `commits`, `regressions`, `benchmarks`, `runtimes`, `hosts`, `suites` or `releases`.
    pub(super) kind: Option<String>,
    /// Hits of that kind to leave out at the beginning.
    pub(super) from: Option<i64>,
}

/// One hit.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Hit {
    /// What it is called.
    pub(super) name: String,
    /// Its page.
    pub(super) link: String,
    /// What it is, in a few words.
    pub(super) detail: String,
    /// Who wrote a commit; empty for all else.
    pub(super) author: String,
    /// When it was committed or first seen.
    pub(super) at: Option<DateTime<Utc>>,
    /// Whether it is what the words name exactly.
    pub(super) exact: bool,
}

/// The hits of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Group {
    /// `commits`, `regressions` …
    pub(super) kind: &'static str,
    /// Its heading.
    #[serde(skip)]
    pub(super) heading: &'static str,
    /// Hits, the best first.
    pub(super) hits: Vec<Hit>,
    /// Give this as `from`, with the kind, to get the next ones; absent at the end.
    pub(super) next: Option<i64>,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Found {
    /// The words, without control characters.
    pub(super) query: String,
    /// What they name exactly.
    pub(super) exact: Vec<Hit>,
    /// All hits by kind; kinds without any are left out.
    pub(super) groups: Vec<Group>,
}

/// Looks for what was asked; nothing when nothing was.
pub(super) async fn search(context: &Context, asked: &Asked) -> Result<Option<Found>, Error> {
    let complain = |field: &str, message: String| Error::BadRequest {
        field: field.to_owned(),
        message,
    };
    let only = match asked.kind.as_deref() {
        None | Some("") => None,
        Some(kind) => Some(kind.parse::<Kind>().map_err(|why| complain("kind", why))?),
    };
    let from = asked.from.unwrap_or(0);
    if !(0..=FARTHEST).contains(&from) {
        let message = format!("from: {from} is not between 0 and {FARTHEST}");
        return Err(complain("from", message));
    }
    let Some(query) = Query::parse(&asked.q).map_err(|why| complain("q", why))? else {
        return Ok(None);
    };
    let shown = if only.is_some() { MANY } else { FEW };
    let part = Part {
        from: if only.is_some() { from } else { 0 },
        // One more than is shown: then there are more.
        limit: shown + 1,
    };
    let wanted = |kind: Kind| only.is_none_or(|only| only == kind);
    let mut found: Vec<(Kind, Hit)> = Vec::new();
    if wanted(Kind::Commits) {
        let (hash, words) = (query.hash.as_deref(), query.tsquery());
        let commits = finds::list_commits(&context.pool, hash, words.as_deref(), part).await?;
        found.extend(
            commits
                .iter()
                .map(|one| (Kind::Commits, commit(one, &query))),
        );
    }
    if wanted(Kind::Regressions) {
        let (number, terms) = (query.number, &query.terms);
        let all = finds::list_regressions(&context.pool, number, terms, part).await?;
        found.extend(
            all.iter()
                .map(|one| (Kind::Regressions, regression(one, &query))),
        );
    }
    if only.is_none_or(|only| !matches!(only, Kind::Commits | Kind::Regressions)) {
        let names = finds::list_names(&context.pool, &query.text, &query.terms, part).await?;
        found.extend(names.iter().filter_map(|one| name(one, &query)));
    }
    Ok(Some(group(query, &found, wanted, part.from, shown)))
}

fn group(
    query: Query,
    found: &[(Kind, Hit)],
    wanted: impl Fn(Kind) -> bool,
    from: i64,
    shown: i64,
) -> Found {
    let exact = found
        .iter()
        .filter(|(kind, hit)| hit.exact && wanted(*kind));
    let exact = exact.map(|(_, hit)| hit.clone()).collect();
    let groups = Kind::ALL.into_iter().filter(|kind| wanted(*kind));
    let groups = groups.filter_map(|kind| {
        let mut hits: Vec<Hit> = found
            .iter()
            .filter(|(of, _)| *of == kind)
            .map(|(_, hit)| hit.clone())
            .collect();
        let more = hits.len() as i64 > shown;
        hits.truncate(usize::try_from(shown).unwrap_or(0));
        (!hits.is_empty()).then_some(Group {
            kind: kind.as_str(),
            heading: kind.heading(),
            hits,
            next: more
                .then_some(from + shown)
                .filter(|next| *next <= FARTHEST),
        })
    });
    Found {
        exact,
        groups: groups.collect(),
        query: query.text,
    }
}

fn commit(one: &FoundCommit, query: &Query) -> Hit {
    let measured = if one.measured { ", measured" } else { "" };
    Hit {
        name: format!("{} {}", format::short(&one.hash), one.subject),
        link: format!("/commits/{}", one.hash),
        detail: format!("{}{measured}", one.repository),
        author: one.author_name.clone(),
        at: Some(one.committed_at),
        // Seven digits are what people copy; a whole hash is sure.
        exact: one.by_hash && query.hash.as_ref().is_some_and(|hash| hash.len() >= 7),
    }
}

fn regression(one: &FoundRegression, query: &Query) -> Hit {
    let kind = if one.better {
        "Improvement"
    } else {
        "Regression"
    };
    let named = match one.benchmarks.split_first() {
        Some((first, [])) => format!(" of {first}"),
        Some((first, more)) => format!(" of {first} and {} more", more.len()),
        None => String::new(),
    };
    let subject = one.subject.as_ref().map(|subject| format!(": {subject}"));
    Hit {
        name: format!("#{} {kind}{named}", one.id),
        link: format!("/regressions/{}", one.id),
        detail: format!(
            "{} on {}{}",
            one.state,
            one.runtimes.join(", "),
            subject.unwrap_or_default()
        ),
        author: String::new(),
        at: Some(one.created_at),
        exact: query.number == Some(one.id),
    }
}

fn name(one: &FoundName, query: &Query) -> Option<(Kind, Hit)> {
    let kind: Kind = one.kind.parse().ok()?;
    let link = match kind {
        Kind::Releases => format!("/commits/{}", one.hash),
        Kind::Commits | Kind::Regressions => return None,
        Kind::Benchmarks | Kind::Runtimes | Kind::Hosts | Kind::Suites => {
            format!("/{}/{}", kind.as_str(), format::encode(&one.name))
        }
    };
    let hit = Hit {
        exact: query.is(&one.name),
        name: one.name.clone(),
        link,
        detail: one.detail.clone(),
        author: String::new(),
        at: None,
    };
    Some((kind, hit))
}
