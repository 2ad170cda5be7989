//! Forges as ticks reach them: by the configuration of their repository.

use reqwest::Client;

use crate::config::ForgeConfig;
use crate::context::Context;
use crate::domain::telling::Failure;
use crate::forge::Forge;

/// `[repository.forge]` of a repository.
pub(super) fn settings<'a>(context: &'a Context, repository: &str) -> Option<&'a ForgeConfig> {
    let repositories = &context.config.repositories;
    let found = repositories.iter().find(|one| one.name == repository);
    found.and_then(|one| one.forge.as_ref())
}

/// The forge of a repository, with its settings.
pub(super) async fn open<'a>(
    context: &'a Context,
    client: &Client,
    repository: &str,
) -> Result<(&'a ForgeConfig, Forge), Failure> {
    let settings = settings(context, repository)
        .ok_or_else(|| Failure::passing(format!("{repository} has no [repository.forge]")))?;
    Ok((settings, sign_in(context, client, settings).await?))
}

/// The forge of these settings. A file that cannot be read now may be there at the next try.
pub(super) async fn sign_in(
    context: &Context,
    client: &Client,
    settings: &ForgeConfig,
) -> Result<Forge, Failure> {
    let actor = settings
        .actor()
        .map_err(|error| Failure::passing(format!("{error:#}")))?;
    let place = (
        settings.kind,
        settings.api.as_str(),
        settings.project.as_str(),
    );
    context.forge_tokens.open(client, place, actor).await
}

/// What a failure means for an app: a token that is refused before its time (somebody has suspended the app, or changed its key) is forgotten,
/// and the next try begins with a new one. Any other failure, and that of a configured token, is as it was.
pub(super) fn renew(context: &Context, repository: &str, failure: Failure) -> Failure {
    let app = settings(context, repository).filter(|one| one.app_id.is_some());
    match app {
        Some(settings) if failure.message.starts_with("answer 401") => {
            context.forge_tokens.forget(&settings.project);
            Failure {
                permanent: false,
                ..failure
            }
        }
        Some(_) | None => failure,
    }
}
