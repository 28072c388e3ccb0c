//! Readiness that a service tells by writing: a newline on a descriptor, or a line of its output.
//!
//! The descriptor is that of a file, `<run_dir>/ready/UNIT`, and not of a pipe. So what was written
//! is there whoever lives or dies meanwhile: the next supervisor reads the file, and needs nobody to
//! keep the other end for it. The file is made anew for each start and removed when the service is
//! up; its pages count as memory of the service.
//!
//! The output is looked through by a thread of its own (see `lines`), behind a line that says in the
//! log where this start begins.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::leaves::Start;
use super::lines::{Awaited, Lines};
use super::{Launcher, Token};
use crate::kernel::file_watch::{FileWatch, Watched};
use crate::kernel::files;
use crate::kernel::poll::Poll;
use crate::kernel::program::Prepared;
use crate::supervision::name::UnitName;
use crate::supervision::service::State;
use crate::supervision::unit::{Ready, Unit};
use crate::supervision::{Event, Moment};
use crate::unit_file::Pattern;
use crate::words::words_of;

/// The newline is looked for in so many bytes.
const MOST_BYTES: usize = 4096;

/// What services are waited for.
#[derive(Debug)]
pub struct Readiness {
    dir: PathBuf,
    /// There is none before a unit needs it.
    watch: Option<FileWatch>,
    files: HashMap<UnitName, (u64, Watched)>,
    /// There is none before a unit needs it.
    lines: Option<Lines>,
}

impl Readiness {
    /// Nobody is waited for.
    pub fn new(run_dir: &Path) -> Self {
        let (files, watch, lines) = (HashMap::new(), None, None);
        Self { dir: run_dir.join("ready"), watch, files, lines }
    }

    fn path(&self, name: &UnitName) -> PathBuf {
        self.dir.join(name.as_str())
    }

    /// Waits for no word of this start any more.
    pub fn forget(&mut self, (name, start): &Start) {
        if self.files.get(name).is_some_and(|(of, _)| of == start) {
            self.unwatch(name);
            let _ = fs::remove_file(self.path(name));
        }
        if let Some(lines) = &self.lines {
            lines.forget((name.clone(), *start));
        }
    }

    fn unwatch(&mut self, name: &UnitName) {
        if let (Some((_, watched)), Some(watch)) = (self.files.remove(name), &self.watch) {
            watch.unwatch(watched);
        }
    }

    /// Makes the file anew and opens it for the service.
    fn make_file(&mut self, (name, start): &Start, poll: &Poll) -> Result<File, String> {
        files::secure_dir(&self.dir).map_err(|error| error.to_string())?;
        let path = self.path(name);
        let _ = fs::remove_file(&path);
        let file = File::options().append(true).create_new(true).mode(0o600).open(&path);
        let file =
            file.map_err(|error| format!("cannot make {}: {}", path.display(), words_of(&error)))?;
        self.watch_file(&(name.clone(), *start), poll)?;
        Ok(file)
    }

    /// Passes on what the first process of a start tells by once more: it is born again, because it
    /// was killed before it came to its program. So it has said nothing, and is waited for already.
    ///
    /// # Errors
    /// In words, when the file that it writes to cannot be opened.
    pub(super) fn pass_again(
        &self,
        unit: &Unit,
        name: &UnitName,
        prepared: Prepared,
    ) -> Result<Prepared, String> {
        let Ready::Fd(number) = unit.ready() else { return Ok(prepared) };
        let path = self.path(name);
        let file = File::options().append(true).open(&path);
        let file =
            file.map_err(|error| format!("cannot open {}: {}", path.display(), words_of(&error)))?;
        let number = i32::try_from(*number).map_err(|error| error.to_string())?;
        Ok(prepared.passing(file.into(), number))
    }

    fn watch_file(&mut self, (name, start): &Start, poll: &Poll) -> Result<(), String> {
        let path = self.path(name);
        if self.watch.is_none() {
            let watch = FileWatch::new().map_err(|error| error.to_string())?;
            poll.add(&watch, Token::Readiness.number()).map_err(|error| error.to_string())?;
            self.watch = Some(watch);
        }
        if let Some(watch) = &self.watch {
            let watched = watch.watch(&path).map_err(|error| error.to_string())?;
            self.files.insert(name.clone(), (*start, watched));
        }
        Ok(())
    }

