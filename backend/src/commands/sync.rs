//! Brings the database in line with the configuration; and says what would happen with one.

use std::collections::HashMap;

use chrono::Utc;
use speedwell_backend::config::{Config, PROGRAMS, RuntimeConfig};
use speedwell_backend::db::commits;
use speedwell_backend::db::repositories::{self, RuntimeSettings};
use speedwell_backend::domain::commit::CommitFacts;
use speedwell_backend::domain::policy::{Measure, Policy};
use speedwell_wire::BuildRecipe;
use sqlx::PgPool;

/// Adds and updates repositories and runtimes in one transaction. What is no longer configured keeps its history.
pub(super) async fn sync(config: &Config, pool: &PgPool) -> anyhow::Result<()> {
    let mut transaction = pool.begin().await?;
    let mut keys = HashMap::new();
    for repository in &config.repositories {
        let commit_url = repository.commit_url.as_deref();
        let key = repositories::upsert(
            &mut *transaction,
            &repository.name,
            &repository.url,
            commit_url,
            &repository.exclude,
        )
        .await?;
        keys.insert(repository.name.as_str(), key);
    }
    let programs = |runtime: &RuntimeConfig| runtime.place().0 == PROGRAMS;
    if config.runtimes.iter().any(programs) {
        let key = repositories::upsert(&mut *transaction, PROGRAMS, "", None, &[]).await?;
        keys.insert(PROGRAMS, key);
    }
    let mut kept = Vec::new();
    for (ordinal, runtime) in config.runtimes.iter().enumerate() {
        let (repository, branch) = runtime.place();
        let Some(repository_id) = keys.get(repository) else {
            continue;
        };
        let recipe = runtime.build_recipe()?;
        let settings = RuntimeSettings {
            name: &runtime.name,
            language: runtime.language.as_str(),
            branch,
            recipe: &recipe,
            suite: &runtime.suite,
            ordinal: i32::try_from(ordinal).unwrap_or(i32::MAX),
            control: runtime.control,
            repeat_marked: runtime.policy.repeat_marked,
        };
        let key = repositories::upsert_runtime(&mut transaction, *repository_id, &settings).await?;
        kept.push(key);
        repositories::set_imported(&mut *transaction, key, runtime.imported).await?;
        if !recipe.method.needs_source() {
            commits::append_program(&mut transaction, key, &version_of(runtime, &recipe)).await?;
        }
    }
    repositories::disable_runtimes_except(&mut transaction, &kept).await?;
    transaction.commit().await?;
    Ok(())
}

/// The commit that stands for a version of a program nobody builds. Its hash is the recipe's, so that a new version, or
/// the same one started in another way, is a new point of its series.
fn version_of(runtime: &RuntimeConfig, recipe: &BuildRecipe) -> CommitFacts {
    let now = Utc::now();
    CommitFacts {
        hash: recipe.sha256.clone(),
        parents: Vec::new(),
        author_name: "the configuration".to_owned(),
        author_email: String::new(),
        committer_name: String::new(),
        committer_email: String::new(),
        authored_at: now,
        committed_at: now,
        subject: format!(
            "{} {} ({})",
            runtime.name,
            recipe.method.variant(),
            recipe.method.name()
        ),
    }
}

/// What would happen with a configuration, for `check`.
pub(super) fn describe(config: &Config) -> String {
    let database = match &config.database_url {
        Some(_) => "the Postgres of database_url".to_owned(),
        None => format!(
            "a private Postgres cluster in {}",
            config.data.join("postgres").display()
        ),
    };
    let folder = || config.data.join("artefacts").display().to_string();
    let store = config.store.clone().unwrap_or_else(folder);
    let mut lines = vec![
        format!(
            "pages at {}, listening on {}",
            config.public_url(),
            config.listen
        ),
        format!("results in {database}, artefacts in {store}"),
    ];
    lines.push(match &config.mail {
        Some(mail) => format!(
            "mails by {} from {}, lists: {}",
            mail.smtp,
            mail.from,
            mail.lists.join(", ")
        ),
        None => "no [mail]: nobody is told by mail".to_owned(),
    });
    lines.push(format!("daily reports by \"{}\"", config.report.schedule));
    lines.extend(config.repositories.iter().map(|repository| {
        let schedule = config.schedule_of(repository);
        format!(
            "repository {}: {}, looked at by \"{schedule}\"",
            repository.name, repository.url
        )
    }));
    lines.extend(config.runtimes.iter().map(|runtime| {
        format!(
            "runtime {}: {}, branch {} of {}, {}, suite {}, {} on hosts of class {}",
            runtime.name,
            runtime.language.as_str(),
            runtime.place().1,
            runtime.place().0,
            runtime.describe(),
            runtime.suite,
            if runtime.imported {
                "its results are imported, and nothing is measured".to_owned()
            } else if runtime.control {
                format!("a control, by \"{}\"", config.control.schedule)
            } else {
                policy_in_words(&runtime.policy)
            },
            runtime.host_classes.join(", "),
        )
    }));
    lines.extend(config.imports.iter().map(|rule| {
        let named = |key: &str, name: &Option<String>| {
            name.as_ref()
                .map_or_else(String::new, |name| format!("{key} {name:?}, "))
        };
        format!(
            "imports of {}{}{}{}go to runtime {} on host {}",
            named("project", &rule.project),
            named("executable", &rule.executable),
            named("branch", &rule.branch),
            named("environment", &rule.environment),
            rule.runtime,
            rule.host
        )
    }));
    if config.runtimes.is_empty() {
        lines.push("no [[runtime]]: nothing would be measured".to_owned());
    }
    lines.join("\n")
}

fn policy_in_words(policy: &Policy) -> String {
    let which = match (policy.measure, policy.nth) {
        (Measure::Every, _) => "every commit".to_owned(),
        (Measure::Nth, nth) => format!("every {}th commit", nth.unwrap_or(1)),
        (Measure::Nightly, _) => "the last commit of each day".to_owned(),
        (Measure::Tags, _) => "tagged commits".to_owned(),
    };
    match policy.newest {
        Some(newest) => format!("{which}, the newest {newest}"),
        None => format!("{which}, the whole history"),
    }
}
