//! Sockets and their services: opened, watched, passed on, and kept over our own end.

mod runs;

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::leaves::Start;
use super::{Launcher, Token};
use crate::kernel::kept::{Item, Kept};
use crate::kernel::poll::Poll;
use crate::kernel::program;
use crate::kernel::sockets::{self, FileId, Place, Talk, Wanted};
use crate::protocol::message::Activations as Activated;
use crate::supervision::activation::{Activation, Address, Guard, Socket, Style, Trigger};
use crate::supervision::name::UnitName;
use crate::supervision::status::SocketStatus;
use crate::supervision::unit::Unit;
use crate::supervision::{Moment, Pid};

use runs::Runs;

/// The log lane's descriptor of what is kept, which it never looks at: its standard output, which
/// it has no other use for.
pub const KEPT: RawFd = libc::STDOUT_FILENO;

/// As many connections wait as the kernel allows (net.core.somaxconn).
const MOST_WAIT: i32 = i32::MAX;

/// Why a socket is not open.
#[derive(Debug)]
pub struct CannotListen {
    /// In words.
    pub reason: String,
    /// Whether it may be possible later.
    pub passing: bool,
}

/// An open socket.
#[derive(Debug)]
struct Open {
    socket: Socket,
    fd: OwnedFd,
    file: Option<FileId>,
}

/// What is open for one unit.
#[derive(Debug, Default)]
struct Post {
    open: Vec<Open>,
    /// The number in the tokens of its sockets while they are watched.
    watched: Option<u32>,
}

/// What is known of a socket that is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Label {
    unit: String,
    name: String,
    /// The socket in words: it is taken again only where it is the same.
    socket: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<(PathBuf, u64, u64)>,
}

/// A socket that an earlier supervisor has left.
#[derive(Debug)]
struct Left {
    label: Label,
    fd: OwnedFd,
}

/// The sockets of all units, and what is kept beside them.
#[derive(Debug)]
pub struct Activations {
    kept: Kept,
    /// Runs of oneshots.
    pub runs: Runs,
    left: Vec<Left>,
    posts: BTreeMap<UnitName, Post>,
    watched: HashMap<u32, UnitName>,
    next: u32,
}

impl Activations {
    /// Takes over what an earlier supervisor has kept with `keeper`.
    ///
    /// # Errors
    /// When nothing can be kept.
    pub fn open(run_dir: &Path, keeper: Option<u32>) -> Result<Self, crate::kernel::Error> {
        let (kept, items) = Kept::open(&run_dir.join("kept"), keeper, KEPT)?;
        let mut runs = Runs::default();
        let left = items.into_iter().filter_map(|item| {
            let Item { label, fd } = runs.take_over(item)?;
            let label = serde_json::from_str(&label).ok()?;
            Some(Left { label, fd })
        });
        let left = left.collect();
        Ok(Self { kept, runs, left, posts: BTreeMap::new(), watched: HashMap::new(), next: 0 })
    }

