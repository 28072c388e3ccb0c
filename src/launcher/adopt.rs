//! The beginning: units are loaded, what an earlier supervisor left is taken over, the rest is
//! started.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thin_vec::ThinVec;

use super::leaves::Start;
use super::{Launcher, Token};
use crate::kernel::leaf::Leaf;
use crate::kernel::pidfd;
use crate::supervision::hooks::Step;
use crate::supervision::load::Refused;
use crate::supervision::name::UnitName;
use crate::supervision::plan::Fault;
use crate::supervision::record::Record;
use crate::supervision::socket_conflicts::Conflict;
use crate::supervision::status::{Mask, Problem, StateWord};
use crate::supervision::unit::{Kind, Limits, Restart, RestartPolicy, Unit};
use crate::supervision::{self, Moment, Pid};
use crate::unit_file::{BadUnit, Loaded};

use super::chores::Chore;
use super::reload::located;

impl Launcher {
    /// Loads the units, takes over what lives, and starts what is enabled.
    /// `groups` are the cgroups that an earlier one left.
    pub(super) fn begin(&mut self, read: Loaded, groups: &[String]) {
        let now = crate::kernel::clock::monotonic_ms();
        let left = self.leaves_left(groups);
        self.note(&read);
        self.sweep_all(groups);
        let mut units = read.units;
        let orphans: Vec<Unit> = left
            .iter()
            .map(|(start, _)| &start.0)
            .filter(|name| !units.iter().any(|unit| unit.name == **name))
            .map(orphan)
            .collect();
        let real = (!orphans.is_empty()).then(|| units.clone());
        units.extend(orphans);
        let names: Vec<UnitName> = units.iter().map(|unit| unit.name.clone()).collect();
        let refused = self.supervisor.load(units, now);
        self.report(read.bad, &refused);
        let newest: HashMap<UnitName, u64> = left.iter().map(|(start, _)| start.clone()).collect();
        let living: Vec<Start> = left
            .into_iter()
            .filter_map(|(start, leaf)| {
                let is_newest = newest.get(&start.0) == Some(&start.1);
                self.adopt(start, leaf, is_newest, now)
            })
            .collect();
        let newest_lives = |name: &str, start| {
            living.iter().any(|(of, number)| of.as_str() == name && *number == start)
        };
        self.activations.runs.retain(newest_lives);
        let resting = groups.iter().filter_map(|group| UnitName::new(group).ok());
        let resting: BTreeSet<UnitName> = resting.chain(self.records.units()).collect();
        for name in resting.iter().filter(|name| !living.iter().any(|start| start.0 == **name)) {
            self.adopt_resting(name, now);
        }
        // Units without a file stay as long as their processes do.
        if let Some(real) = real {
            self.supervisor.load(real, now);
        }
        let fifos = self.lane.units();
        self.forget_gone(resting.into_iter().chain(fifos).filter(|n| !newest.contains_key(n)));
        log::info!(
            "units loaded: {}; services taken over from an earlier supervisor: {}",
            names.len(),
            living.len()
        );
        self.lane.tick(now);
        self.await_again(now);
        self.lane.await_syslog();
        self.resume_power(now);
        self.supervisor.go_on(&names, now);
        self.examine_units();
    }

    /// Takes over a unit at rest, if something is known of it.
    pub(super) fn adopt_resting(&mut self, name: &UnitName, now: Moment) {
        if let Some(record) = self.records.read(name, &self.tree.group(name.as_str())) {
            self.supervisor.adopt(name.as_str(), &record, false, now);
            self.renew_limits(name, &record);
        }
    }

    /// Forgets units at rest whose files went while there was no supervisor. One whose file is only
    /// broken will come back, and is remembered.
    fn forget_gone(&mut self, names: impl Iterator<Item = UnitName>) {
        for name in names {
            if self.problems.iter().all(|problem| problem.name != name.as_str()) {
                self.forget_removed(&name);
            }
        }
    }

    /// The leaves that exist, the newest start of each unit last.
    fn leaves_left(&self, groups: &[String]) -> Vec<(Start, Leaf)> {
        let found = self.tree.leaves(groups);
        let with_names = found.into_iter().filter_map(|(group, number)| {
            let leaf = self.tree.leaf(&group, number);
            Some(((UnitName::new(&group).ok()?, number), leaf))
        });
        let mut left: Vec<(Start, Leaf)> = with_names.collect();
        left.sort_by(|(a, _), (b, _)| a.cmp(b));
        left
    }

