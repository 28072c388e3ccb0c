//! `slc cat`: reads the unit files itself, so it needs no supervisor.

use super::args::Place;
use super::end::{End, Failed, complain, put};
use super::unit_dirs::{absent, directories, tell};
use super::{Supervisor, to_json};
use crate::unit_file::Lookup;

/// Shows what the files of a unit come to, then what is wrong with them.
pub(super) fn run(
    supervisor: &Supervisor,
    unit: &str,
    json: bool,
    place: &Place,
) -> Result<End, Failed> {
    let directories = directories(supervisor, place)?.only_looked_at();
    let wrong = match directories.find(unit)? {
        Lookup::Parts(parts) if json => {
            let (shown, wrong) = parts.to_json();
            put(&to_json(&shown))?;
            wrong
        }
        Lookup::Parts(parts) => {
            let (shown, wrong) = parts.to_yaml();
            put(&shown)?;
            wrong
        }
        Lookup::Bad(wrong) => wrong,
        Lookup::Masked(link) => {
            complain(&format!("{unit}: masked by {}, a link to /dev/null", link.display()));
            return Ok(End::Failed);
        }
        Lookup::Absent => return Ok(absent(&directories, unit)),
    };
    tell(&wrong);
    Ok(if wrong.is_empty() { End::Done } else { End::Failed })
}
