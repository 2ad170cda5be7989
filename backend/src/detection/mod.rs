//! Numbers in, verdicts out; pure. No clock, no database: the same points give the same verdicts for ever.

mod baseline;
pub mod bisection;
pub mod control;
pub mod noise;
pub mod segments;
pub mod warmup;

pub use baseline::{Change, Judgement, Point, Scale, State, judge};

/// Version of the rules in this module, stored with every verdict. Raised with every change of a rule; the `redetect`
/// command then makes all verdicts again.
pub const DETECTOR_VERSION: &str = "baseline-1";
