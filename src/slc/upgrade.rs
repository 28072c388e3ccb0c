//! `slc upgrade`.

use std::path::Path;
use std::time::Instant;

use super::Supervisor;
use super::end::{End, Failed, put};
use super::style::clean;
use crate::protocol::Request;
use crate::protocol::client::ClientError;
use crate::protocol::message::{Listing, Nothing, Versioned};

/// Lets the supervisor become another program and waits until that one answers.
pub(super) fn run(supervisor: &Supervisor, program: Option<&Path>) -> Result<End, Failed> {
    let program = program.map(std::path::absolute).transpose().map_err(Failed::Output)?;
    let program = program.map(|path| path.display().to_string());
    let Versioned { version: old } = supervisor.ask(&Request::Version)?;
    let began = Instant::now();
    match supervisor.order::<Nothing>(&Request::Upgrade { program }) {
        // That is how it is told to be done.
        Err(ClientError::HungUp) => {}
        other => {
            other?;
        }
    }
    let (_, new) = supervisor.wait_for_next()?;
    let took = began.elapsed().as_millis();
    let listing: Listing = supervisor.ask(&Request::List)?;
    let alive = listing.services.iter().filter(|service| service.state.is_alive()).count();
    let go_on = if alive == 1 { "living service goes on" } else { "living services go on" };
    put(&format!(
        "process {}: service-launcher {} became {} in {took} ms; {alive} {go_on}\n",
        new.pid,
        clean(&old.version),
        clean(&new.version),
    ))
}
