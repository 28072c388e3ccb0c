//! `[Service]`: hardening. Treeward has no sandbox of its own yet; what ordinary tools can do
//! stands in the command line: setpriv(1) for privileges, and a shell with unshare(1) and
//! mount(8) for file systems. What needs a system call filter is dropped.

use super::exec::{INSTANCE, UNESCAPED_INSTANCE};
use super::report::{Verdict, approximated, dropped, kept, kept_by};
use super::systemd::{Counts, Directive, Import, Known, Read};
use super::words::shell_quoted;

const fn once(keys: &'static [&'static str], read: Read) -> Known {
    Known { section: "Service", keys, counts: Counts::Once, read }
}

const fn all(keys: &'static [&'static str], read: Read) -> Known {
    Known { section: "Service", keys, counts: Counts::All, read }
}

pub(super) const KEYS: &[Known] = &[
    once(&["NoNewPrivileges"], |import, it| {
        if it.boolean()? {
            import.parts.privileges.no_new = Some(it.number);
        }
        Ok(kept_by(BY_SETPRIV))
    }),
    all(&["CapabilityBoundingSet", "AmbientCapabilities"], capabilities),
    once(&["SecureBits"], |_, _| Ok(dropped("the secure bits of a thread are left alone"))),
    once(&["PrivateTmp"], |import, it| {
        if !matches!(it.value.as_str(), "disconnected" | "connected") && !it.boolean()? {
            return Ok(kept());
        }
        for path in ["/tmp", "/var/tmp"] {
            mount(import, it, 5, format!("mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs {path}"));
        }
        Ok(approximated(format!("{BY_MOUNT}, in memory, for the service and not for its hooks")))
    }),
    once(&["ProtectSystem"], protect_system),
    once(&["ProtectHome"], protect_home),
    all(&["ReadWritePaths", "ReadWriteDirectories"], |import, it| {
        paths(import, it, 2, |path| format!("mount --rbind {path} {path}"))
    }),
    all(&["ReadOnlyPaths", "ReadOnlyDirectories"], |import, it| {
        paths(import, it, 4, |path| format!("ro {path}"))
    }),
    all(&["InaccessiblePaths", "InaccessibleDirectories"], |import, it| {
        paths(import, it, 6, |path| format!("hide {path}"))
    }),
    all(&["TemporaryFileSystem"], |import, it| {
        paths(import, it, 5, |path| {
            format!("mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs {path}")
        })
    }),
    all(&["BindPaths", "BindReadOnlyPaths"], bind),
    once(&["PrivateDevices"], |import, it| {
        if it.boolean()? {
            mount(import, it, 7, DEVICES.to_owned());
            import.parts.privileges.deny(it.number, &["mknod", "sys_rawio"]);
        }
        Ok(approximated(format!("{BY_MOUNT}, without CAP_MKNOD and CAP_SYS_RAWIO")))
    }),
    once(&["ProtectKernelTunables"], |import, it| {
        if it.boolean()? {
            mount(
                import,
                it,
                8,
                "ro /proc/sys /proc/sysrq-trigger /proc/irq /proc/fs /sys".to_owned(),
            );
        }
        Ok(approximated(BY_MOUNT))
    }),
    once(&["ProtectControlGroups"], |import, it| {
        if !matches!(it.value.as_str(), "private" | "strict") && !it.boolean()? {
            return Ok(kept());
        }
        mount(import, it, 9, "ro /sys/fs/cgroup".to_owned());
        Ok(approximated(BY_MOUNT))
    }),
    once(&["ProtectKernelModules"], |import, it| {
        if it.boolean()? {
            import.parts.privileges.deny(it.number, &["sys_module"]);
        }
        Ok(approximated("CAP_SYS_MODULE is gone, by setpriv(1)"))
    }),
    once(&["ProtectKernelLogs"], |import, it| {
        if it.boolean()? {
            import.parts.privileges.deny(it.number, &["syslog"]);
        }
        Ok(approximated("CAP_SYSLOG is gone, by setpriv(1)"))
    }),
    once(&["ProtectClock"], |import, it| {
        if it.boolean()? {
            import.parts.privileges.deny(it.number, &["sys_time", "wake_alarm"]);
        }
        Ok(approximated("CAP_SYS_TIME and CAP_WAKE_ALARM are gone, by setpriv(1)"))
    }),
    once(&["ProtectHostname"], |import, it| {
        if it.value != "private" && !it.boolean()? {
            return Ok(kept());
        }
        import.parts.unshare.push((it.number, "--uts"));
        Ok(approximated("by unshare(1): it can change its own name only"))
    }),
    once(&["PrivateNetwork"], |import, it| {
        if it.boolean()? {
            import.parts.unshare.push((it.number, "--net"));
            mount(import, it, 0, "ip link set lo up".to_owned());
        }
        Ok(kept_by("by unshare(1) and ip(8) in the command line"))
    }),
    once(&["PrivateIPC"], |import, it| {
        if it.boolean()? {
            import.parts.unshare.push((it.number, "--ipc"));
        }
        Ok(kept_by("by unshare(1) in the command line"))
    }),
    once(&["PrivateMounts"], |import, it| {
        if it.boolean()? {
            import.parts.unshare.push((it.number, "--mount"));
        }
        Ok(kept_by("by unshare(1) in the command line"))
    }),
    once(&["ProtectProc"], |import, it| {
        let hidden = match it.value.as_str() {
            "default" => return Ok(kept()),
            "noaccess" => "noaccess",
            "invisible" => "invisible",
            "ptraceable" => "ptraceable",
            _ => return Ok(dropped("there is no such way")),
        };
        import.parts.proc_options.push((it.number, format!("hidepid={hidden}")));
        Ok(kept_by(BY_MOUNT))
    }),
    once(&["ProcSubset"], |import, it| {
        if it.value == "pid" {
            import.parts.proc_options.push((it.number, "subset=pid".to_owned()));
        }
        Ok(kept_by(BY_MOUNT))
    }),
    once(&["RestrictRealtime"], |import, it| {
        if !it.boolean()? {
            return Ok(kept());
        }
        import.parts.restricts_realtime = Some(it.number);
        Ok(dropped(FILTER))
    }),
    all(
        &[
            "SystemCallFilter",
            "SystemCallArchitectures",
            "SystemCallErrorNumber",
            "SystemCallLog",
            "RestrictAddressFamilies",
            "RestrictNamespaces",
            "MemoryDenyWriteExecute",
            "LockPersonality",
            "RestrictSUIDSGID",
            "RestrictFileSystems",
        ],
        |_, it| Ok(if it.boolean() == Ok(false) { kept() } else { dropped(FILTER) }),
    ),
    once(&["RemoveIPC", "PrivateUsers", "MountAPIVFS"], |_, it| {
        Ok(if it.boolean() == Ok(false) { kept() } else { dropped("there is nothing like it") })
    }),
    all(&["DeviceAllow", "DevicePolicy"], |_, it| {
        Ok(match it.value.as_str() {
            "auto" => kept(),
            _ => dropped("access to devices is not filtered by cgroup"),
        })
    }),
    once(&["KeyringMode"], |_, it| {
        Ok(if it.value == "shared" || it.value == "inherit" {
            approximated("keyrings are inherited")
        } else {
            dropped("keyrings are inherited")
        })
    }),
];

