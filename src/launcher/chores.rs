//! Slow or blocking work, done by one thread that has nothing else: the loop never waits for it.
//!
//! rmdir(2) of a cgroup can block on some kernels, killing by freezing waits for the freezer, and
//! ten thousand unit files take most of a second. Each chore is sent over and comes back as an
//! answer; an eventfd wakes the loop.

use std::collections::{BTreeSet, HashSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::check;
use crate::kernel;
use crate::kernel::cgroup::Tree;
use crate::kernel::files;
use crate::kernel::leaf::Leaf;
use crate::protocol::server::CallId;
use crate::supervision::name::UnitName;
use crate::supervision::plan::{Plan, Step};
use crate::supervision::status::Problem;
use crate::supervision::unit::Unit;
use crate::unit_file::{self, Diagnostic, Directories, Unreadable};
use crate::words::words_of;

use super::instances::PendingOrder;
use super::leaves::Start;
use super::limits::Limit;
use super::reload::{Reader, located};
use super::upgrade;

/// How often a busy leaf is tried again, and the first pause; each pause is twice the one before.
const REMOVE_TRIES: u32 = 12;
const REMOVE_PAUSE: Duration = Duration::from_millis(1);

/// The most chores that the loop is woken for at once.
const CHORES_A_BELL: usize = 32;

/// Work for the thread.
#[derive(Debug)]
pub enum Chore {
    /// Remove an empty leaf, and the cgroup of its unit where one is given.
    Remove { name: UnitName, leaf: Leaf, group: Option<Leaf> },
    /// Remove the cgroup of a check, whose processes were killed.
    Sweep { name: UnitName, leaf: Leaf },
    /// Kill a leaf where `cgroup.kill` is missing.
    KillByFreezing { leaf: Leaf },
    /// Set what a unit's cgroup may use: a limit below what it uses makes the kernel look for
    /// memory to take away, and that takes time.
    SetLimits { name: UnitName, group: PathBuf, limits: Vec<Limit> },
    /// Look at what the units need of this machine and of each other.
    Examine { units: Vec<Arc<Unit>>, unread: BTreeSet<String> },
    /// Read the unit directories. `asked` are instances that no file need name.
    ReadUnits { directories: Directories, asked: Vec<String> },
    /// Find where the files say what is wrong, for somebody who waits for that plan.
    Locate { reader: Reader, plan: Plan },
    /// Make instances of templates that an order names, and those that they need.
    MakeInstances { directories: Directories, names: Vec<String>, order: Box<PendingOrder> },
    /// See whether a program is a supervisor.
    TryProgram { program: PathBuf, call: CallId },
    /// Write a small file, whose directory may be missing.
    WriteFile { path: PathBuf, text: String },
    /// Make the cgroups of the units that the directories seem to hold, but for those that are
    /// there: they live as long as their units are loaded, and while the units are read nobody else
    /// has work for the kernel. What is missing is made at the start of a unit.
    MakeGroups { directories: Directories, tree: Tree, there: HashSet<String> },
}

/// What came of a chore.
#[derive(Debug)]
pub enum Answer {
    /// The leaf is gone, or cannot be removed.
    Removed { name: UnitName, result: Result<(), kernel::Error> },
    /// The cgroup of a check is gone, or cannot be removed.
    Swept { name: UnitName, result: Result<(), kernel::Error> },
    /// The line came that makes a service ready.
    LineCame { start: Start },
    /// The leaf was killed, or not.
    Killed { result: Result<(), kernel::Error> },
    /// The limits were set, but for these.
    LimitsSet { name: UnitName, refused: Vec<(Limit, kernel::Error)> },
    /// What there is to say of units, by their names.
    Examined { findings: Vec<(UnitName, Vec<Diagnostic>)> },
    /// What is in the directories.
    UnitsRead { result: Result<unit_file::Loaded, Unreadable> },
    /// What is wrong, with its places, and whatever else the plan holds.
    Located { reader: Reader, steps: Vec<Step>, problems: Vec<Problem> },
    /// The instances that an order names, as far as there are templates for them.
    InstancesMade { result: Result<unit_file::Loaded, Unreadable>, order: Box<PendingOrder> },
    /// What the program says its version is, or why it is no supervisor.
    ProgramTried { program: PathBuf, call: CallId, result: Result<String, String> },
}

/// The thread, as the loop sees it.
#[derive(Debug)]
pub struct Chores {
    to: Sender<Chore>,
    from: Receiver<Answer>,
    answers: Sender<Answer>,
    wake: Arc<EventFd>,
}

/// How other threads tell the loop something.
#[derive(Debug, Clone)]
pub struct Bell {
    answers: Sender<Answer>,
    wake: Arc<EventFd>,
}

impl Bell {
    /// Tells it. Gives whether there still is a loop.
    pub fn ring(&self, answer: Answer) -> bool {
        let sent = self.answers.send(answer).is_ok();
        // A counter that is full still wakes the loop.
        let _ = self.wake.write(1);
        sent
    }
}

impl Chores {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there is no descriptor or no thread to be had.
    pub fn new() -> std::io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = Arc::new(EventFd::from_value_and_flags(0, flags)?);
        let (to, chores) = channel();
        let (answers, from) = channel();
        let kept = answers.clone();
        let bell = Arc::clone(&wake);
        let work = move || {
            while let Ok(first) = chores.recv() {
                let more = std::iter::from_fn(|| chores.try_recv().ok());
                let some = std::iter::once(first).chain(more.take(CHORES_A_BELL - 1));
                let ring = || {
                    // A counter that is full still wakes the loop.
                    let _ = bell.write(1);
                };
                let done = some
                    .filter_map(|chore| work(chore, &ring))
                    .all(|answer| answers.send(answer).is_ok());
                ring();
                if !done {
                    break;
                }
            }
        };
        thread::Builder::new().name("chores".into()).stack_size(256 * 1024).spawn(work)?;
        Ok(Self { to, from, answers: kept, wake })
    }

    /// For another thread with something to tell.
    pub fn bell(&self) -> Bell {
        Bell { answers: self.answers.clone(), wake: Arc::clone(&self.wake) }
    }

    /// Gives the thread something to do.
    pub fn add(&self, chore: Chore) {
        if self.to.send(chore).is_err() {
            log::error!("the thread for slow work is gone; leaves stay until the next start");
        }
    }

    /// What was done since the last look.
    pub fn answers(&self) -> Vec<Answer> {
        let _ = self.wake.read();
        self.from.try_iter().collect()
    }
}

