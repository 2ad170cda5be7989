//! `speedwell-backend`: the service, and the operator's commands around it.

mod commands;

use std::process::ExitCode;

fn main() -> ExitCode {
    match run(commands::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Printed here and not by the runtime, which would add a backtrace where the operator's shell asks for those.
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: commands::Arguments) -> anyhow::Result<()> {
    commands::start_logging(&arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(commands::run(arguments))
}
