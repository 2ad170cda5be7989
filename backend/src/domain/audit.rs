//! What can be done here, for the audit log: each action that changes something has a name.

use std::str::FromStr;

use speedwell_wire::metric::UnknownName;

/// Makes the enum and its names from one list, so that none is forgotten.
macro_rules! actions {
    ($($(#[$meta:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// An action. The part of its name before the dot is what it is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$meta])* $variant),+
        }

        impl Action {
            /// All actions, in the order of their names' first parts.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name in the database and on the page.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }
    };
}

actions! {
    /// A note on a commit or host.
    AnnotationAdd = "annotation.add",
    /// It was taken back.
    AnnotationRemove = "annotation.remove",
    /// A copy of everything.
    BackupMake = "backup.make",
    /// Everything from a copy.
    BackupRestore = "backup.restore",
    /// A search for a commit was ended.
    BisectionCancel = "bisection.cancel",
    /// A search between two commits.
    BisectionOpen = "bisection.open",
    /// A host was added, or has a new token.
    HostAdd = "host.add",
    /// Another setting of a host.
    HostChange = "host.change",
    /// A host measures no more.
    HostRemove = "host.remove",
    /// A delivery of a forge's hook was done again.
    HookReplay = "hook.replay",
    /// Results from elsewhere.
    ImportResults = "import.results",
    /// A job's end was asked for.
    JobCancel = "job.cancel",
    /// Runs were asked for.
    JobRequest = "job.request",
    /// A message that was given up goes out again.
    OutboxSendAgain = "outbox.send_again",
    /// A preview of other parameters of the detector.
    RecomputeAsk = "recompute.ask",
    /// Summaries and verdicts are made again.
    Redetect = "recompute.redetect",
    /// Indexes were made again.
    Reindex = "recompute.reindex",
    /// A decision about a regression.
    RegressionDecide = "regression.decide",
    /// What was kept long enough was deleted.
    RetentionApply = "retention.apply",
    /// Another setting of a runtime.
    RuntimeChange = "runtime.change",
    /// Somebody signed in.
    SessionBegin = "session.begin",
    /// Somebody signed out, or a sign-in was ended.
    SessionEnd = "session.end",
    /// Somebody wants to hear of regressions.
    SubscriptionAdd = "subscription.add",
    /// A subscription was removed, or ended from a mail.
    SubscriptionRemove = "subscription.remove",
    /// A token was made, or made anew.
    TokenAdd = "token.add",
    /// A token was taken back.
    TokenRevoke = "token.revoke",
    /// A stranger's patch may run.
    TryApprove = "try.approve",
    /// A try run was ended.
    TryCancel = "try.cancel",
    /// A try run was asked for.
    TryOpen = "try.open",
    /// A stranger's patch may not run.
    TryRefuse = "try.refuse",
}

impl FromStr for Action {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|one| one.as_str() == text);
        known.ok_or_else(|| UnknownName(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_used_once() {
        for one in Action::ALL {
            assert_eq!(one.as_str().parse::<Action>().as_ref(), Ok(one));
            assert!(one.as_str().split_once('.').is_some());
        }
    }
}
