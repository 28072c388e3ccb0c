//! What a cgroup uses, and what it may use.

use std::fs;
use std::path::Path;

use super::Error;
use super::cgroup::write;

/// CPU time of the cgroup and all below it, ever, in microseconds (`cpu.stat`).
#[must_use]
pub fn cpu_usec(cgroup: &Path) -> Option<u64> {
    field(&fs::read_to_string(cgroup.join("cpu.stat")).ok()?, "usage_usec")
}

/// Memory in use in bytes (`memory.current`); `None` without the memory controller.
#[must_use]
pub fn memory_bytes(cgroup: &Path) -> Option<u64> {
    fs::read_to_string(cgroup.join("memory.current")).ok()?.trim().parse().ok()
}

/// How many processes the out-of-memory killer took, ever (`memory.events`); `None` without the
/// memory controller.
#[must_use]
pub fn oom_kills(cgroup: &Path) -> Option<u64> {
    field(&fs::read_to_string(cgroup.join("memory.events")).ok()?, "oom_kill")
}

/// Sets a limit: `file` is the kernel's name ("memory.max"), `value` its text.
///
/// # Errors
/// ENOENT or EACCES when the controller is not switched on for this cgroup, EINVAL and ERANGE for
/// a value that the kernel does not take.
pub fn set_limit(cgroup: &Path, file: &str, value: &str) -> Result<(), Error> {
    write(&cgroup.join(file), value)
}

/// The number behind a name in a file of `name number` lines.
fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn numbers_are_read_and_missing_or_broken_files_give_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(cpu_usec(dir.path()), None);
        assert_eq!(memory_bytes(dir.path()), None);
        assert_eq!(oom_kills(dir.path()), None);
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        put("cpu.stat", "usage_usec 4711\nuser_usec 1\n");
        put("memory.current", "1048576\n");
        put("memory.events", "low 0\noom 7\noom_kill 2\noom_group_kill 0\n");
        assert_eq!(cpu_usec(dir.path()), Some(4711));
        assert_eq!(memory_bytes(dir.path()), Some(1_048_576));
        assert_eq!(oom_kills(dir.path()), Some(2));
        put("cpu.stat", "usage_usec x\n");
        put("memory.current", "max\n");
        put("memory.events", "");
        assert_eq!(cpu_usec(dir.path()), None);
        assert_eq!(memory_bytes(dir.path()), None);
        assert_eq!(oom_kills(dir.path()), None);
    }

    #[test]
    fn a_limit_is_written_as_it_stands_and_never_makes_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let refused = set_limit(dir.path(), "memory.max", "5").unwrap_err();
        assert_eq!(refused.errno(), Errno::ENOENT);
        fs::write(dir.path().join("memory.max"), "").unwrap();
        set_limit(dir.path(), "memory.max", "5").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("memory.max")).unwrap(), "5");
    }
}
