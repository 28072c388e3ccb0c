//! The control socket's calls: who asked what, who still waits, who watches.

use std::collections::{HashMap, HashSet};

use super::Launcher;
use super::asked::Asked;
use super::describe::Clocks;
use super::instances::PendingOrder;
use super::leaves::Start;
use super::reload::{Intent, Reader, Sight};
use crate::kernel::clock;
use crate::protocol::listener::{self, Access, Peer};
use crate::protocol::message::{
    Changed, Listing, Nothing, Outcomes, Signalled, Statuses, Version, Versioned,
};
use crate::protocol::server::{CallId, Incoming, Server};
use crate::protocol::{Failure, Reply, Request, Verb, Who};
use crate::supervision::name::UnitName;
use crate::supervision::outcome;
use crate::supervision::plan::Wish;
use crate::supervision::status::{Change, Outcome, StateWord, Status};
use crate::supervision::why::SignalName;
use crate::supervision::{Moment, Order};

/// What is said of a unit file to those who may only look.
pub(super) const NOT_FOR_ALL: &str =
    "its unit file cannot be used; only root and the supervisor's user are told why";

/// The same of a unit that is loaded.
const FOUND: &str =
    "something about it is wrong; only root and the supervisor's user are told what";

/// An order for one unit that is not decided yet, or its outcome.
#[derive(Debug)]
enum Item {
    /// `at_rest` is what a stop says when there was nothing to end; `None` when there was.
    Open {
        name: UnitName,
        at_rest: Option<&'static str>,
    },
    Decided(Outcome),
}

/// A call whose answer waits until all its units have come to rest.
#[derive(Debug)]
struct Waiting {
    order: Order,
    items: Vec<Item>,
    open: usize,
}

/// Calls that are not answered yet.
#[derive(Debug, Default)]
pub struct Calls {
    waiting: HashMap<CallId, Waiting>,
    by_unit: HashMap<UnitName, HashSet<CallId>>,
    /// Units whose state, or the state of those around them, has changed.
    touched: HashSet<UnitName>,
    watchers: Vec<CallId>,
    /// Orders that wait for nothing, once what they ask for is kept.
    settled: Vec<(CallId, Waiting)>,
    /// Instances that are being made for an order.
    pub making: Vec<String>,
}

impl Calls {
    /// Something about this unit may decide an order.
    pub fn touch(&mut self, name: &UnitName) {
        self.touched.insert(name.clone());
    }

    /// A state has changed: those who watch are told.
    pub fn changed(
        &mut self,
        server: &mut Server,
        (name, start): (&UnitName, u64),
        (from, to): (StateWord, StateWord),
        why: String,
        now: Moment,
    ) {
        self.touch(name);
        if self.watchers.is_empty() {
            return;
        }
        let at = clock::wall_ms();
        let change = Change { unit: name.to_string(), start, from, to, why, at };
        let reply = Reply::Changed(Changed { change });
        for watcher in &self.watchers {
            server.stream(*watcher, &reply, now);
        }
    }

    fn forget(&mut self, call: CallId) {
        self.waiting.remove(&call);
        self.settled.retain(|(settled, _)| *settled != call);
        self.watchers.retain(|watcher| *watcher != call);
    }
}

/// What this peer may see of unit files.
fn sight_of(peer: Peer) -> Sight {
    let own = nix::unistd::Uid::effective().as_raw();
    match listener::access(peer.uid, own, true) {
        Some(Access::Control) => Sight::All,
        Some(Access::Look) | None => Sight::NoSecrets,
    }
}

const fn order_of(verb: Verb) -> Order {
    match verb {
        Verb::Start => Order::Start,
        Verb::Stop => Order::Stop,
        Verb::Restart => Order::Restart,
        Verb::Reload => Order::Reload,
    }
}

