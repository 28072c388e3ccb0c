//! The supervisor; with `--journal` its log lane.

use std::process::ExitCode;

use clap::Parser;
use treeward::kernel::heap::Heap;
use treeward::launcher::{self, options::Options};

/// Every start copies the page tables of this process, but not those of the heap.
#[global_allocator]
static HEAP: Heap = Heap;

fn main() -> ExitCode {
    launcher::run(Options::parse())
}
