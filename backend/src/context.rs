//! What each handler and tick is given. Cheap to clone.

use std::sync::{Arc, Mutex};

use sqlx::PgPool;

use crate::artefacts::Artefacts;
use crate::config::Config;
use crate::detection::Shelf;
use crate::forge::Tokens;
use crate::traces::Traces;

/// The service's shared parts.
#[derive(Clone)]
pub struct Context {
    /// Connections to Postgres.
    pub pool: PgPool,
    /// Further ones, for pages that ask for the same of a little more or less ([`crate::db::planned_once`]).
    pub planned: PgPool,
    /// The configuration.
    pub config: Arc<Config>,
    /// Builds, raw run files and logs.
    pub artefacts: Artefacts,
    /// Tokens that forges have given their apps.
    pub forge_tokens: Tokens,
    /// Series as the detect tick judged them last.
    pub judged: Arc<Mutex<Shelf>>,
    /// The points of series, for charts.
    pub traces: Traces,
}
