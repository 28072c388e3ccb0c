//! `[Service]`: hardening. Treeward has no sandbox of its own; what ordinary tools can do stands in
//! the command line: setpriv(1) for privileges (`privileges`), and a shell with unshare(1) and
//! mount(8) for file systems. What needs a filter of system calls is dropped.

use super::exec::UNESCAPED_INSTANCE;
use super::privileges;
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
    all(&["CapabilityBoundingSet", "AmbientCapabilities"], privileges::capabilities),
    once(&["SecureBits"], |_, _| Ok(dropped("the secure bits of a thread are left alone"))),
    once(&["PrivateTmp"], |import, it| {
        if !matches!(it.value.as_str(), "disconnected" | "connected") && !it.boolean()? {
            return Ok(kept());
        }
        for path in PRIVATE_TMP {
            mount(import, it, 5, private_tmp(path));
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
    once(&["PrivateUsers"], |import, it| {
        if !matches!(it.value.as_str(), "self" | "identity") && !it.boolean()? {
            return Ok(kept());
        }
        import.parts.private_users = Some(it.number);
        Ok(approximated(
            "by unshare(1) in the command line: it knows no user but its own, and does not \
                         start where user namespaces are forbidden",
        ))
    }),
    once(&["RemoveIPC"], |import, it| {
        if it.boolean()? {
            import.parts.remove_ipc = Some(it.number);
        }
        Ok(kept_by("only an ordinary user's objects are removed"))
    }),
    once(&["MountAPIVFS"], |_, it| {
        Ok(if it.boolean() == Ok(false) { kept() } else { dropped("there is nothing like it") })
    }),
    once(&["KeyringMode"], |_, it| {
        Ok(if it.value == "shared" || it.value == "inherit" {
            approximated("keyrings are inherited")
        } else {
            dropped("keyrings are inherited")
        })
    }),
];

pub(super) const BY_SETPRIV: &str = "by setpriv(1) in the command line";
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

/// What `DynamicUser=` implies where nothing stricter is said (systemd.exec(5)).
pub(super) fn of_dynamic_user(import: &mut Import, number: usize) {
    let parts = &mut import.parts;
    parts.privileges.no_new.get_or_insert(number);
    parts.remove_ipc.get_or_insert(number);
    let is_said = |step: u8, text: &str| {
        parts.steps.iter().any(|(_, it, line)| *it == step && line.contains(text))
    };
    let (has_system, has_home) = (is_said(3, ""), is_said(4, HOMES));
    let mut lines = PRIVATE_TMP.map(|path| (5, private_tmp(path))).to_vec();
    if !has_system {
        parts.is_strict = true;
        lines.push((3, STRICT.to_owned()));
    }
    if !has_home {
        lines.push((4, format!("ro {HOMES}")));
    }
    parts.unshare.push((number, "--mount"));
    parts.steps.extend(lines.into_iter().map(|(step, line)| (number, step, line)));
}

const HOMES: &str = "/home /root /run/user";
const PRIVATE_TMP: [&str; 2] = ["/tmp", "/var/tmp"];

fn private_tmp(path: &str) -> String {
    format!("mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs {path}")
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
    let line = match it.value.as_str() {
        "read-only" => format!("ro {HOMES}"),
        "tmpfs" => {
            format!(
                "for d in {HOMES}; do [ ! -d $d ] || mount -t tmpfs -o mode=0755,ro tmpfs $d; done"
            )
        }
        _ if it.boolean()? => format!("hide {HOMES}"),
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
    let (mut before, mut all) = (Vec::new(), Vec::new());
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
        // Before anything becomes read-only, and once more where something empty was put over it.
        before.push(format!("{may_miss}point {from} {to}"));
        all.push(format!("{may_miss}point {from} {to}"));
        all.push(format!("{may_miss}mount --rbind {from} {to}"));
        if it.key == "BindReadOnlyPaths" {
            all.push(format!("{may_miss}mount -o remount,bind,ro {to}"));
        } else {
            // What became read-only meanwhile is not so here, as with systemd.
            let was = format!("w{}_{}", it.number, before.len());
            before.push(format!("{was}=1; [ -w {from} ] || {was}="));
            all.push(format!("[ -z \"${was}\" ] || {may_miss}mount -o remount,bind,rw {to}"));
        }
    }
    for line in before {
        mount(import, it, 1, line);
    }
    for line in all {
        mount(import, it, 6, line);
    }
    Ok(approximated(format!("{BY_MOUNT}, for the service and not for its hooks")))
}

/// An absolute path that can stand in a script. So can an instance's name, which holds no quote; what
/// it is unescaped to may be anything.
fn is_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains(char::is_control) && !path.contains(UNESCAPED_INSTANCE)
}

/// Everything read-only but the file systems of the kernel, and what is mounted by itself at
/// step 2, with all below it.
pub(super) const STRICT: &str = "\
findmnt -rno TARGET | while read -r d; do
  case $d in /dev|/dev/*|/proc|/proc/*|/sys|/sys/*) continue ;; esac
  for k in ${rw-}; do
    case $d/ in \"$k\"/*) continue 2 ;; esac
  done
  mount -o remount,bind,ro \"$d\" || :
done";

/// The functions that lines of the script use.
///
/// - `ro` makes a path read-only with all that is mounted below it, but for the paths of `$rw`, which
///   stay writable. What is below `/sys` for cgroups has a directive of its own.
/// - `hide` covers a path with something empty.
/// - `point` makes what something can be mounted on, where there is none.
pub(super) const FUNCTIONS: &[(&str, &str)] = &[
    (
        "ro ",
        "\
below() {
  findmnt -rno TARGET -R \"$1\" | while read -r t; do
    [ \"$t\" != \"$1\" ] || continue
    case $1:$t in /sys:/sys/fs/cgroup*) continue ;; esac
    for k in ${rw-}; do
      case $k in \"$1\"/*) case $t/ in \"$k\"/*) continue 2 ;; esac ;; esac
    done
    mount -o remount,bind,ro \"$t\" || :
  done
}
ro() {
  for d; do
    [ -e \"$d\" ] || continue
    mount --rbind \"$d\" \"$d\"
    mount -o remount,bind,ro \"$d\"
    [ ! -d \"$d\" ] || below \"$(realpath \"$d\")\"
  done
}",
    ),
    (
        "hide ",
        "hide() { for d; do if [ -d \"$d\" ]; then mount -t tmpfs -o mode=0,ro tmpfs \"$d\"; \
         elif [ -e \"$d\" ]; then mount --bind /dev/null \"$d\"; fi; done; }",
    ),
    (
        "point ",
        "point() { [ -e \"$2\" ] || if [ -d \"$1\" ]; then mkdir -p \"$2\"; \
         else mkdir -p \"$(dirname \"$2\")\"; : >\"$2\"; fi; }",
    ),
];