const BY_SETPRIV: &str = "by setpriv(1) in the command line";
const BY_MOUNT: &str = "by unshare(1) and mount(8) in the command line";
const FILTER: &str = "it needs a filter of system calls";

/// Adds a line to the shell's script. Lines stand in the order of their steps: what stays writable
/// first, what covers others later.
fn mount(import: &mut Import, it: &Directive, step: u8, line: String) {
    if step > 0 {
        import.parts.unshare.push((it.number, "--mount"));
    }
    import.parts.steps.push((it.number, step, line));
}

fn protect_system(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let lines = match it.value.as_str() {
        "full" => "ro /usr /boot /efi /etc",
        "strict" => STRICT,
        _ if it.boolean()? => "ro /usr /boot /efi",
        _ => return Ok(kept()),
    };
    mount(import, it, 3, lines.to_owned());
    if it.value == "strict" {
        import.parts.is_strict = true;
    }
    Ok(approximated(format!("{BY_MOUNT}, for the service and not for its hooks")))
}

fn protect_home(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let homes = "/home /root /run/user";
    let line = match it.value.as_str() {
        "read-only" => format!("ro {homes}"),
        "tmpfs" => {
            format!(
                "for d in {homes}; do [ ! -d $d ] || mount -t tmpfs -o mode=0755,ro tmpfs $d; done"
            )
        }
        _ if it.boolean()? => format!("hide {homes}"),
        _ => return Ok(kept()),
    };
    mount(import, it, 4, line);
    Ok(approximated(format!("{BY_MOUNT}, for the service and not for its hooks")))
}

