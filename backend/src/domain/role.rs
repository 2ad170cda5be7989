//! What people may do. Each role may do all that those before it may.

use std::str::FromStr;

use speedwell_wire::metric::UnknownName;

use super::regression::SPEEDWELL;

/// A role, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads, and has subscriptions and tokens of its own.
    Viewer,
    /// Decides what becomes of regressions, and asks for runs.
    Triager,
    /// Runs the service: hosts, messages, hooks, retention; reads the audit log.
    Operator,
    /// Decides who may do what: everybody's tokens and sign-ins.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: &'static [Self] = &[Self::Viewer, Self::Triager, Self::Operator, Self::Admin];

    /// The stable name used in the database, the API and the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Triager => "triager",
            Self::Operator => "operator",
            Self::Admin => "admin",
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

/// Whether a token, and who acts with it, may have this name: it stands in timelines and mails, and must not pass for the service itself.
/// Names of other origins hold a colon (`github:ada`, `cli:root`), which no token's name can.
pub fn is_actor_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    (1..=64).contains(&name.len()) && name.chars().all(allowed) && name != SPEEDWELL
}

/// Whether somebody of this name may own a token: a token's own name, or that of somebody who signs in at a forge (`github:ada`).
pub fn is_owner_name(name: &str) -> bool {
    let of_forge = |(forge, user)| is_actor_name(forge) && forge != "cli" && is_actor_name(user);
    is_actor_name(name) || name.split_once(':').is_some_and(of_forge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_read_back() {
        assert!(Role::ALL.is_sorted() && Role::ALL.len() == 4);
        for one in Role::ALL {
            assert_eq!(one.as_str().parse::<Role>().as_ref(), Ok(one));
        }
        assert!("reader".parse::<Role>().is_err() && "root".parse::<Role>().is_err());
    }

    #[test]
    fn nobody_passes_for_the_service_or_for_somebody_of_a_forge() {
        assert!(is_owner_name("github:ada") && is_owner_name("ada"));
        assert!(!is_owner_name("cli:root") && !is_owner_name("a:b:c"));
        assert!(is_actor_name("guido") && is_actor_name("a.b@example.org"));
        for bad in [
            "",
            "speedwell",
            "github:ada",
            "cli:root",
            "a b",
            "a\n",
            "<b>",
            &"x".repeat(65),
        ] {
            assert!(!is_actor_name(bad), "{bad:?}");
        }
    }
}
