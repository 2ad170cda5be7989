//! The worker's API, and the public JSON API.

pub mod worker;
