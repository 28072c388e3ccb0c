//! `slc journal`: reads the log files itself, so it needs no supervisor.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Supervisor;
use super::args::{Format, Wanted};
use super::end::{End, Failed, complain, put, write};
use super::style::Style;
use super::watch::end_well_on_ctrl_c;
use crate::journal::{Follower, Line, Reader, clean};
use crate::protocol::Request;
use crate::protocol::client::Client;
use crate::protocol::message::Versioned;

/// Where the logs are when nobody says otherwise.
const LOG_DIR: &str = "/var/log/treeward";

/// How long a supervisor may take to say where the logs are; the logs of one that hangs are
/// wanted most.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows the last lines of a log, and further ones when that is wanted.
pub(super) fn run(supervisor: &Supervisor, wanted: &Wanted, style: &Style) -> Result<End, Failed> {
    let dir = wanted.log_dir.clone().unwrap_or_else(|| log_dir(supervisor));
    // A log file that is missing is no error to the reader, so it is the directory.
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Failed::NoLogDir { path: dir.clone() },
        _ => Failed::Log { path: dir.clone(), source },
    };
    let show = |lines: &[Line]| render(lines, wanted, style);
    if !wanted.follow {
        let lines = Reader::last(&dir, &wanted.unit, wanted.lines).map_err(failed)?;
        if lines.is_empty() {
            dir.metadata().map_err(failed)?;
            complain(&format!("{} has no lines in {}", wanted.unit, dir.display()));
        }
        return put(&show(&lines));
    }
    end_well_on_ctrl_c();
    let mut follower = Follower::new(&dir, &wanted.unit, wanted.lines).map_err(failed)?;
    loop {
        match write(&show(&follower.wait_more(None).map_err(failed)?)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(End::Done),
            Err(error) => return Err(Failed::Output(error)),
        }
    }
}

/// Where the logs are: the supervisor says, or the place where they always are.
pub(super) fn log_dir(supervisor: &Supervisor) -> PathBuf {
    let timeout = supervisor.timeout.unwrap_or(PATIENCE).min(PATIENCE);
    Client::connect(&supervisor.socket, timeout)
        .and_then(|mut client| client.call::<Versioned>(&Request::Version, Some(timeout)))
        .map_or_else(|_| LOG_DIR.into(), |answer| answer.version.log_dir.into())
}

fn render(lines: &[Line], wanted: &Wanted, style: &Style) -> String {
    let mut out = String::new();
    for line in lines {
        match wanted.output {
            Format::Json => out.push_str(&line.to_json(&wanted.unit)),
            Format::Short => push_short(&mut out, line, style),
        }
        out.push('\n');
    }
    out
}

/// Local time and text; lines that nobody stamped as they are.
fn push_short(out: &mut String, line: &Line, style: &Style) {
    let at = line.stamp().and_then(|stamp| stamp.parse::<jiff::Timestamp>().ok());
    if let Some(at) = at.and_then(|at| u64::try_from(at.as_millisecond()).ok()) {
        out.push_str(&style.paint(&style.local_millis(at), "2"));
        out.push(' ');
    }
    out.push_str(&clean(line.bytes()));
}

/// The last lines of the log file that a status names, for people; none when they cannot be read,
/// which is no reason to show no status.
pub(super) fn last_lines(log: &str, count: usize, style: &Style) -> Vec<String> {
    let log = Path::new(log);
    let (Some(dir), Some(unit)) = (log.parent(), log.file_stem().and_then(|unit| unit.to_str()))
    else {
        return Vec::new();
    };
    let lines = Reader::last(dir, unit, count).unwrap_or_default();
    let shown = |line: &Line| {
        let mut out = String::new();
        push_short(&mut out, line, style);
        out
    };
    lines.iter().map(shown).collect()
}
