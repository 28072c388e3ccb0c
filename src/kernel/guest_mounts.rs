//! Mounts in a mount namespace of one's own, as a guest system needs them.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, fstat, makedev, mknod, umask};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, chroot, pivot_root};

use super::membership::mount_points;
use super::{Error, sys};

/// What a new file system may not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Neither devices, nor programs, nor privilege: what the kernel makes up.
    Nothing,
    /// Programs.
    Programs,
    /// Devices.
    Devices,
}

impl Holds {
    fn flags(self) -> MsFlags {
        match self {
            Self::Nothing => MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
            Self::Programs => MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
            Self::Devices => MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        }
    }
}

/// Cuts every mount of this namespace off from those it was copied from, so that nothing mounted
/// here shows up outside. Without it a new `/proc` here replaces the machine's, where the
/// machine's mounts are shared.
///
/// # Errors
/// EPERM without the privilege.
pub fn make_private() -> Result<(), Error> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NONE, "/", NONE, flags, NONE).map_err(|e| Error::at("make private", "/".as_ref(), e))
}

const NONE: Option<&str> = None;

/// Mounts a new file system of this kind; the directory is made where it is missing.
///
/// # Errors
/// The kernel's answer, with the directory.
pub fn new(kind: &str, at: &Path, holds: Holds, options: &str) -> Result<(), Error> {
    make_dir(at)?;
    let mounted = match try_new(kind, at, holds, options) {
        // The same file system is mounted there already, with whatever stands on it.
        Err(Errno::EBUSY) => {
            uncover(at);
            try_new(kind, at, holds, options)
        }
        other => other,
    };
    mounted.map_err(|e| Error::new("mount", format!("a new {kind} at {}", at.display()), e))
}

fn try_new(kind: &str, at: &Path, holds: Holds, options: &str) -> Result<(), Errno> {
    mount(Some(kind), at, Some(kind), holds.flags(), Some(options))
}

/// An overlay of a lower directory, which is only read, and an upper one, which takes all changes.
///
/// # Errors
/// ENODEV when the kernel has no overlayfs.
pub fn overlay(lower: &Path, upper: &Path, work: &Path, at: &Path) -> Result<(), Error> {
    for dir in [upper, work, at] {
        make_dir(dir)?;
    }
    let (lower, upper, work) = (lower.display(), upper.display(), work.display());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    mount(Some("overlay"), at, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .map_err(|errno| Error::at("mount an overlay at", at, errno))
}

/// A copy of a file's or directory's mount, with all mounts below it, to be shown elsewhere. It
/// stays at hand although its path may get covered, and is as it was when it was taken.
#[derive(Debug)]
pub struct Source {
    mount: OwnedFd,
    path: PathBuf,
    is_dir: bool,
}

impl Source {
    /// Takes the copy, in the mount namespace where it is to be shown.
    ///
    /// # Errors
    /// ENOENT when the path does not exist.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mount = c_path(path).and_then(|path| sys::clone_mount(&path));
        let mount = mount.map_err(|errno| Error::at("copy the mount of", path, errno))?;
        let kind = fstat(&mount).map_err(|errno| Error::at("stat", path, errno))?.st_mode;
        let is_dir = kind & libc::S_IFMT == libc::S_IFDIR;
        Ok(Self { mount, path: path.to_owned(), is_dir })
    }

    /// Shows it. The place is made where it is missing.
    ///
    /// # Errors
    /// The kernel's answer, with both paths; EBUSY or EINVAL the second time, for the copy is
    /// where it was shown first.
    pub fn show_at(&self, at: &Path) -> Result<(), Error> {
        if self.is_dir {
            make_dir(at)?;
        } else if !at.exists() {
            make_dir(at.parent().unwrap_or(at))?;
            File::create(at).map_err(|e| Error::io("create", at, &e))?;
        }
        let shown = c_path(at).and_then(|at| sys::attach_mount(self.mount.as_fd(), &at));
        let both = || format!("{} at {}", self.path.display(), at.display());
        shown.map_err(|errno| Error::new("mount", both(), errno))
    }
}

