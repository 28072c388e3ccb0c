//! [`text`]: a unit that the unit parser accepts.

use std::path::PathBuf;

use super::draft::Draft;
use super::report::{Fate, Report, dropped};

/// The text of a unit. What the unit parser refuses is dropped, until it refuses nothing.
///
/// # Errors
/// Without what is refused there is no unit.
pub(super) fn text(
    draft: &mut Draft,
    report: &mut Report,
    name: &str,
    from: &str,
    is_template: bool,
) -> Result<String, String> {
    let path = PathBuf::from(format!("{name}.yml"));
    let head = vec![format!("From {from}, by slc import.")];
    // Each round takes a key out, so there are no more of them than keys.
    for _ in 0..100 {
        let text = draft.text(&head, report.entries(), is_template);
        let read = match is_template {
            true => crate::unit_file::parse_template(&path, &text),
            false => crate::unit_file::parse(&path, &text),
        };
        let Err(diagnostics) = read else { return Ok(text) };
        let first = diagnostics.into_iter().next();
        let (key, message) = first
            .map_or((String::new(), String::new()), |it| (it.key.unwrap_or_default(), it.message));
        let key = key.split('.').next().unwrap_or_default();
        let Some(from) = draft.remove(key).filter(|_| key != "command") else {
            return Err(message);
        };
        // Without its user a service would run as root.
        if ["user", "group"].contains(&key) {
            return Err(format!("{key}: {message}"));
        }
        for number in from {
            if report.get(number).is_some_and(|it| it.fate != Fate::Dropped) {
                report.set(number, dropped(format!("{key}: {message}")));
            }
        }
    }
    Err("no unit can be made of it".to_owned())
}