impl Launcher {
    /// Takes what came over the control socket.
    pub(super) fn take_calls(&mut self, now: Moment) {
        for incoming in self.server.turn(now) {
            match incoming {
                Incoming::Call { id, peer, request } => self.take_call(id, peer, request, now),
                Incoming::Gone(id) => {
                    self.calls.forget(id);
                    self.readers.forget(id);
                }
            }
        }
    }

    fn take_call(&mut self, id: CallId, peer: Peer, request: Request, now: Moment) {
        let answer = match request {
            Request::List => Ok(self.list(peer)),
            Request::Status { units } => self.statuses(&units, peer),
            Request::Activations => Ok(Reply::Activations(self.activation_statuses())),
            Request::Order { verb, units, wait } => {
                let order = PendingOrder { id, peer, verb, units, wait };
                let Some(order) = self.make_instances(order) else { return };
                match self.order(id, peer, (verb, &order.units), wait, now) {
                    Ok(()) => return,
                    Err(failure) => Err(failure),
                }
            }
            Request::Kill { unit, signal, who } => self.kill_members(&unit, signal, who, peer),
            Request::ReadUnits(wish) => return self.plan_asked(id, wish, Intent::CarryOut, peer),
            Request::Plan(wish) => return self.plan_asked(id, wish, Intent::Show, peer),
            Request::Graph => Ok(self.web()),
            Request::Watch => return self.calls.watchers.push(id),
            Request::Version => Ok(self.version()),
            Request::Power(power) => {
                self.power(power, peer, now).map(|()| Reply::Nothing(Nothing {}))
            }
            Request::Upgrade { program } => return self.upgrade_for(id, program, peer),
        };
        match answer {
            Ok(reply) => self.server.reply(id, &reply, now),
            Err(failure) => self.server.fail(id, &failure, now),
        }
    }

    fn plan_asked(&mut self, id: CallId, wish: Wish, intent: Intent, peer: Peer) {
        if intent == Intent::CarryOut {
            let only: String = wish.only.iter().map(|unit| format!(" {unit}")).collect();
            log::info!("reload{only} asked for by pid {} (user {})", peer.pid, peer.uid);
        }
        let (call, sight) = (Some(id), sight_of(peer));
        self.read_units_for(Reader { call, wish, intent, sight });
    }

    /// Who may only look is told which unit files cannot be used, and not why: a diagnostic quotes
    /// the file, which may hold secrets and be closed to others.
    fn list(&self, peer: Peer) -> Reply {
        let clocks = Clocks::now();
        let services = self.supervisor.services();
        let services = services.map(|(name, s)| self.summary(name, s, clocks)).collect();
        let notice = self.going_down_text(clock::monotonic_ms());
        let (mut problems, mut findings) = (self.problems.clone(), self.findings.clone());
        if sight_of(peer) == Sight::NoSecrets {
            problems.iter_mut().for_each(|problem| NOT_FOR_ALL.clone_into(&mut problem.text));
            findings.iter_mut().for_each(|finding| FOUND.clone_into(&mut finding.text));
        }
        let masked = self.masked.clone();
        Reply::List(Listing { services, problems, findings, masked, notice })
    }

    fn statuses(&self, units: &[String], peer: Peer) -> Result<Reply, Failure> {
        let clocks = Clocks::now();
        let names = if units.is_empty() {
            self.supervisor.services().map(|(name, _)| name.clone()).collect()
        } else {
            self.names(units)?
        };
        let services = names.iter().filter_map(|name| {
            let service = self.supervisor.service(name.as_str())?;
            let findings = match sight_of(peer) {
                Sight::All => self.findings_of(name),
                Sight::NoSecrets => Vec::new(),
            };
            Some(Status { findings, ..self.status(name, service, clocks) })
        });
        Ok(Reply::Status(Statuses { services: services.collect() }))
    }

