//! The pages. A handler parses, calls, renders; templates only place what they are given.

mod alarms;
mod annotations;
mod api;
mod audit;
mod badge;
mod benchmark;
mod bisection;
mod commit;
mod compare;
mod counters;
mod deliveries;
mod error;
mod feed;
mod generations;
mod grid;
mod home;
mod host;
mod job;
mod line_chart;
mod matrix;
mod outbox;
mod profile;
mod queue;
mod recompute;
mod regression;
mod regressions;
mod releases;
mod report;
mod reproduce;
mod run;
mod runtime;
mod search;
mod sign_in;
mod steps;
mod subscriptions;
mod suite;
mod timeline;
mod tokens;
mod topdown;
mod tries;
mod unsubscribe;
mod widgets;

use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{self, FormConfig, ServiceConfig, get, post};
use askama::Template;

pub use error::{PageError, not_found};
pub(in crate::web) use regressions::parse_filter;

use super::assets::Asset;
use super::error::Error;
use crate::domain::try_run::LONGEST_PATCH;

/// What every page knows.
#[derive(Debug, Clone)]
struct Shell {
    /// Title of the window.
    title: String,
    /// The marked entry of the menu: the last part of its address, `home` for the first.
    menu: &'static str,
    /// Seconds until the page loads itself anew; pages of things under way do.
    refresh: Option<u32>,
    /// Address of the style sheet.
    style: &'static str,
    /// Addresses of the scripts, in order.
    scripts: Vec<&'static str>,
    /// Whether the data are made up, for load tests; every page says so.
    synthetic: bool,
}

/// Set once, when serving begins over a database that was filled for load tests.
static SYNTHETIC: AtomicBool = AtomicBool::new(false);

/// From now on every page says that its data are made up.
pub(super) fn mark_synthetic() {
    SYNTHETIC.store(true, Ordering::Relaxed);
}

impl Shell {
    fn new(title: impl Into<String>, menu: &'static str) -> Self {
        Self {
            title: title.into(),
            menu,
            refresh: None,
            style: Asset::Style.address(),
            scripts: vec![Asset::Page.address()],
            synthetic: SYNTHETIC.load(Ordering::Relaxed),
        }
    }

    /// With a script of its own.
    fn with_script(mut self, script: Asset) -> Self {
        self.scripts.push(script.address());
        self
    }

    fn refreshing(self, seconds: u32) -> Self {
        Self {
            refresh: Some(seconds),
            ..self
        }
    }
}

/// The routes of the pages.
pub fn configure(config: &mut ServiceConfig) {
    configure_runs(config);
    config
        .route("/", get().to(home::home))
        .route("/runtimes/{name}", get().to(runtime::runtime))
        .configure(comparisons)
        .configure(try_runs)
        .route("/matrix", get().to(matrix::matrix))
        .route("/timeline", get().to(timeline::timeline))
        .route("/grid", get().to(grid::grid))
        .route("/timeline.csv", get().to(timeline::csv))
        .route("/timeline.png", get().to(timeline::timeline_png))
        .route("/badges/compare.svg", get().to(badge::compare))
        .route("/badges/{name}.svg", get().to(badge::runtime))
        .route("/timeline/queue", post().to(timeline::queue))
        .route("/benchmarks", get().to(benchmark::list))
        .route("/benchmarks/{name}", get().to(benchmark::benchmark))
        .route("/search", get().to(search::search))
        .route("/suites", get().to(suite::suites))
        .route("/suites/{name}", get().to(suite::suite))
        .route("/steps", get().to(steps::steps))
        .route("/steps/{name}", get().to(steps::history))
        .route("/commits/{hash}", get().to(commit::commit))
        .route("/api", get().to(api::api))
        .route("/hosts", get().to(host::list))
        .route("/hosts/{name}", get().to(host::host))
        .route("/queue", get().to(queue::queue))
        .route("/jobs/{id}", get().to(job::job))
        .route("/recompute", get().to(recompute::list))
        .route("/recompute", post().to(recompute::ask))
        .route("/recompute/{id}", get().to(recompute::one))
        .route("/bisections", get().to(bisection::list))
        .route("/bisections", post().to(bisection::ask))
        .route("/bisections/{id}", get().to(bisection::one))
        .route("/bisections/{id}/cancel", post().to(bisection::cancel))
        .route("/regressions", get().to(regressions::regressions))
        .route("/regressions", post().to(regressions::decide_many))
        .route("/regressions/{id}", get().to(regression::regression))
        .route("/regressions/{id}", post().to(regression::decide_one))
        .route(
            "/commits/{hash}/annotations",
            post().to(annotations::on_commit),
        )
        .route("/hosts/{name}/annotations", post().to(annotations::on_host))
        .route("/annotations/{id}/remove", post().to(annotations::remove))
        .configure(people)
        .route("/subscriptions", get().to(subscriptions::list))
        .route("/subscriptions", post().to(subscriptions::add))
        .route(
            "/subscriptions/{id}/remove",
            post().to(subscriptions::remove),
        )
        .route("/unsubscribe/{token}", get().to(unsubscribe::ask))
        .route("/unsubscribe/{token}", post().to(unsubscribe::end))
        .route("/alarms", get().to(alarms::alarms))
        .route("/outbox", get().to(outbox::outbox))
        .route("/outbox/{id}/send-again", post().to(outbox::send_again))
        .route("/deliveries", get().to(deliveries::list))
        .route("/deliveries/{id}", get().to(deliveries::one))
        .route("/deliveries/{id}/replay", post().to(deliveries::replay))
        .route("/reports", get().to(report::list))
        .route("/reports/{runtime}/{date}", get().to(report::report))
        .route("/feeds/runtimes/{name}.atom", get().to(feed::runtime))
        .route("/feeds/benchmarks/{name}.atom", get().to(feed::benchmark))
        .route("/feeds/reports/{name}.atom", get().to(feed::reports));
}

