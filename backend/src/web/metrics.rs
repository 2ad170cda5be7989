//! `/metrics` in Prometheus' text format: what this process has counted, and the service as the database shows it now.
//!
//! The second part is the same whichever of several backends is asked: take it from one of them, or aggregate with `max`.

use std::fmt::Write as _;

use actix_web::HttpResponse;
use actix_web::web::Data;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::context::Context;
use crate::db::metrics::{self, Labelled};
use crate::db::{alarms, deliveries, overview};
use crate::domain::hook::DeliveryState;

/// Alarms that are shown.
const ALARMS: i64 = 1000;

/// All metrics. What the database cannot say is left out, so that what this process counts is still to be had.
pub(super) async fn metrics(
    context: Data<Context>,
    handle: Data<PrometheusHandle>,
) -> HttpResponse {
    let mut text = handle.render();
    match of_service(&context).await {
        Ok(more) => text.push_str(&more),
        Err(error) => tracing::error!("the service's metrics cannot be read: {error}"),
    }
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(text)
}

async fn of_service(context: &Context) -> sqlx::Result<String> {
    let pool = &context.pool;
    let mut text = Text::default();
    let version = vec![(env!("CARGO_PKG_VERSION").to_owned(), 1.0)];
    text.gauge("build_info", "Version of this backend.", "version", version);
    let jobs = overview::count_jobs(pool).await?;
    let jobs = jobs.into_iter().map(|(state, count)| (state, count as f64));
    text.gauge("jobs", "Jobs by state.", "state", jobs.collect());
    for (name, help, label, values) in [
        (
            "queue_oldest_seconds",
            "Age of the oldest job that may be claimed, by class of hosts.",
            "class",
            metrics::list_oldest(pool).await?,
        ),
        (
            "host_last_seen_timestamp_seconds",
            "When a host was last heard of.",
            "host",
            metrics::list_hosts_seen(pool).await?,
        ),
        (
            "runtime_last_result_timestamp_seconds",
            "When the newest run of a runtime ended.",
            "runtime",
            metrics::list_results(pool).await?,
        ),
        (
            "outbox_messages",
            "Messages by state.",
            "state",
            metrics::list_messages(pool).await?,
        ),
        (
            "store_bytes",
            "Objects of the store by kind.",
            "kind",
            metrics::list_stored(pool).await?,
        ),
    ] {
        text.gauge(name, help, label, values);
    }
    of_hooks(pool, &mut text).await?;
    let ticks = alarms::list_ticks(pool).await?;
    let ended = ticks
        .iter()
        .map(|one| (one.name.clone(), one.ended_at.timestamp() as f64));
    let what = "When a pass of a tick last ended, noted twice a minute.";
    text.gauge(
        "tick_last_pass_timestamp_seconds",
        what,
        "tick",
        ended.collect(),
    );
    let failures = ticks
        .into_iter()
        .map(|one| (one.name, f64::from(one.failures)));
    let what = "Failures of a tick since its last success.";
    text.gauge("tick_failures", what, "tick", failures.collect());
    let size = metrics::database_bytes(pool).await?;
    text.head("database_bytes", "Size of the database.");
    text.line("database_bytes", &[], size);
    text.head("alarm", "1 for each alarm that is raised.");
    for one in alarms::list_raised(pool, ALARMS).await? {
        text.line(
            "alarm",
            &[("kind", &one.kind), ("subject", &one.subject)],
            1.0,
        );
    }
    Ok(text.0)
}

/// Deliveries by state, and when the last of each repository came.
async fn of_hooks(pool: &sqlx::PgPool, text: &mut Text) -> sqlx::Result<()> {
    let counts = deliveries::count(pool).await?;
    let of_state = |state: &DeliveryState| {
        let found = counts.iter().find(|(name, _)| name == state.as_str());
        let count = found.map_or(0, |(_, count)| *count);
        (state.as_str().to_owned(), count as f64)
    };
    let states = DeliveryState::ALL.iter().map(of_state).collect();
    text.gauge(
        "deliveries",
        "Deliveries of hooks by state.",
        "state",
        states,
    );
    let last = deliveries::list_standing(pool).await?.into_iter();
    let last = last.filter_map(|one| Some((one.repository, one.last_at?.timestamp() as f64)));
    let what = "When the newest delivery of a repository came.";
    text.gauge("last_delivery_seconds", what, "repository", last.collect());
    Ok(())
}

/// Text in Prometheus' format; all names begin with `speedwell_`.
#[derive(Default)]
struct Text(String);

impl Text {
    fn gauge(&mut self, name: &str, help: &str, label: &str, values: Vec<Labelled>) {
        self.head(name, help);
        for (of, value) in values {
            self.line(name, &[(label, &of)], value);
        }
    }

    fn head(&mut self, name: &str, help: &str) {
        self.0.push_str(&format!(
            "# HELP speedwell_{name} {help}\n# TYPE speedwell_{name} gauge\n"
        ));
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        let written = writeln!(self.0, "speedwell_{name}{labels} {value}");
        // Writing into memory cannot fail.
        debug_assert!(written.is_ok());
    }
}

/// A label's value: nothing from outside ends it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn no_name_ends_a_label() {
        let mut text = Text::default();
        let name = "a\"} 1\nspeedwell_x 2\\".to_owned();
        text.gauge("alarm", "Words.", "subject", vec![(name, 1.5)]);
        assert_eq!(
            text.0,
            "# HELP speedwell_alarm Words.\n# TYPE speedwell_alarm gauge\n\
             speedwell_alarm{subject=\"a\\\"} 1\\nspeedwell_x 2\\\\\"} 1.5\n"
        );
    }
}
