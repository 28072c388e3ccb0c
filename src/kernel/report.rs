//! What became of a start, as the child reports it over a pipe that the exec closes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::read;

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
    pub const ALL: [Self; 9] = [
        Self::EnteringLeaf,
        Self::OpeningTerminal,
        Self::ConnectingOutput,
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
    /// Nothing yet; the descriptor will be readable when there is more.
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

/// What the child writes before it tries to execute.
pub(super) const READY: u8 = 0;

/// What the child writes when it gives up: the stage, and the errno in the machine's byte order.
pub(super) const FAILURE_BYTES: usize = 5;

/// The reading end of the pipe. Waitable: it is readable when [`ReportReader::read`] has news.
#[derive(Debug)]
pub struct ReportReader {
    pipe: OwnedFd,
    /// All that a child can ever write: READY and one failure.
    bytes: [u8; 1 + FAILURE_BYTES],
    length: usize,
}

impl ReportReader {
    /// Takes the nonblocking reading end.
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self { pipe, bytes: [0; 1 + FAILURE_BYTES], length: 0 }
    }

    /// Reads what there is and says what it comes to. After an answer other than
    /// [`Report::Pending`] there is nothing more to learn, and the reader should be dropped.
    pub fn read(&mut self) -> Report {
        loop {
            let Some(room) = self.bytes.get_mut(self.length..).filter(|room| !room.is_empty())
            else {
                return self.verdict();
            };
            match read(&self.pipe, room) {
                Ok(0) => return self.verdict(),
                Ok(count) => self.length += count,
                Err(Errno::EINTR) => {}
                Err(_) => return Report::Pending,
            }
        }
    }

    /// What the bytes mean when no more will come.
    fn verdict(&self) -> Report {
        let bytes = &self.bytes[..self.length];
        let failure = match bytes {
            [] => return Report::KilledAtBirth,
            [READY] => return Report::Executed,
            [READY, failure @ ..] | failure => failure,
        };
        let &[stage, a, b, c, d] = failure else {
            return Report::KilledAtBirth;
        };
        let errno = Errno::from_raw(i32::from_ne_bytes([a, b, c, d]));
        Stage::from_byte(stage)
            .map_or(Report::KilledAtBirth, |stage| Report::Failed { stage, errno })
    }
}

impl AsFd for ReportReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::fcntl::OFlag;
    use nix::unistd::{pipe2, write};

    use super::*;

    fn pipe() -> (ReportReader, OwnedFd) {
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
        (ReportReader::new(reading), writing)
    }

    fn failure(stage: Stage, errno: Errno) -> Vec<u8> {
        [&[stage as u8][..], &(errno as i32).to_ne_bytes()].concat()
    }

    #[test]
    fn a_pipe_closed_without_a_word_is_a_kill_at_birth() {
        let (mut reader, writing) = pipe();
        assert_eq!(reader.read(), Report::Pending);
        drop(writing);
        assert_eq!(reader.read(), Report::KilledAtBirth);
    }

    #[test]
    fn ready_and_end_of_file_may_come_apart() {
        let (mut reader, writing) = pipe();
        write(&writing, &[READY]).unwrap();
        assert_eq!(reader.read(), Report::Pending);
        drop(writing);
        assert_eq!(reader.read(), Report::Executed);
    }

    #[test]
    fn every_stage_survives_the_pipe_and_has_words_of_its_own() {
        let mut words = std::collections::HashSet::new();
        for stage in Stage::ALL {
            for before in [&[][..], &[READY][..]] {
                let (mut reader, writing) = pipe();
                write(&writing, before).unwrap();
                write(&writing, &failure(stage, Errno::EACCES)).unwrap();
                drop(writing);
                assert_eq!(reader.read(), Report::Failed { stage, errno: Errno::EACCES });
            }
            assert!(words.insert(stage.words()), "{stage} is said twice");
        }
    }
}
