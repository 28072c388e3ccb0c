//! Runs of oneshots: how one ended is all that they are for, so a pidfd of each is kept with the
//! log lane, beside the sockets. Through a pidfd from before its burial the kernel tells how a
//! process ended (Linux 6.15), whoever has buried it: so the next supervisor learns it, too.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use crate::kernel::kept::Item;
use crate::kernel::pidfd;
use crate::launcher::leaves::Start;
use crate::supervision::Pid;

/// So many are kept, which is one message more; of others only the end that is seen is known.
const MOST: usize = 100;

/// The first process of a start. The field names tell it from a socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    run: String,
    start: u64,
    pid: Pid,
}

impl Run {
    fn new((name, start): &Start, pid: Pid) -> Self {
        Self { run: name.to_string(), start: *start, pid }
    }
}

/// Those that have not ended.
#[derive(Debug, Default)]
pub struct Runs {
    open: Vec<(Run, OwnedFd)>,
    has_new: bool,
}

impl Runs {
    /// Takes what an earlier supervisor has kept. Gives back what is no run.
    pub fn take_over(&mut self, item: Item) -> Option<Item> {
        match serde_json::from_str(&item.label) {
            Ok(run) => self.open.push((run, item.fd)),
            Err(_) => return Some(item),
        }
        None
    }

    /// A first process was born, and is our child. It is kept by the end of this turn, unless `keep`
    /// does that at once.
    pub fn add(&mut self, start: &Start, pid: Pid, keep: impl FnOnce(&str, BorrowedFd) -> bool) {
        if self.open.len() < MOST
            && let Ok(Some(fd)) = pidfd::open(pid)
        {
            let run = Run::new(start, pid);
            self.has_new |= !keep(&label(&run), fd.as_fd());
            self.open.push((run, fd));
        }
    }

    /// A pidfd of this first process, whose number may be another's by now.
    pub fn pidfd(&self, start: &Start, pid: Pid) -> Option<OwnedFd> {
        let wanted = Run::new(start, pid);
        let (_, fd) = self.open.iter().find(|(run, _)| *run == wanted)?;
        fd.try_clone().ok()
    }

    /// This process was seen to end. It is kept until another is: the record may not say so yet.
    pub fn forget(&mut self, pid: Pid) {
        self.open.retain(|(run, _)| run.pid != pid);
    }

    /// Forgets all but those that may still be asked for.
    pub fn retain(&mut self, lives: impl Fn(&str, u64) -> bool) {
        self.open.retain(|(run, _)| lives(&run.run, run.start));
    }

    /// Whether there are some that were not kept yet; they count as kept from now on.
    pub fn take_new(&mut self) -> bool {
        std::mem::take(&mut self.has_new)
    }

    /// What is to be kept.
    pub fn labelled(&self) -> impl Iterator<Item = (String, BorrowedFd<'_>)> {
        self.open.iter().map(|(run, fd)| (label(run), fd.as_fd()))
    }
}

/// Plain data always makes JSON, in one line.
fn label(run: &Run) -> String {
    serde_json::to_string(run).unwrap_or_default()
}
