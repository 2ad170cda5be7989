//! The arrows between modules, as docs/architecture.md draws them, read from `use` lines and paths in the source.

use std::fs;
use std::path::{Path, PathBuf};

/// Module → the modules of this crate that it may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("detection", &["domain"]),
    ("chart", &["domain"]),
    ("git", &["domain"]),
    ("archive", &[]),
    ("artefacts", &[]),
    ("binary", &["domain"]),
    ("cluster", &["artefacts", "db"]),
    ("columnar", &[]),
    ("config", &["artefacts", "detection", "domain", "forge"]),
    ("forge", &["domain"]),
    ("alerts", &["domain", "forge"]),
    ("db", &["domain", "detection"]),
    ("traces", &["db", "domain"]),
    (
        "context",
        &["artefacts", "config", "detection", "forge", "traces"],
    ),
    ("intake", &["artefacts", "db", "domain"]),
    (
        "scheduler",
        &[
            "alerts",
            "artefacts",
            "binary",
            "chart",
            "config",
            "context",
            "db",
            "detection",
            "domain",
            "forge",
            "git",
        ],
    ),
    (
        "web",
        &[
            "alerts",
            "archive",
            "artefacts",
            "chart",
            "columnar",
            "config",
            "context",
            "db",
            "detection",
            "domain",
            "forge",
            "git",
            "intake",
            "traces",
        ],
    ),
];

/// Crate → the modules that may name it.
const CRATES: &[(&str, &[&str])] = &[
    (
        "sqlx",
        &[
            "db",
            "cluster",
            "context",
            "commands",
            "intake",
            "traces",
            "web",
            "scheduler",
        ],
    ),
    ("actix_web", &["web"]),
    ("parquet", &["columnar"]),
    ("plotters", &["chart"]),
    ("inferno", &["chart"]),
    ("git2", &["git", "config", "scheduler"]),
    ("object_store", &["artefacts"]),
    ("askama", &["web", "alerts"]),
    ("lettre", &["alerts"]),
    ("reqwest", &["alerts", "forge", "scheduler"]),
    ("resvg", &["chart"]),
    ("object", &["binary"]),
    ("tar", &["archive", "binary"]),
    (
        "tokio",
        &[
            "git",
            "cluster",
            "forge",
            "scheduler",
            "web",
            "commands",
            "main",
        ],
    ),
];

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// `(module, path, code without comments and without the file's own tests)` of every file of a crate.
fn sources(package: &str) -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join(package)
        .join("src");
    rust_files(&root)
        .into_iter()
        .map(|path| {
            let relative = path.strip_prefix(&root).unwrap();
            let first = relative
                .components()
                .next()
                .unwrap()
                .as_os_str()
                .to_str()
                .unwrap();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let lines = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let code = lines.collect::<Vec<_>>().join("\n");
            (first.trim_end_matches(".rs").to_owned(), path.clone(), code)
        })
        .collect()
}

/// The modules that a file names as `crate::NAME` or `speedwell_backend::NAME`.
fn named(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in code.split("crate::").skip(1) {
        let single = |text: &str| {
            text.chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect::<String>()
        };
        match part.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap();
                names.extend(list.split(',').map(|item| single(item.trim())));
            }
            None => names.push(single(part)),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn modules_name_only_what_their_arrows_allow() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (module, path, code) in sources("backend") {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
            continue;
        };
        for name in named(&code) {
            let is_module = ARROWS.iter().any(|(known, _)| *known == name);
            seen += 1;
            if is_module && name != module && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{} names {name}", path.display()));
            }
        }
    }
    assert!(seen > 50, "the test reads no sources");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn libraries_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for (module, path, code) in sources("backend") {
        for (library, allowed) in CRATES {
            let names_it = code.contains(&format!("{library}::"));
            if names_it && !allowed.contains(&module.as_str()) {
                wrong.push(format!("{} names {library}", path.display()));
            }
        }
        let has_sql = ["sqlx::query", "query_as(", "query_scalar("]
            .iter()
            .any(|call| code.contains(call));
        if has_sql && module != "db" && module != "cluster" {
            wrong.push(format!("{} has SQL", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_worker_spawns_in_one_place_and_knows_no_database() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("worker/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    assert!(
        !manifest.contains("sqlx") && !manifest.contains("speedwell-backend"),
        "{manifest}"
    );
    for (module, path, code) in sources("worker") {
        assert!(
            !code.contains("DATABASE_URL") && !code.contains("postgres://"),
            "{}",
            path.display()
        );
        let spawns = code.contains("Command::new") || code.contains("process::Command");
        assert!(!spawns || module == "process", "{} spawns", path.display());
        if module == "protocol" {
            let uses: Vec<&str> = code
                .lines()
                .filter(|line| line.starts_with("use "))
                .collect();
            assert_eq!(uses, ["use std::time::Duration;"], "protocol is pure");
        }
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    for package in ["backend", "worker", "wire"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap()
            .join(package)
            .join("src");
        for path in rust_files(&root) {
            let text = fs::read_to_string(&path).unwrap();
            assert!(
                text.starts_with("//! "),
                "{} begins without a line that says what it is for",
                path.display()
            );
        }
    }
}

#[test]
fn every_file_of_tests_is_compiled() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service");
    for (folder, root) in [
        (folder.clone(), "main.rs"),
        (folder.join("support"), "mod.rs"),
    ] {
        let named = fs::read_to_string(folder.join(root)).unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let Some(module) = name.strip_suffix(".rs").filter(|_| name != root) else {
                continue;
            };
            let line = format!("mod {module};");
            assert!(named.contains(&line), "{root} does not name {name}");
        }
    }
}
