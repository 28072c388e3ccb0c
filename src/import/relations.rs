//! What names other units, put together.

use super::neighbour::Neighbour;
use super::report::{approximated, dropped};
use super::systemd::Import;
use super::unit::{Relation, STANDS_FOR_TARGET};
use super::yaml::Yaml;

/// Another unit that wants this one.
pub(super) struct Wanted {
    /// The directive.
    pub number: usize,
    /// systemd's ending of the unit that it stands in.
    pub kind: String,
    /// The unit that wants this one.
    pub by: String,
    /// What that one would say of it.
    pub line: String,
}

/// Says who else starts this one. A unit that another one wants, and that goes after it all the same,
/// cannot be in that one's `depends_on`; a boot starts it instead. Gives the names of those others.
fn wanted_by(import: &mut Import, relations: &[(usize, Relation, String)]) -> Vec<String> {
    let mut behind = Vec::new();
    for Wanted { number, kind, by, line } in std::mem::take(&mut import.parts.wanted_by) {
        let waits = relations.iter().any(|(_, relation, unit)| {
            !matches!(relation, Relation::PartOf | Relation::Conflicts) && *unit == by
        });
        let why = if kind != "service" {
            import.parts.install(&kind, number);
            format!("{by}: a boot arms it, and not a start of that one")
        } else if waits {
            import.parts.install(&kind, number);
            format!("{by}: a boot starts it, behind that one; a start of that one does not")
        } else {
            import.parts.drop_ins.push((by.clone(), format!("{line}\n"), number));
            format!("by a drop-in for {by}.yml")
        };
        import.report.lower(number, approximated(why));
        if waits {
            behind.push(by);
        }
    }
    behind
}

/// `depends_on` and `after`, out of all that names other units.
pub(super) fn settle(import: &mut Import) {
    let mut relations = std::mem::take(&mut import.parts.relations);
    let wanted_by = wanted_by(import, &relations);
    let befores = std::mem::take(&mut import.parts.befores);
    // What goes first cannot wait for what comes behind it, as it does in a `depends_on`.
    relations.retain(|(number, relation, unit)| {
        let keeps = *relation == Relation::After || !befores.contains(unit);
        if !keeps && STANDS_FOR_TARGET.contains(&unit.as_str()) {
            import.report.lower(*number, approximated(format!("a boot starts {unit}")));
        } else if !keeps {
            let why = format!("{unit}: what goes first does not start what comes behind it");
            import.report.lower(*number, dropped(why));
        }
        keeps
    });
    let ordered: Vec<String> = relations
        .iter()
        .filter(|(_, relation, _)| *relation == Relation::After)
        .map(|(_, _, unit)| unit.clone())
        .collect();
    relations.retain(|(number, _, unit)| {
        let keeps = ordered.contains(unit) || !import.is_waited_for_by(unit);
        if !keeps {
            let why = format!("{unit}: it waits for this one, so this one cannot wait for it");
            import.report.lower(*number, dropped(why));
        }
        keeps
    });
    let is = |unit: &str, relation: Relation| {
        relations.iter().any(|(_, it, name)| *it == relation && name == unit)
    };
    let mut needs: Vec<(String, bool)> = Vec::new();
    let mut from_needs = Vec::new();
    for (number, relation, unit) in &relations {
        match relation {
            Relation::Requires | Relation::Wants => {
                let required = is(unit, Relation::Requires);
                if !needs.iter().any(|(known, _)| known == unit) {
                    needs.push((unit.clone(), required));
                }
                from_needs.push(*number);
                if !is(unit, Relation::After) {
                    let why = format!("{unit}: it waits until that one's program runs");
                    import.report.lower(*number, approximated(why));
                }
            }
            Relation::After if !is(unit, Relation::Requires) && !is(unit, Relation::Wants) => {
                import.draft.add("after", Yaml::text(unit), *number);
            }
            Relation::PartOf
                if import.neighbour(unit).is_some_and(Neighbour::is_umbrella)
                    || (wanted_by.contains(unit) && is(unit, Relation::After)) =>
            {
                if !needs.iter().any(|(known, _)| known == unit) {
                    needs.push((unit.clone(), true));
                }
                from_needs.push(*number);
                let why = format!(
                    "{unit}: it is needed, so that a stop of it stops this one; a restart leaves it \
                     alone"
                );
                import.report.lower(*number, approximated(why));
            }
            Relation::PartOf if !is(unit, Relation::Requires) => {
                let why = format!("{unit}: only a unit that depends on it is stopped with it");
                import.report.lower(*number, dropped(why));
            }
            Relation::After | Relation::PartOf => from_needs.push(*number),
            Relation::Conflicts => {}
        }
    }
    if needs.is_empty() {
        return;
    }
    let plain = needs.iter().all(|(unit, required)| *required && is(unit, Relation::After));
    let value = if plain {
        Yaml::list(needs.into_iter().map(|(unit, _)| unit))
    } else {
        let entry = |(unit, required): (String, bool)| {
            let condition =
                if is(&unit, Relation::After) { "service_healthy" } else { "service_started" };
            let mut entry = vec![("condition".to_owned(), Yaml::bare(condition))];
            if !required {
                entry.push(("required".to_owned(), Yaml::bare("false")));
            }
            (unit, Yaml::Map(entry))
        };
        Yaml::Map(needs.into_iter().map(entry).collect())
    };
    import.draft.set("depends_on", value, &from_needs);
}
