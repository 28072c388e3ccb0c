//! [`Lines`]: a thread that looks through the logs of services for the line that makes them ready.
//!
//! It reads the files that the log lane writes. So the loop reads no output, the log lane knows no
//! rules, and a flood of lines takes the time of this thread only. It looks a few times each
//! second, as long as somebody is waited for, and sleeps otherwise.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::chores::{Answer, Bell};
use super::leaves::Start;
use crate::journal::{Line, Tail};
use crate::unit_file::Pattern;
use crate::words::words_of;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Pieces of one log that are read in one look, so that a flood does not hide the others.
const PIECES_A_LOOK: usize = 16;

/// From where on the log counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The start is about to be made: what is in the log is older.
    Fresh,
    /// The start was made before: behind its last mark; where that is rotated away, everything.
    Before,
}

#[derive(Debug)]
enum Wish {
    Await(Box<Hope>),
    Forget(Start),
}

/// One start that is waited for.
#[derive(Debug)]
struct Hope {
    of: Start,
    pattern: Pattern,
    mark: String,
    tail: Tail,
    seen: Seen,
}

/// How far the log of a start was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Nothing of this start is expected before its mark.
    Nothing,
    /// All of the log is read first; no mark was found yet, but perhaps the line.
    Unmarked { came: bool },
    /// The same, behind the last mark.
    Marked { came: bool },
    /// Whatever comes is of this start.
    Begun,
}

/// The thread, as the loop sees it.
#[derive(Debug)]
pub struct Lines {
    log_dir: PathBuf,
    to: Sender<Wish>,
}

impl Lines {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn new(log_dir: PathBuf, bell: Bell) -> std::io::Result<Self> {
        let (to, wishes) = channel();
        let look = move || look_for_ever(&wishes, &bell);
        thread::Builder::new().name("lines".into()).stack_size(512 * 1024).spawn(look)?;
        Ok(Self { log_dir, to })
    }

    /// Waits for a line of a start that the pattern matches. The loop is told once. From when on the
    /// log counts is settled when this returns.
    pub fn await_one(&self, of: Start, pattern: Pattern, mark: String, awaited: Awaited) {
        let unit = of.0.to_string();
        let (tail, seen) = match awaited {
            Awaited::Fresh => (Tail::from_end(&self.log_dir, &unit), Seen::Nothing),
            Awaited::Before => {
                (Tail::from_start(&self.log_dir, &unit), Seen::Unmarked { came: false })
            }
        };
        match tail {
            Ok(tail) => self.tell(Wish::Await(Box::new(Hope { of, pattern, mark, tail, seen }))),
            Err(error) => log::error!("{unit}: its log cannot be read: {}", words_of(&error)),
        }
    }

    /// Waits for this start no more.
    pub fn forget(&self, of: Start) {
        self.tell(Wish::Forget(of));
    }

    fn tell(&self, wish: Wish) {
        if self.to.send(wish).is_err() {
            log::error!("the thread that reads lines is gone");
        }
    }
}

/// How far a look came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// The line has come.
    Came,
    /// There is more to be read.
    More,
    /// All that there is was read.
    CaughtUp,
}

