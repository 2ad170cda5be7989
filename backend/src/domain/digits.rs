//! How many digits of a percentage an interval allows.

/// Decimals of a change in per cent whose interval (ratios minus one) has these ends: two where it is narrower than 0.3 points, for `+3.7 to
/// +3.7 %` says less than is known; else one.
pub fn decimals(low: f64, high: f64) -> usize {
    if (high - low).abs() < 0.003 { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_interval_has_one_more() {
        assert_eq!(decimals(0.0366, 0.0369), 2);
        assert_eq!(decimals(0.037, 0.037), 2);
        assert_eq!(decimals(-0.02, 0.03), 1);
        assert_eq!(decimals(f64::NAN, 0.03), 1);
        assert_eq!(decimals(f64::NEG_INFINITY, f64::INFINITY), 1);
    }
}
