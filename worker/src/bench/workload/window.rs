//! The metrics of one window: what the driver counted, and what the servers used meanwhile.

use std::collections::BTreeMap;

use base64::Engine as _;
use hdrhistogram::Histogram;
use speedwell_wire::{CounterSource, Metric, ProfileReport, Unavailable};

use crate::counters::CounterSet;
use crate::process::tree;
use crate::workload::events::Window;

/// What one window gave.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Metric, source and value.
    pub values: Vec<(Metric, CounterSource, f64)>,
    /// Counters that are not there.
    pub unavailable: Vec<Unavailable>,
    /// The histogram as the driver encoded it.
    pub histogram: String,
    /// Where the servers' time went, when it was sampled; or why that is not known.
    pub profile: Option<Result<ProfileReport, String>>,
}

pub fn processor_seconds(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| tree::processor_seconds(*pid)).sum()
}

/// The metrics of a window. One wrong answer and nothing of it counts: errors are fast.
pub fn measure(
    window: &Window,
    processor: f64,
    counters: Vec<CounterSet>,
    profile: Option<Result<ProfileReport, String>>,
    servers: &[u32],
) -> Result<Measured, String> {
    if window.unexpected > 0 {
        let first = window.first_unexpected.clone().unwrap_or_default();
        return Err(format!(
            "{} of {} answers were not as expected; the first: {first}",
            window.unexpected, window.requests
        ));
    }
    if window.requests == 0 || window.seconds <= 0.0 {
        return Err("there was no answer".to_owned());
    }
    let answers = window.requests as f64;
    let mut values = vec![
        (
            Metric::RequestsPerSecond,
            CounterSource::Software,
            answers / window.seconds,
        ),
        (
            Metric::CpuPerRequest,
            CounterSource::Software,
            processor / answers,
        ),
    ];
    let latencies = decode(&window.histogram)?;
    for (metric, quantile) in [
        (Metric::LatencyP50, 0.5),
        (Metric::LatencyP95, 0.95),
        (Metric::LatencyP99, 0.99),
    ] {
        values.push((
            metric,
            CounterSource::Software,
            latencies.value_at_quantile(quantile) as f64 * 1e-6,
        ));
    }
    let peak: Option<u64> = servers.iter().map(|pid| tree::peak_memory(*pid)).sum();
    let steady: Option<u64> = servers.iter().map(|pid| tree::resident_memory(*pid)).sum();
    for (metric, bytes) in [(Metric::MaxRss, peak), (Metric::SteadyRss, steady)] {
        let bytes = bytes.map(|bytes| (metric, CounterSource::Software, bytes as f64));
        values.extend(bytes);
    }
    let mut measured = Measured {
        values,
        unavailable: Vec::new(),
        histogram: window.histogram.clone(),
        profile,
    };
    add_counters(&mut measured, counters, answers)?;
    measured
        .values
        .retain(|(metric, _, value)| *value > 0.0 || metric.can_be_zero());
    Ok(measured)
}

/// Counters of all servers together, per request.
fn add_counters(
    measured: &mut Measured,
    counters: Vec<CounterSet>,
    answers: f64,
) -> Result<(), String> {
    let mut sums: BTreeMap<(Metric, CounterSource), f64> = BTreeMap::new();
    let wrong = |error: std::io::Error| format!("the counters cannot be read: {error}");
    for mut set in counters {
        set.disable().map_err(wrong)?;
        for (event, value) in set.read().map_err(wrong)? {
            match value {
                Ok(value) => {
                    if let Some(metric) = event.metric() {
                        *sums.entry((metric, event.source)).or_default() += value / answers;
                    }
                }
                Err(reason) => return Err(reason),
            }
        }
        for missing in set.unavailable {
            if !measured
                .unavailable
                .iter()
                .any(|known| known.metric == missing.metric)
            {
                measured.unavailable.push(missing);
            }
        }
    }
    let of = |metric| {
        sums.iter()
            .find(|((one, _), _)| *one == metric)
            .map(|((_, source), value)| (*source, *value))
    };
    if let (Some((source, instructions)), Some((_, cycles))) =
        (of(Metric::Instructions), of(Metric::Cycles))
        && cycles > 0.0
    {
        sums.insert((Metric::Ipc, source), instructions / cycles);
    }
    measured.values.extend(
        sums.into_iter()
            .map(|((metric, source), value)| (metric, source, value)),
    );
    Ok(())
}

fn decode(histogram: &str) -> Result<Histogram<u64>, String> {
    let wrong =
        |error: &dyn std::fmt::Display| format!("the driver's histogram cannot be read: {error}");
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(histogram)
        .map_err(|error| wrong(&error))?;
    hdrhistogram::serialization::Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_with_one_wrong_answer_counts_for_nothing() {
        let window = Window {
            requests: 1000,
            unexpected: 1,
            first_unexpected: Some("GET /x: status 404".into()),
            seconds: 1.0,
            ..Window::default()
        };
        let reason = measure(&window, 1.0, Vec::new(), None, &[]).unwrap_err();
        assert_eq!(
            reason,
            "1 of 1000 answers were not as expected; the first: GET /x: status 404"
        );
        assert!(measure(&Window::default(), 0.0, Vec::new(), None, &[]).is_err());
    }
}
