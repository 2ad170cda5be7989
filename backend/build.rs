//! Rebuilds the crate when a migration changes (`sqlx::migrate!` embeds them), and names the style sheet by its content.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
    println!("cargo:rerun-if-changed=assets/style.css");
    let mut hasher = DefaultHasher::new();
    std::fs::read("assets/style.css")
        .unwrap_or_default()
        .hash(&mut hasher);
    println!(
        "cargo:rustc-env=SPEEDWELL_STYLE_HASH={:016x}",
        hasher.finish()
    );
}
