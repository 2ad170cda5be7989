//! `[try_runs]`: how long branches, pull requests and patches are measured against their base.

use serde::Deserialize;

use super::Problem;
use crate::detection::trial::Wanted;
use crate::domain::try_run::MOST_ROUNDS;

/// When a try has seen enough.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TryConfig {
    /// Rounds at most, unless the request says so itself; a round measures both sides once.
    #[serde(default = "default_rounds")]
    pub rounds: u32,
    /// In per cent: a benchmark whose 95 % interval is this much to either side is known well enough.
    #[serde(default = "default_precision")]
    pub precision: f64,
    /// In per cent: smaller changes are none.
    #[serde(default = "default_smallest")]
    pub smallest: f64,
}

fn default_rounds() -> u32 {
    10
}
fn default_precision() -> f64 {
    1.0
}
fn default_smallest() -> f64 {
    0.5
}

impl Default for TryConfig {
    fn default() -> Self {
        Self {
            rounds: default_rounds(),
            precision: default_precision(),
            smallest: default_smallest(),
        }
    }
}

impl TryConfig {
    /// The same for the rules.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            precision: (self.precision / 100.0).ln_1p(),
            smallest: (self.smallest / 100.0).ln_1p(),
        }
    }

    pub(super) fn validate(&self) -> Result<(), Problem> {
        if !(1..=MOST_ROUNDS).contains(&self.rounds) {
            let message = format!("a number from 1 to {MOST_ROUNDS}");
            let value = self.rounds.to_string();
            return Err(Problem::new("try_runs.rounds", &value, message));
        }
        for (key, value) in [
            ("try_runs.precision", self.precision),
            ("try_runs.smallest", self.smallest),
        ] {
            if !(0.0..=100.0).contains(&value) {
                let message = "a number of per cent from 0 to 100";
                return Err(Problem::new(key, &value.to_string(), message));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn parse(rest: &str) -> Result<Config, String> {
        let text = format!("data = \"/tmp/x\"\n[try_runs]\n{rest}");
        Config::parse(&text, "speedwell.toml").map_err(|error| error.to_string())
    }

    #[test]
    fn a_try_is_bounded() {
        let config = parse("precision = 2.0").unwrap();
        assert_eq!(config.try_runs.rounds, 10);
        assert!((config.try_runs.wanted().precision - 0.0198).abs() < 1e-4);
        for (rest, key) in [
            ("rounds = 0", "try_runs.rounds"),
            ("rounds = 51", "try_runs.rounds"),
            ("precision = -1.0", "try_runs.precision"),
            ("smallest = nan", "try_runs.smallest"),
        ] {
            let error = parse(rest).unwrap_err();
            assert!(error.contains(key), "{rest}: {error}");
        }
    }
}
