//! `slc`: orders for services and questions about them, for people and scripts.

use std::process::ExitCode;

fn main() -> ExitCode {
    treeward::slc::main()
}