fn c_path(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

/// Makes a path read-only for this mount namespace, and not the file system behind it for
/// everybody (`remount,ro` alone would). One that is missing is passed over.
///
/// # Errors
/// The kernel's answer.
pub fn make_read_only(path: &Path) -> Result<(), Error> {
    if !path.exists() {
        return Ok(());
    }
    let failed = |errno| Error::at("make read-only", path, errno);
    // The flags that the mount has must be given again, or the kernel takes them off.
    let kept = statvfs(path).map_err(failed)?.flags();
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    for (has, flag) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
    ] {
        flags.set(flag, kept.contains(has));
    }
    match mount(NONE, path, NONE, flags, NONE) {
        // It is no mount point yet.
        Err(Errno::EINVAL) => mount(Some(path), path, NONE, MsFlags::MS_BIND, NONE)
            .and_then(|()| mount(NONE, path, NONE, flags, NONE))
            .map_err(failed),
        done => done.map_err(failed),
    }
}

/// Takes every cgroup tree at or below the directory out of sight, of version 1, too.
pub fn hide_cgroups(below: &Path) {
    let mut points = mount_points();
    points.retain(|(point, kind)| {
        point.starts_with(below) && matches!(kind.as_str(), "cgroup" | "cgroup2")
    });
    for (point, _) in points.iter().rev() {
        // What cannot be taken away stays visible, and is covered by what comes.
        let _ = umount2(point, MntFlags::MNT_DETACH);
    }
}

/// Takes away whatever is mounted at the path; nothing is fine.
pub fn uncover(path: &Path) {
    while umount2(path, MntFlags::MNT_DETACH).is_ok() {}
}

/// Makes a directory with its parents; one that is there is fine.
///
/// # Errors
/// EROFS for one, with the path.
pub fn make_dir(path: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|e| Error::io("make the directory", path, &e))
}

/// Makes a directory that everybody may write to.
///
/// # Errors
/// As [`make_dir`].
pub fn make_open_dir(path: &Path) -> Result<(), Error> {
    make_dir(path)?;
    let mode = fs::Permissions::from_mode(0o1777);
    fs::set_permissions(path, mode).map_err(|e| Error::io("set the mode of", path, &e))
}

/// Makes a symbolic link.
///
/// # Errors
/// EEXIST for one.
pub fn link(target: &str, at: &Path) -> Result<(), Error> {
    symlink(target, at).map_err(|e| Error::io("make the link", at, &e))
}

/// A device node as it is outside: its numbers and its mode.
#[derive(Debug)]
pub struct Device {
    numbers: u64,
    kind: SFlag,
    mode: u32,
    source: Source,
}

impl Device {
    /// Looks at a device node.
    ///
    /// # Errors
    /// ENOENT when there is none, ENODEV when it is something else.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let metadata = fs::metadata(path).map_err(|e| Error::io("stat", path, &e))?;
        let kind = SFlag::from_bits_truncate(metadata.mode() & libc::S_IFMT);
        if kind != SFlag::S_IFCHR && kind != SFlag::S_IFBLK {
            return Err(Error::at("find a device at", path, Errno::ENODEV));
        }
        let source = Source::open(path)?;
        Ok(Self { numbers: metadata.rdev(), kind, mode: metadata.mode() & 0o7777, source })
    }

    /// Makes a node for the same device, whose owner and mode are nobody else's. Where the kernel
    /// does not allow that (in a container), the node from outside is shown itself.
    ///
    /// # Errors
    /// The kernel's answer, with the path.
    pub fn make_at(&self, at: &Path) -> Result<(), Error> {
        make_dir(at.parent().unwrap_or(at))?;
        let mode = Mode::from_bits_truncate(self.mode);
        match mknod(at, self.kind, mode, self.numbers) {
            Err(Errno::EPERM) => self.source.show_at(at),
            Err(errno) => Err(Error::at("make the device", at, errno)),
            Ok(()) => Ok(()),
        }
    }
}

