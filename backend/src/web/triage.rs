//! Decisions about regressions, as forms and the API send them: one transaction each.

use serde_json::json;

use crate::context::Context;
use crate::db::audit;
use crate::db::triage::{self, Outcome};
use crate::domain::audit::Action;
use crate::domain::triage::{Request, parse};
use crate::web::error::Error;
use crate::web::session::Actor;

/// Does what was asked for; the regression to look at now.
pub(super) async fn decide(
    context: &Context,
    actor: &Actor,
    id: i64,
    request: &Request,
) -> Result<i64, Error> {
    let (action, note) = parse(request).map_err(|(field, message)| Error::BadRequest {
        field: field.to_owned(),
        message,
    })?;
    let mut transaction = context.pool.begin().await?;
    match triage::act(&mut transaction, id, &action, &actor.name, &note).await? {
        Outcome::Done(now) => {
            let details = json!({ "decision": request.action, "note": note, "owner": request.owner, "into": request.into,
                "points": request.points, "now": now });
            let subject = format!("regression {id}");
            let what = Action::RegressionDecide;
            audit::record(&mut *transaction, &actor.name, what, &subject, details).await?;
            transaction.commit().await?;
            Ok(now)
        }
        Outcome::Unknown => Err(Error::NotFound(format!("There is no regression {id}."))),
        Outcome::Refused(words) => Err(Error::Conflict(format!("Nothing was done: {words}."))),
    }
}

/// A form's fields as a request; unknown fields are left out.
pub(super) fn request_of(pairs: &[(String, String)]) -> Result<Request, Error> {
    let mut request = Request::default();
    for (key, value) in pairs {
        match key.as_str() {
            "action" => request.action.clone_from(value),
            "owner" => request.owner.clone_from(value),
            "note" => request.note.clone_from(value),
            "into" if value.trim().is_empty() => {}
            "into" => request.into = Some(number("into", value)?),
            "point" => request.points.push(number("point", value)?),
            _ => {}
        }
    }
    Ok(request)
}

/// A key in a form; a `#` in front is how people write it.
pub(super) fn number(field: &str, text: &str) -> Result<i64, Error> {
    let digits = text.trim().trim_start_matches('#');
    digits.parse().map_err(|error| Error::BadRequest {
        field: field.to_owned(),
        message: format!("{field}: {text:?} is no number: {error}"),
    })
}
