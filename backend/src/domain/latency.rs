//! Response times of a server workload as HDR histograms: how they are read.

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

/// More than any histogram of the worker's bounds takes, encoded.
const LARGEST: usize = 1 << 20;

/// The bytes of a histogram as it came; refused unless it can be read.
pub fn check(text: &str) -> Result<Vec<u8>, String> {
    if text.len() > LARGEST {
        return Err(format!(
            "{} bytes long; at most {LARGEST} are accepted",
            text.len()
        ));
    }
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|error| format!("is no Base64: {error}"))?;
    read(&bytes)?;
    Ok(bytes)
}

/// Reads a histogram of microseconds.
pub fn read(bytes: &[u8]) -> Result<Histogram<u64>, String> {
    let mut bytes = bytes;
    Deserializer::new()
        .deserialize(&mut bytes)
        .map_err(|error| format!("is no HDR histogram: {error}"))
}

/// The quantiles that people look at.
pub const QUANTILES: [f64; 7] = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0];

/// How many answers some histograms hold together, and their latency in seconds at each of [`QUANTILES`]. What cannot be
/// read is left out; nothing for no answer.
pub fn curve(histograms: &[&[u8]]) -> Option<(u64, Vec<f64>)> {
    let mut all = histograms.iter().filter_map(|bytes| read(bytes).ok());
    let mut sum = all.next()?;
    for one in all {
        // Both have the worker's bounds; another's would be left out.
        if let Err(error) = sum.add(one) {
            tracing::warn!("a histogram has other bounds: {error}");
        }
    }
    let seconds = |quantile| sum.value_at_quantile(quantile) as f64 * 1e-6;
    (!sum.is_empty()).then(|| (sum.len(), QUANTILES.map(seconds).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};

    #[test]
    fn a_histogram_is_read_and_anything_else_refused() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 120_000_000, 3).unwrap();
        for latency in [1000, 2000, 3000, 900_000] {
            histogram.record(latency).unwrap();
        }
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&histogram, &mut bytes)
            .unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(&bytes);
        let read = read(&check(&text).unwrap()).unwrap();
        assert_eq!(read.len(), 4);
        let (count, curve) = curve(&[&bytes, &bytes, b"damaged"]).unwrap();
        assert_eq!(count, 8);
        assert!((curve[0] - 0.002).abs() < 1e-5, "{curve:?}");
        assert!((curve[6] - 0.9).abs() < 0.001, "{curve:?}");
        assert_eq!(super::curve(&[]), None);
        assert!(check("no base64!").unwrap_err().contains("Base64"));
        assert!(check("AAAA").unwrap_err().contains("HDR"));
        assert!(check("").is_err());
    }
}
