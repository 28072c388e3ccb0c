//! Doing what the rules ask for.

use std::collections::VecDeque;
use std::path::Path;

use nix::errno::Errno;

use super::Launcher;
use super::chores::Chore;
use super::leaves::{End, Start};
use crate::kernel::leaf::{Leaf, LeafDir};
use crate::kernel::{accounting, files, heap, process};
use crate::supervision::main_process::{self, Member};
use crate::supervision::name::UnitName;
use crate::supervision::service::Service;
use crate::supervision::status::{HealthWord, MAX_TREE, StateWord};
use crate::supervision::why::{SignalName, Span};
use crate::supervision::{Action, Event, Moment, Pid, Role, Who};

/// Starts that are performed in one turn, so that a boot with thousands of units leaves room for
/// deaths and clients in between.
const STARTS_A_TURN: usize = 32;
/// Records that could wait and are written in one turn, when nothing else is to be done.
const SAVES_A_TURN: usize = 64;
/// Room for so many actions is given back when all are done.
const MANY_ACTIONS: usize = 512;
/// The most bytes that a PID file may have.
const MAX_PID_FILE: usize = 64;
/// After so many looks an unusable PID file is reported: an old one may lie there until the daemon
/// has written its own.
const REFUSED_LOOKS: u8 = 3;

impl Launcher {
    /// Performs actions and feeds the results back, until none is left or so many starts were made
    /// that others should have a turn.
    pub(super) fn perform_all(&mut self, now: Moment) {
        let mut starts = 0;
        loop {
            self.take_actions();
            if starts == STARTS_A_TURN {
                return;
            }
            let Some(action) = self.actions.pop_front() else {
                // A boot queues thousands; the room for them is not needed again.
                if self.actions.capacity() > MANY_ACTIONS {
                    self.actions = VecDeque::new();
                    heap::trim();
                }
                return;
            };
            starts += usize::from(matches!(action, Action::Spawn { .. }));
            self.perform(action, now);
        }
    }

    /// Takes what the rules ask for. What is to be saved is only noted: what counts is how it is
    /// at the end of the turn.
    fn take_actions(&mut self) {
        for action in self.supervisor.take_actions() {
            match action {
                Action::Save { name } => {
                    self.unsaved.insert(name);
                }
                other => self.actions.push_back(other),
            }
        }
    }

    fn perform(&mut self, action: Action, now: Moment) {
        // What is done to a leaf that is there already is written down first: a supervisor that is
        // killed in between must not leave a half-ended service that nobody ends.
        if let Action::Signal { name, .. } | Action::KillTree { name, .. } = &action {
            self.save_now(name);
        }
        match action {
            Action::Spawn { unit, start, role } => {
                let service = self.supervisor.service(unit.name.as_str());
                if service.is_none_or(|service| service.has_overtaken(start, role)) {
                    return;
                }
                // A first process that is not up at once must be known to come: what is found in a
                // leaf that says nothing counts as up. And hooks before it would be run again.
                if role != Role::First || unit.starts_in_steps() {
                    self.save_now(&unit.name);
                }
                self.spawn(&unit, start, role, now);
            }
            Action::Look { unit, number } => self.look_at_conditions(unit, number, now),
            Action::Report { name, text } => {
                log::warn!("{name}: {text}; nothing follows from this")
            }
            Action::Signal { name, start, who, signal } => {
                self.signal(&name, start, who, signal, now);
            }
            Action::KillTree { name, start } => self.kill_tree(&name, start, now),
            Action::ReportStuck { name, start } => self.report_stuck(&name, start),
            Action::FindMain { name, start } => self.find_main(&name, start, now),
            Action::Weigh { name, start } => self.weigh(&name, start, now),
            Action::RemoveLeaf { name, start } => self.remove_leaf(name, start, now),
            Action::Guard { unit, guard } => self.set_guard(&unit, guard, now),
            Action::SetLimits { unit } => self.change_limits(&unit),
            Action::Save { name } => self.save(&name),
            Action::Check { unit, start, purpose, number } => {
                self.begin_check(&unit, start, purpose, number, now);
            }
            Action::EndCheck { name, start, number } => self.end_check(&name, start, number, now),
            Action::Health { name, start, word, why } => {
                let colon = if why.is_empty() { "" } else { ": " };
                let level = match word {
                    HealthWord::Unhealthy => log::Level::Warn,
                    HealthWord::Starting | HealthWord::Healthy => log::Level::Info,
                };
                log::log!(level, "{name}: {word}{colon}{why} (start {start})");
            }
            Action::Changed { name, start, from, to, why } => {
                let colon = if why.is_empty() { "" } else { ": " };
                log::info!("{name}: {from} -> {to}{colon}{why} (start {start})");
                if from == StateWord::Starting {
                    self.readiness.forget(&(name.clone(), start));
                }
                self.keep_run(&name, (from, to), now);
                self.calls.changed(&mut self.server, (&name, start), (from, to), why, now);
            }
        }
    }

