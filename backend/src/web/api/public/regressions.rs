//! Regressions and improvements, and decisions about them.

use actix_web::web::{Data, Json, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, limit_of};
use crate::context::Context;
use crate::db::annotations::{self, Annotation};
use crate::db::explanations;
use crate::db::regression_lists::{
    self, ChangePointRow, ConfirmationRow, EventRow, RegressionRow, Relative,
};
use crate::db::warmup::{self, SideClass};
use crate::domain::triage::Request;
use crate::web::error::Error;
use crate::web::pages::parse_filter;
use crate::web::session::Triager;
use crate::web::triage::decide;

/// Rows of each list in the answer about one.
const MOST: i64 = 1000;

/// Regressions and improvements, the newest first. `state` may be given several times.
#[utoipa::path(get, path = "/api/v1/regressions", params(
        ("state" = Option<String>, Query, description = "Only this state; may be repeated; default: all"),
        ("runtime" = Option<String>, Query, description = "Only with a change point of this runtime"),
        ("benchmark" = Option<String>, Query, description = "Only with a change point of this benchmark"),
        ("direction" = Option<String>, Query, description = "`worse` or `better`; default: both"),
        ("owner" = Option<String>, Query, description = "Only of this owner"),
        ("before" = Option<i64>, Query, description = "Only keys below this one"),
        ("limit" = Option<i64>, Query, description = "Items in the answer, 1 to 1000; default 100")),
    responses((status = 200, body = Page<RegressionRow>), (status = 400, body = super::ErrorBodySchema)))]
pub(super) async fn regressions(
    context: Data<Context>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Page<RegressionRow>>, Error> {
    const KNOWN: [&str; 7] = [
        "state",
        "runtime",
        "benchmark",
        "direction",
        "owner",
        "before",
        "limit",
    ];
    if let Some((key, _)) = pairs.iter().find(|(key, _)| !KNOWN.contains(&key.as_str())) {
        return Err(Error::BadRequest {
            field: key.clone(),
            message: format!("{key}: unknown; known: {}", KNOWN.join(", ")),
        });
    }
    let limit = match pairs.iter().find(|(key, _)| key == "limit") {
        None => limit_of(None)?,
        Some((_, text)) => limit_of(Some(text.parse().unwrap_or(-1)))?,
    };
    let filter = parse_filter(&pairs)?;
    let rows = regression_lists::list(&context.pool, &filter, limit).await?;
    Ok(Json(Page::new(rows, limit, |row| row.id)))
}

/// A regression with all that is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RegressionAnswer {
    regression: RegressionRow,
    change_points: Vec<ChangePointRow>,
    confirmations: Vec<ConfirmationRow>,
    /// The timeline.
    events: Vec<EventRow>,
    /// On its commits and hosts.
    annotations: Vec<Annotation>,
    relatives: Vec<Relative>,
    /// What the processes of its benchmarks do over their iterations, by runs of the commits next to its range.
    warmups: Vec<SideClass>,
    explanation: Option<ExplanationAnswer>,
}

/// What explains it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ExplanationAnswer {
    /// The commit before.
    before: String,
    /// The commit after.
    after: String,
    /// In a sentence or two.
    sentence: String,
    /// Findings with their shares of the change, metrics, profiles, sizes, paths.
    #[schema(value_type = Object)]
    findings: serde_json::Value,
}

/// A regression or improvement.
#[utoipa::path(get, path = "/api/v1/regressions/{id}", params(("id" = i64, Path)),
    responses((status = 200, body = RegressionAnswer), (status = 404, body = super::ErrorBodySchema)))]
pub(super) async fn regression(
    context: Data<Context>,
    id: Path<i64>,
) -> Result<Json<RegressionAnswer>, Error> {
    let pool = &context.pool;
    let regression = regression_lists::find(pool, *id).await?;
    let regression =
        regression.ok_or_else(|| Error::NotFound(format!("There is no regression {id}.")))?;
    let explanation = explanations::find(pool, *id).await?;
    let explanation = explanation
        .map(|row| {
            let findings = serde_json::to_value(&row.findings.0).map_err(anyhow::Error::from)?;
            Ok::<_, Error>(ExplanationAnswer {
                before: row.before_hash,
                after: row.after_hash,
                sentence: row.findings.0.sentence,
                findings,
            })
        })
        .transpose()?;
    Ok(Json(RegressionAnswer {
        change_points: regression_lists::list_points(pool, *id, MOST).await?,
        confirmations: regression_lists::list_confirmations(pool, *id, MOST).await?,
        events: regression_lists::list_events(pool, *id, MOST).await?,
        annotations: annotations::list_of_regression(pool, *id, MOST).await?,
        relatives: regression_lists::list_relatives(pool, *id).await?,
        warmups: warmup::list_classes(pool, *id).await?,
        explanation,
        regression,
    }))
}

/// A decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Decision {
    /// `acknowledge`, `accept`, `noise`, `infrastructure`, `reopen`, `note`, `merge` or `split`.
    action: String,
    /// For `acknowledge`; default: the token's name.
    #[serde(default)]
    owner: String,
    /// Words for the timeline.
    #[serde(default)]
    note: String,
    /// For `merge`: the other's key.
    into: Option<i64>,
    /// For `split`: keys of change points.
    #[serde(default)]
    points: Vec<i64>,
}

/// What a decision led to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DecisionAnswer {
    /// The regression to look at now: after a merge the other, after a split the new one.
    id: i64,
}

/// Decides about a regression; needs `authorization: Bearer …` with a token of the role `triager`.
#[utoipa::path(post, path = "/api/v1/regressions/{id}/actions", params(("id" = i64, Path)), request_body = Decision,
    responses((status = 200, body = DecisionAnswer), (status = 400, body = super::ErrorBodySchema),
        (status = 401, body = super::ErrorBodySchema), (status = 403, body = super::ErrorBodySchema),
        (status = 404, body = super::ErrorBodySchema), (status = 409, body = super::ErrorBodySchema)))]
pub(super) async fn act(
    context: Data<Context>,
    actor: Triager,
    id: Path<i64>,
    Json(decision): Json<Decision>,
) -> Result<Json<DecisionAnswer>, Error> {
    let request = Request {
        action: decision.action,
        owner: decision.owner,
        note: decision.note,
        into: decision.into,
        points: decision.points,
    };
    let id = decide(&context, &actor.0, *id, &request).await?;
    Ok(Json(DecisionAnswer { id }))
}
