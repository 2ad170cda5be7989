//! The search page.

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use askama::Template;

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::domain::query::LONGEST;
use crate::web::format;
use crate::web::search::{self, Asked, Hit};

#[derive(Template)]
#[template(path = "search.html")]
struct Page {
    shell: Shell,
    query: String,
    longest: usize,
    /// False: nothing was asked for.
    asked: bool,
    exact: Vec<Row>,
    groups: Vec<Group>,
    /// Back to hits of all kinds; only where one kind is shown.
    all: Option<String>,
}

struct Group {
    heading: &'static str,
    /// The address of its fragment.
    kind: &'static str,
    rows: Vec<Row>,
    count: String,
    more: Option<String>,
}

struct Row {
    hit: Hit,
    day: String,
}

impl Row {
    fn new(hit: Hit) -> Self {
        Self {
            day: hit.at.map(format::day).unwrap_or_default(),
            hit,
        }
    }
}

pub(super) async fn search(
    context: Data<Context>,
    Query(asked): Query<Asked>,
) -> Result<HttpResponse, PageError> {
    let found = search::search(&context, &asked).await?;
    let is_asked = found.is_some();
    let (query, exact, groups) = match found {
        Some(found) => (found.query, found.exact, found.groups),
        None => Default::default(),
    };
    let encoded = format::encode(&query);
    let from = asked.from.unwrap_or(0);
    let group = |one: search::Group| Group {
        heading: one.heading,
        kind: one.kind,
        count: match (one.next, from) {
            (Some(_), 0) => format!("the first {}", one.hits.len()),
            (None, 0) => one.hits.len().to_string(),
            _ => format!("{} to {}", from + 1, from + one.hits.len() as i64),
        },
        // Whoever asks for more of a kind sees all of it from the start.
        more: one.next.map(|next| {
            let next = if asked.kind.is_some() { next } else { 0 };
            format!("/search?q={encoded}&kind={}&from={next}", one.kind)
        }),
        rows: one.hits.into_iter().map(Row::new).collect(),
    };
    let title = if is_asked {
        format!("Search: {query}")
    } else {
        "Search".to_owned()
    };
    let all = asked.kind.as_ref().filter(|_| is_asked);
    render(&Page {
        shell: Shell::new(title, "search"),
        longest: LONGEST,
        asked: is_asked,
        exact: exact.into_iter().map(Row::new).collect(),
        groups: groups.into_iter().map(group).collect(),
        all: all.map(|_| format!("/search?q={encoded}")),
        query,
    })
}
