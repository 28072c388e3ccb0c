//! How a living process looks in `/proc`.

use std::io::Read;

use procfs::process::Process as ProcDir;

use super::clock::boot_ms;

/// The most bytes of a command line that are read; a process can make its own as long as it
/// likes.
const MAX_COMMAND: u64 = 4096;

/// One process at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's id; 0 when the parent is outside our pid namespace.
    pub parent: u32,
    /// The id of its session, which is the id of the process that called setsid(2).
    pub session: u32,
    /// When it started, in clock ticks since boot: together with the id unique until the next
    /// boot.
    pub start_ticks: u64,
    /// Milliseconds since it started, exact to one clock tick (10 ms).
    pub age_ms: u64,
    /// The kernel's state letter: R S D Z T t I.
    pub state: char,
    /// The command line joined by spaces, at most 4096 bytes of it; the name in brackets where
    /// there is none. Not cleaned: it may hold control characters.
    pub command: String,
    /// Its id in the innermost pid namespace, where that is not ours (`NSpid`, Linux 4.1).
    pub inner_pid: Option<u32>,
    /// The name of its main thread, at most 15 bytes.
    pub comm: String,
}

/// Looks at a process; `None` when it is gone. A zombie is not gone.
#[must_use]
pub fn read(pid: u32) -> Option<Process> {
    // The directory stays open, so both files are those of one process.
    let dir = ProcDir::new(i32::try_from(pid).ok()?).ok()?;
    let stat = dir.stat().ok()?;
    let started_ms = stat.starttime.saturating_mul(1_000) / procfs::ticks_per_second();
    Some(Process {
        pid,
        parent: u32::try_from(stat.ppid).unwrap_or(0),
        session: u32::try_from(stat.session).unwrap_or(0),
        start_ticks: stat.starttime,
        age_ms: boot_ms().saturating_sub(started_ms),
        state: stat.state,
        command: command_line(&dir).unwrap_or_else(|| format!("[{}]", stat.comm)),
        inner_pid: inner_pid(&dir),
        comm: stat.comm,
    })
}

/// The last number of `NSpid`, which has one for each pid namespace from ours to the process's.
fn inner_pid(dir: &ProcDir) -> Option<u32> {
    let mut text = String::new();
    dir.open_relative("status").ok()?.read_to_string(&mut text).ok()?;
    let numbers = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    if numbers.len() < 2 { None } else { numbers.last()?.parse().ok() }
}

/// Whether a process has executed a program since it was forked (PF_FORKNOEXEC among the flags of
/// proc_pid_stat(5); the same bit since Linux 2.4). `None` when it is gone.
#[must_use]
pub fn has_executed(pid: u32) -> Option<bool> {
    const FORKED_AND_NO_MORE: u32 = 0x40;
    let stat = ProcDir::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    Some(stat.flags & FORKED_AND_NO_MORE == 0)
}

/// How a zombie ended, as wait(2) would tell it (proc_pid_stat(5)); `None` for one that lives, and when
/// it is gone. Who may not know is told 0.
#[must_use]
pub fn wait_status_of_zombie(pid: u32) -> Option<i32> {
    let stat = ProcDir::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    stat.exit_code.filter(|_| stat.state == 'Z')
}

/// Looks at the processes, at most so many of them; those that are gone are left out.
#[must_use]
pub fn read_many(pids: &[u32], at_most: usize) -> Vec<Process> {
    pids.iter().filter_map(|pid| read(*pid)).take(at_most).collect()
}

/// The kernel function that a process waits in, for a process that cannot be killed just now.
/// `None` when it is not waiting, is gone, or the kernel does not tell.
#[must_use]
pub fn wait_channel(pid: u32) -> Option<String> {
    let channel = std::fs::read_to_string(format!("/proc/{pid}/wchan")).ok()?;
    Some(channel).filter(|channel| !channel.is_empty() && channel != "0")
}

/// `None` for a zombie and for a kernel thread, which have none.
fn command_line(dir: &ProcDir) -> Option<String> {
    let mut bytes = Vec::new();
    dir.open_relative("cmdline").ok()?.take(MAX_COMMAND).read_to_end(&mut bytes).ok()?;
    let text = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    let words: Vec<_> = text.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    // A program that writes its title over its arguments fills the rest with blanks.
    Some(words.join(" ").trim_end().to_owned()).filter(|command| !command.is_empty())
}