    /// Takes over one leaf. Gives its start if that is the one that counts for its unit.
    fn adopt(&mut self, start: Start, leaf: Leaf, is_newest: bool, now: Moment) -> Option<Start> {
        let (name, number) = start.clone();
        self.supervisor.skip_starts(name.as_str(), number);
        let populated = leaf.populated().unwrap_or(true);
        let record = self.records.read(&name, &leaf).filter(|record| record.start == number);
        // The unit's own cgroup knows better when it tells of rest after this start, or of a step
        // that was to come in this leaf. And where there was a start after it, it was seen to be
        // over.
        let group = self.records.read(&name, &self.tree.group(name.as_str()));
        let is_over = !is_newest
            || group.as_ref().is_some_and(|group| {
                group.start > number || (group.start == number && !group.state.is_alive())
            });
        let to_come = group.filter(|group| group.start == number && group.state.is_alive());
        let is_unwritten = record.is_none();
        let mark = if is_unwritten { leaf.mark() } else { None };
        // A first process that went on to its program is not run a second time.
        let to_come = to_come.map(|it| match it.step.as_deref() {
            Some(Step::First) if mark.is_some() => Record { step: None, ..it },
            _ => it,
        });
        let record = record.or(to_come);
        if !populated && (record.is_none() || is_over) {
            self.chores.add(Chore::Remove { name, leaf, group: None });
            return None;
        }
        let mut record = record.unwrap_or_else(|| unknown(number, now));
        if is_unwritten && record.step.is_none() {
            record.first = record.first.or(mark).or_else(|| only_member(&leaf));
        }
        // It was let through as the supervisor before was killed, and has run, or will.
        if record.control_due
            && let Some(command) = leaf.let_through()
        {
            (record.control, record.control_due) = (Some(command), false);
        }
        let may_be_told =
            matches!(record.state, StateWord::Starting | StateWord::Up | StateWord::Reloading);
        let has_ended = |pid: &Pid| may_be_told && self.watch_ended(&start, *pid, &leaf);
        let ended = record.first.filter(has_ended);
        for known in [&mut record.first, &mut record.main, &mut record.control] {
            *known = known.filter(|pid| leaf.contains(*pid));
            if let Some(pid) = *known {
                self.watch_adopted(&start, pid);
            }
        }
        record.first = record.first.or(ended);
        let inode = leaf.inode().unwrap_or(0);
        self.leaves.add(&start, inode);
        // What has ended is told in its turn: first how, and then that the leaf is empty.
        self.supervisor.adopt(name.as_str(), &record, populated || ended.is_some(), now);
        self.renew_limits(&name, &record);
        Some(start)
    }

    /// Learns the end of a process that is no child of ours.
    fn watch_adopted(&mut self, start: &Start, pid: Pid) {
        if let Ok(Some(fd)) = pidfd::open(pid) {
            self.watch_end(start, pid, fd);
        }
    }

    /// Learns the end of a first process that has ended already: of a oneshot's by what was kept of
    /// it, of any other while nobody has buried it. Gives whether that can be learnt.
    fn watch_ended(&mut self, start: &Start, pid: Pid, leaf: &Leaf) -> bool {
        let kept = self.activations.runs.pidfd(start, pid);
        let unburied = || pidfd::open(pid).ok().flatten().filter(|_| leaf.contains(pid));
        let fd = kept.or_else(unburied);
        let fd = fd.filter(|fd| pidfd::has_ended(fd) || !leaf.contains(pid));
        fd.is_some_and(|fd| self.watch_end(start, pid, fd))
    }

    fn watch_end(&mut self, start: &Start, pid: Pid, fd: OwnedFd) -> bool {
        if self.adopted.contains_key(&pid) {
            return false;
        }
        match self.poll.add(&fd, Token::Adopted(pid).number()) {
            Ok(()) => {
                self.adopted.insert(pid, (start.clone(), fd));
                return true;
            }
            Err(error) => log::warn!("{error}"),
        }
        false
    }

    /// Removes what a unit leaves behind whose file is gone, once it is at rest.
    pub(super) fn forget_removed(&mut self, name: &UnitName) {
        if self.supervisor.service(name.as_str()).is_some()
            || self.leaves.is_leaving(name)
            || self.checks.is_busy(name)
        {
            return;
        }
        if let Err(error) = self.tree.remove_group(name.as_str()) {
            log::warn!("{error}");
        }
        self.records.forget(name);
        self.asked_by.remove(name);
        self.missing_limits.remove(name);
        self.leaves.proofs.remove(name);
        let _ = std::fs::remove_file(self.lane.fifo(name.as_str()));
    }

