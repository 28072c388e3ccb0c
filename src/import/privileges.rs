//! Capabilities, `no_new_privs` and what follows from them: setpriv(1) in the command line.

use super::report::{Verdict, approximated, dropped, kept_by};
use super::sandbox::BY_SETPRIV;
use super::systemd::{Directive, Import};

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
    pub fn deny(&mut self, number: usize, names: &[&'static str]) {
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

pub(super) fn capabilities(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
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
    let parts = &import.parts;
    let groups = parts.group.is_some() || !parts.supplementary.is_empty();
    let is_odd =
        !parts.privileges.ambient.is_empty() || (groups && !super::layers::has_user(import));
    if let (Some(number), true) = (parts.private_users, is_odd) {
        import.parts.private_users = None;
        let why =
            "unshare(1) does not go with capabilities of its own, nor with root in other groups";
        import.report.set(number, dropped(why));
    }
    let user = import.parts.user.as_ref().is_some_and(|(_, user)| user != "root");
    let privileges = &import.parts.privileges;
    let has = |name: &&str| match (user, &privileges.bounding) {
        (true, _) => privileges.ambient.contains(name),
        (false, Some(set)) => set.contains(name),
        (false, None) => true,
    };
    // With CAP_SYS_RESOURCE a process lifts its own limits.
    let is_held = !["sys_nice", "sys_resource"].iter().any(has);
    if let (Some(number), true) = (import.parts.restricts_realtime, is_held) {
        import.draft.put("ulimits", "rtprio", super::yaml::Yaml::bare("0"), number);
        let why = "without CAP_SYS_NICE and with rtprio 0 it is refused";
        import.report.set(number, approximated(why));
    }
}
