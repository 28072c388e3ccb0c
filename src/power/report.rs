//! What had to be killed on the way down, kept for `slc last-shutdown` at the next boot.
//!
//! One JSON object in a line of `<log-dir>/shutdown`. The supervisor begins the file when it goes
//! down, `init` adds what it finds left after it. The next supervisor renames the file to
//! `<log-dir>/last-shutdown` when it starts.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Power;

/// The file that is written on the way down, in the log directory.
pub const WRITTEN: &str = "shutdown";
/// The file of the shutdown before, in the log directory.
pub const KEPT: &str = "last-shutdown";

/// The most that is read of a report.
const MOST_BYTES: u64 = 4 << 20;

/// One line of the report. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Entry {
    /// The services begin to go down; `power` is absent when only the supervisor ends.
    Began {
        /// When.
        at: u64,
        /// What the machine was asked for.
        power: Option<Power>,
    },
    /// A process did not go when it was asked to, and was killed.
    Killed(Left),
    /// A process is still there after it was killed.
    Stayed(Left),
    /// Something else went wrong on the way down: a file system that could not be unmounted.
    Problem {
        /// What, where and why.
        text: String,
    },
    /// Everything is down that would go down; what follows is reboot(2).
    Ended {
        /// When.
        at: u64,
        /// What the machine does next.
        power: Option<Power>,
    },
}

/// A process that did not go by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The unit it belongs to; absent for a process of no service.
    pub unit: Option<String>,
    /// Its process id.
    pub pid: u32,
    /// Its command line, cleaned of control characters.
    pub command: String,
    /// The kernel's state letter.
    pub state: char,
    /// The kernel function that it waits in, where the kernel tells.
    pub wait_channel: Option<String>,
    /// How long it was waited for, in milliseconds.
    pub waited: u64,
}

/// Adds one line to the report in the log directory, in a single write(2).
///
/// # Errors
/// What the kernel says, for instance EROFS on a log directory that is read-only.
pub fn append(log_dir: &Path, entry: &Entry) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    open(log_dir)?.write_all(&line)
}

/// Reads a report. Lines that make no sense, cut off by a power failure for one, are left out.
///
/// # Errors
/// What the kernel says: ENOENT where there is none, ELOOP for a link, which nobody has put there
/// for good.
pub fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let mut text = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut text)?;
    let lines = text.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

fn open(log_dir: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o644).custom_flags(libc::O_NOFOLLOW);
    options.open(log_dir.join(WRITTEN))
}
