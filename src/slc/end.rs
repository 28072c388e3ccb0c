//! How slc ends: what is written, and which exit status follows.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::Supervisor;
use super::style::clean;
use crate::pid_ns::enter::NoEntry;
use crate::protocol::client::ClientError;
use crate::protocol::message::{Listing, Versioned};
use crate::protocol::{Failure, Request};
use crate::supervision::name::UnitName;
use crate::words::words_of;

/// The exit status, documented in `slc --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Failed,
    NotRunning,
    NoSuchUnit,
    Unreachable,
    Silent,
    Denied,
    /// A command that was run in a guest ended with this.
    Command(u8),
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        Self::from(match end {
            End::Done => 0,
            End::Failed => 1,
            End::NotRunning => 3,
            End::NoSuchUnit => 4,
            End::Unreachable => 5,
            End::Silent => 6,
            End::Denied => 7,
            End::Command(status) => status,
        })
    }
}

/// Why a command could not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The supervisor said no, or nothing.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An order took too long, or the supervisor hangs: that cannot be told apart.
    #[error("{error}; the order may still be carried out: slc status {} shows it", units.join(" "))]
    Late {
        /// That there was no answer.
        error: ClientError,
        /// Of whom.
        units: Vec<String>,
    },
    /// Standard output could not be written.
    #[error("standard output: {}", words_of(.0))]
    Output(io::Error),
    /// Only root may do this.
    #[error("{}", NoEntry::NotRoot)]
    NotRoot,
    /// The guest of a unit cannot be entered.
    #[error("{unit}: {error}")]
    Enter {
        /// The unit.
        unit: String,
        /// Why.
        error: NoEntry,
    },
    /// Manual pages could not be written.
    #[error("{}: {}", path.display(), words_of(source))]
    Pages {
        /// Where to.
        path: std::path::PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A unit directory could not be read.
    #[error("{0}; name another by --units")]
    Units(#[from] crate::unit_file::Unreadable),
    /// A file could not be read, written or renamed.
    #[error("{}: {}", path.display(), words_of(source))]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no help for that.
    #[error("there is no help for {0}; {1}")]
    NoTopic(String, String),
    /// Something else is in the way.
    #[error("{0}")]
    InTheWay(String),
    /// There is no log directory.
    #[error("no such directory: {}; name it by --log-dir", path.display())]
    NoLogDir {
        /// Where the logs should be.
        path: std::path::PathBuf,
    },
    /// No unit could be made of what was to be imported.
    #[error("{why}")]
    Import {
        /// The file, and what is wrong with it.
        why: String,
    },
    /// A unit could not be written.
    #[error("{}: {}; nothing was changed there", path.display(), words_of(source))]
    NotWritten {
        /// The file.
        path: std::path::PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A log could not be read.
    #[error("{}: {}", path.display(), words_of(source))]
    Log {
        /// The log.
        path: std::path::PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Failed {
    /// Tells people on standard error, and gives the exit status.
    pub fn tell(&self, supervisor: &Supervisor) -> End {
        if let Self::Client(ClientError::Failed(Failure::NoSuchUnit { unit, similar })) = self {
            complain(&no_such_unit(unit, similar));
            if let Some(text) = diagnostic_of(supervisor, unit) {
                complain_lines(&text);
            }
        } else {
            complain(&self.to_string());
        }
        self.end()
    }

    fn end(&self) -> End {
        let error = match self {
            Self::Client(error) => error,
            Self::Late { error, .. } => error,
            Self::NotRoot => return End::Denied,
            Self::File { source, .. } | Self::Log { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                return End::Denied;
            }
            _ => return End::Failed,
        };
        match error {
            ClientError::NotThere { .. } | ClientError::HungUp | ClientError::System { .. } => {
                End::Unreachable
            }
            ClientError::NotAllowed { .. } => End::Denied,
            ClientError::Silent { .. } => End::Silent,
            ClientError::BadAnswer(_) => End::Failed,
            ClientError::Failed(failure) => match failure {
                Failure::NoSuchUnit { .. } => End::NoSuchUnit,
                Failure::NotRunning { .. } => End::NotRunning,
                Failure::PermissionDenied {} => End::Denied,
                Failure::Busy { .. } => End::Unreachable,
                _ => End::Failed,
            },
        }
    }
}

/// Writes text to standard output at once. Who has stopped reading has seen enough: that is no
/// failure, but the time to end.
pub(super) fn put(text: &str) -> Result<End, Failed> {
    match write(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(End::Done),
        Err(error) => Err(Failed::Output(error)),
        Ok(()) => Ok(End::Done),
    }
}

/// Writes text to standard output at once.
pub(super) fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes lines to standard error that are no complaint.
pub(super) fn note(text: &str) {
    let lines: String = text.lines().map(|line| clean(line) + "\n").collect();
    let _ = io::stderr().lock().write_all(lines.as_bytes());
}

/// Writes one line to standard error, as `slc: ...`.
pub(super) fn complain(line: &str) {
    complain_lines(&clean(line));
}

/// Writes a text of several lines to standard error. When even that fails nobody can be told.
pub(super) fn complain_lines(text: &str) {
    let lines: Vec<_> = text.trim_end().lines().map(clean).collect();
    let _ = io::stderr().lock().write_all(format!("slc: {}\n", lines.join("\n")).as_bytes());
}

/// The most characters of a name that are shown; a unit's name has fewer.
const SHOWN: usize = 255;

/// "no such unit: ngnix; did you mean nginx?"
pub(super) fn no_such_unit(unit: &str, similar: &[String]) -> String {
    let unit = match unit.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &unit[..end]),
        None => unit.to_owned(),
    };
    match similar {
        [] => format!("no such unit: {unit}"),
        [one] => format!("no such unit: {unit}; did you mean {one}?"),
        [first @ .., last] => {
            format!("no such unit: {unit}; did you mean {} or {last}?", first.join(", "))
        }
    }
}

/// A unit may be missing because its file could not be used: then that is the answer.
fn diagnostic_of(supervisor: &Supervisor, unit: &str) -> Option<String> {
    if unit.ends_with('@') {
        return Some(format!("it may be a template; a unit is an instance of it such as {unit}1"));
    }
    let listing: Listing = supervisor.ask(&Request::List).ok()?;
    if let Some(mask) = listing.masked.iter().find(|mask| mask.name == unit) {
        return Some(format!("it is masked by {}, a link to /dev/null", mask.link));
    }
    let Some(problem) = listing.problems.into_iter().find(|problem| problem.name == unit) else {
        let file = unread(supervisor, unit)?;
        return Some(format!("{}: not read yet; slc reload takes it in", file.display()));
    };
    Some(format!("its file could not be used:\n{}", problem.text))
}

/// The file of a unit that the supervisor does not know: it came after the last reload.
fn unread(supervisor: &Supervisor, unit: &str) -> Option<PathBuf> {
    // What is no name could lead anywhere.
    let name = UnitName::new(unit).ok()?;
    let Versioned { version } = supervisor.ask(&Request::Version).ok()?;
    let dirs = version.units.split(':').rev();
    let mut files = dirs.flat_map(|dir| {
        ["yml", "yaml"].map(|ending| Path::new(dir).join(format!("{name}.{ending}")))
    });
    files.find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::no_such_unit;

    #[test]
    fn a_wrong_name_brings_those_that_come_near() {
        let similar = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            no_such_unit("ngnix", &names)
        };
        assert_eq!(similar(&[]), "no such unit: ngnix");
        let long = no_such_unit(&"é".repeat(5_000), &[]);
        assert!(long.ends_with("éé...") && long.chars().count() < 300, "{long}");
        assert_eq!(similar(&["nginx"]), "no such unit: ngnix; did you mean nginx?");
        assert_eq!(similar(&["a", "b", "c"]), "no such unit: ngnix; did you mean a, b or c?");
    }
}
