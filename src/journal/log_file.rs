//! One log file: opened without following links, written by whole lines, rotated by renaming.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;

/// How far writing came before it failed.
pub(super) struct Stopped {
    /// Bytes of whole lines that are in the file.
    pub(super) done: usize,
    pub(super) why: io::Error,
}

impl Stopped {
    pub(super) fn after(done: usize) -> impl FnOnce(io::Error) -> Self {
        move |why| Self { done, why }
    }
}

/// The name of a unit's log file: `<unit>.log`, or `<unit>.log.<n>` for the n-th older one.
pub(super) fn file_name(unit: &str, number: u32) -> String {
    if number == 0 { format!("{unit}.log") } else { format!("{unit}.log.{number}") }
}

/// Opens the log directory, which is made when only its last component is missing.
///
/// A directory that others can write to, or that belongs to another user, is refused: whoever can
/// rename there could send root's writes elsewhere.
pub(super) fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let dir = File::from(nix::fcntl::open(path, flags, Mode::empty())?);
    let meta = dir.metadata()?;
    if meta.uid() != 0 && meta.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::other("the log directory belongs to another user"));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(io::Error::other("the log directory is writable by others"));
    }
    Ok(dir.into())
}

/// Opens a unit's log file at its end. A line that was torn by a crash is ended first.
pub(super) fn open(dir: &OwnedFd, unit: &str) -> io::Result<File> {
    // O_NONBLOCK keeps the open of a FIFO or a device that stands in the way from hanging.
    let flags = OFlag::O_RDWR
        | OFlag::O_APPEND
        | OFlag::O_CREAT
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    let name = file_name(unit, 0);
    let mut file =
        File::from(openat(dir.as_fd(), name.as_str(), flags, Mode::from_bits_truncate(0o640))?);
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("the log file is not a regular file"));
    }
    let mut last = [b'\n'];
    if meta.len() > 0 {
        file.read_exact_at(&mut last, meta.len() - 1)?;
    }
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

/// Appends whole lines to a file of `size` bytes. When the disk takes only a part, the torn line
/// is cut off again.
pub(super) fn append(file: &mut File, size: u64, bytes: &[u8]) -> Result<(), Stopped> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write(&bytes[done..]) {
            Ok(0) => {
                return Err(torn(file, size, &bytes[..done], io::ErrorKind::WriteZero.into()));
            }
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(torn(file, size, &bytes[..done], error)),
        }
    }
    Ok(())
}

fn torn(file: &File, size: u64, written: &[u8], why: io::Error) -> Stopped {
    let whole = memchr::memrchr(b'\n', written).map_or(0, |newline| newline + 1);
    if whole < written.len() {
        // Where even this fails, the next open ends the torn line, which then stands there twice:
        // once torn and once whole.
        let _ = file.set_len(size + whole as u64);
    }
    Stopped { done: whole, why }
}

/// Moves `<unit>.log` to `<unit>.log.1`, `.1` to `.2` and so on, so that `count` files stay, the
/// new one included. The caller closes the file and opens it anew.
///
/// The moves start at the lowest free number, so each of them only fills a gap and a crash between
/// two of them loses nothing. Only when no number is free is the oldest file replaced.
pub(super) fn rotate(dir: &OwnedFd, unit: &str, count: u32) -> io::Result<()> {
    let newest = file_name(unit, 0);
    if count <= 1 {
        let flag = nix::unistd::UnlinkatFlags::NoRemoveDir;
        return Ok(nix::unistd::unlinkat(dir.as_fd(), newest.as_str(), flag)?);
    }
    let last = (1..count - 1).find(|&n| !exists(dir, &file_name(unit, n))).unwrap_or(count - 1);
    for n in (0..last).rev() {
        let (from, to) = (file_name(unit, n), file_name(unit, n + 1));
        renameat(dir.as_fd(), from.as_str(), dir.as_fd(), to.as_str())?;
    }
    Ok(())
}

fn exists(dir: &OwnedFd, name: &str) -> bool {
    let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
    nix::sys::stat::fstatat(dir.as_fd(), name, flags) != Err(Errno::ENOENT)
}
