//! A real git repository, and a service that tracks it.

use std::path::Path;
use std::process::Command;

use speedwell_backend::db::repositories::{self, RuntimeSettings};

/// A work tree with commands for it.
pub struct Repository(tempfile::TempDir);

impl Repository {
    /// An empty one, with the branch `main`.
    pub fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs git in it.
    pub fn git(&self, arguments: &[&str]) {
        let status = Command::new("git")
            .args([
                "-c",
                "user.name=A <b>",
                "-c",
                "user.email=a@example.org",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(arguments)
            .current_dir(self.path())
            .status()
            .unwrap();
        assert!(status.success(), "git {arguments:?}");
    }

    /// Commits a file.
    pub fn commit(&self, subject: &str) {
        std::fs::write(self.path().join(format!("{}.c", subject.len())), subject).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", subject]);
    }
}

/// Puts the first repository and runtime of the configuration into the database.
pub async fn sync(context: &speedwell_backend::context::Context) {
    let settings = &context.config.repositories[0];
    let id = repositories::upsert(&context.pool, "cpython", &settings.url, None, &[])
        .await
        .unwrap();
    let runtime = &context.config.runtimes[0];
    let mut connection = context.pool.acquire().await.unwrap();
    let settings = RuntimeSettings {
        name: &runtime.name,
        language: "python3",
        branch: "main",
        recipe: &runtime.build_recipe().unwrap(),
        suite: "portable",
        ordinal: 0,
        control: false,
        repeat_marked: 1,
    };
    repositories::upsert_runtime(&mut connection, id, &settings)
        .await
        .unwrap();
}