    /// Keeps which units are masked, and logs which drop-ins belong to no unit.
    pub(super) fn note(&mut self, read: &Loaded) {
        let mask = |(name, link): &(String, PathBuf)| Mask {
            name: name.clone(),
            link: link.display().to_string(),
        };
        self.masked = read.masked.iter().map(mask).collect();
        for dir in &read.unused {
            log::warn!("{}: there is no unit for these drop-ins; they wait for one", dir.display());
        }
    }

    /// Keeps and logs what is wrong with unit files.
    fn report(&mut self, bad: Vec<BadUnit>, refused: &Refused) {
        let of_clashes = refused.clashes.iter().map(|clash| {
            let text = format!("{}; it was not loaded", clash.explain());
            Problem { name: clash.unit.to_string(), text }
        });
        let of_conflicts = refused.conflicts.iter().map(Conflict::problem);
        let cycles = refused.cycles.iter();
        let of_cycles: Vec<Fault> = cycles
            .flat_map(|(cycle, said)| Fault::of_circle(cycle, said, &cycle.explain()))
            .collect();
        let of_cycles = located(&of_cycles).into_iter();
        let of_units = of_cycles.chain(of_clashes).chain(of_conflicts);
        self.problems = problems_of(bad).into_iter().chain(of_units).collect();
        log_problems(&self.problems, "was not loaded");
    }

    /// Sets the limits of a unit that was taken over, where it has any or its cgroup was given some:
    /// its file may have changed while there was no supervisor.
    fn renew_limits(&self, name: &UnitName, record: &Record) {
        let Some(service) = self.supervisor.service(name.as_str()) else { return };
        if record.limited || *service.unit().limits != Limits::default() {
            self.change_limits(service.unit());
        }
    }
}

/// What is wrong with files, in words.
pub(super) fn problems_of(bad: Vec<BadUnit>) -> Vec<Problem> {
    let of_file = |unit: BadUnit| {
        let texts: Vec<String> = unit.diagnostics.iter().map(ToString::to_string).collect();
        Problem { name: unit.name, text: texts.join("\n") }
    };
    bad.into_iter().map(of_file).collect()
}

/// Logs what is wrong; the units of a circle share one text.
pub(super) fn log_problems(problems: &[Problem], consequence: &str) {
    for (at, problem) in problems.iter().enumerate() {
        if problems[..at].iter().all(|earlier| earlier.text != problem.text) {
            log::error!("{} {consequence}:\n{}", problem.name, problem.text);
        }
    }
}

/// The only process of a leaf: where nobody wrote on the leaf, the one that was born there.
fn only_member(leaf: &Leaf) -> Option<Pid> {
    match leaf.members().as_deref() {
        Ok(&[pid]) => Some(pid),
        _ => None,
    }
}

/// What is known of a leaf that carries no record: its processes.
fn unknown(start: u64, now: Moment) -> Record {
    Record {
        start,
        state: StateWord::Up,
        since: now,
        wanted: true,
        armed: false,
        began: None,
        first: None,
        main: None,
        control: None,
        control_due: false,
        step: None,
        deadline: None,
        because: None,
        why: None,
        restarts: 0,
        attempts: 0,
        limited: false,
        older: Vec::new(),
        times: None,
        origin: None,
        health: None,
        watchdog: None,
        others: supervision::record::Others::new(),
    }
}

/// A unit for processes whose unit file is gone: they are followed and can be stopped.
pub(super) fn orphan(name: &UnitName) -> Unit {
    Unit {
        name: name.clone(),
        source: Path::new("(gone)").into(),
        description: "its unit file is gone".into(),
        kind: Kind::Auto,
        ready: None,
        health: None,
        watchdog: None,
        command: vec!["/bin/false".into()].into(),
        stop: Arc::default(),
        reload: None,
        restart: Arc::new(Restart { policy: RestartPolicy::No, ..Restart::default() }),
        start_timeout: None,
        needs: ThinVec::new(),
        after: ThinVec::new(),
        conflicts: ThinVec::new(),
        conditions: ThinVec::new(),
        hooks: Arc::default(),
        pid_file: None,
        enabled: false,
        activation: None,
        delegate: false,
        drop_ins: ThinVec::new(),
        process: Arc::default(),
        limits: Arc::default(),
    }
}
