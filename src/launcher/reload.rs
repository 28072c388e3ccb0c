//! Reading the unit files again: for a plan that is shown, or for one that is carried out.
//!
//! The thread for slow work reads them (`chores.rs`), once for all who asked before it began, and
//! never for more than one round at a time: whoever may only look cannot keep it from its work.

use std::sync::Arc;

use super::Launcher;
use super::adopt::{log_problems, problems_of};
use super::calls::NOT_FOR_ALL;
use super::chores::Chore;
use crate::protocol::message::Planned;
use crate::protocol::server::CallId;
use crate::protocol::{Failure, Reply};
use crate::supervision::Moment;
use crate::supervision::diff::KeyChange;
use crate::supervision::name::UnitName;
use crate::supervision::plan::{Deed, Found, Plan, Wish};
use crate::supervision::status::{Problem, StateWord};
use crate::supervision::unit::Unit;
use crate::unit_file::{Loaded, Unreadable};

/// Somebody who waits for the unit files to be read.
#[derive(Debug)]
pub struct Reader {
    /// Who gets the answer; nobody after a SIGHUP.
    pub call: Option<CallId>,
    /// What is wished for.
    pub wish: Wish,
    /// Whether the plan is to be carried out.
    pub intent: Intent,
    /// What the caller may see.
    pub sight: Sight,
}

/// What becomes of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// It is shown.
    Show,
    /// It is carried out, if it is sound.
    CarryOut,
}

/// What somebody may see of unit files, which may hold secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// All.
    All,
    /// Neither values of the environment nor lines that a diagnostic quotes.
    NoSecrets,
}

/// Those who wait for the unit files.
#[derive(Debug, Default)]
pub struct Readers {
    /// For them the files are being read.
    now: Vec<Reader>,
    /// They came later, and must not get what was read before.
    next: Vec<Reader>,
}

impl Readers {
    /// The caller has gone. What it ordered is done all the same.
    pub fn forget(&mut self, call: CallId) {
        self.now.iter_mut().chain(&mut self.next).for_each(|reader| {
            reader.call = reader.call.filter(|waiting| *waiting != call);
        });
    }
}

impl Launcher {
    /// Has the unit files read again for somebody.
    pub(super) fn read_units_for(&mut self, reader: Reader) {
        if self.readers.now.is_empty() {
            self.readers.now.push(reader);
            let (directories, asked) = (self.directories.clone(), self.instances_to_keep());
            self.chores.add(Chore::ReadUnits { directories, asked });
        } else {
            self.readers.next.push(reader);
        }
    }

    /// What SIGHUP asks for.
    pub(super) fn reload_all(&mut self) {
        let (wish, intent, sight) = (Wish::default(), Intent::CarryOut, Sight::All);
        self.read_units_for(Reader { call: None, wish, intent, sight });
    }

    /// Takes the unit files that were read again.
    pub(super) fn take_units(&mut self, result: Result<Loaded, Unreadable>, now: Moment) {
        let found = match result {
            Ok(read) => {
                if self.readers.now.iter().any(|reader| reader.intent == Intent::CarryOut) {
                    self.note(&read);
                }
                Ok(self.found(read))
            }
            Err(error) => {
                let text = format!("{error}; all units stay as they are");
                Err(Problem { name: error.dir.display().to_string(), text })
            }
        };
        for reader in std::mem::take(&mut self.readers.now) {
            let answer = match &found {
                Ok(found) => self.plan_for(&reader, found, now),
                Err(problem) => Ok(self.cannot_read(problem.clone(), reader.intent)),
            };
            let Some(call) = reader.call else { continue };
            match answer {
                Ok(planned) => {
                    let planned = seen_with(planned, reader.sight);
                    self.server.reply(call, &Reply::Planned(planned), now);
                }
                Err(failure) => self.server.fail(call, &failure, now),
            }
        }
        for reader in std::mem::take(&mut self.readers.next) {
            self.read_units_for(reader);
        }
    }

