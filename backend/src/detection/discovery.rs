//! Which of many suspicions to believe: a commit is measured by thousands of series, and some look changed by chance.

/// Which of these probabilities of chance are discoveries, when `tests` series were looked at and at most the share `rate` of the
/// discoveries may be false: Benjamini and Hochberg 1995, "Controlling the False Discovery Rate". The series that are not among
/// `chances` count as 1. What is no number is no discovery.
pub fn discoveries(chances: &[f64], tests: usize, rate: f64) -> Vec<bool> {
    let tests = tests.max(chances.len()) as f64;
    let mut sorted: Vec<f64> = chances
        .iter()
        .copied()
        .filter(|chance| chance.is_finite())
        .collect();
    sorted.sort_by(f64::total_cmp);
    let passes = |(rank, chance): (usize, &f64)| *chance <= rate * (rank + 1) as f64 / tests;
    let bound = sorted
        .iter()
        .enumerate()
        .rev()
        .find(|one| passes(*one))
        .map(|(_, chance)| *chance);
    let is_discovery = |chance: &f64| bound.is_some_and(|bound| *chance <= bound);
    chances.iter().map(is_discovery).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_one_and_rubbish() {
        assert!(discoveries(&[], 10, 0.05).is_empty());
        assert_eq!(discoveries(&[0.04], 1, 0.05), [true]);
        assert_eq!(discoveries(&[0.04], 2, 0.05), [false]);
        assert_eq!(
            discoveries(&[f64::NAN, 1e-9, f64::INFINITY], 1000, 0.05),
            [false, true, false]
        );
        assert_eq!(discoveries(&[0.0; 3], 0, 0.05), [true; 3]);
    }

    /// The example of the paper's section 3.2: fifteen comparisons, four rejections at 0.05.
    #[test]
    fn the_papers_example() {
        let chances = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
            0.5719, 0.6528, 0.7590, 1.0,
        ];
        let found = discoveries(&chances, 15, 0.05);
        assert_eq!(found.iter().filter(|one| **one).count(), 4);
        assert!(found[..4].iter().all(|one| *one));
    }

    #[test]
    fn many_that_moved_together_help_each_other() {
        let alone = discoveries(&[0.001], 1000, 0.05);
        let together = discoveries(&[0.001; 200], 1000, 0.05);
        assert!(!alone[0] && together.iter().all(|one| *one));
    }
}
