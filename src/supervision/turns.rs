//! Whose turn it is to start, where only so many may be starting at once.
//!
//! A turn is taken by a service that is `starting` and works. One whose type is up as soon as its
//! program was executed (`auto`, `simple`) takes none: that is over before anybody could wait for it.
//! One that only waits, perhaps for a service that has no turn yet, holds none: while others are
//! waiting for theirs, the processor time of those that have one is weighed, and one that has used
//! nearly none since the last look gives its turn back. One that burns it while it waits gives it back
//! in the end, too. So nobody waits for ever.

use std::collections::BTreeMap;

use super::Moment;
use super::name::UnitName;
use super::supervisor::Supervisor;
use super::unit::{Kind, Millis, Unit};

/// How long after its beginning, and after each look, a start is weighed, in milliseconds.
const LOOK: Millis = 100;
/// Who has used less processor time than this since the last look only waits, in microseconds: a
/// fiftieth of one processor, since many may share it.
const WORKS: u64 = 2_000;
/// How long a start may take a turn at most, in milliseconds.
const LONGEST: Millis = 10_000;

/// One that has a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    start: u64,
    look_at: Moment,
    until: Moment,
    /// What it had used at the last look, in microseconds.
    used: u64,
}

/// Who has a turn, and who waits for one.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns {
    /// How many may have one; 0 means no limit.
    most: usize,
    taken: BTreeMap<UnitName, Turn>,
    /// Those who wait, by the order in which they came.
    queue: BTreeMap<u64, UnitName>,
    places: BTreeMap<UnitName, u64>,
    last_place: u64,
}

/// Whether a unit takes a turn while it starts.
const fn takes_one(unit: &Unit) -> bool {
    match unit.kind {
        Kind::Auto | Kind::Simple => false,
        Kind::Forking | Kind::Oneshot { .. } | Kind::Notify => true,
    }
}

impl Turns {
    /// Whether this unit would have to wait for its turn.
    pub fn holds(&self, unit: &Unit) -> bool {
        self.most != 0 && takes_one(unit) && self.taken.len() >= self.most
    }

    fn free(&self) -> usize {
        self.most.saturating_sub(self.taken.len())
    }

    /// The next one to be done by [`Supervisor::tick_turns`]; none while nobody waits.
    pub fn deadline(&self) -> Option<Moment> {
        let looks = self.taken.values().map(|turn| turn.look_at.min(turn.until));
        if self.queue.is_empty() { None } else { looks.min() }
    }

    fn wait(&mut self, name: &UnitName) {
        if !self.places.contains_key(name) {
            self.last_place += 1;
            self.queue.insert(self.last_place, name.clone());
            self.places.insert(name.clone(), self.last_place);
        }
    }

    fn leave(&mut self, name: &UnitName) -> bool {
        let place = self.places.remove(name);
        place.is_some_and(|place| self.queue.remove(&place).is_some())
    }
}

impl Supervisor {
    /// Lets only so many services be starting at once; 0 means no limit.
    pub fn limit_starting(&mut self, most: usize) {
        self.turns.most = most;
    }

    /// Who waits for a turn, and who has one.
    pub(super) fn note_waits(&mut self, name: &UnitName, waits: bool) {
        if waits {
            self.turns.wait(name);
        } else if self.turns.leave(name) {
            self.call_up();
        }
    }

    /// A service has begun to start, or is not starting any more.
    pub(super) fn note_starting(&mut self, name: &UnitName, begins: bool, now: Moment) {
        let Some(slot) = self.slots.get(name).filter(|_| self.turns.most != 0) else { return };
        let service = &slot.service;
        if begins && takes_one(service.unit()) {
            let (look_at, until) = (now + LOOK, now + LONGEST);
            let turn = Turn { start: service.starts(), look_at, until, used: 0 };
            self.turns.taken.insert(name.clone(), turn);
        } else if !begins && self.turns.taken.remove(name).is_some() {
            self.call_up();
        }
    }

    /// Has those looked at again whose turn it is.
    fn call_up(&mut self) {
        self.restless.extend(self.turns.queue.values().take(self.turns.free()).cloned());
    }

    /// Has those weighed that have a turn and may only wait.
    pub(super) fn tick_turns(&mut self, now: Moment) {
        if self.turns.deadline().is_none_or(|at| at > now) {
            return;
        }
        for (name, turn) in &mut self.turns.taken {
            if turn.look_at <= now {
                turn.look_at = now + LOOK;
                let (name, start) = (name.clone(), turn.start);
                self.actions.push(super::Action::Weigh { name, start });
            }
        }
        self.turns.taken.retain(|_, turn| turn.until > now);
        self.call_up();
        self.settle(now);
    }

    /// Takes the processor time that a start has used so far, in microseconds; `None` when it cannot
    /// be told.
    pub fn weighed(&mut self, name: &str, start: u64, used: Option<u64>, now: Moment) {
        let Some(turn) = self.turns.taken.get_mut(name).filter(|turn| turn.start == start) else {
            return;
        };
        match used {
            Some(used) if used.saturating_sub(turn.used) >= WORKS => turn.used = used,
            Some(_) | None => {
                self.turns.taken.remove(name);
                self.call_up();
                self.settle(now);
            }
        }
    }

    /// Who has a turn now, and who waits for one.
    #[cfg(test)]
    pub(super) fn turns(&self) -> (Vec<&UnitName>, Vec<&UnitName>) {
        (self.turns.taken.keys().collect(), self.turns.queue.values().collect())
    }
}