    fn signal(&mut self, name: &UnitName, start: u64, who: Who, signal: i32, now: Moment) {
        let is_ending = self.word(name).is_some_and(|word| word == StateWord::Stopping);
        let Some(entry) = self.leaves.get_mut(name, start) else { return };
        let leaf = entry.leaf(&self.tree);
        let sent = match who {
            Who::All => leaf.signal_all(signal, is_ending),
            Who::One(pid) => leaf
                .signal_member(pid, signal)
                .map(|_| leaf.members().map_or(0, |members| members.len())),
        };
        match sent {
            Ok(count) if is_ending && entry.end.is_none() => {
                let end = End { began: now, processes: count, killed: None };
                entry.end = Some(Box::new(end));
            }
            Ok(_) => {}
            Err(error) => log::warn!("{name}: {}: {error}", SignalName(signal)),
        }
    }

    fn kill_tree(&mut self, name: &UnitName, start: u64, now: Moment) {
        if self.leaves.get(name, start).is_some_and(|entry| !entry.was_killed()) {
            self.report_killed(name, start, now);
        }
        let Some(entry) = self.leaves.get_mut(name, start) else { return };
        let leaf = entry.leaf(&self.tree);
        let left = leaf.members().map_or(0, |members| members.len());
        let end = entry
            .end
            .get_or_insert_with(|| Box::new(End { began: now, processes: left, killed: None }));
        end.killed.get_or_insert((now, left));
        if leaf.has_kill() {
            if let Err(error) = leaf.kill() {
                log::error!("{name}: {error}; it is tried again");
            }
        } else {
            self.chores.add(Chore::KillByFreezing { leaf });
        }
    }

    fn report_stuck(&self, name: &UnitName, start: u64) {
        let Some(entry) = self.leaves.get(name, start) else { return };
        let members = entry.leaf(&self.tree).members().unwrap_or_default();
        for process in process::read_many(&members, 5) {
            let channel = process::wait_channel(process.pid).unwrap_or_else(|| "-".into());
            log::error!(
                "{name}: killed, but pid {} ({}) stays: state {}, waits in {channel}",
                process.pid,
                process.comm,
                process.state
            );
        }
    }

    fn weigh(&mut self, name: &UnitName, start: u64, now: Moment) {
        let entry = self.leaves.get(name, start);
        let used = entry.and_then(|entry| accounting::cpu_usec(entry.leaf(&self.tree).path()));
        self.supervisor.weighed(name.as_str(), start, used, now);
    }

    fn find_main(&mut self, name: &UnitName, start: u64, now: Moment) {
        let told = self.read_pid_file(name, start);
        let (main, certain) = match told {
            Some(pid) => (Some(pid), true),
            None => (self.guess_main(name, start), false),
        };
        let event = Event::MainFound { main, certain };
        self.supervisor.handle(name.as_str(), start, event, now);
    }

    /// The process that the unit's PID file names, if the file is in order and the process is the
    /// service's own. A file that stays unusable is reported once.
    fn read_pid_file(&mut self, name: &UnitName, start: u64) -> Option<Pid> {
        let unit = self.supervisor.service(name.as_str()).map(|service| service.unit());
        let path = unit?.pid_file.as_ref()?;
        let entry = self.leaves.get_mut(name, start)?;
        match pid_in_file(path, &entry.leaf(&self.tree)) {
            Ok(pid) => {
                entry.pid_file_refused = 0;
                pid
            }
            Err(why) => {
                entry.pid_file_refused = entry.pid_file_refused.saturating_add(1);
                if entry.pid_file_refused == REFUSED_LOOKS {
                    log::warn!("{name}: {why}; the PID file is not used");
                }
                None
            }
        }
    }

    /// The main process by a look at the leaf.
    fn guess_main(&self, name: &UnitName, start: u64) -> Option<Pid> {
        let entry = self.leaves.get(name, start)?;
        let members = entry.leaf(&self.tree).members().unwrap_or_default();
        // A crowd has no main process that a guess would find, and takes long to read.
        if members.len() > MAX_TREE {
            return None;
        }
        let members: Vec<Member> = process::read_many(&members, MAX_TREE)
            .into_iter()
            .map(|p| Member { pid: p.pid, parent: p.parent, session: p.session })
            .collect();
        main_process::pick(&members)
    }

    fn remove_leaf(&mut self, name: UnitName, start: u64, now: Moment) {
        let Some(entry) = self.leaves.remove(&(name.clone(), start), &self.leaf_events) else {
            return;
        };
        if let Some(end) = &entry.end {
            self.keep_proof(&name, **end, now);
        }
        // A start that follows at once must not meet this on the kernel's cgroup lock.
        // Nothing but stop commands starts when everything goes down, and an orderly end leaves
        // nothing.
        let group = self.going_down.is_some().then(|| self.tree.group(name.as_str()));
        self.removals.push(Chore::Remove { name, leaf: entry.leaf(&self.tree), group });
    }

