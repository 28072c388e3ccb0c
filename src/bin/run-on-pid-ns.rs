//! Runs another init in namespaces of its own.

use std::process::ExitCode;

use clap::Parser;
use treeward::pid_ns::{self, options::Options};

fn main() -> ExitCode {
    pid_ns::run(&Options::parse())
}
