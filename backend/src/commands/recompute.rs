//! `recompute`: replays history with other parameters of the detector and prints how the alarms would differ. It changes nothing.

use clap::Args;
use speedwell_backend::config::Config;
use speedwell_backend::domain::recompute::AlarmRow;
use speedwell_backend::scheduler::recompute::preview;

use super::database;

#[derive(Debug, Args)]
pub(super) struct RecomputeArguments {
    /// A parameter: `penalty=2`. May be given several times; the others stay as they are configured.
    #[arg(long = "set", value_name = "NAME=VALUE", required = true)]
    settings: Vec<String>,
    /// Only this runtime.
    #[arg(long)]
    runtime: Option<String>,
}

pub(super) async fn run(config: &Config, arguments: RecomputeArguments) -> anyhow::Result<()> {
    let mut proposed = config.detection;
    for text in &arguments.settings {
        let parts = text.split_once('=');
        let value = parts.and_then(|(name, value)| Some((name, value.parse::<f64>().ok()?)));
        let (name, value) = value
            .ok_or_else(|| anyhow::anyhow!("--set {text:?}: write NAME=NUMBER, as in penalty=2"))?;
        proposed
            .set(name, value)
            .map_err(|message| anyhow::anyhow!("--set {message}"))?;
    }
    let database = database::open(config).await?;
    let runtime = arguments.runtime.as_deref();
    let found = preview(&database.pool, &config.detection, &proposed, runtime).await?;
    println!(
        "{} series, {} points\n{}: {} alarms, {} of them not taken back by later points\n{}: {} alarms, {} of them not taken back",
        found.series,
        found.points,
        config.detection.version(),
        found.present,
        found.present_stay,
        proposed.version(),
        found.proposed,
        found.proposed_stay
    );
    print("would be lost", &found.lost);
    print("would be new", &found.gained);
    Ok(())
}

fn print(what: &str, alarms: &[AlarmRow]) {
    println!("{} {what}", alarms.len());
    for alarm in alarms {
        let commit: String = alarm.commit.chars().take(10).collect();
        let end = if alarm.stays { "stays" } else { "taken back" };
        let known = if alarm.known.is_empty() {
            "not known here"
        } else {
            &alarm.known
        };
        println!(
            "  {} {} {} on {} at {commit}: {:+.2} %, {end}; {known}",
            alarm.runtime,
            alarm.benchmark,
            alarm.metric,
            alarm.host,
            alarm.change * 100.0
        );
    }
}
