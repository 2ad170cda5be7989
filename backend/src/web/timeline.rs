//! What a timeline is asked for, and what is read for it: shared by the page, its table of values and the API.

pub(super) mod asked;
pub(super) mod choose;
pub(super) mod details;
pub(super) mod marks;
pub(super) mod read;
