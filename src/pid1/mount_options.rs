//! The words of fstab's fourth field, told apart: for mount(2)'s flags, for the file system, for
//! mount(8), for nobody. Pure.

use nix::mount::MsFlags;

use crate::kernel::swap::{Discard, How};

/// What mount(2) is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) flags: MsFlags,
    /// What the file system itself understands, with commas between.
    pub(super) data: String,
    /// How mounts below it spread, set by a second call.
    pub(super) propagation: MsFlags,
    /// There is a word that only mount(8) understands.
    pub(super) for_tool: bool,
}

/// MS_NOSYMFOLLOW, Linux 5.10.
const NOSYMFOLLOW: MsFlags = MsFlags::from_bits_retain(256);
/// MS_LAZYTIME, which not every libc has.
const LAZYTIME: MsFlags = MsFlags::from_bits_retain(1 << 25);

/// The words that set flags, and those that take the flags of others away.
const FLAGS: [(&str, MsFlags, bool); 27] = [
    ("ro", MsFlags::MS_RDONLY, true),
    ("rw", MsFlags::MS_RDONLY, false),
    ("nosuid", MsFlags::MS_NOSUID, true),
    ("suid", MsFlags::MS_NOSUID, false),
    ("nodev", MsFlags::MS_NODEV, true),
    ("dev", MsFlags::MS_NODEV, false),
    ("noexec", MsFlags::MS_NOEXEC, true),
    ("exec", MsFlags::MS_NOEXEC, false),
    ("sync", MsFlags::MS_SYNCHRONOUS, true),
    ("async", MsFlags::MS_SYNCHRONOUS, false),
    ("dirsync", MsFlags::MS_DIRSYNC, true),
    ("mand", MsFlags::MS_MANDLOCK, true),
    ("nomand", MsFlags::MS_MANDLOCK, false),
    ("noatime", MsFlags::MS_NOATIME, true),
    ("atime", MsFlags::MS_NOATIME, false),
    ("nodiratime", MsFlags::MS_NODIRATIME, true),
    ("diratime", MsFlags::MS_NODIRATIME, false),
    ("relatime", MsFlags::MS_RELATIME, true),
    ("norelatime", MsFlags::MS_RELATIME, false),
    ("strictatime", MsFlags::MS_STRICTATIME, true),
    ("nostrictatime", MsFlags::MS_STRICTATIME, false),
    ("lazytime", LAZYTIME, true),
    ("nolazytime", LAZYTIME, false),
    ("nosymfollow", NOSYMFOLLOW, true),
    ("symfollow", NOSYMFOLLOW, false),
    ("bind", MsFlags::MS_BIND, true),
    ("silent", MsFlags::MS_SILENT, true),
];

const PROPAGATION: [(&str, MsFlags); 8] = [
    ("shared", MsFlags::MS_SHARED),
    ("private", MsFlags::MS_PRIVATE),
    ("slave", MsFlags::MS_SLAVE),
    ("unbindable", MsFlags::MS_UNBINDABLE),
    ("rshared", MsFlags::MS_SHARED.union(MsFlags::MS_REC)),
    ("rprivate", MsFlags::MS_PRIVATE.union(MsFlags::MS_REC)),
    ("rslave", MsFlags::MS_SLAVE.union(MsFlags::MS_REC)),
    ("runbindable", MsFlags::MS_UNBINDABLE.union(MsFlags::MS_REC)),
];

/// The flags that user and its like imply, unless a later word says otherwise (mount(8)).
const OF_USERS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

/// Tells the words apart.
pub(super) fn plan(options: &[String]) -> Plan {
    let mut plan = Plan {
        flags: MsFlags::empty(),
        data: String::new(),
        propagation: MsFlags::empty(),
        for_tool: false,
    };
    for option in options {
        plan.take(option);
    }
    plan
}

impl Plan {
    fn take(&mut self, option: &str) {
        let name = option.split('=').next().unwrap_or_default();
        if let Some((_, flag, on)) = FLAGS.iter().find(|(word, ..)| *word == option) {
            self.flags.set(*flag, *on);
        } else if let Some((_, flags)) = PROPAGATION.iter().find(|(word, _)| *word == option) {
            self.propagation = *flags;
        } else if option == "rbind" {
            self.flags |= MsFlags::MS_BIND | MsFlags::MS_REC;
        } else if ["user", "users"].contains(&name) {
            self.flags |= OF_USERS;
        } else if ["owner", "group"].contains(&name) {
            self.flags |= MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        } else if is_for_tool(name) {
            self.for_tool = true;
        } else if !is_for_nobody(name) {
            if !self.data.is_empty() {
                self.data.push(',');
            }
            // Quotes are for commas in a value, and not the file system's business.
            self.data.extend(option.chars().filter(|c| *c != '"'));
        }
    }
}

