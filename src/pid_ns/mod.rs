//! `run-on-pid-ns`: another init as process 1 of its own namespaces.
//!
//! ```text
//! <leaf>/supervise   run-on-pid-ns itself, and who came in by `slc enter`
//! <leaf>/payload     the guest; made anew for each of its starts
//! ```
//!
//! Nobody but the guest may be in the payload's root: a nested systemd hands controllers down from
//! there, which the kernel refuses for a group with processes in it (cgroups(7)).
//!
//! Each start goes through `birth`; `inside` is what the child does until it is the guest, with
//! `files` for what it sees; `watch` waits for its end and speaks to it in the words of
//! `language`; `end` says what follows. [`enter`] brings other programs into a living guest.

mod birth;
mod end;
pub mod enter;
mod files;
mod inside;
mod language;
pub mod options;
mod place;
mod watch;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use end::{Next, Restarts};
use options::Options;
use place::Place;
use watch::Watch;

/// Runs the guest until it is over, and gives this process's exit status.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match guests(options) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            say(&failure.text);
            ExitCode::from(failure.status)
        }
    }
}

/// One guest after the other, for as long as they ask to be restarted.
fn guests(options: &Options) -> Result<u8, Failure> {
    if let Some(contradiction) = options.contradiction() {
        return Err(Failure { text: contradiction.to_owned(), status: 2 });
    }
    let mut watch = Watch::new()?;
    let place = Place::take();
    let mut restarts = Restarts::default();
    loop {
        let payload = place.fresh_payload()?;
        let begin = Instant::now();
        let guest = birth::start(options, payload.as_ref())?;
        let end = watch.until_end(guest, options)?;
        place.clear_payload();
        match end::what_next(&end, options) {
            Next::Exit(status) => return Ok(status),
            Next::Machine(power) => return end::ask_for(power, options),
            Next::Restart => {
                let pause = restarts.next(begin.elapsed()).ok_or_else(Restarts::too_many)?;
                if watch.told_to_stop_within(pause)? {
                    return Ok(0);
                }
            }
        }
    }
}

/// Why there is no guest, and the exit status that says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// What, where, and why.
    pub text: String,
    /// 125, or as a shell has it: 126 and 127.
    pub status: u8,
}

/// The exit status when the guest could not be set up.
const NOT_SET_UP: u8 = 125;

impl From<crate::kernel::Error> for Failure {
    fn from(error: crate::kernel::Error) -> Self {
        Self { text: error.to_string(), status: NOT_SET_UP }
    }
}

/// Writes a line to the error output, which under a supervisor is the unit's log. When even that
/// fails nobody can be told.
fn say(line: &str) {
    let _ = std::io::stderr().lock().write_all(format!("run-on-pid-ns: {line}\n").as_bytes());
}
