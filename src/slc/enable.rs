//! `slc enable` and `disable`: which units there are to be, by the names of their files.
//!
//! A disabled unit is not there at all: its file in the operator's directory is renamed to
//! `NAME.yml.disabled`. Where there is still something of that name then, from another directory or
//! a template, a link to `/dev/null` masks it.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::args::{Enable, Wished};
use super::end::{End, Failed, complain, put};
use super::style::Style;
use super::unit_dirs::{absent, directories, own, tell};
use super::{Supervisor, orders, plan};
use crate::protocol::client::ClientError;
use crate::protocol::message::{Listing, Outcomes};
use crate::protocol::{Failure, Request};
use crate::supervision::name::UnitName;
use crate::unit_file::{Directories, Lookup};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Enable,
    Disable,
}

/// What became of one unit.
enum Outcome {
    /// It was as it should be.
    Already,
    /// What was done.
    Done(Vec<String>),
    /// Nothing has this name.
    Absent,
}

pub(super) fn run(
    supervisor: &Supervisor,
    verb: Verb,
    wanted: &Enable,
    style: &Style,
) -> Result<End, Failed> {
    let directories = directories(supervisor, &wanted.place)?;
    let own = own(&directories)?;
    let mut end = End::Done;
    let mut good = Vec::new();
    for name in &wanted.units {
        // Only a name that no path can come of gets near the files.
        let outcome = match UnitName::new(name) {
            Err(_) => Outcome::Absent,
            Ok(_) if verb == Verb::Enable => enable(&directories, &own, name)?,
            Ok(_) => disable(&directories, &own, name)?,
        };
        let word = if verb == Verb::Enable { "enabled" } else { "disabled" };
        match outcome {
            Outcome::Absent => end = absent(&directories, name),
            Outcome::Already => {
                put(&format!("{name}: is {word} already\n"))?;
                good.push(name.clone());
            }
            Outcome::Done(done) => {
                put(&format!("{name}: {word}; {}\n", done.join(", ")))?;
                good.push(name.clone());
            }
        }
        if verb == Verb::Enable && !will_start(&directories, name)? {
            end = End::Failed;
        }
    }
    if good.is_empty() {
        return Ok(end);
    }
    let went = if wanted.now { now(supervisor, verb, &good, style)? } else { later(supervisor)? };
    Ok(if end == End::Done { went } else { end })
}

/// The files of a unit in a directory, whatever they end in.
fn files(dir: &Path, name: &str, ending: &str) -> Vec<PathBuf> {
    let paths = ["yml", "yaml"].map(|yml| dir.join(format!("{name}.{yml}{ending}")));
    paths.into_iter().filter(|path| path.symlink_metadata().is_ok()).collect()
}

fn is_mask(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null"))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Failed {
    move |source| Failed::File { path: path.to_owned(), source }
}

/// Renames a file, unless there is one of the new name.
fn rename(from: &Path, to: &Path) -> Result<String, Failed> {
    let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if to.symlink_metadata().is_ok() {
        let message =
            format!("{}: {} is there already; keep one of them", from.display(), file(to));
        return Err(Failed::InTheWay(message));
    }
    fs::rename(from, to).map_err(failed(from))?;
    Ok(format!("{} is {} now", from.display(), file(to)))
}

fn disable(directories: &Directories, own: &Path, name: &str) -> Result<Outcome, Failed> {
    let mut done = Vec::new();
    let found = directories.find(name)?;
    if !is_named(directories, name)? {
        // An instance that could be made of its template is not there either.
        let known = !matches!(found, Lookup::Absent) || !files(own, name, ".disabled").is_empty();
        return Ok(if known { Outcome::Already } else { Outcome::Absent });
    }
    for file in files(own, name, "") {
        let mut to = file.clone().into_os_string();
        to.push(".disabled");
        done.push(rename(&file, Path::new(&to))?);
    }
    if is_named(directories, name)? {
        let mask = own.join(format!("{name}.yml"));
        symlink("/dev/null", &mask).map_err(failed(&mask))?;
        done.push(format!("{} masks it", mask.display()));
        if is_named(directories, name)? {
            let message = format!("{name}: a file in a directory that comes later is still read");
            return Err(Failed::InTheWay(message));
        }
    }
    Ok(Outcome::Done(done))
}

/// Whether there is such a unit or template by itself: any instance could be made of its template.
fn is_named(directories: &Directories, name: &str) -> Result<bool, Failed> {
    let loaded = directories.read(&[])?;
    let templates = loaded.templates.iter().map(|template| template.name.as_str());
    let bad = loaded.bad.iter().map(|bad| bad.name.as_str());
    let mut names = loaded.units.iter().map(|unit| unit.name.as_str()).chain(templates).chain(bad);
    Ok(names.any(|known| known == name))
}

