//! The Speedwell service. The arrows between these modules are fixed in `tests/service/architecture.rs`.

/// Telling people: who hears, what it says, how it leaves.
pub mod alerts;
/// Files as one compressed archive, to be downloaded.
pub mod archive;
/// Content-addressed storage of builds, raw run files and logs.
pub mod artefacts;
/// Sizes of an interpreter's file in an artefact.
pub mod binary;
/// Plotters behind one function: a description of a chart in, SVG out.
pub mod chart;
/// The private Postgres cluster that the backend starts when it is given no database.
pub mod cluster;
/// Columns as a Parquet file.
pub mod columnar;
/// `speedwell.toml`: every setting, read once, checked at start.
pub mod config;
/// What each handler and tick is given.
pub mod context;
/// All the SQL.
pub mod db;
/// Numbers in, verdicts out; pure.
pub mod detection;
/// Types and rules without I/O.
pub mod domain;
/// GitHub, GitLab and Forgejo: statuses and comments out.
pub mod forge;
/// Mirrors of the tracked repositories, and the order of their commits.
pub mod git;
/// Results that others measured: from the door to the tables.
pub mod intake;
/// The table of background ticks.
pub mod scheduler;
/// The points of series, for charts.
pub mod traces;
/// HTTP: pages and API.
pub mod web;
