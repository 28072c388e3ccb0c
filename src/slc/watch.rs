//! `slc watch`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::end::{End, Failed, complain, write};
use super::style::{Style, clean, state_color};
use super::{Supervisor, to_json};
use crate::protocol::Request;
use crate::protocol::client::ClientError;
use crate::protocol::message::Changed;
use crate::supervision::status::Change;

/// Writes one line for each change until Ctrl-C, or until no supervisor comes after one that went
/// away.
pub(super) fn run(supervisor: &Supervisor, json: bool, style: &Style) -> Result<End, Failed> {
    end_well_on_ctrl_c();
    let mut client = supervisor.connect()?;
    client.ask(&Request::Watch)?;
    loop {
        let change = match client.next(None) {
            Ok(Changed { change }) => change,
            Err(ClientError::HungUp) => {
                complain("the supervisor went away; the next one is asked");
                (client, _) = supervisor.wait_for_next()?;
                client.ask(&Request::Watch)?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let line = if json { to_json(&change) } else { render(&change, style) };
        match write(&line) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(End::Done),
            Err(error) => return Err(Failed::Output(error)),
        }
    }
}

/// For commands that end only this way: Ctrl-C is how they are done, so the exit status is 0.
/// Everything said was flushed, so that ending inside the signal handler loses nothing.
pub(super) fn end_well_on_ctrl_c() {
    let always = Arc::new(AtomicBool::new(true));
    // Without the handler Ctrl-C still ends us, only with another status.
    let _ = signal_hook::flag::register_conditional_shutdown(libc::SIGINT, 0, always);
}

fn render(change: &Change, style: &Style) -> String {
    let why = match change.why.as_str() {
        "" => String::new(),
        why => format!("  ({})", clean(why)),
    };
    format!(
        "{}  {}  {} -> {}{why}\n",
        style.local_millis(change.at),
        clean(&change.unit),
        change.from,
        style.paint(change.to.as_str(), state_color(change.to)),
    )
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::style::Style;
    use super::render;
    use crate::supervision::status::{Change, StateWord};

    #[test]
    fn a_change_is_one_line() {
        let style = Style { color: false, width: None, now: 0, zone: TimeZone::UTC };
        let mut change = Change {
            unit: "nginx".into(),
            start: 3,
            from: StateWord::Up,
            to: StateWord::Waiting,
            why: "killed by\nSIGSEGV".into(),
            at: 1_795_378_236_007,
        };
        let start = "2026-11-22 20:10:36.007  nginx  up -> waiting";
        assert_eq!(render(&change, &style), format!("{start}  (killed by\\x0aSIGSEGV)\n"));
        change.why.clear();
        assert_eq!(render(&change, &style), format!("{start}\n"));
    }
}