impl AsFd for Chores {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// Does it. `ring` tells the loop of the answers before this one; what takes long begins with it.
fn work(chore: Chore, ring: &dyn Fn()) -> Option<Answer> {
    if !matches!(chore, Chore::Remove { .. }) {
        ring();
    }
    Some(match chore {
        Chore::Remove { name, leaf, group } => {
            let result = remove(&leaf, ring);
            if result.is_ok() {
                // What stays is tried again when everything is removed.
                let _ = group.map(|group| group.remove_alone());
            }
            Answer::Removed { name, result }
        }
        Chore::Sweep { name, leaf } => Answer::Swept { name, result: remove(&leaf, ring) },
        Chore::KillByFreezing { leaf } => Answer::Killed { result: leaf.kill_by_freezing() },
        Chore::SetLimits { name, group, limits } => {
            let set = |limit: Limit| Some((limit.clone(), limit.set(&group).err()?));
            Answer::LimitsSet { name, refused: limits.into_iter().filter_map(set).collect() }
        }
        Chore::Examine { units, unread } => {
            let found = check::examine(&units, &unread, &|_| true).into_iter();
            let named = found.filter_map(|(at, said)| Some((units.get(at)?.name.clone(), said)));
            Answer::Examined { findings: named.collect() }
        }
        Chore::ReadUnits { directories, asked } => {
            Answer::UnitsRead { result: directories.read(&asked) }
        }
        Chore::Locate { reader, plan } => {
            let problems = located(&plan.faults);
            Answer::Located { reader, steps: plan.steps, problems }
        }
        Chore::MakeInstances { directories, names, order } => {
            Answer::InstancesMade { result: directories.instances(&names), order }
        }
        Chore::TryProgram { program, call } => {
            let result = upgrade::version_of(&program);
            Answer::ProgramTried { program, call, result }
        }
        Chore::WriteFile { path, text } => {
            if let Err(error) = write_file(&path, &text) {
                log::warn!("cannot write {}: {}", path.display(), words_of(&error));
            }
            return None;
        }
        Chore::MakeGroups { directories, tree, there } => {
            directories.paths().for_each(|dir| make_groups(dir, &tree, &there));
            return None;
        }
    })
}

/// The name appears with its whole content or not at all.
fn write_file(path: &Path, text: &str) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    files::secure_dir(dir).map_err(|error| std::io::Error::from(error.errno()))?;
    let fresh = dir.join(".new");
    std::fs::write(&fresh, text)?;
    std::fs::rename(&fresh, path)
}

/// Stops at the first refusal: the start of a unit will have a better word for it.
fn make_groups(dir: &Path, tree: &Tree, there: &HashSet<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let file = entry.file_name();
        let stem = file.to_str().and_then(|name| name.rsplit_once('.'));
        let Some((stem, "yml" | "yaml")) = stem else { continue };
        // A link may mask a unit, and a template is none.
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file()) && !stem.ends_with('@');
        let is_wanted = is_file && UnitName::new(stem).is_ok() && !there.contains(stem);
        if is_wanted && tree.make_group(stem).is_err() {
            return;
        }
    }
}

/// A leaf is busy for a moment after its last process has left it.
fn remove(leaf: &Leaf, ring: &dyn Fn()) -> Result<(), kernel::Error> {
    let mut pause = REMOVE_PAUSE;
    for _ in 1..REMOVE_TRIES {
        match leaf.remove() {
            Err(error) if error.errno() == Errno::EBUSY => {
                ring();
                thread::sleep(pause);
            }
            other => return other,
        }
        pause *= 2;
    }
    leaf.remove()
}
