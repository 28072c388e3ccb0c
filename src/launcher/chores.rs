//! Slow or blocking work, done by one thread that has nothing else: the loop never waits for it.
//!
//! rmdir(2) of a cgroup can block on some kernels, killing by freezing waits for the freezer, and
//! ten thousand unit files take most of a second. Each chore is sent over and comes back as an
//! answer; an eventfd wakes the loop.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::kernel;
use crate::kernel::leaf::Leaf;
use crate::protocol::server::CallId;
use crate::supervision::name::UnitName;
use crate::unit_file;

use super::upgrade;

/// How often a busy leaf is tried again, and the first pause; each pause is twice the one before.
const REMOVE_TRIES: u32 = 12;
const REMOVE_PAUSE: Duration = Duration::from_millis(1);

/// Work for the thread.
#[derive(Debug)]
pub enum Chore {
    /// Remove an empty leaf.
    Remove { name: UnitName, leaf: Leaf },
    /// Kill a leaf where `cgroup.kill` is missing.
    KillByFreezing { leaf: Leaf },
    /// Read the unit directory.
    ReadUnits { dir: PathBuf },
    /// See whether a program is a supervisor.
    TryProgram { program: PathBuf, call: CallId },
}

/// What came of a chore.
#[derive(Debug)]
pub enum Answer {
    /// The leaf is gone, or cannot be removed.
    Removed { name: UnitName, result: Result<(), kernel::Error> },
    /// The leaf was killed, or not.
    Killed { result: Result<(), kernel::Error> },
    /// What is in the directory.
    UnitsRead { result: std::io::Result<unit_file::Loaded> },
    /// What the program says its version is, or why it is no supervisor.
    ProgramTried { program: PathBuf, call: CallId, result: Result<String, String> },
}

/// The thread, as the loop sees it.
#[derive(Debug)]
pub struct Chores {
    to: Sender<Chore>,
    from: Receiver<Answer>,
    wake: Arc<EventFd>,
}

impl Chores {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there is no descriptor or no thread to be had.
    pub fn new() -> std::io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = Arc::new(EventFd::from_value_and_flags(0, flags)?);
        let (to, chores) = channel();
        let (answers, from) = channel();
        let bell = Arc::clone(&wake);
        thread::Builder::new().name("chores".into()).stack_size(256 * 1024).spawn(move || {
            while let Ok(chore) = chores.recv() {
                if answers.send(work(chore)).is_err() {
                    break;
                }
                // A counter that is full still wakes the loop.
                let _ = bell.write(1);
            }
        })?;
        Ok(Self { to, from, wake })
    }

    /// Gives the thread something to do.
    pub fn add(&self, chore: Chore) {
        if self.to.send(chore).is_err() {
            log::error!("the thread for slow work is gone; leaves stay until the next start");
        }
    }

    /// What was done since the last look.
    pub fn answers(&self) -> Vec<Answer> {
        let _ = self.wake.read();
        self.from.try_iter().collect()
    }
}

impl AsFd for Chores {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

fn work(chore: Chore) -> Answer {
    match chore {
        Chore::Remove { name, leaf } => Answer::Removed { name, result: remove(&leaf) },
        Chore::KillByFreezing { leaf } => Answer::Killed { result: leaf.kill_by_freezing() },
        Chore::ReadUnits { dir } => Answer::UnitsRead { result: unit_file::read_directory(&dir) },
        Chore::TryProgram { program, call } => {
            let result = upgrade::version_of(&program);
            Answer::ProgramTried { program, call, result }
        }
    }
}

/// A leaf is busy for a moment after its last process has left it.
fn remove(leaf: &Leaf) -> Result<(), kernel::Error> {
    let mut pause = REMOVE_PAUSE;
    for _ in 1..REMOVE_TRIES {
        match leaf.remove() {
            Err(error) if error.errno() == Errno::EBUSY => thread::sleep(pause),
            other => return other,
        }
        pause *= 2;
    }
    leaf.remove()
}