    /// Keeps the proof of an end, unless there was nothing to end.
    fn keep_proof(&mut self, name: &UnitName, end: End, now: Moment) {
        let killed = end.killed.is_some_and(|(_, count)| count > 0);
        if end.processes == 0 && !killed {
            self.leaves.proofs.remove(name);
            return;
        }
        let proof = prove(end, now);
        if killed {
            log::warn!("{name}: {proof}");
        }
        self.leaves.proofs.insert(name.clone(), proof);
    }

    /// Writes down what has changed in this turn: before the leaves of starts that are over go, and
    /// before anybody is told. While starts are queued, whoever needs nothing written waits for the
    /// last of them.
    pub(super) fn save_all(&mut self, now: Moment) {
        let are_queued = !self.actions.is_empty();
        for name in std::mem::take(&mut self.unsaved) {
            let says_the_same = || {
                let service = self.supervisor.service(name.as_str());
                service.is_some_and(|service| service.has_just_executed(now))
            };
            if are_queued && says_the_same() {
                self.save_later.push(name);
            } else {
                self.save(&name);
            }
        }
        if !are_queued {
            let left = self.save_later.len().saturating_sub(SAVES_A_TURN);
            for name in self.save_later.split_off(left) {
                self.save(&name);
            }
            self.save_later.shrink_to(SAVES_A_TURN);
        }
        self.activations.keep_runs();
    }

    fn save_now(&mut self, name: &UnitName) {
        if self.unsaved.remove(name) {
            self.save(name);
        }
    }

    fn save(&mut self, name: &UnitName) {
        let Some(service) = self.supervisor.service(name.as_str()) else { return };
        let record = service.record();
        let alive = record.state.is_alive();
        // An orderly end leaves no record: everything enabled starts anew next time. But where it was
        // written down that a stop command is to come, the next one must not find that.
        if !alive && self.going_down.is_some() && !service.is_stopped_when_done() {
            return;
        }
        match self.leaves.get(name, record.start) {
            Some(entry) if alive => {
                self.records.save(name, &record, |text| entry.leaf(&self.tree).set_record(text));
            }
            // Its leaf is not made yet, and then the birth is what is saved; but between two steps
            // the next one must be known.
            None if alive && record.step.is_none() => {}
            _ if !service.is_to_be_known(self.records.has(name)) => {}
            _ => {
                let group = self.tree.group(name.as_str());
                self.records.save(name, &record, |text| group.set_record(text));
            }
        }
    }

    /// Writes down that a process was born, at once: a supervisor that takes over in the middle of
    /// a boot must know whom it has.
    pub(super) fn save_birth(&mut self, (name, start): &Start, dir: &LeafDir) {
        self.take_actions();
        let service = self.supervisor.service(name.as_str());
        let lives = |service: &&Service| service.life().is_some_and(|life| life.start == *start);
        let Some(service) = service.filter(lives) else { return };
        self.unsaved.remove(name);
        self.records.save(name, &service.record(), |text| dir.set_record(text));
    }

    pub(super) fn word(&self, name: &UnitName) -> Option<StateWord> {
        self.supervisor.service(name.as_str()).map(|service| service.word())
    }
}

/// The process that a PID file names; `None` when there is no file yet. Fails in words.
pub(super) fn pid_in_file(path: &Path, leaf: &Leaf) -> Result<Option<Pid>, String> {
    let text = match files::read_small(path, MAX_PID_FILE) {
        Err(error) if error.errno() == Errno::ENOENT => return Ok(None),
        read => read.map_err(|error| error.to_string())?,
    };
    let shown = path.display();
    // What it says instead is not shown: it may be the text of another file.
    let pid = parse_pid(&text)
        .ok_or_else(|| format!("{shown} does not hold one decimal number above 1"))?;
    let words = format!("{shown} names process {pid}, which is not one of its processes");
    leaf.contains(pid).then_some(Some(pid)).ok_or(words)
}

/// A PID file holds one decimal number above 1, perhaps between blanks.
pub(super) fn parse_pid(text: &[u8]) -> Option<Pid> {
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t', '\n', '\r']);
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|pid| digits && *pid > 1)
}

/// The proof of an end, in words.
fn prove(end: End, now: Moment) -> String {
    let count = |number: usize| match number {
        1 => "1 process".to_owned(),
        number => format!("{number} processes"),
    };
    match end.killed {
        None => {
            let took = Span(now.saturating_sub(end.began));
            format!("{} gone in {took}", count(end.processes))
        }
        Some((at, left)) => format!(
            "{} asked, {} killed after {}, all gone {} later",
            count(end.processes),
            left,
            Span(at.saturating_sub(end.began)),
            Span(now.saturating_sub(at))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_pid;

    #[test]
    fn a_pid_file_holds_one_decimal_number_and_nothing_else() {
        assert_eq!(parse_pid(b" 123\n"), Some(123));
        for bad in ["", "1", "0", "-1", "+5", "0x10", "12 34", "4294967296", "12\0", "abc"] {
            assert_eq!(parse_pid(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
