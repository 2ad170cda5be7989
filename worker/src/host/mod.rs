//! What this host is, and whether it may measure.

mod check;
mod facts;

pub use check::{Finding, check, free_mib};
pub use facts::{facts, toolchain};