    /// For the log lane, which holds it.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn duplicate(&self) -> std::io::Result<OwnedFd> {
        self.kept.duplicate()
    }

    /// The sockets of a unit, in its order.
    pub fn fds(&self, name: &UnitName) -> Vec<BorrowedFd<'_>> {
        let open = self.posts.get(name).map(|post| post.open.as_slice()).unwrap_or_default();
        open.iter().map(|open| open.fd.as_fd()).collect()
    }

    /// What is open for a unit, in words.
    pub fn listens_on(&self, name: &UnitName) -> Vec<String> {
        let open = self.posts.get(name).map(|post| post.open.as_slice()).unwrap_or_default();
        open.iter().map(|open| open.socket.to_string()).collect()
    }

    fn is_open(&self, name: &UnitName, socket: &Socket) -> bool {
        let post = self.posts.get(name);
        post.is_some_and(|post| post.open.iter().any(|open| open.socket == *socket))
    }

    fn is_watched(&self, name: &UnitName) -> bool {
        self.posts.get(name).is_some_and(|post| post.watched.is_some())
    }

    /// Opens what a unit asks for and is not open, and closes what it does not ask for any more.
    ///
    /// # Errors
    /// The first socket that cannot be opened; the others are tried all the same.
    pub fn open_all(&mut self, unit: &Unit, poll: &Poll) -> Result<(), CannotListen> {
        let none = Activation::default();
        let activation = unit.activation.as_deref().unwrap_or(&none);
        self.unwatch(&unit.name, poll);
        let mut before = self.posts.remove(&unit.name).unwrap_or_default().open;
        let (mut after, mut result) = (Vec::new(), Ok(()));
        let mut changed = false;
        let (keep, gone): (Vec<Open>, Vec<Open>) =
            before.drain(..).partition(|open| activation.sockets.contains(&open.socket));
        before = keep;
        changed |= !gone.is_empty();
        gone.into_iter().for_each(close);
        for socket in &activation.sockets {
            if let Some(at) = before.iter().position(|open| open.socket == *socket) {
                after.push(before.swap_remove(at));
                continue;
            }
            match self.take_left(&unit.name, socket).map_or_else(|| open(socket), Ok) {
                Ok(open) => {
                    changed = true;
                    after.push(open);
                }
                Err(why) => result = result.and(Err(why)),
            }
        }
        if !after.is_empty() {
            self.posts.insert(unit.name.clone(), Post { open: after, watched: None });
        }
        if changed {
            self.keep();
        }
        result
    }

    fn take_left(&mut self, unit: &UnitName, socket: &Socket) -> Option<Open> {
        let words = socket.to_string();
        let at = self.left.iter().position(|Left { label, .. }| {
            label.unit == unit.as_str() && label.name == socket.name && label.socket == words
        })?;
        let Left { label, fd } = self.left.swap_remove(at);
        Some(Open { socket: socket.clone(), fd, file: label.file.map(file_of) })
    }

    /// Closes what an earlier supervisor has left and nobody has asked for. What belongs to a unit
    /// that `may_come_back` stays.
    pub fn forget_left(&mut self, may_come_back: impl Fn(&str) -> bool) {
        let (stay, go): (Vec<Left>, Vec<Left>) =
            self.left.drain(..).partition(|left| may_come_back(&left.label.unit));
        self.left = stay;
        if go.is_empty() {
            return;
        }
        for Left { label, .. } in go {
            log::info!("{}: {} is closed: nobody wants it any more", label.unit, label.socket);
            label.file.map(file_of).iter().for_each(FileId::remove);
        }
        self.keep();
    }

    /// Closes all sockets of a unit.
    pub fn close(&mut self, name: &UnitName, poll: &Poll) {
        self.unwatch(name, poll);
        if let Some(post) = self.posts.remove(name) {
            post.open.into_iter().for_each(close);
            self.keep();
        }
    }

    /// Watches all sockets of a unit. Gives whether somebody is there already.
    fn watch(&mut self, name: &UnitName, poll: &Poll) -> Result<bool, crate::kernel::Error> {
        let number = self.next;
        let Some(post) = self.posts.get_mut(name) else { return Ok(false) };
        self.next = self.next.wrapping_add(1);
        post.watched = Some(number);
        self.watched.insert(number, name.clone());
        for open in &post.open {
            poll.add(&open.fd, Token::Socket(number).number())?;
        }
        Ok(post.open.iter().any(|open| sockets::is_readable(&open.fd)))
    }

    /// Looks at a unit's sockets no more.
    fn unwatch(&mut self, name: &UnitName, poll: &Poll) {
        let Some(post) = self.posts.get_mut(name) else { return };
        let Some(number) = post.watched.take() else { return };
        self.watched.remove(&number);
        for open in &post.open {
            poll.remove(&open.fd);
        }
    }

    /// The unit of a token, and the sockets at which somebody is.
    fn woken(&self, number: u32) -> Option<(UnitName, Vec<String>)> {
        let name = self.watched.get(&number)?;
        let open = &self.posts.get(name)?.open;
        let ready = open.iter().filter(|open| sockets::is_readable(&open.fd));
        Some((name.clone(), ready.map(|open| open.socket.to_string()).collect()))
    }

    /// A oneshot's first process was born. It is kept at once, because it may end, and this process
    /// too, before this turn does; where there is much, with the others of the turn.
    pub fn add_run(&mut self, start: &Start, pid: Pid) {
        self.runs.add(start, pid, |label, fd| self.kept.add(label, fd));
        if self.kept.is_brief() {
            self.keep_runs();
        }
    }

    /// Keeps the runs that were born in this turn.
    pub fn keep_runs(&mut self) {
        if self.runs.take_new() {
            self.keep();
        }
    }

    /// Keeps what is open now for the next supervisor.
    fn keep(&mut self) {
        let label = |unit: &str, name: &str, socket: String, file: Option<&FileId>| {
            let file = file.map(|file| (file.path.clone(), file.device, file.inode));
            let label = Label { unit: unit.into(), name: name.into(), socket, file };
            // Plain data always makes JSON, in one line.
            serde_json::to_string(&label).unwrap_or_default()
        };
        let open = self.posts.iter().flat_map(|(unit, post)| {
            post.open.iter().map(move |open| {
                let words = open.socket.to_string();
                let text = label(unit.as_str(), &open.socket.name, words, open.file.as_ref());
                (text, open.fd.as_fd())
            })
        });
        let left = self.left.iter().map(|Left { label, fd }| {
            (serde_json::to_string(label).unwrap_or_default(), fd.as_fd())
        });
        let all: Vec<(String, BorrowedFd)> = open.chain(left).chain(self.runs.labelled()).collect();
        if let Err(error) = self.kept.replace(&all) {
            log::warn!(
                "{error}; a supervisor that is killed loses sockets that wait, and how oneshots ended"
            );
        }
    }
}

