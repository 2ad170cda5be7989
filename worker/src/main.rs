//! `speedwell-worker`: the agent on a benchmark host.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use speedwell_worker::agent::Agent;
use speedwell_worker::backend::Backend;
use speedwell_worker::bench::Suites;
use speedwell_worker::config::Config;
use speedwell_worker::host;
use speedwell_worker::job::Shop;
use speedwell_worker::process::Sandbox;
use speedwell_worker::spool::Spool;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

/// Builds commits and runs suites on this host for a Speedwell backend.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file.
    #[arg(
        long,
        short,
        env = "SPEEDWELL_WORKER_CONFIG",
        default_value = "worker.toml",
        global = true
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Work until asked to end (SIGTERM or SIGINT); an unfinished job is handed back.
    Run,
    /// Look at everything that a job needs, and say what is missing.
    Check,
    /// Do one job if there is one, deliver it, and end.
    Once,
    /// Run a server workload from within the box; started by the worker itself.
    #[command(hide = true)]
    Drive {
        /// What to do, as JSON.
        plan: PathBuf,
        /// The descriptor that reports go to.
        events: i32,
        /// The descriptor that answers come from.
        control: i32,
    },
}

fn main() -> ExitCode {
    // Printed here and not by the runtime, which would add a backtrace where the operator's shell asks for those.
    run(Arguments::parse()).unwrap_or_else(|error| {
        eprintln!("Error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    if let Command::Drive {
        plan,
        events,
        control,
    } = &arguments.command
    {
        // Before anything else is opened: the descriptors are the worker's pipes.
        return speedwell_worker::workload::driver::drive(plan, *events, *control)
            .map(|()| ExitCode::SUCCESS);
    }
    let config = Config::read(&arguments.config)?;
    std::fs::create_dir_all(&config.data)
        .with_context(|| format!("data: cannot make the folder {}", config.data.display()))?;
    let sandbox = Sandbox::from_config(&config)?;
    match arguments.command {
        Command::Check => Ok(check(&config, &sandbox)),
        Command::Run => work(config, sandbox, false),
        Command::Once => work(config, sandbox, true),
        Command::Drive { .. } => unreachable!("is done above"),
    }
}

fn check(config: &Config, sandbox: &Sandbox) -> ExitCode {
    let mut findings = host::check(config, sandbox);
    let suites = Suites::install(&config.harness, &config.suites, &config.data);
    findings.push(host::Finding {
        what: "suites".to_owned(),
        outcome: suites.map_err(|error| format!("{error:#}")).map(|suites| {
            let manifests = suites.manifests();
            let words = manifests.iter().map(|suite| {
                format!(
                    "{} version {}: {} benchmarks",
                    suite.name,
                    suite.version,
                    suite.benchmarks.len()
                )
            });
            words.collect::<Vec<_>>().join(", ")
        }),
    });
    for finding in &findings {
        match &finding.outcome {
            Ok(words) => println!("ok    {:<10} {words}", finding.what),
            Err(words) => println!("FAIL  {:<10} {words}", finding.what),
        }
    }
    if findings.iter().all(|finding| finding.outcome.is_ok()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn work(config: Config, sandbox: Sandbox, once: bool) -> anyhow::Result<ExitCode> {
    let findings = host::check(&config, &sandbox);
    for finding in &findings {
        if let Err(words) = &finding.outcome {
            // A full disk passes; everything else needs an operator.
            anyhow::ensure!(finding.what == "disk", "{}: {words}", finding.what);
        }
    }
    let shop = Shop {
        suites: Suites::install(&config.harness, &config.suites, &config.data)?,
        spool: Spool::open(&config.data.join("spool"))?,
        backend: Backend::new(&config.backend, &config.token_file)?,
        toolchain: host::toolchain(),
        sandbox,
        config,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (end, ending) = watch::channel(false);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("asked to end");
            end.send_replace(true);
        });
        Agent::new(Arc::new(shop), ending, once).run().await
    })?;
    Ok(ExitCode::SUCCESS)
}
