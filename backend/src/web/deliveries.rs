//! What the pages and the API of deliveries share: reading a state, having the work of one done again.

use crate::context::Context;
use crate::db::deliveries;
use crate::domain::hook::DeliveryState;
use crate::web::error::Error;
use crate::web::session::Operator;

/// `?state=`, checked.
pub(super) fn state_of(text: &str) -> Result<DeliveryState, Error> {
    text.parse().map_err(|_unknown| Error::BadRequest {
        field: "state".to_owned(),
        message: "state: use waiting, done, noted or failed".to_owned(),
    })
}

/// Has the work of a delivery that is over done again: the new one's key.
pub(super) async fn replay(context: &Context, actor: &Operator, id: i64) -> Result<i64, Error> {
    let mut transaction = context.pool.begin().await?;
    let new = deliveries::replay(&mut transaction, id, &actor.0.name).await?;
    let new = new
        .ok_or_else(|| Error::Conflict(format!("There is no delivery {id} whose work is over.")))?;
    transaction.commit().await?;
    Ok(new)
}
