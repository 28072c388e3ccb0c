//! What became of a start: how far the child has come it says in memory that it shares with us, and
//! that it has left for its program, or the world, a pipe says that the exec closes.
//!
//! A pipe for each start would cost as much as the rest of the report altogether, so starts that
//! are made together share one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, read};

use super::Error;
use super::child_memory::{Cell, ChildMemory};

/// What the child was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Moving itself into the leaf.
    EnteringLeaf = 1,
    /// Opening its terminal and making it the controlling one.
    OpeningTerminal,
    /// Putting descriptors 0, 1 and 2 in place.
    ConnectingOutput,
    /// Putting a descriptor in place that the program expects.
    PassingDescriptor,
    /// Putting the sockets that it is passed in place.
    PassingSockets,
    /// Setting its scheduling priority.
    SettingNice,
    /// Setting its out-of-memory score.
    SettingOomScore,
    /// Setting its resource limits.
    SettingLimits,
    /// Taking on the user, the group and the supplementary groups.
    SettingUser,
    /// Changing to the working directory.
    ChangingDirectory,
    /// Executing the program.
    Executing,
}

impl Stage {
    /// Every stage, in the order in which a child passes them.
    pub const ALL: [Self; 11] = [
        Self::EnteringLeaf,
        Self::OpeningTerminal,
        Self::ConnectingOutput,
        Self::PassingDescriptor,
        Self::PassingSockets,
        Self::SettingNice,
        Self::SettingOomScore,
        Self::SettingLimits,
        Self::SettingUser,
        Self::ChangingDirectory,
        Self::Executing,
    ];

    /// In plain words, to go behind "failed while".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::EnteringLeaf => "entering the leaf",
            Self::OpeningTerminal => "opening the terminal",
            Self::ConnectingOutput => "connecting input and output",
            Self::PassingDescriptor => "passing on a descriptor",
            Self::PassingSockets => "passing its sockets on",
            Self::SettingNice => "setting the priority",
            Self::SettingOomScore => "setting the out-of-memory score",
            Self::SettingLimits => "setting the resource limits",
            Self::SettingUser => "setting the user",
            Self::ChangingDirectory => "changing to the working directory",
            Self::Executing => "executing the program",
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| *stage as u8 == byte)
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.words())
    }
}

/// What is known of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Nothing yet.
    Pending,
    /// The program was executed. (Or the child was killed in the instant before.)
    Executed,
    /// The child gave up and exits with 127.
    Failed {
        /// What it was doing.
        stage: Stage,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The child was killed before it came to execute anything.
    KilledAtBirth,
}

/// The child's last word before it tries to execute; 0 is none.
pub(super) const READY: u64 = 1;

/// The child's word when it gives up: this bit, the stage above the errno.
const FAILED: u64 = 1 << 63;

/// The word for a failure.
pub(super) const fn failure(stage: Stage, errno: Errno) -> u64 {
    FAILED | (stage as u64) << 32 | errno as i32 as u32 as u64
}

/// The room of an ordinary batch, in bytes.
const ROOM: usize = 64 * 1024;

/// Starts that share a pipe. Waitable: it is readable when [`Batch::is_over`].
#[derive(Debug)]
pub struct Batch {
    pub(super) memory: ChildMemory,
    pipe: OwnedFd,
    /// Children inherit it. As long as we have it, the batch is not over.
    tell: Option<OwnedFd>,
}

/// The place of one start in its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line(pub(super) Cell);

impl Batch {
    /// Opens an empty batch, with room for so many bytes at least.
    ///
    /// # Errors
    /// When there is no memory or no descriptor to be had.
    pub fn new(bytes: usize) -> Result<Self, Error> {
        let memory = ChildMemory::new(bytes.max(ROOM))?;
        let (pipe, tell) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
            .map_err(|errno| Error::new("make", "a pipe", errno))?;
        Ok(Self { memory, pipe, tell: Some(tell) })
    }

    /// Whether a start of this many bytes goes in.
    #[must_use]
    pub const fn has_room(&self, bytes: usize) -> bool {
        self.tell.is_some() && self.memory.room() >= bytes
    }

    /// The descriptor that children must have until they execute.
    pub(super) fn told_by(&self) -> Option<BorrowedFd<'_>> {
        self.tell.as_ref().map(AsFd::as_fd)
    }

    /// Takes no more: what it waits for from now on are its children.
    pub fn seal(&mut self) {
        self.tell = None;
    }

    /// Whether every child has executed its program or ended. Never before it is sealed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        loop {
            match read(&self.pipe, &mut [0]) {
                Err(Errno::EINTR) => {}
                result => return result == Ok(0),
            }
        }
    }

    /// What is known of one start. `has_left` says that the batch is over, or that this child has
    /// ended: it says no more.
    #[must_use]
    pub fn report(&self, line: Line, has_left: bool) -> Report {
        match self.memory.read(line.0) {
            word if word & FAILED != 0 => of_failure(word),
            READY if has_left => Report::Executed,
            _ if has_left => Report::KilledAtBirth,
            _ => Report::Pending,
        }
    }
}

/// What a word of failure means.
fn of_failure(word: u64) -> Report {
    let stage = Stage::from_byte((word >> 32) as u8);
    let errno = Errno::from_raw(word as u32 as i32);
    stage.map_or(Report::KilledAtBirth, |stage| Report::Failed { stage, errno })
}

impl AsFd for Batch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_child_that_left_without_a_word_was_killed_at_birth() {
        let mut batch = Batch::new(0).unwrap();
        let line = Line(batch.memory.put_cell().unwrap().0);
        assert!(!batch.is_over());
        assert_eq!(batch.report(line, false), Report::Pending);
        batch.seal();
        assert!(batch.is_over());
        assert_eq!(batch.report(line, true), Report::KilledAtBirth);
    }

    #[test]
    fn every_stage_survives_the_way_and_has_words_of_its_own() {
        let mut words = HashSet::new();
        for stage in Stage::ALL {
            for errno in [Errno::EACCES, Errno::UnknownErrno] {
                let failed = Report::Failed { stage, errno };
                assert_eq!(of_failure(failure(stage, errno)), failed);
            }
            assert!(words.insert(stage.words()), "{stage} is said twice");
        }
    }

    #[test]
    fn a_batch_has_the_room_that_was_asked_for_and_none_when_it_is_sealed() {
        let mut batch = Batch::new(2 * ROOM).unwrap();
        assert!(batch.has_room(2 * ROOM) && !batch.has_room(2 * ROOM + 1));
        batch.seal();
        assert!(!batch.has_room(0));
    }
}
