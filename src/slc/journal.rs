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
use crate::protocol::client::{Client, ClientError};
use crate::protocol::message::{Statuses, Versioned};
use crate::protocol::{Failure, Request};

/// Where the logs are when nobody says otherwise.
const LOG_DIR: &str = "/var/log/treeward";

/// Logs of no unit: the supervisor's, and what comes from no unit over the syslog socket.
const OWN: [&str; 2] = ["treeward", "syslog"];

/// How long a supervisor may take to say where the logs are; the logs of one that hangs are
/// wanted most.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows the last lines of a log, and further ones when that is wanted.
pub(super) fn run(supervisor: &Supervisor, wanted: &Wanted, style: &Style) -> Result<End, Failed> {
    let dir = wanted.log_dir.clone().unwrap_or_else(|| log_dir(supervisor));
    // A log file that is missing is no error to the reader, so it is the directory.
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Failed::NoLogDir { path: dir.clone() },
        _ => Failed::Log { path: dir.join(format!("{}.log", wanted.unit)), source },
    };
    let show = |lines: &[Line]| render(lines, wanted, style);
    // One line at least, or nobody would know whether there is a log.
    let lines = Reader::last(&dir, &wanted.unit, wanted.lines.max(1)).map_err(failed)?;
    if lines.is_empty() {
        dir.metadata().map_err(failed)?;
        must_exist(supervisor, &wanted.unit)?;
        if !wanted.follow {
            complain(&format!("{} has no lines in {}", wanted.unit, dir.display()));
        }
    }
    if !wanted.follow {
        return put(&show(&lines[lines.len().saturating_sub(wanted.lines)..]));
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

/// Fails where a supervisor says that there is no such unit; without one nobody knows.
fn must_exist(supervisor: &Supervisor, unit: &str) -> Result<(), Failed> {
    let timeout = supervisor.timeout.unwrap_or(PATIENCE).min(PATIENCE);
    let status = Request::Status { units: vec![unit.to_owned()] };
    let answer = Client::connect(&supervisor.socket, timeout)
        .and_then(|mut client| client.call::<Statuses>(&status, Some(timeout)));
    match answer {
        Err(ClientError::Failed(failure @ Failure::NoSuchUnit { .. })) if !OWN.contains(&unit) => {
            Err(ClientError::Failed(failure).into())
        }
        _ => Ok(()),
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