/// Paths with `-` (may be missing) and `+` (below the root directory) before them.
fn paths(
    import: &mut Import,
    it: &Directive,
    step: u8,
    line: fn(&str) -> String,
) -> Result<Verdict, Verdict> {
    let mut all = Vec::new();
    for word in it.words()? {
        let path = word.trim_start_matches(['-', '+']);
        let may_miss = word[..word.len() - path.len()].contains('-');
        let path = path.split(':').next().unwrap_or_default();
        if !is_path(path) {
            return Ok(dropped(format!("{path:?} is no absolute path")));
        }
        let quoted = shell_quoted(path);
        let line = line(&quoted);
        let quiet = line.starts_with("ro ") || line.starts_with("hide ");
        all.push(if may_miss && !quiet { format!("[ ! -e {quoted} ] || {line}") } else { line });
    }
    for line in all {
        mount(import, it, step, line);
    }
    Ok(approximated(format!("{BY_MOUNT}, for the service and not for its hooks")))
}

fn bind(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let mut all = Vec::new();
    for word in it.words()? {
        let path = word.trim_start_matches('-');
        let mut parts = path.split(':');
        let from = parts.next().unwrap_or_default();
        let to = parts.next().filter(|to| !to.is_empty()).unwrap_or(from);
        if !is_path(from) || !is_path(to) {
            return Ok(dropped("both must be absolute paths"));
        }
        let (from, to) = (shell_quoted(from), shell_quoted(to));
        let may_miss =
            if path.len() < word.len() { format!("[ ! -e {from} ] || ") } else { String::new() };
        all.push(format!("{may_miss}mount --rbind {from} {to}"));
        if it.key == "BindReadOnlyPaths" {
            all.push(format!("{may_miss}mount -o remount,bind,ro {to}"));
        }
    }
    for line in all {
        mount(import, it, 6, line);
    }
    Ok(approximated(format!("{BY_MOUNT}; what it is bound to must be there")))
}

/// An absolute path that can stand in a script; an instance's name cannot.
fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains(char::is_control)
        && !path.contains([INSTANCE, UNESCAPED_INSTANCE])
}

