//! What a forge says by a hook, in words of our own, and what becomes of it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::telling::named;

/// Which API a forge speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForgeKind {
    /// GitHub; also GitHub Enterprise.
    Github,
    /// GitLab.
    Gitlab,
    /// Forgejo, and Gitea, from which it comes.
    #[serde(alias = "gitea")]
    Forgejo,
}

impl ForgeKind {
    /// Whether commits can have comments: Forgejo's API has none.
    pub fn has_comments(self) -> bool {
        match self {
            Self::Github | Self::Gitlab => true,
            Self::Forgejo => false,
        }
    }

    /// Its name in addresses, in the configuration and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Forgejo => "forgejo",
        }
    }

    /// The forge of an address; Gitea is read as Forgejo.
    pub fn from_address(text: &str) -> Option<Self> {
        match text {
            "github" => Some(Self::Github),
            "gitlab" => Some(Self::Gitlab),
            "forgejo" | "gitea" => Some(Self::Forgejo),
            _ => None,
        }
    }

    /// Its name for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Github => "GitHub",
            Self::Gitlab => "GitLab",
            Self::Forgejo => "Forgejo",
        }
    }
}

named! {
    /// Where a delivery is.
    DeliveryState {
        /// Its work is to be done, or done again.
        Waiting = "waiting",
        /// It has caused something.
        Done = "done",
        /// There was nothing to do.
        Noted = "noted",
        /// Its work cannot be done.
        Failed = "failed",
    }
}

named! {
    /// Where a pull request is.
    PullState {
        /// To be merged or closed.
        Open = "open",
        /// Closed without merging.
        Closed = "closed",
        /// Merged.
        Merged = "merged",
    }
}

/// A pull request (on GitLab: merge request). All texts are anyone's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullFacts {
    /// Its number in its project.
    pub number: i64,
    /// Its title.
    pub title: String,
    /// Who has made it; GitLab's hooks do not always say.
    pub author: Option<String>,
    /// Newest commit of the branch that is to be merged.
    pub head_hash: String,
    /// That branch.
    pub head_branch: String,
    /// The branch that it is to be merged into.
    pub base_branch: String,
    /// Where it is.
    pub state: PullState,
    /// Whether the branch comes from another project: a stranger may have written it.
    pub fork: bool,
    /// When the forge changed it last; of two deliveries the later one counts, whichever comes first.
    pub updated_at: Option<DateTime<Utc>>,
}

/// Somebody on a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Name for signing in.
    pub name: String,
    /// The forge's key, where the hook says it.
    pub id: Option<i64>,
}

/// A new comment on a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its key on the forge.
    pub id: i64,
    /// The pull request's number.
    pub pull: i64,
    /// Its text, anyone's.
    pub body: String,
    /// Who has written it.
    pub author: Author,
    /// What its author is to the project, in GitHub's words (`OWNER`, `MEMBER`, `COLLABORATOR`, `CONTRIBUTOR`, `NONE` …); other forges
    /// say nothing.
    pub association: Option<String>,
}

/// What somebody wants to have checked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// A check run, by the forge's key.
    Run(i64),
    /// All checks of a commit, by its hash.
    Commit(String),
}

/// Somebody wants a check again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rerequest {
    /// Which.
    pub checked: Checked,
    /// The number of the app whose check it is.
    pub app: i64,
    /// Who wants it.
    pub author: Author,
}

/// What a forge says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// It tries whether anybody is there.
    Ping,
    /// A branch or a tag has moved, come or gone.
    Push {
        /// Its whole name: `refs/heads/main`, `refs/tags/v1`.
        reference: String,
        /// Commit before; nothing when it is new.
        before: Option<String>,
        /// Commit after; nothing when it is gone.
        after: Option<String>,
    },
    /// A tag was made, with or without a release.
    Tag(String),
    /// A pull request has changed.
    Pull(PullFacts),
    /// Somebody has commented on a pull request.
    Comment(Comment),
    /// Somebody wants a check again.
    Rerequest(Rerequest),
    /// Something that nothing follows from: why, in words.
    Other(String),
}

/// Something that a delivery has caused; the page links to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Effect {
    /// The repository is looked at without waiting for its schedule.
    Looked {
        /// Branch or tag.
        name: String,
        /// Commit before, where the forge said it.
        before: Option<String>,
        /// Commit after.
        after: Option<String>,
    },
    /// What is known of a pull request is as the delivery says.
    Pull {
        /// Its number.
        number: i64,
    },
    /// A try run was asked for.
    Tried {
        /// Its key.
        id: i64,
    },
    /// A try run was cancelled.
    Cancelled {
        /// Its key.
        id: i64,
    },
    /// An answer was put into the outbox.
    Answered {
        /// The pull request's number.
        pull: i64,
    },
}

impl Effect {
    /// What it is, in words; names are anyone's.
    pub fn words(&self) -> String {
        let short = |hash: &str| hash.chars().take(10).collect::<String>();
        match self {
            Self::Looked {
                name,
                before,
                after,
            } => match (before, after) {
                (Some(before), Some(after)) => {
                    format!("looked at {name} {} … {}", short(before), short(after))
                }
                (None, Some(after)) => format!("looked at {name} {}", short(after)),
                (_, None) => format!("looked at {name}"),
            },
            Self::Pull { number } => format!("pull request {number}"),
            Self::Tried { id } => format!("try {id}"),
            Self::Cancelled { id } => format!("try {id} cancelled"),
            Self::Answered { pull } => format!("answer to pull request {pull}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_said() {
        let looked = |before: Option<&str>, after: Option<&str>| Effect::Looked {
            name: "main".to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        assert_eq!(
            looked(Some("0123456789ab"), Some("abcdef012345")).words(),
            "looked at main 0123456789 … abcdef0123"
        );
        assert_eq!(looked(None, Some("ab")).words(), "looked at main ab");
        assert_eq!(looked(Some("ab"), None).words(), "looked at main");
        assert_eq!(Effect::Cancelled { id: 7 }.words(), "try 7 cancelled");
    }

    #[test]
    fn every_name_reads_back() {
        for one in DeliveryState::ALL {
            assert_eq!(one.as_str().parse::<DeliveryState>().as_ref(), Ok(one));
        }
        for one in PullState::ALL {
            assert_eq!(one.as_str().parse::<PullState>().as_ref(), Ok(one));
        }
        for one in [ForgeKind::Github, ForgeKind::Gitlab, ForgeKind::Forgejo] {
            assert_eq!(ForgeKind::from_address(one.as_str()), Some(one));
        }
        assert_eq!(ForgeKind::from_address("gitea"), Some(ForgeKind::Forgejo));
        assert_eq!(ForgeKind::from_address("GitHub"), None);
    }
}
