//! What every Linux system needs before anything else runs: the kernel's own file systems, the
//! names in `/dev`, a console, a hostname, the loopback interface. What an initramfs or a container
//! has set up already is left as it is.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use nix::errno::Errno;
use nix::mount::MsFlags;

use crate::kernel::machine;
use crate::kernel::membership::has_cgroup2;
use crate::kernel::mounts;
use crate::words::words_of;

/// A file system of the kernel's own.
struct Needed {
    kind: &'static str,
    point: &'static str,
    flags: MsFlags,
    /// Options, the best first: older kernels refuse what they do not know.
    data: &'static [&'static str],
}

const SAFE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

const NEEDED: [Needed; 6] = [
    Needed { kind: "sysfs", point: "/sys", flags: SAFE, data: &[""] },
    Needed { kind: "devtmpfs", point: "/dev", flags: MsFlags::MS_NOSUID, data: &["mode=0755"] },
    Needed {
        kind: "devpts",
        point: "/dev/pts",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
        // Group 5 is `tty` on all distributions; agetty and mesg(1) need it.
        data: &["gid=5,mode=620,ptmxmode=666"],
    },
    Needed {
        kind: "tmpfs",
        point: "/dev/shm",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV),
        data: &["mode=1777"],
    },
    // Without it a guest's init would put a /run of its own over ours.
    Needed {
        kind: "tmpfs",
        point: "/run",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV),
        data: &["mode=0755"],
    },
    Needed {
        kind: "cgroup2",
        point: "/sys/fs/cgroup",
        flags: SAFE,
        data: &["nsdelegate,memory_recursiveprot", "nsdelegate", ""],
    },
];

/// Names that programs expect in `/dev`, and devtmpfs does not have.
const LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Mounts what is missing and gives what went wrong, in sentences: there may be no console yet to
/// say it on.
pub(super) fn mount_all() -> Vec<String> {
    let mut problems = Vec::new();
    mount_proc(&mut problems);
    for needed in &NEEDED {
        if !is_there(needed) {
            mount_one(needed, &mut problems);
        }
    }
    for (link, target) in LINKS {
        if fs::symlink_metadata(link).is_err()
            && let Err(e) = symlink(target, link)
        {
            problems.push(format!("cannot make {link}: {}", words_of(&e)));
        }
    }
    problems
}

/// A `/proc` of another pid namespace is as good as none: process 1 must find itself in it.
fn mount_proc(problems: &mut Vec<String>) {
    let own = std::process::id().to_string();
    if fs::read_link("/proc/self").is_ok_and(|pid| pid.as_os_str() == own.as_str()) {
        return;
    }
    let proc = Needed { kind: "proc", point: "/proc", flags: SAFE, data: &[""] };
    mount_one(&proc, problems);
}

fn is_there(needed: &Needed) -> bool {
    if needed.kind == "cgroup2" {
        return has_cgroup2();
    }
    let point = Path::new(needed.point);
    match mounts::list() {
        Ok(mounts) => mounts.iter().any(|mount| mount.point == point),
        // Without /proc: what is mounted has another device number than its parent directory.
        Err(_) => {
            let device = |path: &Path| fs::symlink_metadata(path).ok().map(|it| it.dev());
            device(point).is_some() && device(point) != point.parent().and_then(device)
        }
    }
}

fn mount_one(needed: &Needed, problems: &mut Vec<String>) {
    let point = Path::new(needed.point);
    if let Err(error) = mounts::make_point(point) {
        problems.push(format!("{error}; {} is not mounted", needed.kind));
        return;
    }
    let mut refused = None;
    for data in needed.data {
        match mounts::mount(Path::new(needed.kind), point, needed.kind, needed.flags, data) {
            Ok(()) => return,
            Err(error) if error.errno() == Errno::EINVAL => refused = Some(error),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    problems.extend(refused.map(|error| format!("{}: {error}; going on without", needed.kind)));
}

/// Opens the console as standard input, output and error, in place of those that process 1 was
/// started without; with `named` in place of all three.
pub(super) fn open_console(named: Option<&Path>) -> Result<(), String> {
    let closed = machine::closed_at_start();
    let replaced = [0, 1, 2].map(|fd: usize| named.is_some() || closed.get(fd) == Some(&true));
    if replaced == [false; 3] {
        return Ok(());
    }
    let path = named.unwrap_or(Path::new("/dev/console"));
    let open = |path: &Path| File::options().read(true).write(true).open(path);
    let (console, failed) = match open(path) {
        Ok(console) => (console, None),
        Err(e) => {
            let why = words_of(&e);
            let null = open(Path::new("/dev/null")).map_err(|_| format!("no console: {why}"))?;
            (null, Some(format!("cannot open the console {}: {why}", path.display())))
        }
    };
    let done = [
        !replaced[0] || nix::unistd::dup2_stdin(&console).is_ok(),
        !replaced[1] || nix::unistd::dup2_stdout(&console).is_ok(),
        !replaced[2] || nix::unistd::dup2_stderr(&console).is_ok(),
    ];
    match failed {
        None if done == [true; 3] => Ok(()),
        None => Err("cannot make the console the standard descriptors".to_owned()),
        Some(failed) => Err(failed),
    }
}

/// Names the machine as the file says: its first line that is neither blank nor a comment.
pub(super) fn set_hostname(file: &Path) {
    if machine::shares_hostname() {
        log::debug!("the hostname is that of the machine outside; it stays");
        return;
    }
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(e) => {
            let (file, why) = (file.display(), words_of(&e));
            log::warn!("cannot read {file}: {why}; the hostname stays as it is");
            return;
        }
    };
    let name = match hostname_in(&text) {
        Ok(name) => name,
        Err(why) => {
            log::warn!("{}: {why}; the hostname stays as it is", file.display());
            return;
        }
    };
    match machine::set_hostname(&name) {
        Ok(()) => log::info!("hostname {name}"),
        Err(error) => log::warn!("{error}; the hostname stays as it is"),
    }
}

/// The name in a hostname(5) file. At most 64 bytes, of letters, digits, `-`, `.` and `_`.
fn hostname_in(text: &[u8]) -> Result<String, &'static str> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut names = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let name = names.next().ok_or("no name in it")?;
    if name.len() > 64 {
        return Err("the name is longer than the 64 bytes that the kernel takes");
    }
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    if !name.iter().all(is_allowed) {
        return Err("a name is made of letters, digits, '-', '.' and '_'");
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hostname_is_the_first_line_that_says_one() {
        let long = "x".repeat(64);
        for (text, name) in [
            ("box\n", "box"),
            ("# my box\n\n  box.example.org \r\nother\n", "box.example.org"),
            (long.as_str(), long.as_str()),
        ] {
            assert_eq!(hostname_in(text.as_bytes()).as_deref(), Ok(name));
        }
        let too_long = "x".repeat(65);
        for text in ["", "\n# a\n", "a b\n", "a/b", "\u{e9}", too_long.as_str()] {
            assert!(hostname_in(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(hostname_in(b"a\0b").is_err());
    }
}
