//! Load: closed (as fast as the answers come) and open (at a rate of its own, latencies from the intended arrival, so
//! that a server that stalls cannot hide it: no coordinated omission).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::definition::{Load, Request};
use super::events::Window;
use super::request::Connection;

/// Longest latency that is told apart, in microseconds.
const LONGEST: u64 = 120_000_000;

/// One window of load.
pub struct Loading<'a> {
    /// `host:port`.
    pub origin: &'a str,
    /// What is asked, by weight.
    pub mix: &'a [Request],
    /// How requests arrive.
    pub load: Load,
    /// For how long.
    pub seconds: f64,
    /// At most so many requests.
    pub requests: Option<u64>,
    /// `{index}` and `{exclusive}` are below this.
    pub objects: u64,
    /// Values of the other placeholders.
    pub values: &'a BTreeMap<String, String>,
    /// Bytes that bodies are cut from.
    pub payload: &'a Bytes,
    /// Seed of arrivals and objects.
    pub seed: u64,
}

/// What all connections of a window share.
struct Shared {
    random: SmallRng,
    serial: u64,
    sent: u64,
    answers: u64,
    unexpected: u64,
    first_unexpected: Option<String>,
    latencies: Histogram<u64>,
    last_answer: Instant,
    next_arrival: Duration,
}

impl Loading<'_> {
    /// Loads until the time is up or the requests are used up, and waits for the last answers. `serial` goes on from one
    /// window of a phase to its next.
    pub async fn run(&self, serial: &mut u64) -> anyhow::Result<Window> {
        let begun = Instant::now();
        let shared = RefCell::new(Shared {
            random: SmallRng::seed_from_u64(self.seed),
            serial: *serial,
            sent: 0,
            answers: 0,
            unexpected: 0,
            first_unexpected: None,
            latencies: Histogram::new_with_bounds(1, LONGEST, 3)?,
            last_answer: begun,
            next_arrival: Duration::ZERO,
        });
        let connections = self.load.connections();
        let work = (0..connections).map(|number| self.keep_asking(number, begun, &shared));
        join_all(work).await;
        let shared = shared.into_inner();
        *serial = shared.serial;
        Ok(Window {
            phase: None,
            requests: shared.answers,
            unexpected: shared.unexpected,
            first_unexpected: shared.first_unexpected,
            seconds: (shared.last_answer - begun).as_secs_f64(),
            histogram: encode(&shared.latencies)?,
        })
    }

    /// The work of one connection, by its number.
    async fn keep_asking(&self, number: u32, begun: Instant, shared: &RefCell<Shared>) {
        let mut connection = Connection::new(self.origin);
        let mut values = self.values.clone();
        while let Some((arrival, request)) = self.next(number, begun, shared, &mut values) {
            tokio::time::sleep_until(arrival.into()).await;
            let answer = connection.exchange(request, &values, self.payload).await;
            let now = Instant::now();
            let mut shared = shared.borrow_mut();
            shared.answers += 1;
            shared.last_answer = now;
            let latency = u64::try_from((now - arrival).as_micros()).unwrap_or(LONGEST);
            shared.latencies.saturating_record(latency.max(1));
            if let Err(words) = answer {
                shared.unexpected += 1;
                shared.first_unexpected.get_or_insert(words);
            }
        }
    }

    /// The next request and when it is due; nothing when the window is over.
    fn next(
        &self,
        number: u32,
        begun: Instant,
        shared: &RefCell<Shared>,
        values: &mut BTreeMap<String, String>,
    ) -> Option<(Instant, &Request)> {
        let mut shared = shared.borrow_mut();
        let now = Instant::now();
        let arrival = match self.load {
            Load::Closed { .. } => now,
            Load::Open { rate, .. } => {
                let gap = -(1.0 - shared.random.random::<f64>()).ln() / rate;
                shared.next_arrival += Duration::from_secs_f64(gap);
                begun + shared.next_arrival
            }
        };
        let over = arrival >= begun + Duration::from_secs_f64(self.seconds);
        if over || self.requests.is_some_and(|most| shared.sent >= most) {
            return None;
        }
        shared.sent += 1;
        values.insert("serial".to_owned(), shared.serial.to_string());
        shared.serial += 1;
        let index = shared.random.random_range(0..self.objects.max(1));
        values.insert("index".to_owned(), index.to_string());
        let exclusive = exclusive(index, number, self.load.connections(), self.objects);
        values.insert("exclusive".to_owned(), exclusive.to_string());
        let total: u32 = self.mix.iter().map(|request| request.weight).sum();
        let mut left = shared.random.random_range(0..total.max(1));
        for request in self.mix {
            if left < request.weight {
                return Some((arrival, request));
            }
            left -= request.weight;
        }
        None
    }
}

/// The object that stands for a random `index` among those of one connection: each has every `connections`th object. Two
/// writers of one object at a time would make a right server answer that one of them came too late.
fn exclusive(index: u64, number: u32, connections: u32, objects: u64) -> u64 {
    let (number, connections) = (u64::from(number), u64::from(connections.max(1)));
    let own = (objects + connections - 1 - number) / connections;
    number + connections * (index % own.max(1))
}

/// Asks one request `times` times on a few connections, unmeasured; the first wrong answer ends it. Returns the headers of
/// the last answer.
pub async fn repeat(
    origin: &str,
    request: &Request,
    times: u64,
    values: &BTreeMap<String, String>,
    payload: &Bytes,
) -> anyhow::Result<hyper::HeaderMap> {
    let (next, last) = (RefCell::new(0), RefCell::new(hyper::HeaderMap::new()));
    let one = async || -> Result<(), String> {
        let mut connection = Connection::new(origin);
        let mut values = values.clone();
        loop {
            let serial = next.replace_with(|serial| *serial + 1);
            if serial >= times {
                return Ok(());
            }
            for name in ["serial", "index", "exclusive"] {
                values.insert(name.to_owned(), serial.to_string());
            }
            let answer = connection.exchange(request, &values, payload).await?;
            last.replace(answer.headers);
        }
    };
    for outcome in join_all((0..8).map(|_| one())).await {
        outcome.map_err(anyhow::Error::msg)?;
    }
    Ok(last.into_inner())
}

fn encode(histogram: &Histogram<u64>) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(histogram, &mut bytes)?;
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_connections_ask_for_the_same_exclusive_object() {
        for (connections, objects) in [(4, 16), (8, 500), (64, 64), (1, 1), (3, 10)] {
            let mut owner = BTreeMap::new();
            for number in 0..connections {
                for index in 0..objects {
                    let object = exclusive(index, number, connections, objects);
                    assert!(object < objects, "{object} of {objects}");
                    assert_eq!(*owner.entry(object).or_insert(number), number);
                }
            }
            assert_eq!(owner.len() as u64, objects, "every object is somebody's");
        }
    }
}
