//! Mirrors of the tracked repositories, and the order of their commits. Fetched by the `git` program, read with git2.

mod history;
mod mirror;

pub use history::{first_parents, fork, head, open, read_commit, tags, touched_paths};
pub use mirror::{fetch, mirror_folder};
