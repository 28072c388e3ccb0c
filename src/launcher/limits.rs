//! What the cgroup of a unit may use: set at a start, and changed in place.

use std::path::Path;

use super::Launcher;
use super::chores::Chore;
use crate::kernel::{self, accounting};
use crate::supervision::name::UnitName;
use crate::supervision::unit::{Limits, Unit};

/// One limit of a unit.
#[derive(Debug, Clone)]
pub struct Limit {
    /// The key of unit files.
    key: &'static str,
    /// The kernel's file (cgroup-v2, "Controllers").
    file: &'static str,
    /// What is written; `None` takes the limit off.
    value: Option<String>,
}

impl Limit {
    /// Sets it, or takes it off; that it cannot be taken off where there is none is well.
    ///
    /// # Errors
    /// What the kernel said to a limit that it does not take.
    pub fn set(&self, group: &Path) -> Result<(), kernel::Error> {
        match &self.value {
            Some(value) => accounting::set_limit(group, self.file, value),
            None => {
                let _ = accounting::set_limit(group, self.file, "max");
                Ok(())
            }
        }
    }
}

impl Launcher {
    /// Sets what the cgroup of a unit may use that is about to start. What cannot be set is reported
    /// in the log and in the status.
    pub(super) fn set_limits(&mut self, unit: &Unit) {
        let group = self.tree.group_path(unit.name.as_str());
        let wanted = limits_of(&unit.limits).into_iter().filter(|limit| limit.value.is_some());
        let refused = wanted.filter_map(|limit| Some((limit.clone(), limit.set(&group).err()?)));
        self.report_limits(&unit.name, refused.collect());
    }

    /// The same in place, and for limits that are no more.
    pub(super) fn change_limits(&self, unit: &Unit) {
        let (name, group) = (unit.name.clone(), self.tree.group_path(unit.name.as_str()));
        let limits = limits_of(&unit.limits).to_vec();
        self.chores.add(Chore::SetLimits { name, group, limits });
    }

    /// Says which limits are not held, and why.
    pub(super) fn report_limits(&mut self, name: &UnitName, refused: Vec<(Limit, kernel::Error)>) {
        // The unit and its cgroup may have gone in between.
        if refused.is_empty() || self.supervisor.service(name.as_str()).is_none() {
            self.missing_limits.remove(name);
            return;
        }
        let mut missing = Vec::new();
        for (limit, error) in refused {
            let (key, file) = (limit.key, limit.file);
            let controller = file.split('.').next().unwrap_or(file);
            let text = if self.controllers.iter().any(|on| on == controller) {
                format!("{key}: {error}")
            } else {
                format!("{key}: the {controller} controller is not available in this cgroup")
            };
            log::warn!("{name}: {text}; it runs without this limit");
            missing.push(text);
        }
        self.missing_limits.insert(name.clone(), missing);
    }
}

/// Every limit that a unit may have.
fn limits_of(limits: &Limits) -> [Limit; 3] {
    /// The period of cpu.max in microseconds, the kernel's default.
    const PERIOD: u64 = 100_000;
    let Limits { memory_bytes, pids, milli_cpus } = limits;
    let cpus = milli_cpus.map(|milli| {
        let quota = (milli.saturating_mul(PERIOD) / 1_000).max(1_000);
        format!("{quota} {PERIOD}")
    });
    [
        Limit {
            key: "mem_limit",
            file: "memory.max",
            value: memory_bytes.map(|it| it.to_string()),
        },
        Limit { key: "pids_limit", file: "pids.max", value: pids.map(|it| it.to_string()) },
        Limit { key: "cpus", file: "cpu.max", value: cpus },
    ]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::limits_of;
    use crate::supervision::unit::Limits;

    #[test]
    fn a_limit_is_set_or_taken_off_and_only_one_that_is_wanted_can_be_missing() {
        let group = tempfile::tempdir().unwrap();
        fs::write(group.path().join("memory.max"), "5").unwrap();
        fs::write(group.path().join("cpu.max"), "").unwrap();
        let limits = Limits { milli_cpus: Some(1_500), ..Limits::default() };
        assert!(limits_of(&limits).iter().all(|limit| limit.set(group.path()).is_ok()));
        let held = |file: &str| fs::read_to_string(group.path().join(file)).unwrap();
        assert_eq!((held("memory.max"), held("cpu.max")), ("max".into(), "150000 100000".into()));
        let limits = Limits { pids: Some(7), ..Limits::default() };
        let refused = limits_of(&limits).map(|limit| (limit.key, limit.set(group.path()).is_err()));
        assert_eq!(refused, [("mem_limit", false), ("pids_limit", true), ("cpus", false)]);
    }
}