    /// What was read, with what is remembered of units that are not loaded.
    fn found(&self, read: Loaded) -> Found {
        let units: Vec<Arc<Unit>> = read.units.into_iter().map(Arc::new).collect();
        let unknown = units.iter().map(|unit| &unit.name);
        let unknown = unknown.filter(|name| self.supervisor.service(name.as_str()).is_none());
        let at_rest = unknown.filter(|name| {
            let record = self.records.read(name, &self.tree.group(name.as_str()));
            record.is_some_and(|it| !it.wanted || it.state == StateWord::Done)
        });
        let at_rest = at_rest.map(ToString::to_string).collect();
        Found { units, bad: problems_of(read.bad), at_rest }
    }

    fn plan_for(
        &mut self,
        reader: &Reader,
        found: &Found,
        now: Moment,
    ) -> Result<Planned, Failure> {
        let is_known = |name: &&String| {
            found.units.iter().any(|unit| unit.name.as_str() == **name)
                || found.bad.iter().any(|problem| problem.name == **name)
                || self.supervisor.service(name).is_some()
        };
        if let Some(unit) = reader.wish.only.iter().find(|name| !is_known(name)) {
            return Err(Failure::NoSuchUnit { unit: unit.clone(), similar: self.similar(unit) });
        }
        let plan = self.supervisor.plan(found, &reader.wish);
        let done = match reader.intent {
            Intent::Show => false,
            Intent::CarryOut => self.carry_out(&plan, &found.units, &reader.wish, now),
        };
        Ok(Planned { done, steps: plan.steps, problems: plan.problems })
    }

    /// Carries a plan out, or says loudly why not. Gives whether it did.
    fn carry_out(&mut self, plan: &Plan, units: &[Arc<Unit>], wish: &Wish, now: Moment) -> bool {
        let named = |problem: &Problem| wish.only.contains(&problem.name);
        // What was found of others stays true.
        self.problems.retain(|problem| !wish.only.is_empty() && !named(problem));
        self.problems.extend(plan.problems.iter().cloned());
        if !plan.is_sound() {
            log_problems(&plan.problems, "is wrong, so the reload changed nothing");
            log::error!(
                "unit files read again: nothing was changed; problems: {}",
                plan.problems.len()
            );
            return false;
        }
        for step in &plan.steps {
            let keys: Vec<&str> = step.keys.iter().map(|change| change.key.as_str()).collect();
            let keys =
                if keys.is_empty() { String::new() } else { format!(" ({})", keys.join(", ")) };
            log::info!("{}: reload: {}: {}{keys}", step.unit, step.deed.as_str(), step.why);
        }
        let fresh = self.supervisor.carry_out(plan, units, now);
        // One whose file was broken when this supervisor began goes on as it was.
        for name in &fresh {
            self.adopt_resting(name, now);
        }
        self.supervisor.start_enabled(&fresh, now);
        for step in plan.steps.iter().filter(|it| matches!(it.deed, Deed::Stop | Deed::Remove)) {
            if let Ok(name) = UnitName::new(&step.unit) {
                self.forget_removed(&name);
            }
        }
        self.examine_units();
        log::info!("unit files read again; units that are not as before: {}", plan.steps.len());
        true
    }

    fn cannot_read(&mut self, problem: Problem, intent: Intent) -> Planned {
        if intent == Intent::CarryOut {
            log::error!("{}", problem.text);
            self.problems = vec![problem.clone()];
        }
        Planned { done: false, steps: Vec::new(), problems: vec![problem] }
    }
}

fn seen_with(mut planned: Planned, sight: Sight) -> Planned {
    if sight == Sight::NoSecrets {
        let keys = planned.steps.iter_mut().flat_map(|step| &mut step.keys);
        keys.for_each(KeyChange::hide_secrets);
        let texts = planned.problems.iter_mut().map(|problem| &mut problem.text);
        texts.for_each(|text| NOT_FOR_ALL.clone_into(text));
    }
    planned
}