fn file_of((path, device, inode): (PathBuf, u64, u64)) -> FileId {
    FileId { path, device, inode }
}

fn close(open: Open) {
    open.file.iter().for_each(FileId::remove);
}

/// Opens a socket, in the words of the kernel.
fn open(socket: &Socket) -> Result<Open, CannotListen> {
    let refused = |reason: String, passing| CannotListen {
        reason: format!("socket {}: {reason}", socket.name),
        passing,
    };
    let wanted = wanted(socket).map_err(|error| refused(error.to_string(), false))?;
    let (fd, file) = sockets::open(&wanted).map_err(|error| {
        let passing = !matches!(error.errno(), Errno::EACCES | Errno::EPERM | Errno::ELOOP);
        refused(error.to_string(), passing)
    })?;
    Ok(Open { socket: socket.clone(), fd, file })
}

fn wanted(socket: &Socket) -> Result<Wanted, program::PrepareError> {
    let user = socket.user.as_deref().map(program::lookup_user).transpose()?;
    let group = socket.group.as_deref().map(program::lookup_group).transpose()?;
    let group = group.or(user.as_ref().and_then(|user| user.gid));
    Ok(Wanted {
        place: match &socket.address {
            Address::Any(port) => Place::AnyInet(*port),
            Address::Inet(address) => Place::Inet(*address),
            Address::Path(path) => Place::Path(path.clone()),
            Address::Abstract(name) => Place::Abstract(name.clone()),
        },
        talk: match socket.style {
            Style::Stream => Talk::Stream,
            Style::Datagram => Talk::Datagram,
            Style::SequentialPackets => Talk::SequentialPackets,
            Style::Fifo => Talk::Fifo,
        },
        mode: socket.mode,
        owner: (user.map(|user| user.uid), group),
        backlog: socket.backlog.and_then(|it| i32::try_from(it).ok()).unwrap_or(MOST_WAIT),
        ipv6_only: socket.ipv6_only,
        reuse_port: socket.reuse_port,
        free_bind: socket.free_bind,
    })
}

