//! JSON: the worker's side door, and the public read-only API.

pub mod public;
pub mod worker;
