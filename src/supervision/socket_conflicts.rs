//! Two units that want the same address: only one of them can have it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::activation::{Address, Socket};
use super::name::UnitName;
use super::supervisor::Supervisor;
use super::unit::Unit;

/// A unit that was not taken because another has the address of one of its sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The unit.
    pub unit: Unit,
    /// Its socket.
    pub socket: String,
    /// The other unit, and its socket.
    pub other: (UnitName, String),
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (other, theirs) = &self.other;
        write!(
            f,
            "{}: sockets: {} and {theirs} of the unit {other} are conflicting sockets: only one of \
             the units can have it; this one was not loaded: give it another address, or take \
             the socket away",
            self.unit.source.display(),
            self.socket,
        )
    }
}

/// What two sockets must share to be in each other's way.
#[derive(PartialEq, Eq, Hash)]
enum Ground {
    Port(u16),
    Name(String),
}

fn ground(socket: &Socket) -> Ground {
    match &socket.address {
        Address::Any(port) => Ground::Port(*port),
        Address::Inet(address) => Ground::Port(address.port()),
        Address::Path(_) | Address::Abstract(_) => Ground::Name(socket.address.to_string()),
    }
}

/// Who has which address.
#[derive(Default)]
struct Taken(HashMap<Ground, Vec<(UnitName, Socket)>>);

impl Taken {
    fn take(&mut self, unit: &Unit) {
        for socket in sockets_of(unit) {
            let here = self.0.entry(ground(socket)).or_default();
            here.push((unit.name.clone(), socket.clone()));
        }
    }

    fn conflict(&self, unit: &Unit) -> Option<Conflict> {
        sockets_of(unit).iter().find_map(|socket| {
            let here = self.0.get(&ground(socket))?;
            let (name, theirs) = here
                .iter()
                .find(|(name, theirs)| *name != unit.name && socket.is_in_the_way_of(theirs))?;
            Some(Conflict {
                unit: unit.clone(),
                socket: socket.to_string(),
                other: (name.clone(), theirs.to_string()),
            })
        })
    }
}

fn sockets_of(unit: &Unit) -> &[Socket] {
    unit.activation.as_deref().map(|it| it.sockets.as_slice()).unwrap_or_default()
}

impl Supervisor {
    /// Refuses units whose address another has. Whoever was loaded with it before keeps it; among
    /// new ones the first by name gets it.
    pub(super) fn without_conflicts(
        &self,
        mut units: Vec<Unit>,
        conflicts: &mut Vec<Conflict>,
    ) -> Vec<Unit> {
        if units.iter().all(|unit| sockets_of(unit).is_empty()) {
            return units;
        }
        let mut order: Vec<&Unit> = units.iter().filter(|it| !sockets_of(it).is_empty()).collect();
        order.sort_by_key(|unit| (!self.has_its_sockets(unit), &unit.name));
        let mut taken = Taken::default();
        let mut refused = BTreeSet::new();
        for unit in order {
            let Some(conflict) = taken.conflict(unit) else {
                taken.take(unit);
                continue;
            };
            refused.insert(unit.name.clone());
            conflicts.push(conflict);
            // It stays as it was.
            if let Some(slot) = self.slots.get(&unit.name) {
                taken.take(slot.newest());
            }
        }
        units.retain(|unit| !refused.contains(&unit.name));
        units
    }

    fn has_its_sockets(&self, unit: &Unit) -> bool {
        let slot = self.slots.get(&unit.name);
        slot.is_some_and(|slot| sockets_of(slot.newest()) == sockets_of(unit))
    }
}

#[cfg(test)]
mod tests {
    use crate::supervision::rig::{named, on_demand};
    use crate::supervision::supervisor::Supervisor;

    #[test]
    fn the_first_has_the_address_and_keeps_it() {
        let (a, b, c) = (on_demand(named("a")), on_demand(named("b")), on_demand(named("c")));
        let mut supervisor = Supervisor::default();
        let loaded = supervisor.load(vec![b.clone(), named("x"), c.clone()], 0);
        let refused: Vec<_> = loaded.conflicts.iter().map(|it| it.unit.name.as_str()).collect();
        assert_eq!(refused, ["c"]);
        let text = loaded.conflicts[0].to_string();
        assert!(text.contains("*:80 and *:80 of the unit b are conflicting sockets"), "{text}");
        assert!(supervisor.service("c").is_none() && supervisor.service("x").is_some());
        // One that comes later and is named earlier does not take it away.
        let loaded = supervisor.load(vec![a.clone(), b.clone()], 0);
        assert_eq!(loaded.conflicts[0].unit.name.as_str(), "a");
        // Whose unit is gone has no address any more.
        let loaded = supervisor.load(vec![a, c], 0);
        assert_eq!(loaded.conflicts[0].unit.name.as_str(), "c");
    }
}
