//! Two units that want the same address: only one of them can have it.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use super::activation::{Address, Socket};
use super::name::UnitName;
use super::status::Problem;
use super::supervisor::Supervisor;
use super::unit::Unit;

/// A unit that was not taken because another has the address of one of its sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The unit.
    pub unit: UnitName,
    /// Its file.
    pub source: PathBuf,
    /// The key of its socket.
    pub key: String,
    /// Its socket.
    pub socket: String,
    /// The other unit, and its socket.
    pub other: (UnitName, String),
}

impl Conflict {
    /// What is wrong, and what to do about it.
    #[must_use]
    pub fn explain(&self) -> String {
        let (other, theirs) = &self.other;
        format!(
            "{} and {theirs} of the unit {other} are conflicting sockets: only one of the units can \
             have it; give this one another address, or take the socket away",
            self.socket
        )
    }

    /// As it is shown.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem { name: self.unit.to_string(), text: self.to_string() }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: sockets.{}: {}", self.source.display(), self.key, self.explain())
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
                unit: unit.name.clone(),
                source: unit.source.to_path_buf(),
                key: socket.name.clone(),
                socket: socket.to_string(),
                other: (name.clone(), theirs.to_string()),
            })
        })
    }
}

fn sockets_of(unit: &Unit) -> &[Socket] {
    unit.activation.as_deref().map(|it| it.sockets.as_slice()).unwrap_or_default()
}

/// The units that want an address that another has. Whoever `has_it` already comes first, and then
/// the first by name.
pub fn among(mut units: Vec<&Unit>, has_it: &dyn Fn(&Unit) -> bool) -> Vec<Conflict> {
    units.retain(|unit| !sockets_of(unit).is_empty());
    units.sort_unstable_by_key(|unit| (!has_it(unit), &unit.name));
    let mut taken = Taken::default();
    let mut conflicts = Vec::new();
    for unit in units {
        match taken.conflict(unit) {
            Some(conflict) => conflicts.push(conflict),
            None => taken.take(unit),
        }
    }
    conflicts
}

impl Supervisor {
    /// Whether a unit was loaded with the sockets that it has.
    pub(super) fn has_its_sockets(&self, unit: &Unit) -> bool {
        let slot = self.slots.get(&unit.name).filter(|slot| !slot.gone);
        slot.is_some_and(|slot| sockets_of(slot.newest()) == sockets_of(unit))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::supervision::plan::{Found, Wish};
    use crate::supervision::rig::{named, on_demand};
    use crate::supervision::supervisor::Supervisor;
    use crate::supervision::unit::Unit;

    #[test]
    fn the_first_has_the_address_and_keeps_it() {
        let (a, b, c) = (on_demand(named("a")), on_demand(named("b")), on_demand(named("c")));
        let mut supervisor = Supervisor::default();
        let refused = supervisor.load(vec![b.clone(), named("x"), c.clone()], 0);
        let names: Vec<_> = refused.conflicts.iter().map(|it| it.unit.as_str()).collect();
        assert_eq!(names, ["c"]);
        let text = refused.conflicts[0].to_string();
        assert!(text.contains("*:80 and *:80 of the unit b are conflicting sockets"), "{text}");
        assert!(supervisor.service("c").is_none() && supervisor.service("x").is_some());
        // One that comes later and is named earlier does not take it away.
        let planned = |supervisor: &Supervisor, units: &[&Unit], only: &[&str]| {
            let units = units.iter().map(|unit| Arc::new((*unit).clone())).collect();
            let found = Found { units, ..Found::default() };
            let only = only.iter().map(ToString::to_string).collect();
            let plan = supervisor.plan(&found, &Wish { only, restart: false });
            plan.faults.into_iter().map(|problem| problem.name).collect::<Vec<_>>()
        };
        assert_eq!(planned(&supervisor, &[&a, &b], &[]), ["a"]);
        // Whose unit is gone has no address any more.
        assert_eq!(planned(&supervisor, &[&a], &[]), [""; 0]);
        assert_eq!(planned(&supervisor, &[&a, &c], &[]), ["c"]);
        // Who is not asked about is in nobody's way but its own.
        assert_eq!(planned(&supervisor, &[&b, &named("x")], &["x"]), [""; 0]);
    }
}
