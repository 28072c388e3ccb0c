//! Where the unit files are, and which of the directories is the operator's own.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use super::Supervisor;
use super::args::Place;
use super::end::{End, Failed, complain, complain_lines, no_such_unit};
use crate::protocol::Request;
use crate::protocol::client::Client;
use crate::protocol::message::Versioned;
use crate::unit_file::{Diagnostic, Directories, OPERATORS};

/// How long a supervisor may take to say where it reads units.
const PATIENCE: Duration = Duration::from_secs(1);

/// The directories that the command line names, else the supervisor's, else the usual ones.
pub(super) fn directories(supervisor: &Supervisor, place: &Place) -> Result<Directories, Failed> {
    let absolute = |path: &PathBuf| {
        std::path::absolute(path).map_err(|source| Failed::File { path: path.clone(), source })
    };
    if !place.dirs.is_empty() {
        return Ok(Directories::of(place.dirs.iter().map(absolute).collect::<Result<_, _>>()?));
    }
    let timeout = supervisor.timeout.unwrap_or(PATIENCE).min(PATIENCE);
    let version = Client::connect(&supervisor.socket, timeout)
        .and_then(|mut client| client.call::<Versioned>(&Request::Version, Some(timeout)));
    let dirs = version.map(|answer| answer.version.units).unwrap_or_default();
    Ok(Directories::of(dirs.split(':').filter(|dir| !dir.is_empty()).map(PathBuf::from).collect()))
}

/// The directory that the operator's changes go to: the usual one, or the first that may be
/// written.
pub(super) fn own(directories: &Directories) -> Result<PathBuf, Failed> {
    let is_own = |dir: &&Path| *dir == Path::new(OPERATORS);
    let may_write = |dir: &&Path| access(*dir, AccessFlags::W_OK).is_ok();
    let found = directories.paths().find(is_own).or_else(|| directories.paths().find(may_write));
    found.map(Path::to_owned).ok_or_else(|| Failed::File {
        path: directories.paths().next().map(Path::to_owned).unwrap_or_default(),
        source: io::ErrorKind::PermissionDenied.into(),
    })
}

/// Says that there is nothing of this name.
pub(super) fn absent(directories: &Directories, name: &str) -> End {
    complain(&no_such_unit(name, &directories.similar(name)));
    End::NoSuchUnit
}

/// Says what is wrong with unit files.
pub(super) fn tell(wrong: &[Diagnostic]) {
    for diagnostic in wrong {
        complain_lines(&diagnostic.to_string());
    }
}