/// Ends when the loop is gone.
fn look_for_ever(wishes: &Receiver<Wish>, bell: &Bell) {
    let mut hopes: Vec<Hope> = Vec::new();
    let mut pause = PAUSE;
    loop {
        let next = match hopes.is_empty() {
            true => wishes.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => wishes.recv_timeout(pause),
        };
        match next {
            Ok(Wish::Await(hope)) => hopes.push(*hope),
            Ok(Wish::Forget(of)) => hopes.retain(|hope| hope.of != of),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        pause = PAUSE;
        hopes.retain_mut(|hope| match hope.look() {
            Look::Came => !bell.ring(Answer::LineCame { start: hope.of.clone() }),
            Look::CaughtUp => true,
            Look::More => {
                pause = Duration::ZERO;
                true
            }
        });
    }
}

impl Hope {
    /// Reads on.
    fn look(&mut self) -> Look {
        for _ in 0..PIECES_A_LOOK {
            // What cannot be read now may be read later.
            let lines = self.tail.more().unwrap_or_default();
            if lines.is_empty() {
                return if self.has_caught_up() { Look::Came } else { Look::CaughtUp };
            }
            if lines.iter().any(|line| self.takes(line)) {
                return Look::Came;
            }
        }
        Look::More
    }

    /// Gives whether this line settles it.
    fn takes(&mut self, line: &Line) -> bool {
        // An unfinished line of an earlier start may stand before the mark.
        let is_mark = line.bytes().ends_with(self.mark.as_bytes());
        let matches = || !is_mark && self.pattern.matches(line.bytes());
        self.seen = match self.seen {
            Seen::Nothing if is_mark => Seen::Begun,
            Seen::Unmarked { .. } | Seen::Marked { .. } if is_mark => Seen::Marked { came: false },
            Seen::Unmarked { came } => Seen::Unmarked { came: came || matches() },
            Seen::Marked { came } => Seen::Marked { came: came || matches() },
            Seen::Begun => return matches(),
            Seen::Nothing => Seen::Nothing,
        };
        false
    }

    /// All of the log is read.
    fn has_caught_up(&mut self) -> bool {
        match self.seen {
            Seen::Unmarked { came } | Seen::Marked { came } => {
                self.seen = Seen::Begun;
                came
            }
            Seen::Nothing | Seen::Begun => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::supervision::name::UnitName;

    fn write(dir: &Path, name: &str, text: &str) {
        use std::io::Write;
        let path = dir.join(name);
        let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
        for line in text.lines() {
            writeln!(file, "2026-11-22T19:48:51.123Z {line}").unwrap();
        }
    }

    fn hope(dir: &Path, awaited: Awaited) -> Hope {
        let of = (UnitName::new("web").unwrap(), 3);
        let pattern = Pattern::new("ready").unwrap();
        let (tail, seen) = match awaited {
            Awaited::Fresh => (Tail::from_end(dir, "web"), Seen::Nothing),
            Awaited::Before => (Tail::from_start(dir, "web"), Seen::Unmarked { came: false }),
        };
        Hope { of, pattern, mark: "treeward: start 3".into(), tail: tail.unwrap(), seen }
    }

    #[test]
    fn a_fresh_start_counts_from_its_mark_on() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "web.log", "ready\n");
        let mut hope = hope(dir.path(), Awaited::Fresh);
        assert_eq!(hope.look(), Look::CaughtUp);
        write(
            dir.path(),
            "web.log",
            "ready of the start before, read late\nunfinishedtreeward: start 3\n",
        );
        assert_eq!(hope.look(), Look::CaughtUp);
        write(dir.path(), "web.log", "not yet\n");
        assert_eq!(hope.look(), Look::CaughtUp);
        write(dir.path(), "web.log", "ready\n");
        assert_eq!(hope.look(), Look::Came);
    }

    #[test]
    fn a_start_of_an_earlier_supervisor_counts_from_its_last_mark_on() {
        let dir = tempfile::tempdir().unwrap();
        // Starts are counted anew after a boot.
        write(dir.path(), "web.log.1", "treeward: start 3\nready\ntreeward: start 1\nready\n");
        write(dir.path(), "web.log", "treeward: start 3\nnot yet\n");
        let mut not_yet = hope(dir.path(), Awaited::Before);
        assert_eq!(not_yet.look(), Look::CaughtUp);
        write(dir.path(), "web.log", "ready\n");
        assert_eq!(not_yet.look(), Look::Came);
        assert_eq!(hope(dir.path(), Awaited::Before).look(), Look::Came);
    }

    #[test]
    fn where_the_mark_is_rotated_away_everything_counts() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "web.log", "many\nready\nmore\n");
        assert_eq!(hope(dir.path(), Awaited::Before).look(), Look::Came);
    }
}
