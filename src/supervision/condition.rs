//! Conditions: what must hold when a unit is about to start, and how it is told that one does not.
//! The looks themselves are taken outside the rules.

use std::path::PathBuf;

/// One entry of `condition`: holds when one of its tests does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The tests, at least one.
    pub any: Vec<Test>,
    /// Whether it is a failure, and not a start that is skipped, when none holds.
    pub required: bool,
}

/// One thing to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// What to look at.
    pub what: What,
    /// Whether it must not be so.
    pub negated: bool,
}

/// What can be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Something about a path.
    Path(PathIs, PathBuf),
    /// The kernel was started with this word, or this `word=value`.
    KernelCommandLine(String),
    /// The machine has no id yet: `/etc/machine-id` is missing, empty or `uninitialized`.
    FirstBoot,
    /// The supervisor runs as this user: a name, a number, or `@system`.
    User(String),
    /// The machine is of this kind.
    Architecture(String),
    /// It runs in this.
    Virtualization(Virtual),
    /// A path is there that this pattern matches (glob(7), with `{a,b}`).
    Glob(String),
    /// The machine has power from outside, or no battery that is being used up.
    AcPower,
    /// The supervisor may hand on this capability, of this number (capabilities(7)).
    Capability(&'static str, u8),
    /// The supervisor may use so many processors.
    Cpus(Compared, u32),
}

/// How a number stands to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `>=`
    AtLeast,
    /// `>`
    More,
}

impl Compared {
    /// All of them, those that begin like another before that one.
    pub const ALL: [Self; 6] =
        [Self::AtMost, Self::AtLeast, Self::Unequal, Self::Less, Self::More, Self::Equal];

    /// The sign of unit files.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::AtLeast => ">=",
            Self::More => ">",
        }
    }

    /// Whether `one` stands so to `other`.
    #[must_use]
    pub const fn holds(self, one: u32, other: u32) -> bool {
        match self {
            Self::Less => one < other,
            Self::AtMost => one <= other,
            Self::Equal => one == other,
            Self::Unequal => one != other,
            Self::AtLeast => one >= other,
            Self::More => one > other,
        }
    }
}

/// What a path can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathIs {
    /// There.
    There,
    /// A directory.
    Directory,
    /// A symbolic link.
    SymbolicLink,
    /// Where a file system is mounted.
    MountPoint,
    /// On a file system that can be written to.
    ReadWrite,
    /// A file that holds something.
    NotEmptyFile,
    /// A file that can be executed.
    Executable,
    /// A directory that holds something.
    NotEmptyDirectory,
}

/// What a system can run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Virtual {
    /// A machine of software.
    Machine,
    /// A container.
    Container,
    /// Either.
    Any,
}

impl Entry {
    /// As it may be written: `path_exists: /a or user: !root (required)`.
    #[must_use]
    pub fn written(&self) -> String {
        let all: Vec<String> = self.any.iter().map(Test::written).collect();
        format!("{}{}", all.join(" or "), if self.required { " (required)" } else { "" })
    }

    /// Why it is not met, in words.
    #[must_use]
    pub fn unmet(&self) -> String {
        let all: Vec<String> = self.any.iter().map(Test::unmet).collect();
        all.join(" and ")
    }
}

impl Test {
    fn written(&self) -> String {
        let (key, value) = match &self.what {
            What::Path(is, path) => (is.key(), path.display().to_string()),
            What::KernelCommandLine(word) => ("kernel_command_line", word.clone()),
            What::FirstBoot => ("first_boot", "true".to_owned()),
            What::User(user) => ("user", user.clone()),
            What::Architecture(kind) => ("architecture", kind.clone()),
            What::Virtualization(Virtual::Machine) => ("virtualization", "vm".to_owned()),
            What::Virtualization(Virtual::Container) => ("virtualization", "container".to_owned()),
            What::Virtualization(Virtual::Any) => ("virtualization", "true".to_owned()),
            What::Glob(pattern) => ("path_exists_glob", pattern.clone()),
            What::AcPower => ("ac_power", "true".to_owned()),
            What::Capability(name, _) => ("capability", (*name).to_owned()),
            What::Cpus(compared, count) => ("cpus", format!("{}{count}", compared.sign())),
        };
        format!("{key}: {}{value}", if self.negated { "!" } else { "" })
    }

