//! The operator's commands, run as an operator runs them.

use std::fs;
use std::path::Path;
use std::process::Command;

use sqlx::PgPool;

use super::CONFIG;

/// Runs a command with a configuration of its own folder; whether it ended well, and all that it said.
pub fn operate(data: &Path, url: Option<&str>, arguments: &[&str]) -> (bool, String) {
    operate_with(data, url, CONFIG, arguments)
}

/// As [`operate`], with another configuration; `DATA` stands for the data folder.
pub fn operate_with(
    data: &Path,
    url: Option<&str>,
    config: &str,
    arguments: &[&str],
) -> (bool, String) {
    let file = data.join("operator.toml");
    let text = config.replace("DATA", data.to_str().unwrap());
    fs::write(&file, format!("# kept\n{text}")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_speedwell-backend"));
    command.arg("--config").arg(&file).args(arguments);
    command.env_remove("DATABASE_URL");
    if let Some(url) = url {
        command.args(["--database-url", url]);
    }
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// The address of the test's own database.
pub async fn url_of(pool: &PgPool) -> String {
    let name: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(pool)
        .await
        .unwrap();
    let base = std::env::var("DATABASE_URL").unwrap();
    format!("{}/{name}", base.rsplit_once('/').unwrap().0)
}
