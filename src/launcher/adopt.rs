//! The beginning: units are loaded, what an earlier supervisor left is taken over, the rest is
//! started. Reading the unit files again is the same without the taking over.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::leaves::Start;
use super::{Launcher, Token};
use crate::kernel::leaf::Leaf;
use crate::kernel::pidfd;
use crate::protocol::Reply;
use crate::protocol::message::Reread;
use crate::protocol::server::CallId;
use crate::supervision::name::UnitName;
use crate::supervision::record::Record;
use crate::supervision::status::{Problem, StateWord};
use crate::supervision::unit::{KillMode, Kind, Limits, Restart, RestartPolicy, Stop, Unit};
use crate::supervision::{self, Moment, Pid};
use crate::unit_file::{BadUnit, Loaded};

use super::chores::Chore;

impl Launcher {
    /// Loads the units, takes over what lives, and starts what is enabled.
    /// `groups` are the cgroups that an earlier one left.
    pub(super) fn begin(&mut self, read: Loaded, groups: &[String]) {
        let now = crate::kernel::clock::monotonic_ms();
        let left = self.leaves_left(groups);
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
        let loaded = self.supervisor.load(units, now);
        self.report(read.bad, &loaded);
        let newest: HashMap<UnitName, u64> = left.iter().map(|(start, _)| start.clone()).collect();
        let living: Vec<Start> = left
            .into_iter()
            .filter_map(|(start, leaf)| {
                let is_newest = newest.get(&start.0) == Some(&start.1);
                self.adopt(start, leaf, is_newest, now)
            })
            .collect();
        let resting = groups.iter().filter_map(|group| UnitName::new(group).ok());
        let resting: BTreeSet<UnitName> = resting.chain(self.records.units()).collect();
        for name in resting.iter().filter(|name| !living.iter().any(|start| start.0 == **name)) {
            if let Some(record) = self.records.read(name, &self.tree.group(name.as_str())) {
                self.supervisor.adopt(name.as_str(), &record, false, now);
            }
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
        self.lane.await_syslog();
        self.resume_power(now);
        self.supervisor.start_enabled(&names, now);
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
        // The unit's own cgroup knows better when it tells of rest after this start. And there was
        // a start after it, so it was seen to be over.
        let rested = self.records.read(&name, &self.tree.group(name.as_str()));
        let is_over = !is_newest || rested.is_some_and(|rested| rested.start >= number);
        if !populated && (record.is_none() || is_over) {
            self.chores.add(Chore::Remove { name, leaf, group: None });
            return None;
        }
        let mut record = record.unwrap_or_else(|| unknown(number, now));
        for known in [&mut record.first, &mut record.main, &mut record.control] {
            *known = known.filter(|pid| leaf.contains(*pid));
            if let Some(pid) = *known {
                self.watch_adopted(&start, pid);
            }
        }
        let inode = leaf.inode().unwrap_or(0);
        self.leaves.add(&start, leaf, inode);
        self.supervisor.adopt(name.as_str(), &record, populated, now);
        Some(start)
    }

    /// Learns the end of a process that is no child of ours.
    fn watch_adopted(&mut self, start: &Start, pid: Pid) {
        let Ok(Some(fd)) = pidfd::open(pid) else { return };
        if self.adopted.contains_key(&pid) {
            return;
        }
        match self.poll.add(&fd, Token::Adopted(pid).number()) {
            Ok(()) => {
                self.adopted.insert(pid, (start.clone(), fd));
            }
            Err(error) => log::warn!("{error}"),
        }
    }

    /// Has the unit files read again; `call` gets the answer.
    pub(super) fn read_units_for(&mut self, call: Option<CallId>) {
        self.calls.readers.extend(call);
        self.chores.add(Chore::ReadUnits { dir: self.options.units.clone() });
    }

    /// Takes the unit files that were read again.
    pub(super) fn take_units(&mut self, result: std::io::Result<Loaded>, now: Moment) {
        let loaded = match result {
            Ok(read) => {
                let units = self.with_last_good(read.units, &read.bad);
                let loaded = self.supervisor.load(units, now);
                self.report(read.bad, &loaded);
                loaded
            }
            Err(error) => {
                let dir = self.options.units.display();
                let text = format!("cannot read {dir}: {error}; all units stay as they are");
                log::error!("{text}");
                self.problems = vec![Problem { name: dir.to_string(), text }];
                supervision::load::Loaded::default()
            }
        };
        log::info!(
            "unit files read again: {} added, {} changed, {} removed, {} not usable",
            loaded.added.len(),
            loaded.changed.len(),
            loaded.removed.len(),
            self.problems.len()
        );
        // One whose file was broken when this supervisor began goes on as it was.
        for name in &loaded.added {
            if let Some(record) = self.records.read(name, &self.tree.group(name.as_str())) {
                self.supervisor.adopt(name.as_str(), &record, false, now);
            }
        }
        self.supervisor.start_enabled(&loaded.added, now);
        for name in &loaded.removed {
            self.forget_removed(name);
        }
        let texts = |names: &[UnitName]| names.iter().map(ToString::to_string).collect();
        let reply = Reply::Reread(Reread {
            added: texts(&loaded.added),
            changed: texts(&loaded.changed),
            removed: texts(&loaded.removed),
            problems: self.problems.clone(),
        });
        for call in std::mem::take(&mut self.calls.readers) {
            self.server.reply(call, &reply, now);
        }
    }

    /// A unit whose file cannot be used any more stays as it was: a slip in an editor is no order
    /// to give a service up.
    fn with_last_good(&self, mut units: Vec<Unit>, bad: &[BadUnit]) -> Vec<Unit> {
        for bad in bad {
            let known = units.iter().any(|unit| unit.name.as_str() == bad.name);
            if let Some(unit) = self.supervisor.newest_unit(&bad.name).filter(|_| !known) {
                units.push((**unit).clone());
            }
        }
        units
    }

    /// Removes what a unit leaves behind whose file is gone, once it is at rest.
    pub(super) fn forget_removed(&mut self, name: &UnitName) {
        if self.supervisor.service(name.as_str()).is_some() || self.leaves.is_leaving(name) {
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

    /// Keeps and logs what is wrong with unit files.
    fn report(&mut self, bad: Vec<BadUnit>, loaded: &supervision::load::Loaded) {
        let of_files = bad.into_iter().map(|unit| {
            let texts: Vec<String> = unit.diagnostics.iter().map(ToString::to_string).collect();
            Problem { name: unit.name, text: texts.join("\n") }
        });
        let of_conflicts = loaded.conflicts.iter().map(|conflict| Problem {
            name: conflict.unit.name.to_string(),
            text: conflict.to_string(),
        });
        let of_cycles = loaded.cycles.iter().flat_map(|cycle| {
            let text = format!(
                "{cycle}: these units wait for each other in a circle, so none of them can start; \
                 none was loaded: take one depends_on or after away"
            );
            cycle.0.iter().map(move |name| Problem { name: name.to_string(), text: text.clone() })
        });
        self.problems = of_files.chain(of_cycles).chain(of_conflicts).collect();
        // The units of a circle share one text.
        for (at, problem) in self.problems.iter().enumerate() {
            if self.problems[..at].iter().all(|earlier| earlier.text != problem.text) {
                log::error!("{} was not loaded:\n{}", problem.name, problem.text);
            }
        }
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
        deadline: None,
        because: None,
        why: None,
        restarts: 0,
        attempts: 0,
        others: supervision::record::Others::new(),
    }
}

/// A unit for processes whose unit file is gone: they are followed and can be stopped.
pub(super) fn orphan(name: &UnitName) -> Unit {
    Unit {
        name: name.clone(),
        source: PathBuf::from("(gone)"),
        description: "its unit file is gone".into(),
        kind: Kind::Auto,
        command: vec!["/bin/false".into()],
        stop: Stop {
            command: None,
            signal: libc::SIGTERM,
            grace: 10_000,
            kill_mode: KillMode::ControlGroup,
        },
        reload: None,
        restart: Restart {
            policy: RestartPolicy::No,
            delay: 1_000,
            max_delay: 60_000,
            max_attempts: 0,
            healthy_after: 10_000,
        },
        start_timeout: None,
        needs: Vec::new(),
        after: Vec::new(),
        pid_file: None,
        enabled: false,
        activation: None,
        delegate: false,
        process: Arc::default(),
        limits: Limits::default(),
    }
}
