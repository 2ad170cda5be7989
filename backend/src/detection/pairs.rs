//! Both sides of a comparison measured in turn, A B, B A, A B …, on one host: what the differences say.
//!
//! A host that drifts evenly moves neither side. Everything here is in logarithms: a difference of 0.01 is 1 %.

/// Noise below which nothing is told apart, as in [`super::segments`].
pub const LEAST_NOISE: f64 = 1e-4;

/// The differences of pairs, the second side less the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Differences {
    /// Pairs that have both sides.
    pub count: usize,
    /// Their mean; zero without any.
    pub mean: f64,
    /// Their variance about it, as far as they show one; zero with less than two.
    pub variance: f64,
}

impl Differences {
    /// Of pairs of logarithms. Those that are no numbers, because a side is missing, are left out.
    pub fn of(pairs: &[(f64, f64)]) -> Self {
        let differences: Vec<f64> = pairs
            .iter()
            .map(|(first, second)| second - first)
            .filter(|difference| difference.is_finite())
            .collect();
        let count = differences.len();
        let number = count.max(1) as f64;
        let mean = differences.iter().sum::<f64>() / number;
        let squares: f64 = differences.iter().map(|one| (one - mean).powi(2)).sum();
        Self {
            count,
            mean,
            variance: if count > 1 {
                squares / (number - 1.0)
            } else {
                0.0
            },
        }
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_sides_are_left_out() {
        let pairs = [
            (0.0, 0.01),
            (f64::NAN, 1.0),
            (0.0, 0.03),
            (0.0, f64::INFINITY),
        ];
        let found = Differences::of(&pairs);
        assert_eq!(found.count, 2);
        assert!((found.mean - 0.02).abs() < 1e-12 && (found.variance - 2e-4).abs() < 1e-12);
        assert!(Differences::of(&[]).is_empty());
        assert_eq!(Differences::of(&[(1.0, 2.0)]).variance, 0.0);
    }
}
