//! Instances of templates that no file names: they are made when somebody starts them, and stay
//! until they are down and the unit files are read again.

use super::Launcher;
use super::chores::Chore;
use super::records::Records;
use crate::kernel::cgroup::Tree;
use crate::protocol::listener::Peer;
use crate::protocol::server::CallId;
use crate::protocol::{Failure, Verb};
use crate::supervision::Moment;
use crate::supervision::Want;
use crate::supervision::name::UnitName;
use crate::supervision::status::StateWord;
use crate::unit_file::{Loaded, Unreadable};

/// An order that waits until the instances that it names are made.
#[derive(Debug)]
pub struct PendingOrder {
    pub id: CallId,
    pub peer: Peer,
    pub verb: Verb,
    pub units: Vec<String>,
    pub wait: bool,
}

/// The instances that an earlier supervisor left alive, or wanted up. Their cgroups, or the records
/// in their place, are all that tells of those that no file names.
pub(super) fn instances_left(tree: &Tree, records: &Records, groups: &[String]) -> Vec<String> {
    let named = groups.iter().filter_map(|group| UnitName::new(group).ok());
    let mut names: Vec<UnitName> = named.chain(records.units()).collect();
    names.retain(UnitName::is_instance);
    names.sort();
    names.dedup();
    let is_left = |name: &UnitName| {
        let group = [name.as_str().to_owned()];
        let record = || records.read(name, &tree.group(name.as_str()));
        let wants = || record().is_some_and(|it| it.wanted || it.state != StateWord::Down);
        !tree.leaves(&group).is_empty() || wants()
    };
    names.into_iter().filter(is_left).map(|name| name.as_str().to_owned()).collect()
}

impl Launcher {
    /// The instances that are to stay though perhaps no file names them.
    pub(super) fn instances_to_keep(&self) -> Vec<String> {
        let is_kept = |name: &UnitName| {
            let service = self.supervisor.service(name.as_str());
            service.is_some_and(|it| it.want() == Want::Up || it.word() != StateWord::Down)
        };
        let names = self.supervisor.services().map(|(name, _)| name);
        let names = names.filter(|name| name.is_instance() && is_kept(name));
        let making = self.calls.making.iter().cloned();
        names.map(|name| name.as_str().to_owned()).chain(making).collect()
    }

    /// Has the instances made that an order to start names and that are not loaded; gives the order
    /// back if there are none.
    pub(super) fn make_instances(&mut self, order: PendingOrder) -> Option<PendingOrder> {
        if !matches!(order.verb, Verb::Start | Verb::Restart) {
            return Some(order);
        }
        let is_missing = |unit: &&String| {
            UnitName::new(unit).is_ok_and(|name| name.is_instance())
                && self.supervisor.service(unit).is_none()
        };
        let names: Vec<String> = order.units.iter().filter(is_missing).cloned().collect();
        if names.is_empty() {
            return Some(order);
        }
        self.calls.making.extend(names.iter().cloned());
        let directories = self.directories.clone();
        self.chores.add(Chore::MakeInstances { directories, names, order: Box::new(order) });
        None
    }

    /// Takes instances that were made, and goes on with the order that names them.
    pub(super) fn take_instances(
        &mut self,
        result: Result<Loaded, Unreadable>,
        order: PendingOrder,
        now: Moment,
    ) {
        let PendingOrder { id, peer, verb, units, wait } = order;
        self.calls.making.retain(|name| !units.contains(name));
        let taken = result.map_err(|error| error.to_string()).and_then(|read| {
            self.refusal(&read, &units)?;
            let (made, cycles) = self.supervisor.add(read.units, now);
            for name in &made {
                log::info!("{name}: made of its template");
            }
            match cycles.first() {
                None => Ok(()),
                Some(cycle) => Err(format!("{cycle}: these units wait for each other in a circle")),
            }
        });
        let done = match taken {
            Ok(()) => self.order(id, peer, (verb, &units), wait, now),
            Err(reason) => {
                let unit = units.first().cloned().unwrap_or_default();
                Err(Failure::Refused { unit, reason })
            }
        };
        if let Err(failure) = done {
            self.server.fail(id, &failure, now);
        }
    }

    /// Why one of these cannot be made of its template.
    fn refusal(&self, read: &Loaded, units: &[String]) -> Result<(), String> {
        if let Some((name, link)) = read.masked.iter().find(|(name, _)| units.contains(name)) {
            return Err(format!("{name} is masked by {}", link.display()));
        }
        let bad = read.bad.iter().find(|bad| units.contains(&bad.name));
        match bad.and_then(|bad| Some((&bad.name, bad.diagnostics.first()?))) {
            None => Ok(()),
            Some((name, diagnostic)) => {
                let text = diagnostic.to_string();
                let first = text.lines().next().unwrap_or_default();
                Err(format!("{first}; the rest: slc cat {name}"))
            }
        }
    }
}
