//! Births that are on their way to their programs. Those of one turn share a batch, and so the
//! news that they have executed; a birth that others wait for has one of its own.

use std::collections::HashMap;

use super::Token;
use super::leaves::Start;
use crate::kernel::poll::Poll;
use crate::kernel::report::{Batch, Line, Report};
use crate::kernel::{self, process};
use crate::supervision::unit::Millis;
use crate::supervision::{Moment, Pid, Role};

/// When the children of a batch are looked at one by one because one of them keeps it from being
/// over, in milliseconds, and the longest pause between two looks; each is twice the one before.
const FIRST_LOOK: Millis = 100;
const LONGEST_PAUSE: Millis = 1_000;

/// One child.
#[derive(Debug)]
pub struct Birth {
    /// Whose it is.
    pub of: Start,
    /// What for.
    pub role: Role,
    line: Line,
    batch: u32,
}

/// Room for so many births is kept: those of a boot are not needed again.
const MANY: usize = 64;

#[derive(Debug)]
struct Open {
    batch: Batch,
    pids: Vec<Pid>,
    look_at: Moment,
    pause: Millis,
}

/// All that have not reported yet.
#[derive(Debug, Default)]
pub struct Batches {
    births: HashMap<Pid, Birth>,
    open: HashMap<u32, Open>,
    /// The one that takes more.
    shared: Option<u32>,
    last: u32,
}

impl Batches {
    /// The batch for a birth that takes so many bytes, under its number; `alone` has it share with
    /// nobody.
    ///
    /// # Errors
    /// When there is no memory or no descriptor for a new one.
    pub fn place(
        &mut self,
        bytes: usize,
        alone: bool,
        poll: &Poll,
        now: Moment,
    ) -> Result<(u32, &mut Batch), kernel::Error> {
        let shared = self.shared.filter(|number| !alone && self.has_room(*number, bytes));
        let number = match shared {
            Some(number) => number,
            None => {
                if !alone {
                    self.seal(poll);
                }
                self.begin(bytes, alone, poll, now)?
            }
        };
        match self.open.get_mut(&number) {
            Some(open) => Ok((number, &mut open.batch)),
            None => unreachable!("batch {number} was just found or made"),
        }
    }

    fn has_room(&self, number: u32, bytes: usize) -> bool {
        self.open.get(&number).is_some_and(|open| open.batch.has_room(bytes))
    }

    fn begin(
        &mut self,
        bytes: usize,
        alone: bool,
        poll: &Poll,
        now: Moment,
    ) -> Result<u32, kernel::Error> {
        let batch = Batch::new(bytes)?;
        self.last = self.last.wrapping_add(1);
        poll.add(&batch, Token::Births(self.last).number())?;
        if !alone {
            self.shared = Some(self.last);
        }
        let (look_at, pause) = (now + FIRST_LOOK, FIRST_LOOK);
        self.open.insert(self.last, Open { batch, pids: Vec::new(), look_at, pause });
        Ok(self.last)
    }

    /// Takes note of a child that was born in this batch.
    pub fn born(&mut self, number: u32, pid: Pid, line: Line, of: Start, role: Role) {
        if let Some(open) = self.open.get_mut(&number) {
            open.pids.push(pid);
        }
        self.births.insert(pid, Birth { of, role, line, batch: number });
    }

    /// Whether the child has not reported yet.
    pub fn is_open(&self, pid: Pid) -> bool {
        self.births.contains_key(&pid)
    }

    /// No more births come into the shared batch: it is over when all of it have executed.
    pub fn seal(&mut self, poll: &Poll) {
        if let Some(number) = self.shared.take() {
            self.seal_one(number, poll);
        }
    }

    /// The same for one that is not shared.
    pub fn seal_one(&mut self, number: u32, poll: &Poll) {
        if let Some(open) = self.open.get_mut(&number) {
            open.batch.seal();
            if open.pids.is_empty() {
                self.close(number, poll);
            }
        }
    }

    /// The children of a batch that is over; none when it is not.
    pub fn over(&self, number: u32) -> Vec<Pid> {
        let open = self.open.get(&number).filter(|open| open.batch.is_over());
        open.map_or_else(Vec::new, |open| open.pids.clone())
    }

    /// Takes a child out that has executed or ended, with its report.
    pub fn take(&mut self, pid: Pid, poll: &Poll) -> Option<(Birth, Report)> {
        let birth = self.births.remove(&pid)?;
        if self.births.is_empty() && self.births.capacity() > MANY {
            self.births.shrink_to(MANY);
        }
        let open = self.open.get_mut(&birth.batch)?;
        let report = open.batch.report(birth.line, true);
        open.pids.retain(|other| *other != pid);
        if open.pids.is_empty() && self.shared != Some(birth.batch) {
            self.close(birth.batch, poll);
        }
        Some((birth, report))
    }

    fn close(&mut self, number: u32, poll: &Poll) {
        if let Some(open) = self.open.remove(&number) {
            poll.remove(&open.batch);
        }
    }

    /// When [`Batches::late`] will look.
    pub fn deadline(&self) -> Option<Moment> {
        self.open.values().map(|open| open.look_at).min()
    }

    /// The children that have executed though their batch is not over: one that hangs must not
    /// hold up what is known of the others.
    pub fn late(&mut self, now: Moment) -> Vec<Pid> {
        let mut executed = Vec::new();
        for open in self.open.values_mut().filter(|open| open.look_at <= now) {
            open.pause = (open.pause * 2).min(LONGEST_PAUSE);
            open.look_at = now + open.pause;
            let there = open.pids.iter().copied();
            executed.extend(there.filter(|pid| process::has_executed(*pid) == Some(true)));
        }
        executed
    }
}
