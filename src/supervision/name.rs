//! [`UnitName`]: the only way to a safe cgroup, file and FIFO name.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The longest unit name in bytes. cgroupfs and most file systems stop at 255; the rest is room
/// for the endings that log files carry.
pub const MAX_NAME_BYTES: usize = 200;

/// A valid unit name. It is a single path component that no kernel file can collide with, so it
/// may be used as it stands for a cgroup, a FIFO and a log file. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitName(Arc<str>);

/// Why a text cannot be a unit name, worded for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// The text is empty.
    #[error("a unit name cannot be empty")]
    Empty,
    /// The text is longer than [`MAX_NAME_BYTES`].
    #[error("a unit name has at most {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// The text starts with a character that a path or an option could start with.
    #[error("a unit name starts with a letter, a digit or '_'")]
    Start,
    /// The text holds a character outside the set.
    #[error("a unit name holds only letters, digits and the characters . _ : @ \\ + -")]
    Character,
    /// The name is one that the kernel or the log directory uses itself.
    #[error(
        "this name is reserved for the kernel's and the supervisor's own files; choose another one"
    )]
    Reserved,
}

impl UnitName {
    /// Takes the text as a unit name.
    ///
    /// # Errors
    /// [`BadName`] says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let first = text.bytes().next().ok_or(BadName::Empty)?;
        if text.len() > MAX_NAME_BYTES {
            return Err(BadName::TooLong);
        }
        if !first.is_ascii_alphanumeric() && first != b'_' {
            return Err(BadName::Start);
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:@\\+-".contains(&b);
        if !text.bytes().all(allowed) {
            return Err(BadName::Character);
        }
        // "cgroup.procs" and its siblings are files of the kernel in every cgroup. "treeward" is
        // the supervisor's own journal, "syslog" holds what no unit sent.
        if text.starts_with("cgroup.") || ["treeward", "syslog"].contains(&text) {
            return Err(BadName::Reserved);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it can be the name of an instance: there is something on both sides of its first `@`.
    #[must_use]
    pub fn is_instance(&self) -> bool {
        let parts = self.0.split_once('@');
        parts.is_some_and(|(prefix, instance)| !prefix.is_empty() && !instance.is_empty())
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for UnitName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for UnitName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{BadName, MAX_NAME_BYTES, UnitName};

    #[test]
    fn ordinary_names_pass() {
        for name in ["nginx", "agetty@ttyS0", "a.b_c-d:1", "9lives", "_x", "dev\\x2dsda"] {
            assert_eq!(UnitName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn an_instance_has_something_on_both_sides_of_its_first_at() {
        for (name, is_instance) in
            [("agetty@tty1", true), ("a@b@c", true), ("a@@", true), ("a@", false), ("a", false)]
        {
            assert_eq!(UnitName::new(name).unwrap().is_instance(), is_instance, "{name}");
        }
    }

    #[test]
    fn names_that_could_be_paths_options_or_kernel_files_are_refused() {
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for (name, why) in [
            ("", BadName::Empty),
            (long.as_str(), BadName::TooLong),
            ("../../etc", BadName::Start),
            (".hidden", BadName::Start),
            ("-h", BadName::Start),
            ("a/b", BadName::Character),
            ("a b", BadName::Character),
            ("x\ny", BadName::Character),
            ("é", BadName::Start),
            ("cgroup.procs", BadName::Reserved),
            ("treeward", BadName::Reserved),
        ] {
            assert_eq!(UnitName::new(name).unwrap_err(), why, "{name:?}");
        }
    }
}
