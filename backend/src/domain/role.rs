//! What a token allows. Each role may do all that those before it may.

use std::str::FromStr;

use speedwell_wire::metric::UnknownName;

use super::regression::SPEEDWELL;

/// A token's role, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads, and has subscriptions of its own.
    Reader,
    /// Decides what becomes of regressions.
    Triager,
    /// Runs the service.
    Operator,
}

impl Role {
    /// All roles.
    pub const ALL: &'static [Self] = &[Self::Reader, Self::Triager, Self::Operator];

    /// The stable name used in the database, the API and the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Triager => "triager",
            Self::Operator => "operator",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|one| one.as_str() == text);
        known.ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// Whether a token may have this name: it stands in timelines and mails, and must not pass for the service itself.
pub fn is_actor_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    (1..=64).contains(&name.len()) && name.chars().all(allowed) && name != SPEEDWELL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_read_back() {
        assert!(Role::Reader < Role::Triager && Role::Triager < Role::Operator);
        for one in Role::ALL {
            assert_eq!(one.as_str().parse::<Role>().as_ref(), Ok(one));
        }
        assert!("root".parse::<Role>().is_err());
    }

    #[test]
    fn nobody_passes_for_the_service() {
        assert!(is_actor_name("guido") && is_actor_name("a.b@example.org"));
        for bad in ["", "speedwell", "a b", "a\n", "<b>", &"x".repeat(65)] {
            assert!(!is_actor_name(bad), "{bad:?}");
        }
    }
}
