//! Numbers in, verdicts out; pure. No clock, no database: the same points give the same verdicts for ever.

pub mod bisection;
pub mod confirmation;
pub mod control;
pub mod discovery;
mod judge;
pub mod noise;
pub mod pairs;
pub mod replay;
pub mod scale;
pub mod segments;
pub mod trial;
pub mod warmup;

pub use judge::{Change, ChangePoint, Judged, Judgement, Kept, Point, Shelf, State, judge};
pub use scale::Scale;

/// Version of the rules in this module, the first part of what is stored with every verdict ([`segments::Settings::version`]).
/// Raised with every change of a rule: the backend then makes all verdicts again.
pub const DETECTOR_VERSION: &str = "segments-5";
