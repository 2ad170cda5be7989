//! Badges for READMEs: a runtime against the release before it, or any two subjects of a comparison. Honest ones: within the noise is
//! said to be so, and what is old is grey and says how old.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Path, Query};
use chrono::{DateTime, Duration, Utc};

use super::PageError;
use crate::chart::badge::{Tone, badge};
use crate::context::Context;
use crate::db::overview::{self, RuntimeOverview};
use crate::domain::compare::Ratio;
use crate::domain::comparison::Verdict;
use crate::domain::index::ratio_of;
use crate::web::comparison::{self, LETTERS};
use crate::web::error::Error;
use crate::web::format;

/// Older results are no news.
const FRESH_DAYS: i64 = 14;

/// `GET /badges/RUNTIME.svg`.
pub(super) async fn runtime(
    context: Data<Context>,
    name: Path<String>,
) -> Result<HttpResponse, PageError> {
    let found = overview::list_runtimes(&context.pool, Some(&name)).await?;
    let one = found
        .first()
        .ok_or_else(|| Error::NotFound(format!("There is no runtime {:?}.", name.as_str())))?;
    let (message, tone) = of_runtime(one, Utc::now());
    Ok(picture(badge(&one.name, &message, tone)))
}

fn of_runtime(one: &RuntimeOverview, now: DateTime<Utc>) -> (String, Tone) {
    let Some(measured_at) = one.measured_at else {
        return ("not measured yet".to_owned(), Tone::Unknown);
    };
    let count = one.common.and_then(|count| usize::try_from(count).ok());
    let ratio = one.mean.zip(one.deviation).zip(count);
    let reference = one.reference_hash.as_deref().map(|hash| {
        one.reference_tag
            .clone()
            .unwrap_or_else(|| format::short(hash))
    });
    let (Some(((mean, deviation), count)), Some(reference)) = (ratio, reference) else {
        return ("nothing to compare with".to_owned(), Tone::Unknown);
    };
    let (words, tone) = in_words(&ratio_of(mean, deviation, count), &reference);
    aged(words, tone, measured_at, now)
}

/// A ratio of times in words with its uncertainty.
fn in_words(ratio: &Ratio, reference: &str) -> (String, Tone) {
    if !ratio.is_significant() {
        return (
            format!("as fast as {reference}, within the noise"),
            Tone::Same,
        );
    }
    // Of speeds, so that the number is above one either way.
    let (factor, low, high, words, tone) = if ratio.ratio < 1.0 {
        (
            1.0 / ratio.ratio,
            1.0 / ratio.high,
            1.0 / ratio.low,
            "faster",
            Tone::Better,
        )
    } else {
        (ratio.ratio, ratio.low, ratio.high, "slower", Tone::Worse)
    };
    (
        format!("{factor:.2}× {words} than {reference} ({low:.2}–{high:.2})"),
        tone,
    )
}

/// Old results are grey, and say so.
fn aged(words: String, tone: Tone, at: DateTime<Utc>, now: DateTime<Utc>) -> (String, Tone) {
    if now - at > Duration::days(FRESH_DAYS) {
        (format!("{words}, of {}", format::day(at)), Tone::Unknown)
    } else {
        (words, tone)
    }
}

/// `GET /badges/compare.svg?a=…&b=…`: the second against the first, as on the page of the same address.
pub(super) async fn compare(
    context: Data<Context>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let choice = comparison::parse(&pairs)?;
    let loaded = comparison::load_all(&context.pool, &choice).await?;
    let columns = loaded.columns();
    let name = |index: usize| {
        let subject = loaded.subjects.get(index);
        subject.map_or_else(|| LETTERS[0].to_owned(), comparison::Resolved::label)
    };
    let measured = loaded
        .subjects
        .iter()
        .filter_map(|one| one.newest())
        .map(|run| run.finished_at)
        .min();
    let mean = columns
        .first()
        .and_then(|column| loaded.comparison.mean(*column, &columns));
    let (message, tone) = match (mean, measured) {
        (Some(mean), Some(at)) if mean.verdict != Verdict::TooFew => {
            let (words, tone) = in_words(&mean.ratio, &name(0));
            aged(words, tone, at, Utc::now())
        }
        (Some(_), _) => ("too few values".to_owned(), Tone::Unknown),
        (None, _) => ("nothing to compare".to_owned(), Tone::Unknown),
    };
    Ok(picture(badge(&name(1), &message, tone)))
}

/// Proxies of forges keep pictures for as long as they are allowed.
fn picture(svg: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("image/svg+xml")
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .body(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_say_how_sure_they_are_and_how_old() {
        let ratio = |ratio, low, high| Ratio {
            ratio,
            low,
            high,
            count: 5,
        };
        let (words, tone) = in_words(&ratio(0.8, 0.78, 0.82), "v3.12");
        assert_eq!(
            (words.as_str(), tone),
            ("1.25× faster than v3.12 (1.22–1.28)", Tone::Better)
        );
        let (words, tone) = in_words(&ratio(1.1, 1.05, 1.15), "v3.12");
        assert_eq!(
            (words.as_str(), tone),
            ("1.10× slower than v3.12 (1.05–1.15)", Tone::Worse)
        );
        let (words, tone) = in_words(&ratio(1.01, 0.97, 1.05), "v3.12");
        assert_eq!(
            (words.as_str(), tone),
            ("as fast as v3.12, within the noise", Tone::Same)
        );
        let now = Utc::now();
        let (words, tone) = aged(words, tone, now - Duration::days(30), now);
        assert!(
            tone == Tone::Unknown && words.contains(", of 20"),
            "{words}"
        );
    }
}
