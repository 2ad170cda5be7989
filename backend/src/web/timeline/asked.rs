//! What a timeline is asked for: the address is the state of the page.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use speedwell_wire::Metric;

use crate::web::error::Error;
use crate::web::format;

/// Points of each line that are shown when nothing is said.
pub(in crate::web) const LAST: usize = 500;
/// The most points of a line.
pub(in crate::web) const MOST_POINTS: usize = 100_000;
/// Names of one kind that are looked up at most; more cannot be drawn anyway.
const MOST_NAMES: usize = 200;

/// An end of the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum End {
    /// A branch position.
    Position(i32),
    /// A moment, in seconds since 1970.
    Time(i64),
}

impl End {
    /// As it stands in addresses and fields.
    pub(in crate::web) fn text(self) -> String {
        match self {
            Self::Position(position) => position.to_string(),
            Self::Time(seconds) => DateTime::<Utc>::from_timestamp(seconds, 0)
                .map(|at| at.format("%Y-%m-%dT%H:%M").to_string())
                .unwrap_or_default(),
        }
    }
}

/// All that a timeline is asked for. Empty lists mean: what fits.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::web) struct Asked {
    /// Names of benchmarks.
    pub(in crate::web) benchmarks: Vec<String>,
    /// Metrics.
    pub(in crate::web) metrics: Vec<Metric>,
    /// Names of runtimes.
    pub(in crate::web) runtimes: Vec<String>,
    /// Names of hosts.
    pub(in crate::web) hosts: Vec<String>,
    /// Beginning of a benchmark's identity; empty: the newest version.
    pub(in crate::web) version: String,
    /// Beginning of the range.
    pub(in crate::web) from: Option<End>,
    /// End of the range, included.
    pub(in crate::web) to: Option<End>,
    /// The newest so many points of each line.
    pub(in crate::web) last: Option<usize>,
    /// By date instead of by branch position.
    pub(in crate::web) by_date: bool,
    /// Logarithmic y axis.
    pub(in crate::web) log: bool,
    /// Tag or commit that each line is divided by.
    pub(in crate::web) base: String,
    /// Pixels that the drawing is wide; 0: the page's own.
    pub(in crate::web) width: usize,
}

fn bad(field: &str, message: String) -> Error {
    Error::BadRequest {
        field: field.to_owned(),
        message: format!("{field}: {message}"),
    }
}

impl Asked {
    /// From the query's pairs.
    ///
    /// # Errors
    /// Names the parameter that cannot be read, and what it takes.
    pub(in crate::web) fn parse(pairs: Vec<(String, String)>) -> Result<Self, Error> {
        let mut asked = Self::default();
        for (name, value) in pairs {
            let value = value.trim().to_owned();
            if value.is_empty() {
                continue;
            }
            match name.as_str() {
                "benchmark" => push(&mut asked.benchmarks, value),
                "runtime" => push(&mut asked.runtimes, value),
                "host" => push(&mut asked.hosts, value),
                "metric" => {
                    let metric = metric(&value)?;
                    if !asked.metrics.contains(&metric) {
                        asked.metrics.push(metric);
                    }
                }
                "version" => asked.version = value,
                "base" => asked.base = value,
                "from" => asked.from = Some(end("from", &value, false)?),
                "to" => asked.to = Some(end("to", &value, true)?),
                "last" => asked.last = Some(number("last", &value, 2, MOST_POINTS)?),
                "width" => asked.width = number("width", &value, 50, 8000)?,
                "x" => asked.by_date = one_of("x", &value, ["position", "date"])?,
                "scale" => asked.log = one_of("scale", &value, ["linear", "log"])?,
                _ => {}
            }
        }
        Ok(asked)
    }

    /// The series of one benchmark; what is empty is left open, and so is a metric that is not known.
    pub(in crate::web) fn of(benchmark: &str, runtime: &str, host: &str, metric: &str) -> Self {
        let names = |name: &str| -> Vec<String> {
            let name = Some(name).filter(|name| !name.is_empty());
            name.map(str::to_owned).into_iter().collect()
        };
        Self {
            benchmarks: names(benchmark),
            runtimes: names(runtime),
            hosts: names(host),
            metrics: metric.parse().into_iter().collect(),
            ..Self::default()
        }
    }

