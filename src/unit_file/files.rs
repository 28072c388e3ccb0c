//! Files and directories as they may be read: only this user's or root's, of bearable size, and
//! none that would keep the supervisor waiting.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, makedev};
use nix::unistd::geteuid;

use super::{MAX_FILE_BYTES, too_large};
use crate::words::words_of;

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    /// It is a link to `/dev/null`: there is to be no such unit, or no such drop-in.
    Masked,
}

/// Whose units are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Only those that root or this user alone may write: they are going to be run.
    OwnersOnly,
    /// All: they are only looked at.
    Anybody,
}

/// Opens a directory that only this user or root, and its group, may write: whoever may add a unit
/// may run programs as the supervisor's user.
///
/// # Errors
/// The directory cannot be read, or is not safe.
pub(super) fn open_directory(dir: &Path, trust: Trust) -> io::Result<File> {
    let opened = File::open(dir)?;
    let metadata = opened.metadata()?;
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if !metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is no directory"));
    }
    if trust == Trust::Anybody {
        return Ok(opened);
    }
    if metadata.mode() & 0o002 != 0 {
        return refused(
            "everybody may write to it, so anybody could add a unit; \
             expected a directory made with mode 0755",
        );
    }
    if let Some((owner, own)) = stranger(&metadata) {
        return refused(&format!(
            "it belongs to user {owner}, who could add a unit and run programs as user {own}; \
             expected a directory that belongs to root or to user {own}"
        ));
    }
    Ok(opened)
}

/// The content of a regular file of bearable size that only this user or root, and its group, may
/// write. Of a symbolic link the file that it leads to counts.
pub(super) fn read(dir: &File, path: &Path, trust: Trust) -> Result<Content, String> {
    // A FIFO must not make the supervisor wait, a terminal must not become its own.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let name = path.file_name().unwrap_or_default();
    let opened = openat(dir, name, flags, Mode::empty());
    let file = opened.map(File::from).map_err(|errno| cannot_open(path, &errno.into()))?;
    let metadata =
        file.metadata().map_err(|error| format!("cannot be examined: {}", words_of(&error)))?;
    if !metadata.is_file() {
        return if is_null(&metadata) {
            Ok(Content::Masked)
        } else {
            Err(not_regular(&metadata).to_owned())
        };
    }
    if metadata.mode() & 0o002 != 0 && trust == Trust::OwnersOnly {
        return Err("everybody may write to this file, so anybody could run programs as root; \
                    it is refused until chmod o-w"
            .to_owned());
    }
    if let Some((owner, own)) = stranger(&metadata).filter(|_| trust == Trust::OwnersOnly) {
        return Err(format!(
            "this file belongs to user {owner}, who could run programs as user {own} by it; \
             it is refused until chown {own}"
        ));
    }
    if metadata.len() > MAX_FILE_BYTES as u64 {
        return Err(too_large(metadata.len()));
    }
    read_all(file, metadata.len()).map(Content::Bytes)
}

/// The name without the ending of a unit file, for names that are one's.
pub(super) fn stem(file: &OsStr) -> Option<&OsStr> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = file.as_bytes();
    let stem = bytes.strip_suffix(b".yml").or_else(|| bytes.strip_suffix(b".yaml"))?;
    (!stem.is_empty() && !stem.starts_with(b".")).then(|| OsStr::from_bytes(stem))
}

/// `/dev/null` itself (null(4)), whatever it is called.
fn is_null(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == makedev(1, 3)
}

/// The owner of a file and this process's user, when the owner is neither that user nor root.
fn stranger(metadata: &Metadata) -> Option<(u32, u32)> {
    let owner = metadata.uid();
    // Asked only where the answer matters: nearly every file is root's.
    let own = || geteuid().as_raw();
    (owner != 0 && owner != own()).then(|| (owner, own()))
}

fn read_all(mut file: File, expected: u64) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("cannot be read: {}", words_of(&error));
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

fn not_regular(metadata: &Metadata) -> &'static str {
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
        _ => format!("cannot be opened: {}", words_of(error)),
    }
}
