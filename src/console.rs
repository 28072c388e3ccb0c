//! The log lines of `service-launcher` and `init`: on standard error, and for the supervisor in
//! its own FIFO of the log lane. Neither may ever hold up the loop: a line that finds no room is
//! lost.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

use log::LevelFilter;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use simplelog::{CombinedLogger, Config, ConfigBuilder, SharedLogger, WriteLogger};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// Makes the bytes of strangers safe to show: names of processes, words of a command line.
pub use crate::journal::clean;

/// As in the log files: UTC, milliseconds.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The supervisor's own FIFO, once there is one.
static FIFO: OnceLock<File> = OnceLock::new();

/// Writes everything that is logged from now on to standard error, and to the FIFO as soon as
/// [`also_to`] has opened it. What is below the level is not written.
pub fn init(flush: Flush, level: LevelFilter) {
    let plain = |time| {
        let mut config = ConfigBuilder::new();
        config.set_time_level(time).set_time_format_custom(TIME);
        config.set_thread_level(LevelFilter::Off).set_target_level(LevelFilter::Off);
        config.set_location_level(LevelFilter::Off);
        config.build()
    };
    let logger = |config: Config, to: To| -> Box<dyn SharedLogger> {
        WriteLogger::new(level, config, Lines { to, flush, lines: Vec::new() })
    };
    // The log lane stamps each line itself.
    let both = vec![
        logger(plain(LevelFilter::Error), To::StandardError),
        logger(plain(LevelFilter::Off), To::Fifo),
    ];
    let _ = CombinedLogger::init(both);
}

/// Sends a copy of each line to this FIFO.
///
/// # Errors
/// What fcntl(2) said.
pub fn also_to(fifo: OwnedFd) -> io::Result<()> {
    fcntl(&fifo, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let _ = FIFO.set(File::from(fifo));
    Ok(())
}

/// When lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Each for itself.
    EachLine,
    /// When the logger is flushed, at the end of each turn of the loop: a boot logs thousands.
    EachTurn,
}

/// The most bytes that are written at once: what a writable pipe has room for (pipe(7)).
const AT_ONCE: usize = 4_096;

enum To {
    StandardError,
    Fifo,
}

/// Collects what the logger writes word by word, and writes whole lines.
struct Lines {
    to: To,
    flush: Flush,
    lines: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.lines.len() + bytes.len() > AT_ONCE {
            self.flush()?;
        }
        self.lines.extend_from_slice(bytes);
        if self.flush == Flush::EachLine && bytes.ends_with(b"\n") {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.to {
            _ if self.lines.is_empty() => {}
            To::StandardError if has_room(&io::stderr()) => {
                let _ = io::stderr().write(&self.lines);
            }
            To::StandardError => {}
            To::Fifo => {
                let _ = FIFO.get().map(|mut fifo| fifo.write(&self.lines));
            }
        }
        self.lines.clear();
        Ok(())
    }
}

/// Whether [`AT_ONCE`] bytes can be written now without waiting: only then a pipe is writable.
fn has_room(to: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready == 1)
}
