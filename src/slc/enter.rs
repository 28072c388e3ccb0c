//! `slc enter`.

use std::ffi::OsString;

use super::Supervisor;
use super::end::{End, Failed};
use crate::pid_ns::enter::{self, NoEntry};
use crate::protocol::message::Statuses;
use crate::protocol::{Failure, Request};

/// Runs a command in the guest of a unit, on our own terminal; its exit status becomes ours.
pub(super) fn run(
    supervisor: &Supervisor,
    unit: &str,
    command: &[OsString],
) -> Result<End, Failed> {
    let answer: Statuses = supervisor.ask(&Request::Status { units: vec![unit.to_owned()] })?;
    let processes: Vec<u32> =
        answer.services.iter().flat_map(|status| &status.tree).map(|process| process.pid).collect();
    if processes.is_empty() {
        return Err(Failed::Client(Failure::NotRunning { unit: unit.to_owned() }.into()));
    }
    match enter::run(&processes, command) {
        Ok(status) => Ok(End::Command(status)),
        Err(NoEntry::NotRoot) => Err(Failed::NotRoot),
        Err(error) => Err(Failed::Enter { unit: unit.to_owned(), error }),
    }
}