    /// Why it does not hold, in words.
    #[must_use]
    pub fn unmet(&self) -> String {
        let not =
            |is: &str, is_not: &str| if self.negated { is.to_owned() } else { is_not.to_owned() };
        match &self.what {
            What::Path(is, path) => {
                let (yes, no) = is.words();
                format!("{} {}", path.display(), not(yes, no))
            }
            What::KernelCommandLine(word) => {
                format!("the kernel's command line {} {word}", not("has", "does not have"))
            }
            What::FirstBoot => {
                format!("this {} the first boot", not("is", "is not"))
            }
            What::User(user) => {
                format!("the supervisor {} {user}", not("runs as", "does not run as"))
            }
            What::Architecture(kind) => format!("the machine {} {kind}", not("is", "is not")),
            What::Virtualization(what) => {
                let word = match what {
                    Virtual::Machine => "a virtual machine",
                    Virtual::Container => "a container",
                    Virtual::Any => "a virtual machine or container",
                };
                format!("this {} {word}", not("is", "is not"))
            }
            What::Glob(pattern) => {
                format!("{} {pattern}", not("a path matches", "no path matches"))
            }
            What::AcPower => {
                format!("the machine {}", not("has power from outside", "runs on battery"))
            }
            What::Capability(name, _) => {
                format!("the supervisor {} {name}", not("has", "does not have"))
            }
            What::Cpus(compared, count) => {
                let is = not("is", "is not");
                format!("the number of processors {is} {} {count}", compared.sign())
            }
        }
    }
}

impl PathIs {
    /// The key of unit files.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::There => "path_exists",
            Self::Directory => "path_is_directory",
            Self::SymbolicLink => "path_is_symbolic_link",
            Self::MountPoint => "path_is_mount_point",
            Self::ReadWrite => "path_is_read_write",
            Self::NotEmptyFile => "file_not_empty",
            Self::Executable => "file_is_executable",
            Self::NotEmptyDirectory => "directory_not_empty",
        }
    }

    /// What is said when it is so and must not, and when it is not so and must.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::There => ("exists", "does not exist"),
            Self::Directory => ("is a directory", "is no directory"),
            Self::SymbolicLink => ("is a symbolic link", "is no symbolic link"),
            Self::MountPoint => ("is a mount point", "is no mount point"),
            Self::ReadWrite => ("can be written to", "cannot be written to"),
            Self::NotEmptyFile => {
                ("is a file that is not empty", "is no file that holds something")
            }
            Self::Executable => ("is an executable file", "is no executable file"),
            Self::NotEmptyDirectory => {
                ("is a directory that is not empty", "is no directory that holds something")
            }
        }
    }
}

/// What came of a look at a unit's conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// All hold.
    Met,
    /// One does not hold: the start is skipped, for this reason.
    Skip(String),
    /// One that is required does not hold: the start has failed.
    Fail(String),
}

/// Judges the entries with `holds`, which looks. Those that are required count only when the others
/// are met, as systemd's asserts do.
#[must_use]
pub fn judge(entries: &[Entry], holds: impl Fn(&What) -> bool) -> Looked {
    let is_met = |entry: &&Entry| entry.any.iter().any(|test| holds(&test.what) != test.negated);
    let unmet = |required| entries.iter().filter(|e| e.required == required).find(|e| !is_met(e));
    match (unmet(false), unmet(true)) {
        (Some(entry), _) => Looked::Skip(entry.unmet()),
        (None, Some(entry)) => Looked::Fail(entry.unmet()),
        (None, None) => Looked::Met,
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Looked, PathIs, Test, What, judge};

    fn entry(path: &str, negated: bool, required: bool) -> Entry {
        Entry {
            any: vec![Test { what: What::Path(PathIs::There, path.into()), negated }],
            required,
        }
    }

    fn there(what: &What) -> bool {
        matches!(what, What::Path(_, path) if path.ends_with("there"))
    }

    #[test]
    fn all_entries_must_hold_and_one_test_of_each() {
        let mut either = entry("/gone", false, false);
        assert_eq!(judge(&[], there), Looked::Met);
        assert_eq!(
            judge(std::slice::from_ref(&either), there),
            Looked::Skip("/gone does not exist".into())
        );
        either.any.push(entry("/there", false, false).any[0].clone());
        assert_eq!(judge(std::slice::from_ref(&either), there), Looked::Met);
        either.any[1].negated = true;
        let both = "/gone does not exist and /there exists".to_owned();
        assert_eq!(judge(&[entry("/there", false, false), either], there), Looked::Skip(both));
    }

    #[test]
    fn a_required_one_fails_only_where_no_other_skips() {
        let (must, may) = (entry("/must", false, true), entry("/may", false, false));
        assert_eq!(
            judge(std::slice::from_ref(&must), there),
            Looked::Fail("/must does not exist".into())
        );
        assert_eq!(judge(&[must, may], there), Looked::Skip("/may does not exist".into()));
    }
}
