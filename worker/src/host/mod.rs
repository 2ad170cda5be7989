//! What this host is, and whether it may measure.

mod check;
pub mod doctor;
mod facts;
mod processors;
mod system;
mod temperature;
pub mod tune;
mod watch;

pub use check::{Finding, check, free_mib};
pub use facts::{facts, have_changed, toolchain};
pub use system::System;
pub use watch::{Record, Watch};
