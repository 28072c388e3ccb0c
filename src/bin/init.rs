//! Process 1 of a machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    treeward::pid1::main()
}
