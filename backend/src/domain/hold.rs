//! Why a change is held back: it may be the host's and not the interpreter's.

/// A reason to hold a change back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hold {
    /// Its run was measured under bad conditions and is about to be repeated.
    RepetitionPending,
    /// A control on its host has not run since.
    ControlPending,
    /// A control on its host is not what it was, and it is not known yet whether it stays so.
    ControlUnsteady,
    /// The host has changed at about the time of its run.
    ControlMoved,
    /// Both sides have not been measured again yet.
    Unconfirmed,
    /// Both sides have been measured again, and did not differ.
    Refuted,
}

impl Hold {
    /// All reasons.
    pub const ALL: &'static [Self] = &[
        Self::RepetitionPending,
        Self::ControlPending,
        Self::ControlUnsteady,
        Self::ControlMoved,
        Self::Unconfirmed,
        Self::Refuted,
    ];

    /// The stable name used in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RepetitionPending => "repetition_pending",
            Self::ControlPending => "control_pending",
            Self::ControlUnsteady => "control_unsteady",
            Self::ControlMoved => "control_moved",
            Self::Unconfirmed => "unconfirmed",
            Self::Refuted => "refuted",
        }
    }

    /// The reason in words, for pages.
    pub fn words(self) -> &'static str {
        match self {
            Self::RepetitionPending => {
                "its run was measured under bad conditions and will be repeated"
            }
            Self::ControlPending => "the host's control has not run since",
            Self::ControlUnsteady => {
                "the host's control is not what it was, perhaps for the host's sake"
            }
            Self::ControlMoved => "the host changed at about that time",
            Self::Unconfirmed => "both sides are to be measured again first",
            Self::Refuted => "measured again, both sides did not differ",
        }
    }
}

/// A stored reason in words; that of a newer version by its name.
pub fn words(stored: &str) -> &str {
    let known = Hold::ALL.iter().find(|hold| hold.as_str() == stored);
    known.map_or(stored, |hold| hold.words())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_words() {
        for hold in Hold::ALL {
            assert_eq!(words(hold.as_str()), hold.words());
            assert_ne!(words(hold.as_str()), hold.as_str());
        }
        assert_eq!(words("moonlight"), "moonlight");
    }
}