    /// Those that have written a newline. One that has written too much else is not looked at again,
    /// or its writing would keep the loop busy.
    fn written(&mut self) -> Vec<Start> {
        let (mut written, mut over) = (Vec::new(), Vec::new());
        for (name, (start, _)) in &self.files {
            match read_head(&self.path(name)) {
                head if head.contains(&b'\n') => written.push((name.clone(), *start)),
                head if head.len() >= MOST_BYTES => over.push(name.clone()),
                _ => {}
            }
        }
        for name in over {
            log::warn!(
                "{name}: its readiness descriptor holds {MOST_BYTES} bytes without a newline"
            );
            self.unwatch(&name);
        }
        written
    }
}

fn read_head(path: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    // What cannot be read holds nothing.
    let _ = File::open(path).and_then(|file| file.take(MOST_BYTES as u64).read_to_end(&mut head));
    head
}

/// The line in the log that a start begins behind.
fn mark(start: u64) -> String {
    format!("treeward: start {start}")
}

impl Launcher {
    /// Prepares for what the first process of a start will say when it is ready.
    pub(super) fn await_ready(
        &mut self,
        unit: &Unit,
        key: &Start,
        prepared: Prepared,
        now: Moment,
    ) -> Result<Prepared, String> {
        match unit.ready() {
            Ready::Fd(number) => {
                let file = self.readiness.make_file(key, &self.poll)?;
                let number = i32::try_from(*number).map_err(|error| error.to_string())?;
                Ok(prepared.passing(file.into(), number))
            }
            Ready::Log(pattern) => {
                self.await_line(key, pattern, Awaited::Fresh)?;
                let said = self.lane.say(key.0.as_str(), &mark(key.1), now);
                said.map_err(|error| format!("cannot write to its log: {}", words_of(&error)))?;
                Ok(prepared)
            }
            Ready::Exec | Ready::Fork | Ready::Notify | Ready::Polled(_) => Ok(prepared),
        }
    }

    fn await_line(&mut self, key: &Start, pattern: &str, awaited: Awaited) -> Result<(), String> {
        let pattern = Pattern::new(pattern)?;
        if self.readiness.lines.is_none() {
            let log_dir = self.options.lane.log_dir.clone();
            let lines = Lines::new(log_dir, self.chores.bell());
            self.readiness.lines =
                Some(lines.map_err(|error| format!("no thread: {}", words_of(&error)))?);
        }
        if let Some(lines) = &self.readiness.lines {
            lines.await_one(key.clone(), pattern, mark(key.1), awaited);
        }
        Ok(())
    }

    /// Waits again for starts that an earlier supervisor has waited for.
    pub(super) fn await_again(&mut self, now: Moment) {
        let starting: Vec<(Start, Ready)> = self
            .supervisor
            .services()
            .filter_map(|(name, service)| match service.state() {
                State::Starting { life, .. } => {
                    Some(((name.clone(), life.start), service.unit().ready().clone()))
                }
                _ => None,
            })
            .collect();
        for (key, ready) in starting {
            let waits = match ready {
                Ready::Fd(_) => self.readiness.watch_file(&key, &self.poll),
                Ready::Log(pattern) => self.await_line(&key, &pattern, Awaited::Before),
                Ready::Exec | Ready::Fork | Ready::Notify | Ready::Polled(_) => Ok(()),
            };
            if let Err(why) = waits {
                log::error!("{}: {why}; it is not learnt when it is ready", key.0);
            }
        }
        self.take_readiness(now);
    }

    /// A file may have been written to.
    pub(super) fn take_readiness(&mut self, now: Moment) {
        if let Some(watch) = &self.readiness.watch {
            watch.drain();
        }
        for key in self.readiness.written() {
            self.supervisor.handle(key.0.as_str(), key.1, Event::BecameReady, now);
        }
    }
}
