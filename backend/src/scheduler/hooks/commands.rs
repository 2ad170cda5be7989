//! Commands in comments on pull requests: who may ask, what follows, and what is answered.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{Ended, passing};
use crate::alerts::Payload;
use crate::config::ForgeConfig;
use crate::context::Context;
use crate::db::deliveries::DeliveryRow;
use crate::db::outbox::{self, NewMessage};
use crate::db::tries::{self, Opened};
use crate::db::{audit, pulls};
use crate::domain::audit::Action;
use crate::domain::hook::{Author, Comment, DeliveryState, Effect, PullFacts};
use crate::domain::telling::{Channel, Failure};
use crate::domain::try_run::{Command, CommandError, Options, Request, Source, Trust, TryState};
use crate::forge;
use crate::scheduler::forges;

/// What a comment of ours holds and does not show.
const OUR_MARK: &str = "<!-- speedwell ";
/// What GitHub calls those who belong to a project.
const INSIDERS: &[&str] = &["OWNER", "MEMBER", "COLLABORATOR"];
/// Tries of one person that wait for a triager; more are not opened.
const MOST_WAITING: i64 = 3;
/// Answers on one pull request within an hour; more are not written, whoever asks.
const MOST_ANSWERS: i64 = 10;

/// Who wants something, and where.
pub(super) struct Wish {
    /// The pull request's number.
    pub(super) pull: i64,
    /// Who.
    pub(super) author: Author,
    /// What asks: it asks for one try.
    pub(super) origin: String,
    /// For the audit log.
    pub(super) details: Value,
}

/// A command with all that the forge had to be asked for.
pub(super) struct Asked {
    /// Who wants it.
    pub(super) wish: Wish,
    /// What is wanted.
    pub(super) command: Result<Command, CommandError>,
    /// Why its author may have code run; nothing when a triager has to look first.
    pub(super) trusted: Option<String>,
    /// The pull request, where the forge could be asked.
    pub(super) facts: Option<PullFacts>,
}

/// Reads a comment, and asks the forge what has to be known; no transaction is open meanwhile.
pub(super) async fn prepare(
    context: &Context,
    settings: &ForgeConfig,
    delivery: &DeliveryRow,
    comment: Comment,
) -> Result<Result<Asked, Ended>, Failure> {
    if comment.body.contains(OUR_MARK) {
        return Ok(Err(Ended::noted("a comment of our own")));
    }
    let Some(command) = Command::parse(&comment.body, &settings.mention) else {
        let words = format!("a comment without a command for @{}", settings.mention);
        return Ok(Err(Ended::noted(words)));
    };
    let (mut trusted, mut facts) = (None, None);
    let (author, association) = (&comment.author, comment.association.as_deref());
    match &command {
        Ok(Command::Bench(_)) => {
            trusted = trust(context, settings, author, association).await?;
            facts = look_up(context, settings, comment.pull).await?;
        }
        Ok(Command::Cancel) => trusted = trust(context, settings, author, association).await?,
        Ok(Command::Status) | Err(_) => {}
    }
    let kind = settings.kind.as_str();
    let repository = &delivery.repository;
    Ok(Ok(Asked {
        wish: Wish {
            pull: comment.pull,
            origin: format!("{kind} comment {} on {repository}", comment.id),
            details: json!({ "pull": comment.pull, "comment": comment.id, "delivery": delivery.id }),
            author: comment.author,
        },
        command,
        trusted,
        facts,
    }))
}

/// Why somebody may have code run here: the configuration names them, or the forge says that they belong to the project.
pub(super) async fn trust(
    context: &Context,
    settings: &ForgeConfig,
    author: &Author,
    association: Option<&str>,
) -> Result<Option<String>, Failure> {
    let name = &author.name;
    if settings
        .try_users
        .iter()
        .any(|one| one.eq_ignore_ascii_case(name))
    {
        return Ok(Some("the configuration's try_users".to_owned()));
    }
    if let Some(association) = association {
        let inside = INSIDERS.contains(&association);
        let forge = settings.kind.label();
        return Ok(inside.then(|| format!("{forge}: {}", association.to_ascii_lowercase())));
    }
    if !settings.can_send() {
        return Ok(None);
    }
    let client = client()?;
    let forge = forges::sign_in(context, &client, settings).await?;
    let may = forge.may_push(&client, author).await?;
    let forge = settings.kind.label();
    Ok(may.then(|| format!("{forge}: may push")))
}

