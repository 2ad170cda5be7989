//! The compiler cache of builds: its variables, and what it answered.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::Workshop;
use crate::job::given;

/// A line for each compiler call; the largest builds have some thousands.
const LARGEST_LOG: u64 = 16 << 20;

/// ccache keys on the compiler's arguments, so profiles never mix; paths below the job are made relative, so that
/// the same file of another commit hits.
pub fn variables(workshop: &Workshop<'_>, statistics: &Path) -> BTreeMap<String, OsString> {
    let job = workshop.source.parent().unwrap_or(workshop.source);
    let mut variables = BTreeMap::from([
        ("CC".to_owned(), "ccache gcc".into()),
        ("CXX".to_owned(), "ccache g++".into()),
        (
            "CCACHE_DIR".to_owned(),
            workshop.config.data.join("ccache").into(),
        ),
        (
            "CCACHE_MAXSIZE".to_owned(),
            workshop.config.ccache_size.clone().into(),
        ),
        ("CCACHE_BASEDIR".to_owned(), job.into()),
        ("CCACHE_NOHASHDIR".to_owned(), "1".into()),
        ("CCACHE_SLOPPINESS".to_owned(), "time_macros".into()),
        ("CCACHE_STATSLOG".to_owned(), statistics.into()),
    ]);
    if !workshop.use_cache {
        variables.insert("CCACHE_DISABLE".to_owned(), "1".into());
    }
    variables
}

/// ccache's statistics log has a line `direct_cache_hit`, `preprocessed_cache_hit` or `cache_miss` for each call.
pub fn counts(statistics: &Path) -> (u64, u64) {
    let text = given::read_text(statistics, LARGEST_LOG).unwrap_or_default();
    let count = |name: &str| text.lines().filter(|line| line.trim() == name).count() as u64;
    (
        count("direct_cache_hit") + count("preprocessed_cache_hit"),
        count("cache_miss"),
    )
}
