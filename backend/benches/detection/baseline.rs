//! The first detector that made verdicts, baseline-1, as it was: each point against the median of ten before it.

const WINDOW: usize = 10;
const FEWEST: usize = 3;
const DEVIATIONS: f64 = 4.0;
const DIFFERENCE_TO_DEVIATION: f64 = 1.482_602_218_505_602 / std::f64::consts::SQRT_2;
/// Smallest change, as the other candidates have it.
const FLOOR: f64 = 0.006;

/// First points that lie beyond the noise; the baseline begins anew at each.
pub fn changes(values: &[f64]) -> Vec<usize> {
    let logarithms: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    let mut begins = 0;
    let mut found = Vec::new();
    for (index, value) in logarithms.iter().enumerate() {
        let window = &logarithms[begins.max(index.saturating_sub(WINDOW))..index];
        if index < FEWEST || window.is_empty() {
            continue;
        }
        let noise = noise(&logarithms[..index]) * (1.0 + 1.0 / window.len() as f64).sqrt();
        let threshold = (DEVIATIONS * noise).max(FLOOR);
        if (value - median(window.to_vec())).abs() > threshold {
            found.push(index);
            begins = index;
        }
    }
    found
}

/// The noise between neighbours; the newest fifty count.
fn noise(logarithms: &[f64]) -> f64 {
    let newest = &logarithms[logarithms.len().saturating_sub(50)..];
    let differences = newest.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    median(differences.collect()) * DIFFERENCE_TO_DEVIATION
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
