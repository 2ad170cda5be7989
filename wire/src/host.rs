//! What was wrong with a host while it measured.

use serde::{Deserialize, Serialize};

/// How much it matters that something about a host is not as it should be. The order is that of weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostSeverity {
    /// Worth knowing.
    Note,
    /// Results are noisier than they could be.
    Warning,
    /// Results of this host cannot be trusted to say what the interpreter did.
    Unfit,
}

impl HostSeverity {
    /// The word on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Unfit => "unfit",
        }
    }
}

/// One thing about a host that was not as it should be when it measured. Results carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFlag {
    /// Stable name of the check (`turbo`, `busy`, `throttled_meanwhile` …).
    pub name: String,
    /// How much it matters.
    pub severity: HostSeverity,
    /// What was found.
    pub value: String,
    /// What it should have been.
    pub good: String,
}

/// What the names of flags end with that are about the run itself, not about how the host is set up.
const MEANWHILE: &str = "_meanwhile";

impl HostFlag {
    /// A flag about something that went wrong while a run was measured; `name` is what, without the ending.
    pub fn meanwhile(name: &str, severity: HostSeverity, value: String, good: &str) -> Self {
        Self {
            name: format!("{name}{MEANWHILE}"),
            severity,
            value,
            good: good.to_owned(),
        }
    }

    /// Whether the run was measured under bad conditions: something during it made its results unfit. What a host always
    /// carries (a hypervisor, no counters, turbo) does not, and neither does a warning.
    pub fn marks(&self) -> bool {
        self.severity == HostSeverity::Unfit && self.name.ends_with(MEANWHILE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_made_a_run_unfit_while_it_was_measured_marks_it() {
        let value = || "5 times".to_owned();
        let throttled = HostFlag::meanwhile("throttled", HostSeverity::Unfit, value(), "never");
        assert_eq!(throttled.name, "throttled_meanwhile");
        assert!(throttled.marks());
        let warning = HostFlag::meanwhile("frequency", HostSeverity::Warning, value(), "the same");
        assert!(!warning.marks());
        let of_the_host = HostFlag {
            name: "hypervisor".to_owned(),
            ..throttled
        };
        assert!(!of_the_host.marks());
    }
}
