//! HTTP: the route table. A handler parses, calls, renders.

pub mod api;
pub mod error;
pub mod pages;