    fn version(&self) -> Reply {
        let kernel = nix::sys::utsname::uname()
            .map(|names| names.release().to_string_lossy().into_owned())
            .unwrap_or_default();
        let text = |path: &std::path::Path| path.display().to_string();
        Reply::Version(Versioned {
            version: Version {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                kernel,
                cgroup_root: text(self.tree.root()),
                units: self.directories.paths().map(text).collect::<Vec<_>>().join(":"),
                run_dir: text(&self.options.lane.run_dir),
                log_dir: text(&self.options.lane.log_dir),
                spawning: self.how.word().to_owned(),
                controllers: self.controllers.clone(),
            },
        })
    }

    /// The units of these names; fails at the first that there is none of, before anything is
    /// done.
    fn names(&self, units: &[String]) -> Result<Vec<UnitName>, Failure> {
        let known = |unit: &String| {
            let name = UnitName::new(unit).ok();
            name.filter(|name| self.supervisor.service(name.as_str()).is_some())
        };
        units
            .iter()
            .map(|unit| {
                let failure =
                    || Failure::NoSuchUnit { unit: unit.clone(), similar: self.similar(unit) };
                known(unit).ok_or_else(failure)
            })
            .collect()
    }

    /// Names that come near, the nearest first.
    pub(super) fn similar(&self, unit: &str) -> Vec<String> {
        let limit = (unit.len() / 3).clamp(1, 3);
        let mut near: Vec<(usize, &UnitName)> = self
            .supervisor
            .services()
            // The comparison takes time and room for the product of both lengths.
            .filter(|(name, _)| name.as_str().len().abs_diff(unit.len()) <= limit)
            .map(|(name, _)| (strsim::damerau_levenshtein(unit, name.as_str()), name))
            .filter(|(distance, _)| *distance <= limit)
            .collect();
        near.sort();
        near.into_iter().take(3).map(|(_, name)| name.to_string()).collect()
    }

    pub(super) fn order(
        &mut self,
        id: CallId,
        peer: Peer,
        (verb, units): (Verb, &[String]),
        wait: bool,
        now: Moment,
    ) -> Result<(), Failure> {
        let order = order_of(verb);
        let names = self.names(units)?;
        let (pid, uid) = (peer.pid, peer.uid);
        log::info!("{} {} asked for by pid {pid} (user {uid})", order.word(), units.join(" "));
        let mut waiting = Waiting { order, items: Vec::new(), open: 0 };
        for name in names {
            self.note_order(&name, Asked { order, pid, uid, at: clock::wall_ms() });
            let at_rest = self.at_rest(&name);
            let item = match self.supervisor.ask(order, name.as_str(), now) {
                Err(refusal) => Item::Decided(self.outcome(&name, false, refusal.to_string())),
                Ok(()) if wait => Item::Open { name, at_rest },
                Ok(()) => Item::Decided(self.outcome(&name, true, "asked for".into())),
            };
            if let Item::Open { name, .. } = &item {
                waiting.open += 1;
                self.calls.by_unit.entry(name.clone()).or_default().insert(id);
                self.calls.touched.insert(name.clone());
            }
            waiting.items.push(item);
        }
        if waiting.open == 0 {
            self.calls.settled.push((id, waiting));
        } else {
            self.calls.waiting.insert(id, waiting);
        }
        Ok(())
    }

    /// Answers calls whose last unit has come to rest, and those that wait for nothing: what was
    /// answered holds, so it must be kept first, lest a kill of this process undo it.
    pub(super) fn answer_waiting(&mut self, now: Moment) {
        if self.actions.is_empty() {
            for (id, settled) in std::mem::take(&mut self.calls.settled) {
                self.finish(id, settled, now);
            }
        }
        // What blocks others may have changed with any of them.
        for name in std::mem::take(&mut self.calls.touched) {
            self.decide(&name, now);
            if let Some(dependents) = self.supervisor.dependents(name.as_str()) {
                dependents.iter().for_each(|name| self.decide(name, now));
            }
        }
    }