/// The pull request as the forge knows it now; nothing where it cannot be asked.
pub(super) async fn look_up(
    context: &Context,
    settings: &ForgeConfig,
    number: i64,
) -> Result<Option<PullFacts>, Failure> {
    if !settings.can_send() {
        return Ok(None);
    }
    let client = client()?;
    let forge = forges::sign_in(context, &client, settings).await?;
    forge.find_pull(&client, number).await.map(Some)
}

fn client() -> Result<reqwest::Client, Failure> {
    forge::client().map_err(passing)
}

/// Does what a command asks for, or answers why not.
pub(super) async fn follow(
    context: &Context,
    settings: &ForgeConfig,
    db: &mut PgConnection,
    delivery: &DeliveryRow,
    asked: Asked,
) -> Result<Ended, Failure> {
    if let Some(facts) = &asked.facts {
        pulls::upsert(&mut *db, delivery.repository_id, facts)
            .await
            .map_err(passing)?;
    }
    let Ok(number) = u32::try_from(asked.wish.pull) else {
        return Ok(Ended::failed("the pull request's number is none"));
    };
    let desk = Desk {
        context,
        settings,
        delivery,
        wish: &asked.wish,
        number,
    };
    match asked.command {
        Err(error) => {
            let text = format!(
                "{error}. Known: `@{} bench [runtime=…] [suite=…] [benchmarks=glob] [host=…] [repeat=N]`, `cancel`, `status`.",
                settings.mention
            );
            desk.answer(db, &text).await
        }
        Ok(Command::Bench(options)) => {
            let base_branch = asked.facts.map(|facts| facts.base_branch);
            desk.bench(db, options, asked.trusted, base_branch).await
        }
        Ok(Command::Cancel) => desk.cancel(db, asked.trusted.is_some()).await,
        Ok(Command::Status) => desk.status(db).await,
    }
}

/// Where one command is dealt with.
struct Desk<'a> {
    context: &'a Context,
    settings: &'a ForgeConfig,
    delivery: &'a DeliveryRow,
    wish: &'a Wish,
    number: u32,
}

