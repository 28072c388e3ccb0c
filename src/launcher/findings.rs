//! What a look at the units and at this machine has found: said in the log, in the list and in the
//! status. No unit is refused for it, since what is missing now may be there when it is needed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Launcher;
use super::chores::Chore;
use crate::supervision::name::UnitName;
use crate::supervision::status::Problem;
use crate::unit_file::Diagnostic;

/// The most units whose findings are kept and logged: a machine that lacks what ten thousand units
/// need is told of by some of them.
const MAX_UNITS: usize = 100;

impl Launcher {
    /// Has the units looked at as they are now, by the thread for slow work.
    pub(super) fn examine_units(&self) {
        let names = self.supervisor.services().map(|(name, _)| name.as_str());
        let units = names.filter_map(|name| self.supervisor.newest_unit(name)).map(Arc::clone);
        let unread: BTreeSet<String> =
            self.problems.iter().map(|problem| problem.name.clone()).collect();
        self.chores.add(Chore::Examine { units: units.collect(), unread });
    }

    /// Takes what was found; what is new is logged.
    pub(super) fn take_findings(&mut self, findings: Vec<(UnitName, Vec<Diagnostic>)>) {
        let more = findings.len().saturating_sub(MAX_UNITS);
        let mut kept = Vec::with_capacity(findings.len().min(MAX_UNITS));
        for (name, said) in findings.into_iter().take(MAX_UNITS) {
            let texts: Vec<String> = said.iter().map(ToString::to_string).collect();
            let finding = Problem { name: name.to_string(), text: texts.join("\n") };
            if !self.findings.contains(&finding) {
                log::warn!("{name} is loaded, and something about it is wrong:\n{}", finding.text);
            }
            kept.push(finding);
        }
        if more > 0 {
            log::warn!("and {more} more units; slc check tells of all");
        }
        self.findings = kept;
    }

    /// What was found about one unit.
    pub(super) fn findings_of(&self, name: &UnitName) -> Vec<String> {
        let of_unit = self.findings.iter().filter(|finding| finding.name == name.as_str());
        of_unit.map(|finding| finding.text.clone()).collect()
    }
}