impl Launcher {
    /// Brings a unit's triggers to a level, and tells the rules what came of it.
    pub(super) fn set_guard(&mut self, unit: &Unit, guard: Guard, now: Moment) {
        let name = &unit.name;
        self.set_timers(unit, guard, now);
        if guard == Guard::Off {
            self.activations.close(name, &self.poll);
            let _ = self.set_paths(unit, guard, now);
            return self.supervisor.guarded(name, guard, now);
        }
        if let Err(CannotListen { reason, .. }) = self.activations.open_all(unit, &self.poll) {
            return match guard {
                Guard::Watched => {
                    log::error!("{name}: {reason}");
                    self.activations.close(name, &self.poll);
                    self.supervisor.cannot_arm(name, reason, now);
                }
                // The start will have the last word.
                Guard::Held | Guard::Off => log::warn!("{name}: {reason}"),
            };
        }
        self.supervisor.guarded(name, guard, now);
        if let Err(reason) = self.set_paths(unit, guard, now) {
            log::error!("{name}: {reason}");
            return self.supervisor.cannot_arm(name, reason, now);
        }
        let on_demand = unit.activation.as_deref().is_some_and(Activation::listens_on_demand);
        if guard == Guard::Watched && on_demand {
            match self.activations.watch(name, &self.poll) {
                Ok(false) => {}
                Ok(true) => {
                    let by = "a connection that waited already";
                    self.trigger(name, Trigger::Standing, by, now);
                }
                Err(error) => self.supervisor.cannot_arm(name, error.to_string(), now),
            }
        }
    }

    /// Somebody is at a socket that is watched.
    pub(super) fn take_connection(&mut self, number: u32, now: Moment) {
        let Some((name, at)) = self.activations.woken(number) else { return };
        // A wake-up is a hint: a client may have gone again.
        if let Some(at) = at.first() {
            log::info!("{name}: somebody is at {at}: it is started");
            self.trigger(&name, Trigger::Fresh, &format!("a connection to {at}"), now);
        }
    }

    /// All that starts units besides people and a boot.
    pub(super) fn activation_statuses(&self) -> Activated {
        let sockets = self.supervisor.services().flat_map(|(name, service)| {
            let activation = service.unit().activation.as_deref();
            let wanted = activation.map(|it| it.sockets.as_slice()).unwrap_or_default();
            wanted.iter().map(move |socket| SocketStatus {
                unit: name.to_string(),
                name: socket.name.clone(),
                address: socket.to_string(),
                open: self.activations.is_open(name, socket),
                watched: self.activations.is_watched(name),
                state: service.word(),
            })
        });
        let timers = self.timer_statuses();
        Activated { sockets: sockets.collect(), timers, paths: self.path_statuses() }
    }

    /// What a unit waits for that is armed, in words.
    pub(super) fn waits_for(&self, name: &UnitName) -> Option<String> {
        let listens = self.activations.listens_on(name);
        let listens = (!listens.is_empty()).then(|| format!("listens on {}", listens.join(", ")));
        let all = [listens, self.next_run(name), self.waits_for_paths(name)];
        let all: Vec<String> = all.into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    pub(super) fn trigger(&mut self, name: &UnitName, trigger: Trigger, by: &str, now: Moment) {
        self.activations.unwatch(name, &self.poll);
        self.supervisor.trigger(name.as_str(), trigger, by, now);
    }

    /// Closes what an earlier supervisor has left, once everybody had the chance to take it.
    pub(super) fn forget_left_sockets(&mut self) {
        if self.actions.is_empty() {
            let problems = &self.problems;
            self.activations.forget_left(|unit| problems.iter().any(|it| it.name == unit));
        }
    }
}
