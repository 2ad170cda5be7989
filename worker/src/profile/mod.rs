//! Where the time of running processes goes: their stacks, sampled while they run.

mod image;
mod kernel;
mod maps;
pub mod names;
mod perf_map;
mod processes;
mod records;
mod ring;
mod sampling;
mod stacks;
mod unwind;

pub use sampling::Sampling;

#[cfg(test)]
mod tests;