impl Desk<'_> {
    /// Who asks, as tries and the audit log name them: names of a forge are none of ours.
    fn requester(&self) -> String {
        format!("{}:{}", self.settings.kind.as_str(), self.wish.author.name)
    }

    fn link(&self, id: i64) -> String {
        format!(
            "[try {id}]({}/tries/{id})",
            self.context.config.public_url()
        )
    }

    async fn bench(
        &self,
        db: &mut PgConnection,
        options: Options,
        trusted: Option<String>,
        base_branch: Option<String>,
    ) -> Result<Ended, Failure> {
        let repository = &self.delivery.repository;
        let approved = trusted.is_some();
        if !approved && self.has_enough(db).await? {
            let text = format!(
                "{MOST_WAITING} tries of yours wait for approval already; ask again when they are decided."
            );
            return self.answer(db, &text).await;
        }
        let request = Request {
            repository: repository.clone(),
            source: Source::Pull {
                number: self.number,
                base_branch,
            },
            options,
            requester: self.requester(),
            trust: trusted.map_or(Trust::Withheld, |by| Trust::Given { by }),
            origin: Some(self.wish.origin.clone()),
        };
        let rounds = self.context.config.try_runs.rounds;
        match tries::open(&mut *db, &request, rounds)
            .await
            .map_err(passing)?
        {
            Opened::New(id) => {
                self.record(db, Action::TryOpen, id).await?;
                let words = if approved {
                    format!("try {id} was asked for by {}", self.requester())
                } else {
                    format!(
                        "try {id} was asked for by {}, and waits for a triager",
                        self.requester()
                    )
                };
                Ok(Ended::done(Effect::Tried { id }, words))
            }
            Opened::Known(id) => {
                let words = format!("the same has asked for try {id} before");
                Ok(Ended::done(Effect::Tried { id }, words))
            }
            Opened::UnderWay(id) => {
                let mention = &self.settings.mention;
                let text = format!(
                    "{} of this pull request is under way. `@{mention} cancel` ends it.",
                    self.link(id)
                );
                self.answer(db, &text).await
            }
            Opened::Refused(refused) => self.answer(db, &format!("{refused}.")).await,
        }
    }

    /// Whether somebody whom nobody vouches for has asked for enough already.
    async fn has_enough(&self, db: &mut PgConnection) -> Result<bool, Failure> {
        let waiting = tries::count_waiting(db, &self.requester(), &self.wish.origin).await;
        Ok(waiting.map_err(passing)? >= MOST_WAITING)
    }

    async fn cancel(&self, db: &mut PgConnection, trusted: bool) -> Result<Ended, Failure> {
        let repository = &self.delivery.repository;
        let found = tries::find_open_of_pull(&mut *db, repository, self.number)
            .await
            .map_err(passing)?;
        let Some(id) = found else {
            let text = "no try of this pull request is under way.";
            return self.answer(db, text).await;
        };
        let status = tries::status(&mut *db, id).await.map_err(passing)?;
        // The replay of a delivery ends nothing that came after what it does again.
        let over = self.delivery.first_finished_at;
        if over.is_some_and(|over| status.as_ref().is_some_and(|one| one.created_at > over)) {
            return Ok(Ended::noted(format!("try {id} was asked for later")));
        }
        let own = status.is_some_and(|status| status.requester == self.requester());
        if !trusted && !own {
            let text = format!(
                "{} is ended by who has asked for it, or by somebody who belongs to the project.",
                self.link(id)
            );
            return self.answer(db, &text).await;
        }
        let ended = tries::cancel(&mut *db, id, &self.requester()).await;
        if !ended.map_err(passing)? {
            return Ok(Ended::noted(format!("try {id} was over")));
        }
        self.record(db, Action::TryCancel, id).await?;
        let words = format!("try {id} was cancelled by {}", self.requester());
        Ok(Ended::done(Effect::Cancelled { id }, words))
    }

    async fn status(&self, db: &mut PgConnection) -> Result<Ended, Failure> {
        let repository = &self.delivery.repository;
        let newest = tries::find_newest_of_pull(&mut *db, repository, self.number)
            .await
            .map_err(passing)?;
        let status = match newest {
            Some(id) => tries::status(&mut *db, id).await.map_err(passing)?,
            None => None,
        };
        let text = match status {
            Some(status) => {
                let state = status.state.parse::<TryState>().map_err(passing)?;
                let (link, state) = (self.link(status.id), state.words());
                format!("{link}: {state}. {}", status.message)
            }
            None => format!(
                "no try of this pull request yet. `@{} bench` asks for one.",
                self.settings.mention
            ),
        };
        self.answer(db, &text).await
    }

    async fn record(&self, db: &mut PgConnection, action: Action, id: i64) -> Result<(), Failure> {
        let details = self.wish.details.clone();
        audit::record(db, &self.requester(), action, &format!("try {id}"), details)
            .await
            .map_err(passing)
    }

    /// Puts an answer into the outbox: a comment on the pull request. Without a token it stays here, in words.
    async fn answer(&self, db: &mut PgConnection, text: &str) -> Result<Ended, Failure> {
        let pull = self.wish.pull;
        if !self.settings.can_send() {
            let words = format!("without a token_file nothing is answered: {text}");
            return Ok(Ended::noted(words));
        }
        let recipient = format!("{} answer", self.delivery.repository);
        let since = Utc::now() - TimeDelta::hours(1);
        let answers = outbox::count_answers(&mut *db, &recipient, pull, since).await;
        if answers.map_err(passing)? >= MOST_ANSWERS {
            let words = format!("{MOST_ANSWERS} answers there in an hour are enough: {text}");
            return Ok(Ended::noted(words));
        }
        // A forge's names are of such characters; anything else could be more than a name.
        let safe = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let name: String = self.wish.author.name.chars().filter(safe).collect();
        let payload = Payload::Answer {
            pull,
            text: format!("@{name}: {text}"),
        };
        let payload = serde_json::to_value(payload).map_err(passing)?;
        let message = NewMessage {
            key: &format!("forge:answer:{}", self.delivery.first_id),
            channel: Channel::Forge.as_str(),
            recipient: &recipient,
            subscription_id: None,
            regression_id: None,
            payload: &payload,
            not_before: Utc::now(),
        };
        if !outbox::insert(db, &message, &[]).await.map_err(passing)? {
            return Ok(Ended::noted(format!("answered before; now: {text}")));
        }
        Ok(Ended {
            state: DeliveryState::Done,
            caused: vec![Effect::Answered { pull }],
            words: format!("answered: {text}"),
        })
    }
}