/// Words that mount(8) does more for than to make one system call.
fn is_for_tool(name: &str) -> bool {
    ["loop", "offset", "sizelimit", "helper", "uhelper"].contains(&name)
        || name.starts_with("X-mount.") && name != "X-mount.mkdir"
}

/// Words that are for whoever reads fstab, and mean nothing to the kernel.
fn is_for_nobody(name: &str) -> bool {
    const WORDS: [&str; 10] = [
        "defaults", "auto", "noauto", "nofail", "_netdev", "nouser", "nousers", "noowner",
        "nogroup", "comment",
    ];
    WORDS.contains(&name) || name.starts_with("x-") || name.starts_with("X-")
}

/// What the words of a swap entry mean; those that mean nothing for swap are passed over.
pub(super) fn swap_plan(options: &[String]) -> Result<How, String> {
    let mut how = How::default();
    for option in options {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match (name, value) {
            // -1 is what the kernel gives when there is none.
            ("pri", "-1") => how.priority = None,
            ("pri", value) => match value.parse::<u16>() {
                Ok(priority) if priority <= 32_767 => how.priority = Some(priority),
                _ => return Err(format!("pri={value} is not between -1 and 32767")),
            },
            ("discard", "") => how.discard = Some(Discard::Both),
            ("discard", "once") => how.discard = Some(Discard::Once),
            ("discard", "pages") => how.discard = Some(Discard::Pages),
            ("discard", value) => return Err(format!("discard={value} is neither once nor pages")),
            _ => {}
        }
    }
    Ok(how)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn words_reach_the_kernel_the_file_system_or_nobody() {
        let told = plan(&words(
            "defaults ro noatime nofail _netdev x-systemd.automount x-initrd.mount comment=x \
             errors=remount-ro size=1g context=\"a,b\" rw nosuid suid lazytime",
        ));
        assert_eq!(told.flags, MsFlags::MS_NOATIME | LAZYTIME);
        assert_eq!(told.data, "errors=remount-ro,size=1g,context=a,b");
        assert!(!told.for_tool && told.propagation.is_empty());
        let nothing = plan(&words("defaults"));
        assert_eq!((nothing.flags, nothing.data.as_str()), (MsFlags::empty(), ""));
    }

    #[test]
    fn a_user_may_mount_only_what_is_harmless_unless_the_line_says_so() {
        assert_eq!(plan(&words("user")).flags, OF_USERS);
        let with_exec = plan(&words("users exec")).flags;
        assert_eq!(with_exec, MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
    }

    #[test]
    fn binds_and_propagation_are_flags_and_loops_are_for_mount() {
        let bind = plan(&words("rbind ro rslave"));
        assert_eq!(bind.flags, MsFlags::MS_BIND | MsFlags::MS_REC | MsFlags::MS_RDONLY);
        assert_eq!(bind.propagation, MsFlags::MS_SLAVE | MsFlags::MS_REC);
        for word in ["loop", "loop=/dev/loop3", "offset=512", "X-mount.idmap=x"] {
            assert!(plan(&words(word)).for_tool, "{word}");
        }
        assert!(!plan(&words("X-mount.mkdir=0755 x-gvfs-show")).for_tool);
    }

    #[test]
    fn swap_has_a_priority_and_a_way_to_discard_or_says_what_is_wrong() {
        assert_eq!(swap_plan(&words("sw defaults nofail")), Ok(How::default()));
        let how = swap_plan(&words("sw pri=10 discard=pages")).unwrap();
        assert_eq!(how, How { priority: Some(10), discard: Some(Discard::Pages) });
        assert_eq!(swap_plan(&words("pri=-1 discard")).unwrap().discard, Some(Discard::Both));
        for wrong in ["pri=40000", "pri=x", "pri=-2", "pri", "discard=often"] {
            assert!(swap_plan(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
