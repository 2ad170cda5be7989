//! JSON: the worker's side door, the public API, and doors for programs of other services.

pub mod compatible;
pub mod public;
pub mod worker;