    fn decide(&mut self, name: &UnitName, now: Moment) {
        let Some(calls) = self.calls.by_unit.remove(name) else { return };
        for id in calls {
            let Some(mut waiting) = self.calls.waiting.remove(&id) else { continue };
            for item in &mut waiting.items {
                let Item::Open { name: open, at_rest } = item else { continue };
                if open != name {
                    continue;
                }
                match self.judge(name, waiting.order, *at_rest) {
                    Some(outcome) => {
                        *item = Item::Decided(outcome);
                        waiting.open -= 1;
                    }
                    None => {
                        self.calls.by_unit.entry(name.clone()).or_default().insert(id);
                    }
                }
            }
            if waiting.open == 0 {
                self.finish(id, waiting, now);
            } else {
                self.calls.waiting.insert(id, waiting);
            }
        }
    }

    fn judge(&self, name: &UnitName, order: Order, at_rest: Option<&str>) -> Option<Outcome> {
        let Some(service) = self.supervisor.service(name.as_str()) else {
            return Some(self.outcome(name, order == Order::Stop, "its unit file is gone".into()));
        };
        // Stopped means that not even the leaf is left.
        if order == Order::Stop && self.leaves.is_leaving(name) {
            return None;
        }
        let obstacles = self.supervisor.obstacles(name.as_str());
        let (done, mut message) = outcome::judge(order, service, &obstacles)?;
        if order == Order::Stop {
            match (at_rest, self.leaves.proofs.get(name)) {
                (Some(at_rest), _) => at_rest.clone_into(&mut message),
                (None, Some(proof)) => message = format!("{message}, {proof}"),
                (None, None) => {}
            }
        }
        Some(self.outcome(name, done, message))
    }

    fn outcome(&self, name: &UnitName, done: bool, message: String) -> Outcome {
        let state = self.word(name).unwrap_or(StateWord::Down);
        Outcome { unit: name.to_string(), done, state, message }
    }

    fn finish(&mut self, id: CallId, waiting: Waiting, now: Moment) {
        let decided = waiting.items.into_iter().filter_map(|item| match item {
            Item::Decided(outcome) => Some(outcome),
            Item::Open { .. } => None,
        });
        let reply = Reply::Outcomes(Outcomes { outcomes: decided.collect() });
        self.server.reply(id, &reply, now);
    }

    fn kill_members(
        &self,
        unit: &str,
        signal: i32,
        who: Who,
        peer: Peer,
    ) -> Result<Reply, Failure> {
        let names = self.names(&[unit.to_owned()])?;
        let name = names.first().ok_or(Failure::NotRunning { unit: unit.to_owned() })?;
        if !(1..=libc::SIGRTMAX()).contains(&signal) {
            return Err(Failure::InvalidParameter { parameter: "signal".into() });
        }
        let refused = |reason: String| Failure::Refused { unit: unit.to_owned(), reason };
        let service = self.supervisor.service(unit);
        let start: Option<Start> = service.and_then(|s| Some((name.clone(), s.life()?.start)));
        let entry = start.and_then(|(name, start)| self.leaves.get(&name, start));
        let Some(entry) = entry else {
            return Err(Failure::NotRunning { unit: unit.to_owned() });
        };
        let (by, uid) = (peer.pid, peer.uid);
        let signal_name = SignalName(signal);
        log::info!("{unit}: {signal_name} to {who} asked for by pid {by} (user {uid})");
        let main = service.and_then(|service| service.main_pid());
        let leaf = entry.leaf(&self.tree);
        let sent = match (who, main) {
            (Who::All, _) => leaf.signal_all(signal, false),
            (Who::Pid(pid), _) | (Who::Main, Some(pid)) => match leaf.signal_member(pid, signal) {
                Ok(false) => {
                    return Err(refused(format!("process {pid} is not one of its processes")));
                }
                sent => sent.map(usize::from),
            },
            (Who::Main, None) => {
                return Err(refused(crate::supervision::Refusal::NoMain.to_string()));
            }
        };
        let signalled = sent.map_err(|error| refused(error.to_string()))? as u64;
        Ok(Reply::Signalled(Signalled { signalled }))
    }
}
