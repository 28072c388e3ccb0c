//! The supervisor; with `--journal` its log lane.

use std::process::ExitCode;

use clap::Parser;
use treeward::launcher::{self, options::Options};

fn main() -> ExitCode {
    launcher::run(Options::parse())
}
