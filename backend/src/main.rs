//! `speedwell-backend`: the service, and the operator's commands around it.

mod commands;

use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    let arguments = commands::Arguments::parse();
    commands::start_logging(&arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(commands::run(arguments))
}
