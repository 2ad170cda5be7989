//! Server workloads: benchmarks that start servers and load them.
//!
//! A [`Workload`] says what is started, what is asked of it and what the answers must be. The worker runs it in the box
//! as one process of its own, the [`driver`]: servers and load share the box's loopback and nothing else. The driver
//! reports on one pipe and waits for answers on another, like a benchmark's harness; the worker outside accounts for the
//! servers' processor time, memory and counters, and decides when they are warm.

pub mod definition;
pub mod driver;
pub mod events;
mod load;
mod request;
mod service;

pub use definition::{Phase, Workload};