fn enable(directories: &Directories, own: &Path, name: &str) -> Result<Outcome, Failed> {
    let mut done = Vec::new();
    for mask in files(own, name, "").into_iter().filter(|path| is_mask(path)) {
        fs::remove_file(&mask).map_err(failed(&mask))?;
        done.push(format!("{} masks it no more", mask.display()));
    }
    if files(own, name, "").is_empty() {
        for file in files(own, name, ".disabled") {
            done.push(rename(&file, &file.with_extension(""))?);
        }
    }
    match directories.find(name)? {
        Lookup::Absent => return Ok(Outcome::Absent),
        Lookup::Masked(link) => {
            let message = format!("{name}: masked by {}; remove that link", link.display());
            return Err(Failed::InTheWay(message));
        }
        Lookup::Bad(wrong) => tell(&wrong),
        Lookup::Parts(parts) => {
            let wrong = parts.wrong();
            tell(&wrong);
            if !is_named(directories, name)?
                && let Some(template) = parts.files().next()
            {
                // A link that no unit comes of would be in the way of every later reload.
                if !wrong.is_empty() {
                    let message = format!(
                        "{name}: not enabled, since it cannot be used; slc edit {name} changes it"
                    );
                    return Err(Failed::InTheWay(message));
                }
                let link = own.join(format!("{name}.yml"));
                symlink(template, &link).map_err(failed(&link))?;
                done.push(format!("{} leads to {}", link.display(), template.display()));
            }
        }
    }
    Ok(if done.is_empty() { Outcome::Already } else { Outcome::Done(done) })
}

/// Whether the unit starts by itself now: it may be wrong, which was told, or may itself say that
/// it does not.
fn will_start(directories: &Directories, name: &str) -> Result<bool, Failed> {
    let parts = match directories.find(name)? {
        Lookup::Parts(parts) => parts,
        Lookup::Bad(_) => return Ok(false),
        Lookup::Absent | Lookup::Masked(_) => return Ok(true),
    };
    let unit = parts.unit();
    if unit.is_err() && !parts.is_template() {
        return Ok(false);
    }
    let by_hand = !parts.is_template() && unit.is_ok_and(|unit| !unit.enabled);
    if by_hand {
        complain(&format!(
            "{name}: \"enabled: false\" stands in its files, so it starts when it is asked to; \
             slc cat {name} shows where, slc edit {name} changes it"
        ));
    }
    Ok(!by_hand)
}

/// What the supervisor that runs will do.
fn later(supervisor: &Supervisor) -> Result<End, Failed> {
    match supervisor.connect() {
        Ok(_) => put("slc reload lets the supervisor take it in; slc plan shows what that does\n"),
        Err(_) => put("no supervisor runs; the next one takes it in\n"),
    }
}

/// Lets the supervisor take it in at once: these units alone, unless one of them is a template.
fn now(
    supervisor: &Supervisor,
    verb: Verb,
    names: &[String],
    style: &Style,
) -> Result<End, Failed> {
    let is_template = |name: &&String| name.ends_with('@');
    let units: Vec<&String> = names.iter().filter(|name| !is_template(name)).collect();
    let whole = names.iter().any(|name| is_template(&name));
    let mut end = End::Done;
    if verb == Verb::Disable {
        for unit in &units {
            end = order(supervisor, orders::Verb::Stop, unit)?;
        }
        if end != End::Done {
            return Ok(end);
        }
    }
    // What is not loaded, and is not to be, is nothing that a reload could be told of.
    let listing: Listing = supervisor.ask(&Request::List)?;
    let is_loaded = |name: &str| listing.services.iter().any(|service| service.name == name);
    let told = units.iter().filter(|name| verb == Verb::Enable || is_loaded(name));
    let only: Vec<String> = told.map(|name| (*name).clone()).collect();
    let read = if whole {
        plan::reload(supervisor, &Wished { only: Vec::new(), restart: false }, false, style)?
    } else if only.is_empty() {
        End::Done
    } else {
        plan::reload(supervisor, &Wished { only, restart: false }, false, style)?
    };
    if verb == Verb::Enable && read == End::Done {
        for unit in &units {
            end = order(supervisor, orders::Verb::Start, unit)?;
        }
    }
    Ok(if end == End::Done { read } else { end })
}

fn order(supervisor: &Supervisor, verb: orders::Verb, unit: &str) -> Result<End, Failed> {
    let request = Request::Order { verb, units: vec![unit.to_owned()], wait: true };
    match supervisor.order::<Outcomes>(&request) {
        Ok(answer) => orders::tell(verb, &answer),
        // What is not loaded does not run.
        Err(ClientError::Failed(Failure::NoSuchUnit { .. })) if verb == orders::Verb::Stop => {
            Ok(End::Done)
        }
        Err(error) => Err(error.into()),
    }
}
