//! Texts that workers send once, by their hash.

use sqlx::PgExecutor;

/// The hashes of these that are not in the store yet, in their order.
pub async fn list_missing(db: impl PgExecutor<'_>, hashes: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT sha256 FROM unnest($1::text[]) WITH ORDINALITY AS offered (sha256, ordinal)
         WHERE NOT EXISTS (SELECT 1 FROM artefact WHERE artefact.sha256 = offered.sha256) ORDER BY ordinal",
    )
    .bind(hashes)
    .fetch_all(db)
    .await
}