/// Makes the node of a character device by its numbers, for everybody to read and write; the
/// node from outside is shown where the kernel does not allow that.
///
/// # Errors
/// The kernel's answer, with the path.
pub fn make_character_device(major: u64, minor: u64, at: &Path) -> Result<(), Error> {
    match mknod(at, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(major, minor)) {
        Ok(()) => Ok(()),
        Err(Errno::EPERM) => {
            let name = at.file_name().unwrap_or_default();
            Source::open(&Path::new("/dev").join(name))?.show_at(at)
        }
        Err(errno) => Err(Error::at("make the device", at, errno)),
    }
}

/// Sets the mask for new files to the usual one, whatever the caller's shell has.
pub fn usual_umask() {
    umask(Mode::from_bits_truncate(0o022));
}

/// Sets the mask for new files to none, for as long as modes are given exactly.
pub fn no_umask() {
    umask(Mode::empty());
}

/// Makes the directory, which must be a mount point, the root of this mount namespace, and takes
/// the old root out of it.
///
/// # Errors
/// The kernel's answer, with the path.
pub fn change_root(root: &Path) -> Result<(), Error> {
    let failed = |what, errno| Error::at(what, root, errno);
    chdir(root).map_err(|errno| failed("change to", errno))?;
    // pivot_root(2): with both the same, the old root lies over the new one until it is detached.
    match pivot_root(".", ".") {
        Ok(()) => {
            umount2(".", MntFlags::MNT_DETACH).map_err(|e| failed("leave the root for", e))?
        }
        // The first root of a machine, an initramfs, cannot be put elsewhere: it is covered.
        Err(Errno::EINVAL) => {
            mount(Some("."), "/", NONE, MsFlags::MS_MOVE, NONE)
                .map_err(|errno| failed("move to the root", errno))?;
            chroot(".").map_err(|errno| failed("change the root to", errno))?;
        }
        Err(errno) => return Err(failed("pivot the root to", errno)),
    }
    chdir("/").map_err(|errno| failed("change to the root of", errno))
}

/// Moves this process to a directory as its root, which may belong to another mount namespace.
///
/// # Errors
/// The kernel's answer.
pub fn enter_root(root: &OwnedFd) -> Result<(), Error> {
    nix::unistd::fchdir(root)
        .and_then(|()| chroot("."))
        .map_err(|errno| Error::new("change the root to", "the guest's", errno))
}

/// Opens the root directory of a process.
///
/// # Errors
/// ENOENT when it is gone, EACCES when it may not be looked into.
pub fn root_of(pid: u32) -> Result<OwnedFd, Error> {
    let path = format!("/proc/{pid}/root");
    open(path.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| Error::at("open", path.as_ref(), errno))
}

/// Opens a file below a directory, whose links lead nowhere but below that directory.
///
/// # Errors
/// ENOENT for one.
pub fn open_within(root: &OwnedFd, path: &str) -> Result<File, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    openat2(root, path, within(flags)).map(File::from)
}

/// Makes an empty file below a directory, as [`open_within`] finds it.
///
/// # Errors
/// ENOENT when its own directory is missing, EEXIST.
pub fn make_within(root: &OwnedFd, path: &str) -> Result<File, Errno> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
    openat2(root, path, within(flags).mode(Mode::S_IRUSR)).map(File::from)
}

fn within(flags: OFlag) -> OpenHow {
    OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT)
}

/// Switches the loopback interface of a new network namespace on, whose sysfs this is.
///
/// # Errors
/// The kernel's answer.
pub fn raise_loopback(sys: &Path) -> Result<(), Error> {
    let path = sys.join("class/net/lo/flags");
    // IFF_UP | IFF_LOOPBACK (netdevice(7)).
    fs::write(&path, "0x9").map_err(|e| Error::io("write to", &path, &e))
}
