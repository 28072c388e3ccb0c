//! All unit files of a directory. A file that cannot be read or used is reported under its name
//! and never stands in the way of another.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

use super::diagnostic::{Diagnostic, Place, Report};
use super::{MAX_FILE_BYTES, parse, too_large};
use crate::supervision::unit::Unit;

/// What a directory of unit files held.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The units that can be used, sorted by name.
    pub units: Vec<Unit>,
    /// The files that cannot, sorted by name.
    pub bad: Vec<BadUnit>,
}

/// A unit file that cannot be used.
#[derive(Debug)]
pub struct BadUnit {
    /// The file's name without its ending. It need not be a valid unit name.
    pub name: String,
    /// At least one.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads every `*.yml` and `*.yaml` of a directory. Other names are ignored, and so are names
/// that start with a dot.
///
/// # Errors
/// The directory cannot be read, or belongs to somebody else, or everybody may write to it: whoever
/// may add a unit may run programs as the supervisor's user.
pub fn read_directory(dir: &Path) -> io::Result<Loaded> {
    read_trusted(dir, Trust::OwnersOnly)
}

/// The same for units that are only looked at: whose they are does not matter.
///
/// # Errors
/// The directory cannot be read.
pub fn inspect_directory(dir: &Path) -> io::Result<Loaded> {
    read_trusted(dir, Trust::Anybody)
}

/// Whose units are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Only those that root or this user alone may write: they are going to be run.
    OwnersOnly,
    /// All: they are only looked at.
    Anybody,
}

fn read_trusted(dir: &Path, trust: Trust) -> io::Result<Loaded> {
    let opened = File::open(dir)?;
    let metadata = opened.metadata()?;
    if trust == Trust::OwnersOnly {
        refuse_strangers(&metadata)?;
    }
    let mut files: Vec<OsString> = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let file = entry?.file_name();
        if unit_file_stem(&file).is_some() {
            files.push(file);
        }
    }
    files.sort_unstable_by(|a, b| (unit_file_stem(a), a).cmp(&(unit_file_stem(b), b)));
    let mut loaded = Loaded { units: Vec::with_capacity(files.len()), bad: Vec::new() };
    for files in files.chunk_by(|a, b| unit_file_stem(a) == unit_file_stem(b)) {
        let result = match files {
            [file] => read_file(&opened, &dir.join(file), trust),
            several => Err(several.iter().map(|file| twice(&dir.join(file), several)).collect()),
        };
        match result {
            Ok(unit) => loaded.units.push(unit),
            Err(diagnostics) => {
                let name = files.first().and_then(|file| unit_file_stem(file)).unwrap_or_default();
                let name = name.to_string_lossy().into_owned();
                loaded.bad.push(BadUnit { name, diagnostics });
            }
        }
    }
    Ok(loaded)
}

fn refuse_strangers(directory: &Metadata) -> io::Result<()> {
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if directory.mode() & 0o002 != 0 {
        return refused(
            "everybody may write to it, so anybody could add a unit; \
             expected a directory made with mode 0755",
        );
    }
    if let Some((owner, own)) = stranger(directory) {
        return refused(&format!(
            "it belongs to user {owner}, who could add a unit and run programs as user {own}; \
             expected a directory that belongs to root or to user {own}"
        ));
    }
    Ok(())
}

/// The name without its ending, for names that are a unit file's.
fn unit_file_stem(file: &OsStr) -> Option<&OsStr> {
    let bytes = file.as_bytes();
    let stem = bytes.strip_suffix(b".yml").or_else(|| bytes.strip_suffix(b".yaml"))?;
    (!stem.is_empty() && !stem.starts_with(b".")).then(|| OsStr::from_bytes(stem))
}

fn twice(file: &Path, files: &[OsString]) -> Diagnostic {
    let names: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
    let names = names.join(" and ");
    Diagnostic::of_file(file, format!("{names} are the same unit; keep one of them"))
}

fn read_file(dir: &File, path: &Path, trust: Trust) -> Result<Unit, Vec<Diagnostic>> {
    let bytes = read_bytes(dir, path, trust).map_err(|why| vec![Diagnostic::of_file(path, why)])?;
    parse_bytes(path, &bytes)
}

/// Reads one unit from what its file holds.
pub(super) fn parse_bytes(path: &Path, bytes: &[u8]) -> Result<Unit, Vec<Diagnostic>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(path, text),
        Err(error) => {
            let text = String::from_utf8_lossy(bytes);
            let place = Place::of_offset(&text, error.valid_up_to());
            let mut report = Report::new(path, &text);
            report.at(place, "this byte is no UTF-8; a unit file is UTF-8 text");
            Err(report.finish())
        }
    }
}

/// The content of a regular file of bearable size that, where owners count, only this user or root,
/// and its group, may write. Of a symbolic link the file that it leads to counts.
fn read_bytes(dir: &File, path: &Path, trust: Trust) -> Result<Vec<u8>, String> {
    // A FIFO must not make the supervisor wait, a terminal must not become its own.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let name = path.file_name().unwrap_or_default();
    let opened = openat(dir, name, flags, Mode::empty());
    let file = opened.map(File::from).map_err(|errno| cannot_open(path, &errno.into()))?;
    let metadata = file.metadata().map_err(|error| format!("cannot be examined: {error}"))?;
    if !metadata.is_file() {
        return Err(not_regular(&metadata).to_owned());
    }
    if trust == Trust::OwnersOnly {
        refuse_writers(&metadata)?;
    }
    if metadata.len() > MAX_FILE_BYTES as u64 {
        return Err(too_large(metadata.len()));
    }
    read_all(file, metadata.len())
}

fn refuse_writers(file: &Metadata) -> Result<(), String> {
    if file.mode() & 0o002 != 0 {
        return Err("everybody may write to this file, so anybody could run programs as root; \
                    it is refused until chmod o-w"
            .to_owned());
    }
    if let Some((owner, own)) = stranger(file) {
        return Err(format!(
            "this file belongs to user {owner}, who could run programs as user {own} by it; \
             it is refused until chown {own}"
        ));
    }
    Ok(())
}

/// The owner of a file and this process's user, when the owner is neither that user nor root.
fn stranger(metadata: &Metadata) -> Option<(u32, u32)> {
    let owner = metadata.uid();
    // Asked only where the answer matters: nearly every file is root's.
    let own = || geteuid().as_raw();
    (owner != 0 && owner != own()).then(|| (owner, own()))
}

fn read_all(mut file: File, expected: u64) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("cannot be read: {error}");
    // One byte more than there should be: a read that leaves it free has reached the end.
    let mut bytes = vec![0; usize::try_from(expected).unwrap_or(0) + 1];
    let count = match file.read(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
        read => read.map_err(failed)?,
    };
    bytes.truncate(count);
    if count as u64 != expected {
        // One byte more than allowed tells a file that grew in the meantime.
        file.take((MAX_FILE_BYTES + 1).saturating_sub(count) as u64)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
    }
    if bytes.len() > MAX_FILE_BYTES { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}

fn not_regular(metadata: &std::fs::Metadata) -> &'static str {
    if metadata.is_dir() {
        "this is a directory; expected a file with one unit"
    } else {
        "this is no regular file; expected a file with one unit"
    }
}

fn cannot_open(path: &Path, error: &io::Error) -> String {
    let link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    match error.kind() {
        io::ErrorKind::NotFound if link => "the symbolic link leads nowhere".to_owned(),
        _ if error.raw_os_error() == Some(libc::ENXIO) => {
            "this is a socket; expected a file with one unit".to_owned()
        }
        _ => format!("cannot be opened: {error}"),
    }
}
