//! Looks at the conditions of units. A path may lie on a file system that does not answer, so a
//! thread takes each look, and the loop goes on; a unit whose look does not come back stays
//! `blocked`, and holds up nobody who does not need it.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{Uid, User};

use super::{Launcher, Token, glob};
use crate::supervision::Moment;
use crate::supervision::condition::{self, Looked, PathIs, Virtual, What};
use crate::supervision::unit::Unit;

/// The highest user id that is the system's own (login.defs(5), `SYS_UID_MAX`).
const LAST_SYSTEM_USER: u32 = 999;
/// Threads that look at the same time; the rest waits for one of them.
const MOST: usize = 16;

/// One look: the unit as it is for this start, and the number that the rules gave it.
type Look = (Arc<Unit>, u64);

/// The looks that are on their way.
#[derive(Debug, Default)]
pub struct Looks {
    /// Made when the first unit with a condition starts.
    way: Option<Way>,
    out: usize,
    queue: std::collections::VecDeque<Look>,
}

#[derive(Debug)]
struct Way {
    to: Sender<(Look, Looked)>,
    from: Receiver<(Look, Looked)>,
    wake: Arc<EventFd>,
}

impl AsFd for Way {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl Launcher {
    pub(super) fn look_at_conditions(&mut self, unit: Arc<Unit>, number: u64, now: Moment) {
        if let Err(error) = self.make_way() {
            let why = format!("its conditions cannot be looked at: {error}");
            return self.supervisor.looked(unit.name.as_str(), number, Looked::Fail(why), now);
        }
        self.looks.queue.push_back((unit, number));
        self.send_looks(now);
    }

    fn make_way(&mut self) -> std::io::Result<()> {
        if self.looks.way.is_none() {
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            let wake = Arc::new(EventFd::from_value_and_flags(0, flags)?);
            let (to, from) = channel();
            let way = Way { to, from, wake };
            let added = self.poll.add(&way, Token::Looks.number());
            added.map_err(|error| std::io::Error::from(error.errno()))?;
            self.looks.way = Some(way);
        }
        Ok(())
    }

    fn send_looks(&mut self, now: Moment) {
        let Some(way) = &self.looks.way else { return };
        while self.looks.out < MOST {
            let Some(look) = self.looks.queue.pop_front() else { return };
            let (to, bell, work) = (way.to.clone(), Arc::clone(&way.wake), look.clone());
            let take = move || {
                let looked = condition::judge(&work.0.conditions, holds);
                let _ = to.send((work, looked));
                // A counter that is full still wakes the loop.
                let _ = bell.write(1);
            };
            let thread = thread::Builder::new().name("look".into()).stack_size(256 * 1024);
            match thread.spawn(take) {
                Ok(_) => self.looks.out += 1,
                Err(error) => {
                    let why = format!("its conditions cannot be looked at: {error}");
                    let (name, number) = (look.0.name.as_str(), look.1);
                    self.supervisor.looked(name, number, Looked::Fail(why), now);
                }
            }
        }
    }

