//! The timeline's first panel as a PNG, for READMEs and mails, which show no page of ours.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{self, Bytes, Data, Query};

use super::heading;
use super::picture::{about, ticks};
use crate::chart::{Chart, Line as Drawn, PALETTE, Point, png_with_legend};
use crate::context::Context;
use crate::domain::trace::TracePoint;
use crate::web::error::Error;
use crate::web::format;
use crate::web::pages::PageError;
use crate::web::timeline::asked::Asked;
use crate::web::timeline::read::{Axis, Line, Timeline, read};

/// Pixels of the chart when none are asked for; the picture has twice as many.
const WIDTH: usize = 800;
/// Widest chart.
const WIDEST: usize = 1600;
/// Pictures that are kept.
const KEPT: usize = 64;
/// For how long.
const FRESH: Duration = Duration::from_secs(120);

/// Pictures that were drawn lately, the newest last: a README that many read at once is drawn once.
static LATELY: Mutex<VecDeque<(String, Instant, Bytes)>> = Mutex::new(VecDeque::new());

fn kept(query: &str) -> Option<Bytes> {
    let lately = LATELY.lock().ok()?;
    let found = lately
        .iter()
        .find(|(key, at, _)| key == query && at.elapsed() < FRESH);
    found.map(|(_, _, bytes)| bytes.clone())
}

fn keep(query: String, bytes: Bytes) {
    if let Ok(mut lately) = LATELY.lock() {
        lately.retain(|(key, at, _)| *key != query && at.elapsed() < FRESH);
        if lately.len() >= KEPT {
            lately.pop_front();
        }
        lately.push_back((query, Instant::now(), bytes));
    }
}

/// `GET /timeline.png`, of the same address as the page.
pub(in crate::web::pages) async fn timeline_png(
    context: Data<Context>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let asked = Asked::parse(pairs)?;
    // Another database is another service: tests run many in one process.
    let key = format!(
        "{}?{}&width={}",
        context.config.data.display(),
        asked.query(),
        asked.width
    );
    if let Some(bytes) = kept(&key) {
        return Ok(answer(bytes));
    }
    let read = read(&context, &asked).await?;
    let chart = chart(&read, &asked).ok_or_else(|| {
        Error::NotFound("Nothing was measured for this choice, so there is no picture.".to_owned())
    })?;
    let (heading, legend) = (heading(&read), legend(&read));
    let drawn = web::block(move || png_with_legend(&chart, &heading, &legend))
        .await
        .map_err(anyhow::Error::from)
        .map_err(Error::from)?;
    let bytes =
        drawn.ok_or_else(|| Error::Internal(anyhow::anyhow!("a timeline is no picture")))?;
    let bytes = Bytes::from(bytes);
    keep(key, bytes.clone());
    Ok(answer(bytes))
}

fn answer(bytes: Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("image/png")
        .insert_header((header::CONTENT_ENCODING, "identity"))
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .body(bytes)
}

/// The first panel's lines; `None` without any.
fn chart(read: &Timeline, asked: &Asked) -> Option<Chart> {
    let panels = read.panels();
    let lines = panels.first()?;
    let metric = lines.first()?.series.metric.as_str();
    let width = if asked.width == 0 {
        WIDTH
    } else {
        asked.width.min(WIDEST)
    };
    let width = u32::try_from(width).unwrap_or(800);
    let columns = usize::try_from(width / 2).unwrap_or(400);
    let format = if asked.base.is_empty() {
        format::axis(metric)
    } else {
        |value| format!("{value:.3}")
    };
    let drawn = lines.iter().map(|line| Drawn {
        colour: line.colour % PALETTE,
        stretches: stretches(line, &read.axis, columns),
        connected: true,
    });
    Some(Chart {
        label: about(lines, asked),
        width,
        height: (width * 2 / 5).clamp(200, 500),
        lines: drawn.collect(),
        ticks: ticks(read),
        format,
        spark: false,
    })
}

fn stretches(line: &Line, axis: &Axis, columns: usize) -> Vec<Vec<Point>> {
    let thin = if line.points.len() > columns {
        columns
    } else {
        0
    };
    let point = |point: &&TracePoint| {
        let [value, low, high] = line.values(point);
        Point {
            x: axis.place(point),
            value,
            low,
            high,
            ..Point::default()
        }
    };
    let stretches = line.stretches(axis, thin);
    stretches
        .iter()
        .map(|one| one.iter().map(point).collect())
        .collect()
}

/// The first panel's lines by name, where there are several.
fn legend(read: &Timeline) -> Vec<(usize, String)> {
    let panels = read.panels();
    let lines = panels.first().filter(|lines| lines.len() > 1);
    let named = lines.into_iter().flatten();
    named
        .map(|line| (line.colour % PALETTE, line.label.clone()))
        .collect()
}
