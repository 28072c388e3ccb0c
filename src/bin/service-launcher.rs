//! The supervisor; with `--journal` the log lane.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
struct Arguments {
    /// Be the log lane
    #[arg(long)]
    journal: bool,
    #[command(flatten)]
    lane: treeward::journal::Options,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let _ = simplelog::SimpleLogger::init(log::LevelFilter::Info, simplelog::Config::default());
    if !arguments.journal {
        return ExitCode::FAILURE;
    }
    match treeward::journal::run(&arguments.lane) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
