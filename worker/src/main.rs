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
use speedwell_worker::counters::{Calibration, Outcome, calibrate, calibrate_valgrind};
use speedwell_worker::host;
use speedwell_worker::job::Shop;
use speedwell_worker::process::{Reached, level};
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
    /// Examine whether this host is fit to measure. Exit code 0: it is; 10: with warnings; 20: it is not.
    Doctor {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make this host quieter until asked to end, then put everything back.
    Tune {
        /// Only put back what a tuning that was killed has left.
        #[arg(long)]
        restore: bool,
        /// Only print what has to be set at boot: the kernel's command line and systemd's processors.
        #[arg(long, conflicts_with = "restore")]
        print_boot: bool,
    },
    /// Open every counter of this host, count known work with each, and say why the rest cannot.
    Counters,
    /// Turn a loop of known length; started by `counters` under valgrind.
    #[command(hide = true)]
    Spin {
        /// How many times.
        turns: u64,
    },
    /// Do one job if there is one, deliver it, and end.
    Once,
    /// Make a box's file system and run a command in it; started by the worker itself.
    #[command(hide = true)]
    Seal {
        /// What can be seen and written, as JSON.
        plan: String,
        /// The command.
        #[arg(last = true)]
        command: Vec<std::ffi::OsString>,
    },
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
    if let Command::Seal { plan, command } = &arguments.command {
        return speedwell_worker::process::seal::enter(plan, command).map(|()| ExitCode::SUCCESS);
    }
    if let Command::Spin { turns } = arguments.command {
        speedwell_worker::counters::spin(turns);
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::read(&arguments.config)?;
    std::fs::create_dir_all(&config.data)
        .with_context(|| format!("data: cannot make the folder {}", config.data.display()))?;
    match arguments.command {
        Command::Check => Ok(check(&config, &level::required(&config)?)),
        Command::Doctor { json } => doctor(&config, json),
        Command::Tune {
            restore,
            print_boot,
        } => tune(&config, restore, print_boot),
        Command::Run => work(config, false),
        Command::Once => work(config, true),
        Command::Counters => counters(&config),
        Command::Drive { .. } | Command::Spin { .. } | Command::Seal { .. } => {
            unreachable!("is done above")
        }
    }
}

fn counters(config: &Config) -> anyhow::Result<ExitCode> {
    let folder = config.data.join("calibration");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("data: cannot make the folder {}", folder.display()))?;
    let mut all = calibrate();
    all.push(calibrate_valgrind(&std::env::current_exe()?, &folder));
    for one in &all {
        println!("{}", one.describe());
    }
    for line in speedwell_worker::counters::plan::of_host().describe() {
        println!("{line}");
    }
    let wrong = |one: &Calibration| matches!(one.outcome, Outcome::Wrong { .. });
    Ok(if all.iter().any(wrong) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn doctor(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let mut checks = host::doctor::examine(&host::System::here(), config.cpus.as_deref());
    checks.push(host::doctor::of_box(level::reach(config), config.isolation));
    if json {
        println!("{}", serde_json::to_string_pretty(&checks)?);
    } else {
        print!("{}", host::doctor::render(&checks));
    }
    Ok(ExitCode::from(host::doctor::exit_code(&checks)))
}

fn tune(config: &Config, restore: bool, print_boot: bool) -> anyhow::Result<ExitCode> {
    let (system, folder) = (host::System::here(), config.data.join("tune"));
    if print_boot {
        print!(
            "{}",
            host::tune::boot_text(&system, config.cpus.as_deref())?
        );
        return Ok(ExitCode::SUCCESS);
    }
    if restore {
        print_lines(&host::tune::restore(&system, &folder)?);
        return Ok(ExitCode::SUCCESS);
    }
    let tuning = host::tune::apply(&system, config.cpus.as_deref(), &folder)?;
    print_lines(&tuning.report);
    println!("until Ctrl-C");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(asked_to_end())?;
    print_lines(&tuning.end()?);
    Ok(ExitCode::SUCCESS)
}

fn print_lines(lines: &[String]) {
    for line in lines {
        println!("{line}");
    }
}

/// Waits for SIGTERM or SIGINT.
async fn asked_to_end() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn check(config: &Config, reached: &Reached) -> ExitCode {
    let mut findings = host::check(config, reached);
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

fn work(config: Config, once: bool) -> anyhow::Result<ExitCode> {
    let reached = level::required(&config)?;
    tracing::info!("box: {}", reached.describe());
    let findings = host::check(&config, &reached);
    for finding in &findings {
        if let Err(words) = &finding.outcome {
            // A full disk passes; everything else needs an operator.
            anyhow::ensure!(finding.what == "disk", "{}: {words}", finding.what);
        }
    }
    let tuning = begin_tuning(&config)?;
    let shop = Shop {
        suites: Suites::install(&config.harness, &config.suites, &config.data)?,
        spool: Spool::open(&config.data.join("spool"))?,
        backend: Backend::new(&config.backend, &config.token_file)?,
        toolchain: host::toolchain(),
        sandbox: reached.sandbox,
        config,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        let (end, ending) = watch::channel(false);
        tokio::spawn(async move {
            if let Err(error) = asked_to_end().await {
                tracing::error!("signals cannot be heard: {error}");
            }
            tracing::info!("asked to end");
            end.send_replace(true);
        });
        Agent::new(Arc::new(shop), ending, once).run().await
    });
    for line in tuning
        .map(host::tune::Tuning::end)
        .transpose()?
        .unwrap_or_default()
    {
        tracing::info!("{line}");
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Makes the host quieter where the configuration asks for it. What a killed worker left is put back in any case.
fn begin_tuning(config: &Config) -> anyhow::Result<Option<host::tune::Tuning>> {
    let (system, folder) = (host::System::here(), config.data.join("tune"));
    if !config.tune {
        host::tune::restore(&system, &folder)?;
        return Ok(None);
    }
    let tuning = host::tune::apply(&system, config.cpus.as_deref(), &folder)?;
    for line in &tuning.report {
        tracing::info!("tuned: {line}");
    }
    Ok(Some(tuning))
}