    /// The query of this choice; without a leading `?`.
    pub(in crate::web) fn query(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut add = |name: &str, value: &str| {
            if !value.is_empty() {
                parts.push(format!("{name}={}", format::encode(value)));
            }
        };
        for (name, values) in [
            ("benchmark", &self.benchmarks),
            ("runtime", &self.runtimes),
            ("host", &self.hosts),
        ] {
            values.iter().for_each(|value| add(name, value));
        }
        for metric in &self.metrics {
            add("metric", metric.as_str());
        }
        add("version", &self.version);
        for (name, end) in [("from", self.from), ("to", self.to)] {
            add(name, &end.map(End::text).unwrap_or_default());
        }
        add(
            "last",
            &self.last.map(|last| last.to_string()).unwrap_or_default(),
        );
        add("x", if self.by_date { "date" } else { "" });
        add("scale", if self.log { "log" } else { "" });
        add("base", &self.base);
        parts.join("&")
    }

    /// The page's address.
    pub(in crate::web) fn address(&self) -> String {
        format!("/timeline?{}", self.query())
    }
}

fn push(names: &mut Vec<String>, name: String) {
    if names.len() < MOST_NAMES && !names.contains(&name) {
        names.push(name);
    }
}

fn metric(value: &str) -> Result<Metric, Error> {
    value.parse().map_err(|_unknown| {
        let known: Vec<&str> = Metric::ALL.iter().map(|one| one.as_str()).collect();
        let message = format!("{value:?} is no metric; there are {}", known.join(", "));
        bad("metric", message)
    })
}

fn number(field: &str, value: &str, least: usize, most: usize) -> Result<usize, Error> {
    let number: usize = value
        .parse()
        .map_err(|_not_one| bad(field, format!("{value:?} is no number")))?;
    Ok(number.clamp(least, most))
}

/// Whether it is the second.
fn one_of(field: &str, value: &str, [first, second]: [&str; 2]) -> Result<bool, Error> {
    match value {
        _ if value == first => Ok(false),
        _ if value == second => Ok(true),
        _ => Err(bad(
            field,
            format!("{value:?} is neither {first} nor {second}"),
        )),
    }
}

/// A position, a day or a moment. The end of a range given as a day is that day's end.
fn end(field: &str, value: &str, is_last: bool) -> Result<End, Error> {
    if let Ok(position) = value.parse::<i32>() {
        return Ok(End::Position(position));
    }
    if let Ok(day) = value.parse::<NaiveDate>() {
        let begins = day.and_hms_opt(0, 0, 0).unwrap_or_default().and_utc();
        let seconds = if is_last { 86_399 } else { 0 };
        return Ok(End::Time(begins.timestamp() + seconds));
    }
    let moment = NaiveDateTime::parse_from_str(value, "%Y-%m-%dT%H:%M");
    moment
        .map(|at| End::Time(at.and_utc().timestamp() + if is_last { 59 } else { 0 }))
        .map_err(|_neither| {
            let message =
                format!("{value:?} is neither a branch position nor a day such as 2015-05-31");
            bad(field, message)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &[(&str, &str)]) -> Result<Asked, Error> {
        let pairs = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Asked::parse(pairs.collect())
    }

    #[test]
    fn an_address_gives_back_what_was_asked_for() {
        let asked = parse(&[
            ("benchmark", "a b&c"),
            ("benchmark", "d"),
            ("metric", "wall_time"),
            ("metric", "instructions"),
            ("runtime", "cpython-main"),
            ("host", "lab-1"),
            ("from", "2015-05-01"),
            ("to", "2015-06-01T10:30"),
            ("x", "date"),
            ("scale", "log"),
            ("base", "v2.7.10"),
            ("last", "2000"),
            ("host", ""),
            ("other", "x"),
        ])
        .unwrap();
        let query = asked.query();
        assert!(
            query.starts_with("benchmark=a%20b%26c&benchmark=d&runtime=cpython-main"),
            "{query}"
        );
        let pairs: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| {
                let value = value
                    .replace("%20", " ")
                    .replace("%26", "&")
                    .replace("%3A", ":");
                (name.to_owned(), value)
            })
            .collect();
        assert_eq!(Asked::parse(pairs).unwrap(), asked);
        assert_eq!(parse(&[]).unwrap().address(), "/timeline?");
        assert_eq!(
            Asked::of("a&b", "", "lab 1", "wall_time").address(),
            "/timeline?benchmark=a%26b&host=lab%201&metric=wall_time"
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (name, value, words) in [
            ("metric", "speed", "wall_time"),
            ("from", "yesterday", "2015-05-31"),
            ("to", "99999999999", "branch position"),
            ("last", "many", "is no number"),
            ("x", "z", "neither position nor date"),
            ("scale", "z", "neither linear nor log"),
        ] {
            let error = parse(&[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains(words), "{error}");
        }
        assert_eq!(parse(&[("last", "1")]).unwrap().last, Some(2));
        assert_eq!(
            parse(&[("to", "1970-01-01")]).unwrap().to,
            Some(End::Time(86_399))
        );
    }
}
