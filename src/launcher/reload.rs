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
use crate::supervision::plan::{Deed, Fault, Found, Plan, Said, Step, Wish};
use crate::supervision::status::{Problem, StateWord};
use crate::supervision::unit::Unit;
use crate::unit_file::{At, Loaded, Places, Severity, Unreadable};

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
        let readers = std::mem::take(&mut self.readers.now);
        match result {
            Ok(read) => {
                if readers.iter().any(|reader| reader.intent == Intent::CarryOut) {
                    self.note(&read);
                }
                let found = self.found(read);
                readers.into_iter().for_each(|reader| self.plan_for(reader, &found, now));
            }
            Err(error) => {
                let text = format!("{error}; all units stay as they are");
                let problem = Problem { name: error.dir.display().to_string(), text };
                for reader in readers {
                    let planned = self.cannot_read(problem.clone(), reader.intent);
                    self.tell(&reader, planned, now);
                }
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

    fn tell(&mut self, reader: &Reader, planned: Planned, now: Moment) {
        if let Some(call) = reader.call {
            let planned = seen_with(planned, reader.sight);
            self.server.reply(call, &Reply::Planned(planned), now);
        }
    }

    /// Makes the plan that is wished for, and carries it out or has it told.
    fn plan_for(&mut self, reader: Reader, found: &Found, now: Moment) {
        let is_known = |name: &&String| {
            found.units.iter().any(|unit| unit.name.as_str() == **name)
                || found.bad.iter().any(|problem| problem.name == **name)
                || self.supervisor.service(name).is_some()
        };
        if let Some(unit) = reader.wish.only.iter().find(|name| !is_known(name)) {
            let failure = Failure::NoSuchUnit { unit: unit.clone(), similar: self.similar(unit) };
            reader.call.into_iter().for_each(|call| self.server.fail(call, &failure, now));
            return;
        }
        let plan = self.supervisor.plan(found, &reader.wish);
        if !plan.is_sound() {
            // Where the files say so is for the thread to find, which has read them.
            self.chores.add(Chore::Locate { reader, plan });
            return;
        }
        let done = reader.intent == Intent::CarryOut;
        if done {
            self.carry_out(&plan, &found.units, &reader.wish, now);
        }
        self.tell(&reader, Planned { done, steps: plan.steps, problems: Vec::new() }, now);
    }

    /// Says loudly why a plan is not carried out, where it was to be.
    pub(super) fn refuse(
        &mut self,
        reader: &Reader,
        steps: Vec<Step>,
        problems: Vec<Problem>,
        now: Moment,
    ) {
        if reader.intent == Intent::CarryOut {
            self.keep_problems(&reader.wish, &problems);
            log_problems(&problems, "is wrong, so the reload changed nothing");
            let count = problems.len();
            log::error!("unit files read again: nothing was changed; problems: {count}");
        }
        self.tell(reader, Planned { done: false, steps, problems }, now);
    }

    fn keep_problems(&mut self, wish: &Wish, problems: &[Problem]) {
        let named = |problem: &Problem| wish.only.contains(&problem.name);
        // What was found of others stays true.
        self.problems.retain(|problem| !wish.only.is_empty() && !named(problem));
        self.problems.extend(problems.iter().cloned());
    }

    /// Carries a sound plan out.
    fn carry_out(&mut self, plan: &Plan, units: &[Arc<Unit>], wish: &Wish, now: Moment) {
        self.keep_problems(wish, &[]);
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
    }

    fn cannot_read(&mut self, problem: Problem, intent: Intent) -> Planned {
        if intent == Intent::CarryOut {
            log::error!("{}", problem.text);
            self.problems = vec![problem.clone()];
        }
        Planned { done: false, steps: Vec::new(), problems: vec![problem] }
    }
}

/// What is wrong, with the lines of the files that say so, like what is wrong with a file itself. The
/// units of a circle share one text.
pub(super) fn located(faults: &[Fault]) -> Vec<Problem> {
    let mut last: Option<(&Said, String)> = None;
    let mut problems = Vec::with_capacity(faults.len());
    for Fault { name, text, said } in faults {
        let text = match (said, &last) {
            (None, _) => text.clone(),
            (Some(said), Some((of, text))) if said == *of => text.clone(),
            (Some(said), _) => {
                let at = At::part(said.keys, said.part.as_str());
                let found = Places::of(&said.unit).diagnostic(Severity::Error, &at, text);
                last.insert((said, found.to_string())).1.clone()
            }
        };
        problems.push(Problem { name: name.clone(), text });
    }
    problems
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
