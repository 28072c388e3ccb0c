//! The log lane: a process of its own that reads every unit's FIFO and writes plain files.
//!
//! `service-launcher --journal` is started by the supervisor and outlives it; a lock on
//! `<run_dir>/journal.lock` keeps a second one away. It reads `<run_dir>/log/<unit>` and writes
//! `<log_dir>/<unit>.log`, one line `2026-11-22T19:48:51.123Z text` for each line of the service:
//!
//! - The bytes of a line stay as they are. [`lines`] tells how a line over 64 KiB is cut. A line
//!   without an end is written as a line after one second, and at once when its FIFO goes away or
//!   the process ends.
//! - What was read is written before more is read, so `kill -9` of this process loses at most one
//!   read (256 KiB of one FIFO) and the lines that were begun. What is still in the FIFOs stays
//!   there for the next process. Nothing is synced: a power cut loses what the kernel had not
//!   written yet.
//! - `<unit>.log` is moved to `<unit>.log.1` before it would pass its size, `.1` to `.2` and so on.
//! - While a file cannot be written, its lines wait in a ring of 1 MiB for all units together; the
//!   newest stay, and the file says `treeward: N lines lost, because: ...` when it works again.
//!
//! Its own complaints go to the logger of the program. Standard error must not be one of the FIFOs
//! that this process reads: it would wait for itself when that is full.

mod clean;
mod fifos;
mod files;
mod follow;
mod lane;
pub mod lines;
mod log_file;
mod owners;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod reader;
mod ring;
mod syslog;
mod tail;

pub use clean::{clean, clean_json};
pub use follow::Follower;
pub use reader::{Line, Reader};
pub use tail::Tail;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::words::words_of;

/// What the log lane is told on its command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Directory of the control socket, the FIFOs, saved state and the lock
    #[arg(long, value_name = "DIR", default_value = "/run/treeward")]
    pub run_dir: PathBuf,
    /// Where the log files are written; made when only its last component is missing
    #[arg(long, value_name = "DIR", default_value = "/var/log/treeward")]
    pub log_dir: PathBuf,
    /// Bytes of one log file
    #[arg(long, value_name = "BYTES", default_value_t = 10 * 1024 * 1024, value_parser = bytes,
          allow_negative_numbers = true)]
    pub log_size: u64,
    /// Log files of one unit, the newest included
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = files_of_one,
          allow_negative_numbers = true)]
    pub log_count: u32,
    /// Serve a syslog socket as well; without PATH it is /dev/log
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "/dev/log")]
    pub syslog: Option<PathBuf>,
    /// The cgroup above all units, as /proc/PID/cgroup shows it
    #[arg(long, value_name = "CGROUP", default_value = "/treeward/services", hide = true)]
    pub services_cgroup: String,
}

fn bytes(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a whole number of bytes is expected, such as 10485760".to_owned())
}

fn files_of_one(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| (1..=1000).contains(count));
    count.ok_or_else(|| "a whole number from 1 to 1000 is expected".to_owned())
}

/// Why the log lane cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call failed that the lane cannot do without.
    #[error("{call} {}: {}; no log is written", path.display(), words_of(why))]
    System {
        /// The system call.
        call: &'static str,
        /// What it was about.
        path: PathBuf,
        /// What the kernel said.
        why: io::Error,
    },
}

/// Reads all FIFOs and writes all files until SIGTERM or SIGINT, which drain what is in the FIFOs
/// first. SIGHUP opens the log files anew by their names.
///
/// Comes back at once with `Ok` when another process holds the lock on `<run_dir>/journal.lock`;
/// its process id is the text of that file.
///
/// # Errors
/// [`Error`] when the run directory cannot be used or the kernel refuses epoll, inotify or signal
/// handlers. Trouble with the log directory is no error: it is retried for ever.
pub fn run(options: &Options) -> Result<(), Error> {
    let Some(_lock) = lock(&options.run_dir)? else {
        return Ok(());
    };
    raise_file_limit();
    lane::Lane::new(options)?.run()
}

fn lock(run_dir: &Path) -> Result<Option<Flock<File>>, Error> {
    let path = run_dir.join("journal.lock");
    let failed = |call: &'static str| {
        let path = path.clone();
        move |why: io::Error| Error::System { call, path, why }
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .map_err(failed("open"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            lock.set_len(0).map_err(failed("ftruncate"))?;
            writeln!(lock, "{}", std::process::id()).map_err(failed("write"))?;
            Ok(Some(lock))
        }
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(failed("flock")(errno.into())),
    }
}

/// Each unit takes a descriptor, and the usual limit of 1,024 is soon reached.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(errno) = raised {
        log::warn!("cannot raise the limit of open files: {errno}");
    }
}