fn try_runs(config: &mut ServiceConfig) {
    // A patch in a form grows: each line end is six characters there.
    let forms = FormConfig::default().limit(4 * LONGEST_PATCH);
    config
        .service(
            web::resource("/tries")
                .app_data(forms)
                .route(get().to(tries::list))
                .route(post().to(tries::open)),
        )
        .route("/tries/new", get().to(tries::new))
        .route("/tries/{id}", get().to(tries::one))
        .route("/tries/{id}/approve", post().to(tries::approve))
        .route("/tries/{id}/cancel", post().to(tries::cancel));
}

/// The routes of signing in, tokens and the audit log.
fn people(config: &mut ServiceConfig) {
    config
        .route("/sign-in", get().to(sign_in::form))
        .route("/sign-in", post().to(sign_in::sign_in))
        .route("/sign-in/{name}", get().to(sign_in::forge::go))
        .route("/sign-in/{name}/back", get().to(sign_in::forge::back))
        .route("/sign-out", post().to(sign_in::sign_out))
        .route("/tokens", get().to(tokens::list))
        .route("/tokens", post().to(tokens::add))
        .route("/tokens/{name}/revoke", post().to(tokens::revoke))
        .route("/sessions/{id}/end", post().to(tokens::end_session))
        .route("/audit", get().to(audit::audit));
}

fn comparisons(config: &mut ServiceConfig) {
    config
        .route("/compare", get().to(compare::compare))
        .route("/compare.md", get().to(compare::markdown))
        .route("/compare.csv", get().to(compare::csv))
        .route("/compare.json", get().to(compare::json))
        .route("/compare/{benchmark}", get().to(compare::benchmark));
}

/// The routes of a run's pages.
fn configure_runs(config: &mut ServiceConfig) {
    config
        .route("/runs/{id}", get().to(run::run))
        .route("/runs/{id}/counters", get().to(counters::counters))
        .route(
            "/runs/{id}/profiles/{benchmark}",
            get().to(profile::profile),
        )
        .route(
            "/runs/{id}/profiles/{benchmark}/flame.svg",
            get().to(profile::flame),
        )
        .route("/releases", get().to(releases::releases))
        .route("/generations", get().to(generations::generations))
        .route("/topdown", get().to(topdown::topdown))
        .configure(reproduce::configure);
}

/// A rendered page.
fn render(template: &impl Template) -> Result<HttpResponse, PageError> {
    let text = template
        .render()
        .map_err(anyhow::Error::from)
        .map_err(Error::from)?;
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(text))
}
