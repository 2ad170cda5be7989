//! Mirrors of the tracked repositories, and the order of their commits. Fetched by the `git` program, read with git2.

mod history;
mod mirror;
mod revision;

pub use history::{first_parents, fork, head, open, read_commit, tags, touched_paths};
pub use mirror::{diff, fetch, fetch_one, mirror_folder};
pub use revision::{commits_between, find, first_parent, merge_base};
