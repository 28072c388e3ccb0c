//! `slc man`: the manual pages of slc, for whoever packages it.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;

use super::args::Args;
use super::end::{End, Failed};

/// Writes `slc.1` and a page for each command into a directory, which is made.
pub(super) fn run(dir: &Path) -> Result<End, Failed> {
    let failed = |source| Failed::Pages { path: dir.to_owned(), source };
    pages(dir).map_err(failed)?;
    Ok(End::Done)
}

fn pages(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Args::command(), dir)
}
