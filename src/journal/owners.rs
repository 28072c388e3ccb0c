//! [`Owners`]: to which unit a cgroup belongs.

use std::collections::HashMap;
use std::rc::Rc;

use crate::kernel::cgroup_ids::CgroupIds;
use crate::kernel::membership;
use crate::kernel::senders::Sender;
use crate::supervision::name::UnitName;

/// The log of everything that comes from no unit.
pub(super) const COMMON_LOG: &str = "syslog";

/// So many cgroups are remembered; then all are forgotten, and those that still matter are found
/// again.
const MOST_KNOWN: usize = 4096;

/// Whose log a sender's lines go to.
pub(super) struct Owners {
    /// The cgroup above all units.
    services: String,
    ids: Option<CgroupIds>,
    /// The log of each cgroup that has written, by the cgroup's id. An id is never given twice, so
    /// a daemon's last words find their log also when its leaf is removed already.
    known: HashMap<u64, Rc<str>>,
}

impl Owners {
    /// `services` is the cgroup above all units as /proc/PID/cgroup shows it.
    pub(super) fn new(services: &str) -> Self {
        let services = services.trim_end_matches('/').to_owned();
        let ids = CgroupIds::open(&services);
        Self { services, ids, known: HashMap::new() }
    }

    /// The log of a sender, alive or not; `None` when it is gone and nothing tells any more where
    /// it was.
    pub(super) fn log_of(&mut self, sender: &Sender) -> Option<Rc<str>> {
        if let Some(log) = sender.cgroup_id.and_then(|id| self.known.get(&id)) {
            return Some(Rc::clone(log));
        }
        let (cgroup, is_certain) = self.cgroup_of(sender)?;
        let log: Rc<str> = unit_in(&cgroup, &self.services).unwrap_or(COMMON_LOG).into();
        if let Some(id) = sender.cgroup_id.filter(|_| is_certain) {
            if self.known.len() == MOST_KNOWN {
                self.known.clear();
            }
            self.known.insert(id, Rc::clone(&log));
        }
        Some(log)
    }

    /// The cgroup that a sender is or was in, and whether its id is the one of that: the number of a
    /// process that is gone may be another's by now.
    fn cgroup_of(&self, sender: &Sender) -> Option<(String, bool)> {
        let (ids, id) = (self.ids.as_ref(), sender.cgroup_id);
        if let Some(cgroup) = id.and_then(|id| ids?.cgroup_of(id)) {
            return Some((cgroup, true));
        }
        let cgroup = membership::cgroup_of(sender.pid)?.cgroup;
        let is_certain = id.zip(ids).is_some_and(|(id, ids)| ids.is(&cgroup, id));
        Some((cgroup, is_certain))
    }
}

/// The unit whose leaf the text of a /proc/PID/cgroup names.
#[cfg(any(test, fuzzing))]
pub(super) fn unit_of<'a>(text: &'a str, services: &str) -> Option<&'a str> {
    unit_in(membership::unified(text)?, services)
}

/// The unit that a cgroup is a leaf of, or is in one.
fn unit_in<'a>(cgroup: &'a str, services: &str) -> Option<&'a str> {
    let below = cgroup.strip_prefix(services)?.strip_prefix('/')?;
    let (unit, _leaf) = below.split_once('/')?;
    UnitName::new(unit).is_ok().then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::unit_of;

    #[test]
    fn only_a_leaf_below_the_services_names_a_unit() {
        let services = "/treeward/services";
        for (path, unit) in [
            ("0::/treeward/services/web/3\n", Some("web")),
            ("1:name=systemd:/\n0::/treeward/services/web/3/inner\n", Some("web")),
            ("0::/treeward/services/web\n", None),
            ("0::/treeward/servicesX/web/3\n", None),
            ("0::/treeward/supervisor\n", None),
            ("1:cpu:/treeward/services/web/3\n", None),
            ("0::/other/treeward/services/web/3\n", None),
            ("", None),
        ] {
            assert_eq!(unit_of(path, services), unit, "{path:?}");
        }
    }
}