    /// Takes what the looks have found.
    pub(super) fn take_looks(&mut self, now: Moment) {
        let Some(way) = &self.looks.way else { return };
        let _ = way.wake.read();
        let found: Vec<(Look, Looked)> = way.from.try_iter().collect();
        self.looks.out = self.looks.out.saturating_sub(found.len());
        for ((unit, number), looked) in found {
            self.supervisor.looked(unit.name.as_str(), number, looked, now);
        }
        self.send_looks(now);
    }
}

fn holds(what: &What) -> bool {
    match what {
        What::Path(is, path) => path_is(*is, path),
        What::KernelCommandLine(word) => {
            has_word(&fs::read_to_string("/proc/cmdline").unwrap_or_default(), word)
        }
        What::FirstBoot => is_first_boot(fs::read_to_string("/etc/machine-id").ok().as_deref()),
        What::User(user) => is_user(user),
        What::Architecture(kind) => is_architecture(kind),
        What::Virtualization(Virtual::Container) => is_container(),
        What::Virtualization(Virtual::Machine) => is_machine() && !is_container(),
        What::Virtualization(Virtual::Any) => is_container() || is_machine(),
        What::Glob(pattern) => glob::matches_any(pattern),
        What::AcPower => has_ac_power(Path::new("/sys/class/power_supply")),
        What::Capability(_, number) => {
            has_capability(&fs::read_to_string("/proc/self/status").unwrap_or_default(), *number)
        }
        What::Cpus(compared, wanted) => {
            // Counts those that the affinity mask and the cgroup's quota leave (sched_getaffinity(2)).
            let count = thread::available_parallelism().map_or(1, std::num::NonZero::get);
            compared.holds(u32::try_from(count).unwrap_or(u32::MAX), *wanted)
        }
    }
}

fn path_is(is: PathIs, path: &Path) -> bool {
    let file = || fs::metadata(path).ok();
    match is {
        PathIs::There => file().is_some(),
        PathIs::Directory => file().is_some_and(|file| file.is_dir()),
        PathIs::SymbolicLink => fs::symlink_metadata(path).is_ok_and(|file| file.is_symlink()),
        PathIs::MountPoint => is_mount_point(path),
        PathIs::ReadWrite => statvfs(path).is_ok_and(|fs| !fs.flags().contains(FsFlags::ST_RDONLY)),
        PathIs::NotEmptyFile => file().is_some_and(|file| file.is_file() && file.len() > 0),
        PathIs::Executable => {
            file().is_some_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        }
        PathIs::NotEmptyDirectory => {
            fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
        }
    }
}

/// A directory on another device than the one it stands in, or the root. A bind mount of the same
/// file system is told by the table of mounts.
fn is_mount_point(path: &Path) -> bool {
    let Ok(path) = fs::canonicalize(path) else { return false };
    let Some(parent) = path.parent() else { return true };
    let device = |path: &Path| fs::metadata(path).map(|file| file.dev()).ok();
    if device(&path) != device(parent) {
        return true;
    }
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let shown = path.display().to_string();
    table.lines().any(|line| line.split(' ').nth(4).is_some_and(|at| at == shown))
}

/// Whether the kernel's command line has this word, or begins a `word=value` with it where no value
/// is asked for.
fn has_word(line: &str, wanted: &str) -> bool {
    line.split_ascii_whitespace().any(|word| {
        word == wanted
            || (!wanted.contains('=') && word.split_once('=').is_some_and(|(key, _)| key == wanted))
    })
}

/// systemd's rule (machine-id(5)).
fn is_first_boot(id: Option<&str>) -> bool {
    id.is_none_or(|id| matches!(id.trim(), "" | "uninitialized"))
}

fn is_user(wanted: &str) -> bool {
    let own = Uid::effective();
    match wanted {
        "@system" => own.as_raw() <= LAST_SYSTEM_USER,
        _ if wanted.parse() == Ok(own.as_raw()) => true,
        _ => User::from_name(wanted).is_ok_and(|user| user.is_some_and(|user| user.uid == own)),
    }
}

/// The kernel's word, and systemd's for the same machine.
fn is_architecture(wanted: &str) -> bool {
    let Ok(names) = nix::sys::utsname::uname() else { return false };
    let machine = names.machine().to_string_lossy();
    let systemd = match &*machine {
        "x86_64" => "x86-64",
        "i386" | "i486" | "i586" | "i686" => "x86",
        "aarch64" => "arm64",
        "aarch64_be" => "arm64-be",
        "armv5tel" | "armv6l" | "armv7l" | "armv8l" => "arm",
        "ppc64le" => "ppc64-le",
        "loongarch64" => "loongarch64",
        other => other,
    };
    wanted == machine || wanted == systemd
}

/// Whether power comes from outside: an adapter is online, or no battery of the machine itself is
/// being used up (power_supply class, Documentation/ABI/testing/sysfs-class-power). Devices with a
/// battery of their own, such as a mouse, do not count. A machine that tells nothing has a plug.
fn has_ac_power(supplies: &Path) -> bool {
    let Ok(entries) = fs::read_dir(supplies) else { return true };
    let mut is_used_up = false;
    for supply in entries.flatten() {
        let read = |name: &str| fs::read_to_string(supply.path().join(name)).unwrap_or_default();
        if read("scope").trim() == "Device" {
            continue;
        }
        match read("type").trim() {
            "Battery" => is_used_up |= read("status").trim() == "Discharging",
            _ if read("online").trim() == "1" => return true,
            _ => {}
        }
    }
    !is_used_up
}

/// Whether the bounding set has it: `CapBnd` of `/proc/PID/status` (proc(5)), in hexadecimal digits.
fn has_capability(status: &str, number: u8) -> bool {
    let set = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let set = set.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    set.is_some_and(|set| set.checked_shr(number.into()).unwrap_or(0) & 1 == 1)
}

fn is_container() -> bool {
    let marks = ["/run/systemd/container", "/run/host/container-manager", "/.dockerenv"];
    let init = || fs::read("/proc/1/environ").unwrap_or_default();
    marks.iter().chain(&["/run/.containerenv"]).any(|mark| Path::new(mark).exists())
        || init().split(|byte| *byte == 0).any(|pair| pair.starts_with(b"container="))
}

fn is_machine() -> bool {
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = flags.lines().filter(|line| line.starts_with("flags"));
    let is_told = flags.flat_map(str::split_ascii_whitespace).any(|flag| flag == "hypervisor");
    is_told
        || Path::new("/sys/hypervisor/type").exists()
        || Path::new("/proc/device-tree/hypervisor").exists()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::{
        has_ac_power, has_capability, has_word, is_architecture, is_first_boot, is_user, path_is,
    };
    use crate::supervision::condition::PathIs;

    #[test]
    fn a_path_is_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("empty")).unwrap();
        fs::create_dir(at("full")).unwrap();
        fs::write(at("full/program"), "x").unwrap();
        fs::write(at("blank"), "").unwrap();
        fs::set_permissions(at("full/program"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink(at("nowhere"), at("link")).unwrap();
        for (is, yes, no) in [
            (PathIs::There, "blank", "link"),
            (PathIs::Directory, "empty", "blank"),
            (PathIs::SymbolicLink, "link", "blank"),
            (PathIs::NotEmptyFile, "full/program", "blank"),
            (PathIs::NotEmptyFile, "full/program", "full"),
            (PathIs::Executable, "full/program", "blank"),
            (PathIs::Executable, "full/program", "full"),
            (PathIs::NotEmptyDirectory, "full", "empty"),
            (PathIs::NotEmptyDirectory, "full", "blank"),
        ] {
            assert!(path_is(is, &at(yes)), "{is:?} {yes}");
            assert!(!path_is(is, &at(no)), "{is:?} {no}");
        }
        assert!(path_is(PathIs::MountPoint, "/proc".as_ref()));
        assert!(path_is(PathIs::MountPoint, "/".as_ref()));
        assert!(!path_is(PathIs::MountPoint, &at("full")));
        assert!(path_is(PathIs::ReadWrite, dir.path()));
    }

    #[test]
    fn a_word_of_the_kernel_is_a_whole_word_or_the_key_of_one() {
        let line = "root=/dev/vda1 quiet mode=fast\n";
        for yes in ["quiet", "root", "mode=fast", "root=/dev/vda1"] {
            assert!(has_word(line, yes), "{yes}");
        }
        for no in ["qui", "fast", "mode=slow", "root=", ""] {
            assert!(!has_word(line, no), "{no}");
        }
    }

    #[test]
    fn the_first_boot_has_no_machine_id() {
        assert!(is_first_boot(None) && is_first_boot(Some("\n")));
        assert!(is_first_boot(Some("uninitialized\n")));
        assert!(!is_first_boot(Some("0123456789abcdef0123456789abcdef\n")));
    }

    #[test]
    fn a_battery_counts_when_it_is_used_up_and_nothing_is_plugged_in() {
        let dir = tempfile::tempdir().unwrap();
        let put = |supply: &str, file: &str, text: &str| {
            fs::create_dir_all(dir.path().join(supply)).unwrap();
            fs::write(dir.path().join(supply).join(file), format!("{text}\n")).unwrap();
        };
        assert!(has_ac_power(dir.path()) && has_ac_power(&dir.path().join("none")));
        put("mouse", "type", "Battery");
        put("mouse", "scope", "Device");
        put("mouse", "status", "Discharging");
        assert!(has_ac_power(dir.path()));
        put("BAT0", "type", "Battery");
        put("BAT0", "status", "Discharging");
        put("AC", "type", "Mains");
        put("AC", "online", "0");
        assert!(!has_ac_power(dir.path()));
        put("AC", "online", "1");
        assert!(has_ac_power(dir.path()));
        put("AC", "online", "0");
        put("BAT0", "status", "Full");
        assert!(has_ac_power(dir.path()));
    }

    #[test]
    fn a_capability_is_a_bit_of_the_bounding_set() {
        let status = "CapEff:\t0000000000000000\nCapBnd:\t0000000002000001\n";
        assert!(has_capability(status, 0) && has_capability(status, 25));
        assert!(!has_capability(status, 1) && !has_capability(status, 200));
        assert!(!has_capability("", 0));
    }

    #[test]
    fn users_and_machines_go_by_each_of_their_names() {
        let own = nix::unistd::Uid::effective();
        assert!(is_user(&own.to_string()) && !is_user("no-such-user-here"));
        assert_eq!(is_user("@system"), own.as_raw() < 1_000);
        assert!(is_architecture(std::env::consts::ARCH) && !is_architecture("pdp11"));
    }
}