/// Everything read-only but the file systems of the kernel, and what is mounted by itself at
/// step 2.
pub(super) const STRICT: &str = "\
findmnt -rno TARGET | while read -r d; do
  case $d in /dev|/dev/*|/proc|/proc/*|/sys|/sys/*) continue ;; esac
  case \"$rw \" in *\" $d \"*) continue ;; esac
  mount -o remount,bind,ro \"$d\" || :
done";

/// The functions that lines of the script use.
pub(super) const FUNCTIONS: &[(&str, &str)] = &[
    (
        "ro ",
        "ro() { for d; do [ ! -e \"$d\" ] || { mount --rbind \"$d\" \"$d\"; \
         mount -o remount,bind,ro \"$d\"; }; done; }",
    ),
    (
        "hide ",
        "hide() { for d; do if [ -d \"$d\" ]; then mount -t tmpfs -o mode=0,ro tmpfs \"$d\"; \
         elif [ -e \"$d\" ]; then mount --bind /dev/null \"$d\"; fi; done; }",
    ),
];

/// A `/dev` without the machine's devices.
const DEVICES: &str = "\
cd /dev
mount -t tmpfs -o mode=0755,nosuid,noexec tmpfs /dev
for n in null zero full random urandom tty log; do
  [ ! -e $n ] || { : >/dev/$n; mount -c --bind $n /dev/$n; }
done
for n in pts shm mqueue hugepages; do
  [ ! -d $n ] || { mkdir /dev/$n; mount -c --rbind $n /dev/$n; }
done
ln -s pts/ptmx /dev/ptmx
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin; ln -s fd/1 /dev/stdout; ln -s fd/2 /dev/stderr
cd /";

/// The capabilities of Linux 6 as setpriv(1) names them (capabilities(7)).
const CAPABILITIES: &[&str] = &[
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// What setpriv(1) does before the program runs.
#[derive(Debug, Default)]
pub(super) struct Privileges {
    /// The directive `NoNewPrivileges`.
    pub no_new: Option<usize>,
    /// The capabilities that stay in the bounding set, where not all do.
    pub bounding: Option<Vec<&'static str>>,
    /// Those that an ordinary user has, too.
    pub ambient: Vec<&'static str>,
    /// The directives that both come from.
    pub from: Vec<usize>,
}

impl Privileges {
    /// Takes capabilities out of the bounding set.
    fn deny(&mut self, number: usize, names: &[&'static str]) {
        let set = self.bounding.get_or_insert_with(|| CAPABILITIES.to_vec());
        set.retain(|name| !names.contains(name));
        self.from.push(number);
    }

    /// The options of setpriv(1) for the bounding set.
    pub fn bounding_option(&self) -> Option<String> {
        let set = self.bounding.as_ref()?;
        let missing: Vec<&str> =
            CAPABILITIES.iter().copied().filter(|name| !set.contains(name)).collect();
        let list = |sign: &str, names: &[&str]| {
            names.iter().map(|name| format!("{sign}{name}")).collect::<Vec<_>>().join(",")
        };
        match (set.len(), missing.len()) {
            (_, 0) => None,
            (0, _) => Some("-all".to_owned()),
            (there, missing_count) if there < missing_count => {
                Some(format!("-all,{}", list("+", set)))
            }
            _ => Some(list("-", &missing)),
        }
    }
}

fn capabilities(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let (inverted, list) = match it.value.strip_prefix('~') {
        Some(list) => (true, list),
        None => (false, it.value.as_str()),
    };
    let mut names = Vec::new();
    let mut unknown = Vec::new();
    for word in list.split_whitespace() {
        let lower = word.to_ascii_lowercase();
        let name = lower.strip_prefix("cap_").unwrap_or(&lower);
        match CAPABILITIES.iter().find(|known| **known == name) {
            Some(name) => names.push(*name),
            None => unknown.push(word.to_owned()),
        }
    }
    let privileges = &mut import.parts.privileges;
    privileges.from.push(it.number);
    if it.key == "AmbientCapabilities" {
        if inverted {
            privileges.ambient.retain(|name| !names.contains(name));
        } else {
            privileges.ambient.extend(names);
        }
    } else if inverted {
        privileges.deny(it.number, &names);
    } else {
        // The capabilities of several lines come together, also those that another directive takes
        // out; to take out too many is the safe side.
        let listed = import.parts.listed_capabilities.get_or_insert_with(Vec::new);
        listed.extend(names);
    }
    if unknown.is_empty() {
        Ok(kept_by(BY_SETPRIV))
    } else {
        Ok(approximated(format!("{BY_SETPRIV}, without {}", unknown.join(" "))))
    }
}

/// Keeps what the lists of `CapabilityBoundingSet` name, where there is one.
pub(super) fn settle(import: &mut Import) {
    if let Some(listed) = import.parts.listed_capabilities.take() {
        let set = import.parts.privileges.bounding.get_or_insert_with(|| CAPABILITIES.to_vec());
        set.retain(|name| listed.contains(name));
    }
    let user = import.parts.user.as_ref().is_some_and(|(_, user)| user != "root");
    if let (Some(number), true) = (import.parts.restricts_realtime, user) {
        import.draft.put("ulimits", "rtprio", super::yaml::Yaml::bare("0"), number);
        let why = "an ordinary user without CAP_SYS_NICE and rtprio may not ask for it";
        import.report.set(number, approximated(why));
    }
}
