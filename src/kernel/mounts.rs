//! The mount table: reading it (proc_pid_mountinfo(5)), and changing it (mount(2), umount2(2)).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags};

use super::{Error, errno_of};

/// A mount as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// The type of its file system: `ext4`, `proc`.
    pub kind: String,
    /// What is mounted: a device, or a word of the file system's own.
    pub source: PathBuf,
    /// Whether nothing can be written through this mount.
    pub read_only: bool,
}

/// Every mount that this process can reach, in the order of the kernel's list: what is mounted on
/// top of another comes after it.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn list() -> Result<Vec<Mount>, Error> {
    let path = Path::new("/proc/self/mountinfo");
    let text = fs::read(path).map_err(|e| Error::io("read", path, &e))?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/sda1 rw,errors=continue`
fn parse(line: &[u8]) -> Option<Mount> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = words.iter().skip(6).position(|word| *word == b"-")? + 6;
    let [kind, source, super_options, ..] = words.get(dash + 1..)? else {
        return None;
    };
    let is_ro = |options: &[u8]| options.split(|byte| *byte == b',').any(|word| word == b"ro");
    Some(Mount {
        point: unescape(words.get(4)?).into(),
        kind: String::from_utf8_lossy(kind).into_owned(),
        source: unescape(source).into(),
        read_only: is_ro(words.get(5)?) || is_ro(super_options),
    })
}

/// Reads `\040` and its like, which stand for blanks in the kernel's tables and in fstab(5). What
/// is no escape stays as it is.
#[must_use]
pub fn unescape(text: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let value = octal.and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit)).then_some(())?;
            u8::from_str_radix(digits, 8).ok()
        });
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    OsString::from_vec(bytes)
}

/// Mounts a file system, or with MS_REMOUNT changes a mount, or with MS_BIND shows a directory in
/// a second place.
///
/// # Errors
/// What mount(2) said.
pub fn mount(
    source: &Path,
    point: &Path,
    kind: &str,
    flags: MsFlags,
    data: &str,
) -> Result<(), Error> {
    let data = Some(data).filter(|data| !data.is_empty());
    nix::mount::mount(Some(source), point, Some(kind), flags, data)
        .map_err(|errno| Error::at("mount on", point, errno))
}

/// Unmounts what is on top there. Symbolic links are not followed.
///
/// # Errors
/// EBUSY while something uses it.
pub fn unmount(point: &Path) -> Result<(), Error> {
    nix::mount::umount2(point, MntFlags::UMOUNT_NOFOLLOW)
        .map_err(|errno| Error::at("unmount", point, errno))
}

/// Makes a file system read-only, in every place where it is mounted.
///
/// # Errors
/// EBUSY while a file is open for writing, or is open and has been removed.
pub fn remount_read_only(point: &Path) -> Result<(), Error> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    nix::mount::mount(None::<&Path>, point, None::<&str>, flags, None::<&str>)
        .map_err(|errno| Error::at("remount read-only", point, errno))
}

/// Makes a directory to mount on, with those above it, or keeps the one that is there.
///
/// # Errors
/// EROFS on a root that is read-only.
pub fn make_point(point: &Path) -> Result<(), Error> {
    match fs::create_dir_all(point) {
        Err(e) if errno_of(&e) != Errno::EEXIST => Err(Error::io("make the directory", point, &e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read_with_and_without_optional_fields() {
        let line =
            b"36 35 98:0 /m /mnt/a\\040b rw,noatime master:1 shared:2 - ext4 /dev/sd\\134a ro";
        let mount = parse(line).unwrap();
        assert_eq!(mount.point, Path::new("/mnt/a b"));
        assert_eq!((mount.kind.as_str(), mount.read_only), ("ext4", true));
        assert_eq!(mount.source, Path::new("/dev/sd\\a"));
        let plain = parse(b"22 27 0:21 / /proc rw,relatime - proc - rw").unwrap();
        assert_eq!((plain.point, plain.read_only), ("/proc".into(), false));
        for broken in ["", "1 2 3", "1 2 3:4 / /x rw", "1 2 3:4 / /x rw - ext4", "- - - - - - -"] {
            assert_eq!(parse(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn an_escape_is_three_octal_digits_and_all_else_stays() {
        for (text, plain) in [
            (&b"a\\040b"[..], &b"a b"[..]),
            (b"\\134040", b"\\040"),
            (b"\\04", b"\\04"),
            (b"\\", b"\\"),
            (b"\\089", b"\\089"),
            (b"\\777", b"\\777"),
            (b"\\377\xff", b"\xff\xff"),
            (b"", b""),
        ] {
            assert_eq!(unescape(text).into_vec(), plain, "{text:?}");
        }
    }

    #[test]
    fn the_table_of_this_process_has_a_root_and_proc() {
        let mounts = list().unwrap();
        assert!(mounts.iter().any(|mount| mount.point == Path::new("/")));
        let proc = mounts.iter().find(|mount| mount.point == Path::new("/proc")).unwrap();
        assert_eq!(proc.kind, "proc");
    }
}
