//! The truth about a process, from `/proc`.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getsid};

/// One process as it was when it was looked at.
#[derive(Debug, Clone)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    /// The name (`/proc/PID/comm`).
    pub name: String,
    /// The command line, arguments separated by blanks.
    pub command: String,
    /// In clock ticks since boot.
    started: u64,
}

/// The same process, whatever its name and parent are by now: a number is told from its later use
/// by the start time.
impl PartialEq for Process {
    fn eq(&self, other: &Self) -> bool {
        (self.pid, self.started) == (other.pid, other.started)
    }
}

impl Eq for Process {}

impl Process {
    /// Looks at a process; `None` when there is none of that number, or only its zombie.
    pub fn look(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may hold anything, so the fields are counted behind it.
        let (before, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        if matches!(fields[0], "Z" | "X") {
            return None;
        }
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words = command.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        Some(Self {
            pid,
            parent: fields[1].parse().ok()?,
            name: before.split_once('(')?.1.to_owned(),
            command: words.collect::<Vec<_>>().join(" ").trim().to_owned(),
            started: fields[19].parse().ok()?,
        })
    }

    /// Whether this very process still lives.
    pub fn lives(&self) -> bool {
        Self::look(self.pid).as_ref() == Some(self)
    }

    /// Whether it leads its session, as a daemon does and its workers do not.
    pub fn leads_its_session(&self) -> bool {
        let own = Pid::from_raw(self.pid as i32);
        getsid(Some(own)) == Ok(own)
    }

    /// Sends it a signal, after a look that the number is still its own.
    pub fn signal(&self, signal: Signal) {
        assert!(self.lives(), "{self:?} is gone already");
        kill(Pid::from_raw(self.pid as i32), signal).expect("kill");
    }

    /// One line of `/proc/PID/status` without its key, e.g. `Umask`.
    pub fn status_line(&self, key: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("status");
        let line = text.lines().find(|line| line.starts_with(&format!("{key}:")));
        line.unwrap_or_else(|| panic!("no {key} in {text}"))[key.len() + 1..].trim().to_owned()
    }

    /// The environment as `NAME=value` words.
    pub fn environment(&self) -> Vec<String> {
        let bytes = fs::read(format!("/proc/{}/environ", self.pid)).expect("environ");
        let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    /// The open file descriptors and what they lead to, in order.
    pub fn descriptors(&self) -> Vec<(u32, String)> {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("fd");
        let mut found: Vec<(u32, String)> = folder
            .flatten()
            .filter_map(|entry| {
                let number = entry.file_name().to_str()?.parse().ok()?;
                let target = fs::read_link(entry.path()).ok()?;
                Some((number, String::from_utf8_lossy(target.as_os_str().as_bytes()).into_owned()))
            })
            .collect();
        found.sort_unstable();
        found
    }

    /// How often its threads gave up the CPU of their own accord: every blocking system call
    /// counts, so a number that stands still means a process that sleeps.
    pub fn voluntary_switches(&self) -> u64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).expect("task");
        threads
            .flatten()
            .map(|thread| {
                let text = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
                let line = text.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
                line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or_default()
            })
            .sum()
    }

    /// What it used of the CPU, in clock ticks: its own and the kernel's time for it.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        // proc_pid_stat(5): utime and stime are the fields 14 and 15, the first here is field 3.
        fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
    }
}
